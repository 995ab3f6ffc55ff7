//! Takeover: what this replica acquires when others come or go is looked at, as if it had just been seen for the first
//! time; and what it loses is forgotten.

use fooddelivery_runtime::Key;
use fooddelivery_runtime::sharding::Rendezvous;
use tokio::time::Instant;
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

/// Has every controller look at what was another replica's before and is this one's now, and forget what it was the other
/// way round.
pub(crate) fn resync_moved(
    context: &Context,
    acquirers: &[Acquirer],
    before: &Rendezvous,
    after: &Rendezvous,
) {
    let me = &*context.replica;
    let (mut acquired, mut released) = (0_usize, 0_usize);
    for Acquirer { controller, shard } in acquirers {
        for key in shard.keys(context) {
            let Some(uid) = shard.uid(context, &key) else { continue };
            let is_mine =
                |among: &Rendezvous| among.owner(controller.as_str(), &key.namespace, &uid) == Some(me);
            let waits = match (is_mine(before), is_mine(after)) {
                (false, true) => {
                    acquired += 1;
                    !has_ended(context, *shard, &key)
                }
                // The runner finds that it is not this replica's.
                (true, false) => {
                    released += 1;
                    false
                }
                (false, false) | (true, true) => continue,
            };
            let Some(queue) = context.queues.of(*controller) else { continue };
            if waits {
                queue.push(key);
            } else {
                queue.push_resting(key);
            }
        }
    }
    // What replicas show of themselves goes with them.
    for key in context.caches.providers.walk_keys() {
        context.queues.push_at(ControllerName::PaymentProvider, key, Instant::now());
    }
    debug!(acquired, released, "shards moved");
}

/// What has ended waits for nothing.
fn has_ended(context: &Context, shard: Shard, key: &Key) -> bool {
    matches!(shard, Shard::OfOrder)
        && context.caches.orders.object(key).is_some_and(|order| order.phase().is_terminal())
}
