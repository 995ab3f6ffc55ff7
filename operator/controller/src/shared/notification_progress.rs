//! Progress of notifications, ahead of what stands in the orders' status: the next write of a status takes it along, so that
//! notifying costs none of its own while an order is on its way.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fooddelivery_api::Order;
use fooddelivery_api::common::Condition;
use fooddelivery_api::convert::NOTIFIED_CONDITION;
use fooddelivery_api::order::{MessageProgress, OrderStatus};
use fooddelivery_runtime::Key;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::message_log::Message;
use fooddelivery_saga::notification::NotificationStatus;
use fooddelivery_saga::order_notification::{PROVIDERS_MAX, is_said};
use fooddelivery_saga::time::Timestamp;

#[derive(Default)]
struct OrderProgress {
    uid: String,
    steps: BTreeMap<String, i64>,
    status: Option<NotificationStatus>,
    /// Of the last that was refused for good.
    refused: Option<String>,
}

/// Progress by order.
#[derive(Default)]
pub(crate) struct NotificationProgress {
    orders: Mutex<HashMap<Key, OrderProgress>>,
    /// By customer: what is not in their log yet. Its order may be gone before it is.
    unlogged: Mutex<HashMap<Key, Vec<Message>>>,
}

impl NotificationProgress {
    fn unlogged(&self) -> MutexGuard<'_, HashMap<Key, Vec<Message>>> {
        self.unlogged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message that is to stand in a customer's log.
    pub(crate) fn add_unlogged(&self, customer: &Key, message: Message) {
        self.unlogged().entry(customer.clone()).or_default().push(message);
    }

    /// Messages that are to stand in a customer's log and may not yet.
    pub(crate) fn unlogged_of(&self, customer: &Key) -> Vec<Message> {
        self.unlogged().get(customer).cloned().unwrap_or_default()
    }

    /// The first `count` of these stand in the log now, or there is no log.
    pub(crate) fn mark_logged(&self, customer: &Key, count: usize) {
        let mut unlogged = self.unlogged();
        if let Some(messages) = unlogged.get_mut(customer) {
            messages.drain(..count.min(messages.len()));
            if messages.is_empty() {
                unlogged.remove(customer);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, OrderProgress>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, key: &Key, order: &Order, change: impl FnOnce(&mut OrderProgress) -> T) -> T {
        let uid = uid_of(order);
        let mut orders = self.lock();
        let progress = orders.entry(key.clone()).or_default();
        if progress.uid != uid {
            *progress = OrderProgress { uid, ..OrderProgress::default() };
        }
        change(progress)
    }

    /// Number of steps that a provider was notified of.
    pub(crate) fn steps(&self, key: &Key, order: &Order, provider: &str) -> i64 {
        let written = order.status.iter().flat_map(|status| &status.messages);
        let written = written.filter(|m| m.provider == provider).map(|m| m.steps).max().unwrap_or(0);
        let known = self.lock();
        let progress = known.get(key).filter(|progress| progress.uid == uid_of(order));
        progress.and_then(|progress| progress.steps.get(provider).copied()).unwrap_or(0).max(written)
    }

    /// A provider was notified of the first `steps` steps.
    pub(crate) fn notified(&self, key: &Key, order: &Order, provider: &str, steps: i64) {
        self.with(key, order, |progress| progress.steps.insert(provider.to_owned(), steps));
    }

    /// A message was refused for good.
    pub(crate) fn refuse(&self, key: &Key, order: &Order, why: &str) {
        self.with(key, order, |progress| progress.refused = Some(why.to_owned()));
    }

    /// Why the last message about an order that was refused for good was refused, if one was.
    pub(crate) fn refused(&self, key: &Key, order: &Order) -> Option<String> {
        let known = self.lock();
        known.get(key).filter(|progress| progress.uid == uid_of(order))?.refused.clone()
    }

    /// Sets the state of an order's notifications.
    pub(crate) fn set_status(&self, key: &Key, order: &Order, status: NotificationStatus) {
        self.with(key, order, |progress| progress.status = Some(status));
    }

    /// The order is another replica's, which says how it stands with its notifications. What was told stays told.
    pub(crate) fn released(&self, key: &Key) {
        if let Some(progress) = self.lock().get_mut(key) {
            (progress.status, progress.refused) = (None, None);
        }
    }

    /// There is no such order any more.
    pub(crate) fn gone(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// Puts what is known into a status that is to be written.
    pub(crate) fn put_into(&self, key: &Key, order: &Order, status: &mut OrderStatus, now: Timestamp) {
        let known = self.lock();
        let Some(progress) = known.get(key).filter(|progress| progress.uid == uid_of(order)) else { return };
        for (provider, steps) in &progress.steps {
            let place = status.messages.iter().position(|m| m.provider == *provider);
            if let Some(written) = place.and_then(|place| status.messages.get_mut(place)) {
                written.steps = written.steps.max(*steps);
            } else if status.messages.len() < PROVIDERS_MAX {
                status.messages.push(MessageProgress { provider: provider.clone(), steps: *steps });
            }
        }
        let is_set = status.conditions.iter().any(|c| c.type_ == NOTIFIED_CONDITION);
        let Some(notified) = &progress.status else { return };
        // The step that is written just now is still to be notified.
        let steps =
            i64::try_from(status.history.len()).unwrap_or(i64::MAX).saturating_add(status.history_dropped);
        let is_behind = progress.steps.values().any(|done| *done < steps);
        if !is_said(notified, is_behind, is_set, status.phase.is_terminal()) {
            return;
        }
        let (holds, reason, message) = notified.condition();
        let condition =
            Condition::said(&status.conditions, NOTIFIED_CONDITION, holds, reason.as_str(), message, now);
        status.conditions.retain(|c| c.type_ != NOTIFIED_CONDITION);
        status.conditions.push(condition);
    }
}
