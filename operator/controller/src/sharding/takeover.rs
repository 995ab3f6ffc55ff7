//! Takeover: what this replica acquires when others come or go is looked at, as if it had just been seen for the first
//! time.

use fooddelivery_runtime::Key;
use fooddelivery_runtime::sharding::Rendezvous;
use tracing::debug;

use super::shard::Shard;
use crate::context::Context;
use crate::names::ControllerName;

/// A controller, and whose shards its keys are.
#[derive(Clone, Copy)]
pub(crate) struct Acquirer {
    /// Its name.
    pub(crate) controller: ControllerName,
    /// Whose shard a key is.
    pub(crate) shard: Shard,
}

/// Has every controller look at what was another replica's before and is this one's now.
pub(crate) fn resync_acquired(
    context: &Context,
    acquirers: &[Acquirer],
    before: &Rendezvous,
    after: &Rendezvous,
) {
    let me = &*context.replica;
    let acquired = |controller: ControllerName, key: &Key, uid: &str| {
        let (name, namespace) = (controller.as_str(), &*key.namespace);
        after.owner(name, namespace, uid) == Some(me) && before.owner(name, namespace, uid) != Some(me)
    };
    let mut count = 0_usize;
    for Acquirer { controller, shard } in acquirers {
        for key in shard.keys(context) {
            let Some(uid) = shard.uid(context, &key) else { continue };
            if !acquired(*controller, &key, &uid) {
                continue;
            }
            let ended = matches!(shard, Shard::OfOrder)
                && context.caches.orders.object(&key).is_some_and(|order| order.phase().is_terminal());
            let Some(queue) = context.queues.of(*controller) else { continue };
            // What has ended waits for nothing.
            if ended {
                queue.push_resting(key);
            } else {
                queue.push(key);
            }
            count += 1;
        }
    }
    debug!(count, "acquired shards");
}
