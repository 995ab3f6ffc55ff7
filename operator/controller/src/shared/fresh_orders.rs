//! Orders whose status this replica has just written. Such a write is a compare-and-set on all that was decided on, so what is
//! made for the order right after needs no live read of it. Kept in memory alone: what is lost is read.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fooddelivery_api::Order;
use fooddelivery_runtime::Key;
use fooddelivery_runtime::key::uid_of;
use kube::ResourceExt;
use tokio::time::Instant;

use super::in_hand::{InHand, Taken};
use crate::context::{COPY_AGE_MAX, Context};
use crate::names::ControllerName;

struct Written {
    resource_version: Option<String>,
    asked: Instant,
}

/// The orders that were written a moment ago, by uid.
#[derive(Default)]
pub(crate) struct FreshOrders {
    written: Mutex<HashMap<String, Written>>,
    writing: InHand,
}

impl FreshOrders {
    /// The status of `order` is about to be written, and `maker` makes what its actor acts on: on the strength of that write, as
    /// soon as the guard goes, and not before.
    pub(crate) fn writing<'a>(
        &'a self,
        context: &'a Context,
        maker: ControllerName,
        key: &Key,
        order: &Order,
    ) -> Taken<'a> {
        self.writing.take(context, maker, key, &uid_of(order))
    }

    /// Whether a status of `order` is being written by this replica, which does not know yet what came of it.
    pub(crate) fn is_being_written(&self, order: &Order) -> bool {
        self.writing.has(&uid_of(order))
    }

    /// The status of `order` was written, as this version, by a request that was sent at `asked`.
    pub(crate) fn put(&self, order: &Order, resource_version: Option<String>, asked: Instant) {
        let mut all = self.lock();
        all.retain(|_, other| other.asked.elapsed() <= COPY_AGE_MAX);
        all.insert(uid_of(order), Written { resource_version, asked });
    }

    /// Whether `order` is a copy that this replica wrote at most [`COPY_AGE_MAX`] ago. One that somebody has changed meanwhile
    /// is another one as soon as the watch has brought it.
    pub(crate) fn has(&self, order: &Order) -> bool {
        self.lock().get(&uid_of(order)).is_some_and(|written| {
            written.asked.elapsed() <= COPY_AGE_MAX && written.resource_version == order.resource_version()
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
