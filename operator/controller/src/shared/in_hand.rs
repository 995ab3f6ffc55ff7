//! What one controller has in hand and another one is not to look at yet: a watch may show an object before the answer to the
//! request that wrote it is here.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fooddelivery_runtime::Key;
use tokio::time::Instant;

use crate::context::Context;
use crate::names::ControllerName;

/// The orders, by uid, for which a request is under way whose answer another controller needs.
#[derive(Default)]
pub(crate) struct InHand {
    orders: Mutex<HashSet<String>>,
}

impl InHand {
    /// Until the guard goes, the order is not for `next`; then `next` looks at `key`.
    pub(crate) fn take<'a>(
        &'a self,
        context: &'a Context,
        next: ControllerName,
        key: &Key,
        order_uid: &str,
    ) -> Taken<'a> {
        self.lock().insert(order_uid.to_owned());
        Taken { all: self, context, next, key: key.clone(), order_uid: order_uid.to_owned() }
    }

    /// Whether a request for this order is under way.
    pub(crate) fn has(&self, order_uid: &str) -> bool {
        self.lock().contains(order_uid)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An order that is in hand. However that ends, also when it is given up midway, the next controller looks at it.
pub(crate) struct Taken<'a> {
    all: &'a InHand,
    context: &'a Context,
    next: ControllerName,
    key: Key,
    order_uid: String,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.all.lock().remove(&self.order_uid);
        self.context.queues.push_at(self.next, self.key.clone(), Instant::now());
    }
}
