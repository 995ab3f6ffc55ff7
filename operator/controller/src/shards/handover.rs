//! What falls to this replica when others come or go is looked at, as if it had just been seen for the first time.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::{Resource, ResourceExt};
use tokio::time::Instant;
use tracing::debug;

use super::Ring;
use crate::context::Context;
use crate::engine::{Cache, Cached, Dice, Key};
use crate::settings::ControllerName;

/// What has ended has nothing to wait for: it is looked at spread over this time.
const NO_HURRY: Duration = Duration::from_secs(5);

/// The controllers whose keys are those of orders and what belongs to them.
const OF_ORDERS: [ControllerName; 5] = [
    ControllerName::Order,
    ControllerName::Payment,
    ControllerName::Ticket,
    ControllerName::Delivery,
    ControllerName::Message,
];

impl Context {
    /// By which uid an order's key is shared: the order's, or, when that is gone, that of whose children are left.
    fn uid_of_order(&self, key: &Key) -> Option<String> {
        match self.orders.get(key) {
            Some(Cached::Object(order)) => order.uid(),
            Some(Cached::Malformed(malformed)) => malformed.metadata.uid.clone(),
            None => {
                let of_payment = || self.payments.object(key).map(|p| p.spec.order_ref.uid.clone());
                let of_ticket = || self.tickets.object(key).map(|t| t.spec.order_ref.uid.clone());
                let of_delivery = || self.deliveries.object(key).map(|d| d.spec.order_ref.uid.clone());
                of_payment().or_else(of_ticket).or_else(of_delivery)
            }
        }
    }

    /// Whether this replica has the order of a key, for a controller. What is gone altogether is everybody's: each has
    /// something to forget.
    pub(crate) fn has_order(&self, controller: ControllerName, key: &Key) -> bool {
        self.has_uid(controller, key, || self.uid_of_order(key))
    }

    /// The same for an object with a controller of its own.
    pub(crate) fn has<K: Resource + ResourceExt>(
        &self,
        controller: ControllerName,
        cache: &Cache<K>,
        key: &Key,
    ) -> bool {
        self.has_uid(controller, key, || cache.object(key)?.uid())
    }

    fn has_uid(&self, controller: ControllerName, key: &Key, uid: impl FnOnce() -> Option<String>) -> bool {
        let is_mine = |uid: String| self.shards.is_mine(controller.word(), &key.namespace, &uid);
        self.shards.is_alone() || uid().is_none_or(is_mine)
    }
}

/// Has everything looked at that was another's before and is this replica's now.
pub(crate) fn take_over(context: &Context, dice: &Dice, before: &Ring, after: &Ring) {
    let me = &*context.replica;
    let falls_to_me = |controller: ControllerName, key: &Key, uid: &str| {
        let (word, namespace) = (controller.word(), &*key.namespace);
        after.owner(word, namespace, uid) == Some(me) && before.owner(word, namespace, uid) != Some(me)
    };
    let mut taken = 0_usize;
    for key in keys_of_orders(context) {
        let Some(uid) = context.uid_of_order(&key) else { continue };
        let ended = context.orders.object(&key).is_some_and(|order| order.state().phase.is_terminal());
        let pause = if ended { NO_HURRY.mul_f64(dice.share()) } else { Duration::ZERO };
        for controller in OF_ORDERS.into_iter().filter(|name| falls_to_me(*name, &key, &uid)) {
            context.queues.push_at(controller, key.clone(), Instant::now() + pause);
            taken += 1;
        }
    }
    let own_kinds = [
        (ControllerName::Coupon, uids(&context.coupons)),
        (ControllerName::Store, uids(&context.stores)),
        (ControllerName::Rider, uids(&context.riders)),
    ];
    for (controller, objects) in own_kinds {
        for (key, _) in objects.into_iter().filter(|(key, uid)| falls_to_me(controller, key, uid)) {
            context.queues.push_at(controller, key, Instant::now());
            taken += 1;
        }
    }
    debug!(taken, "taken over");
}

fn keys_of_orders(context: &Context) -> BTreeSet<Key> {
    let mut keys: BTreeSet<Key> = context.orders.keys_where(|_| true).into_iter().collect();
    keys.extend(context.payments.keys_where(|_| true));
    keys.extend(context.tickets.keys_where(|_| true));
    keys.extend(context.deliveries.keys_where(|_| true));
    keys
}

fn uids<K: ResourceExt>(cache: &Cache<K>) -> Vec<(Key, String)> {
    let objects = cache.objects_where(|_| true);
    objects.into_iter().filter_map(|(key, object)| Some((key, object.uid()?))).collect()
}
