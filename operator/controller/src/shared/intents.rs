//! Intents to charge that this replica has just recorded by creating payments, and under which nothing has been sent yet.
//! Handed from the controller of orders to that of payments, in memory alone: what is lost is asked of the provider.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use fooddelivery_api::Payment;
use fooddelivery_runtime::key::uid_of;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::context::COPY_AGE_MAX;

/// A payment as it was created.
struct Created {
    resource_version: Option<String>,
    asked: Instant,
}

/// The payments that were created a moment ago, by uid.
#[derive(Default)]
pub(crate) struct FreshIntents(Mutex<HashMap<String, Created>>);

impl FreshIntents {
    /// This payment was created, with an intent, by a request that was sent at `asked`.
    pub(crate) fn put(&self, payment: &Payment, asked: Instant) {
        let created = Created { resource_version: payment.resource_version(), asked };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, other| other.asked.elapsed() <= COPY_AGE_MAX);
        all.insert(uid_of(payment), created);
    }

    /// When the creation of `payment` was asked for, if it is still as it was created; once.
    pub(crate) fn take(&self, payment: &Payment) -> Option<Instant> {
        let created = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid_of(payment))?;
        let is_unchanged = created.resource_version == payment.resource_version();
        (is_unchanged && created.asked.elapsed() <= COPY_AGE_MAX).then_some(created.asked)
    }
}
