//! Intents to charge that this replica has just recorded by creating payments, and under which nothing has been sent yet.
//! Handed from the controller of orders to that of payments, in memory alone: what is lost is asked of the provider.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fooddelivery_api::Payment;
use fooddelivery_runtime::Key;
use fooddelivery_runtime::key::uid_of;
use kube::ResourceExt;
use tokio::time::Instant;

use super::in_hand::{InHand, Taken};
use crate::context::{COPY_AGE_MAX, Context};
use crate::names::ControllerName;

/// A payment as it was created.
struct Created {
    resource_version: Option<String>,
    asked: Instant,
}

/// The payments that were created a moment ago, by uid; and the orders for which one is being created.
#[derive(Default)]
pub(crate) struct FreshIntents {
    created: Mutex<HashMap<String, Created>>,
    making: InHand,
}

impl FreshIntents {
    /// A payment of this order is about to be created: until the guard goes, it is not for the payment's controller.
    pub(crate) fn making<'a>(&'a self, context: &'a Context, key: &Key, order_uid: &str) -> Taken<'a> {
        self.making.take(context, ControllerName::Payment, key, order_uid)
    }

    /// Whether the payment is being created by this replica, which does not know yet what came of it.
    pub(crate) fn is_being_made(&self, payment: &Payment) -> bool {
        self.making.has(&payment.spec.order_ref.uid)
    }

    /// This payment was created, with an intent, by a request that was sent at `asked`.
    pub(crate) fn put(&self, payment: &Payment, asked: Instant) {
        let created = Created { resource_version: payment.resource_version(), asked };
        let mut all = locked(&self.created);
        all.retain(|_, other| other.asked.elapsed() <= COPY_AGE_MAX);
        all.insert(uid_of(payment), created);
    }

    /// When the creation of `payment` was asked for, if it is still as it was created; once.
    pub(crate) fn take(&self, payment: &Payment) -> Option<Instant> {
        let created = locked(&self.created).remove(&uid_of(payment))?;
        let is_unchanged = created.resource_version == payment.resource_version();
        (is_unchanged && created.asked.elapsed() <= COPY_AGE_MAX).then_some(created.asked)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
