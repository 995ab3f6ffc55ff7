//! By which uid the keys of a controller are shared between the replicas.

use std::collections::BTreeSet;

use fooddelivery_runtime::sharding::Sharding;
use fooddelivery_runtime::{Cached, Key};
use kube::ResourceExt;

use crate::context::{Context, Kind};
use crate::names::ControllerName;

/// Whose shard a key is.
#[derive(Clone, Copy)]
pub(crate) enum Shard {
    /// That of an order: the keys are those of orders and what belongs to them.
    OfOrder,
    /// That of an object of the controller's own kind.
    Own {
        /// The object's uid, where it is known.
        uid: fn(&Context, &Key) -> Option<String>,
        /// All objects of the kind.
        all: fn(&Context) -> Vec<Key>,
    },
    /// Nobody's: every replica looks at all of them.
    Every,
}

impl Shard {
    /// That of the object of kind `K` that a key names.
    pub(crate) fn own<K: Kind>() -> Self {
        Self::Own {
            uid: |context, key| K::cache(&context.caches).object(key)?.uid(),
            all: |context| K::cache(&context.caches).walk_keys(),
        }
    }

    /// Whether a key of `controller` is this replica's. What is gone altogether is everybody's: each has something to
    /// forget.
    pub(crate) fn is_mine(
        self,
        context: &Context,
        sharding: &Sharding,
        controller: ControllerName,
        key: &Key,
    ) -> bool {
        if matches!(self, Self::Every) || sharding.is_alone() {
            return true;
        }
        let is_mine = |uid: String| sharding.is_mine(controller.as_str(), &key.namespace, &uid);
        self.uid(context, key).is_none_or(is_mine)
    }

    /// The uid by which a key is shared.
    pub(super) fn uid(self, context: &Context, key: &Key) -> Option<String> {
        match self {
            Self::OfOrder => uid_of_order(context, key),
            Self::Own { uid, .. } => uid(context, key),
            Self::Every => None,
        }
    }

    /// All keys that are known, sorted.
    pub(super) fn keys(self, context: &Context) -> Vec<Key> {
        match self {
            Self::OfOrder => keys_of_orders(context),
            Self::Own { all, .. } => all(context),
            Self::Every => Vec::new(),
        }
    }
}

/// By which uid an order's key is shared: the order's, or, when that is gone, that of whose children are left.
fn uid_of_order(context: &Context, key: &Key) -> Option<String> {
    let caches = &context.caches;
    match caches.orders.get(key) {
        Some(Cached::Object(order)) => order.uid(),
        Some(Cached::Malformed(malformed)) => malformed.metadata.uid.clone(),
        None => {
            let of_payment = || caches.payments.object(key).map(|p| p.spec.order_ref.uid.clone());
            let of_ticket = || caches.tickets.object(key).map(|t| t.spec.order_ref.uid.clone());
            let of_delivery = || caches.deliveries.object(key).map(|d| d.spec.order_ref.uid.clone());
            of_payment().or_else(of_ticket).or_else(of_delivery)
        }
    }
}

fn keys_of_orders(context: &Context) -> Vec<Key> {
    let caches = &context.caches;
    let mut keys: BTreeSet<Key> = caches.orders.walk_keys().into_iter().collect();
    keys.extend(caches.payments.walk_keys());
    keys.extend(caches.tickets.walk_keys());
    keys.extend(caches.deliveries.walk_keys());
    keys.into_iter().collect()
}
