//! What this process has told whom, ahead of what stands in the orders' status: the next write of a status takes it along,
//! so that telling costs none of its own while an order is on its way.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fooddelivery_api::Order;
use fooddelivery_api::common::Condition;
use fooddelivery_api::customer::CustomerMessage;
use fooddelivery_api::order::{MessageProgress, OrderStatus};
use fooddelivery_saga::notification::NotificationStatus;
use fooddelivery_saga::time::Timestamp;

use crate::engine::Key;
use crate::events::uid_of;

/// The condition that says how telling stands.
const CONDITION: &str = "Notified";
/// So many providers are kept track of per order, as the schema has it.
pub(super) const PROVIDERS: usize = 8;

/// Whether a status says that messages wait, or cannot be told.
pub(super) fn says_amiss(status: &OrderStatus) -> bool {
    status.conditions.iter().any(|c| c.type_ == CONDITION && c.status == "False")
}

#[derive(Default)]
struct Notice {
    uid: String,
    steps: BTreeMap<String, i64>,
    telling: Option<NotificationStatus>,
    /// Of the last that was refused for good.
    refused: Option<String>,
}

/// By order.
#[derive(Default)]
pub struct Notices {
    notices: Mutex<HashMap<Key, Notice>>,
    /// By customer: what is not in their log yet. Its order may be gone before it is.
    unlogged: Mutex<HashMap<Key, Vec<CustomerMessage>>>,
}

impl Notices {
    fn unlogged(&self) -> MutexGuard<'_, HashMap<Key, Vec<CustomerMessage>>> {
        self.unlogged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A customer was told something that is to stand in their log.
    pub(super) fn to_be_logged(&self, customer: &Key, message: CustomerMessage) {
        self.unlogged().entry(customer.clone()).or_default().push(message);
    }

    /// What is to stand in a customer's log and may not yet.
    pub(super) fn not_logged(&self, customer: &Key) -> Vec<CustomerMessage> {
        self.unlogged().get(customer).cloned().unwrap_or_default()
    }

    /// So many of these stand in the log now, or there is none.
    pub(super) fn logged(&self, customer: &Key, count: usize) {
        let mut unlogged = self.unlogged();
        if let Some(messages) = unlogged.get_mut(customer) {
            messages.drain(..count.min(messages.len()));
            if messages.is_empty() {
                unlogged.remove(customer);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Notice>> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, key: &Key, order: &Order, change: impl FnOnce(&mut Notice) -> T) -> T {
        let uid = uid_of(order);
        let mut notices = self.lock();
        let notice = notices.entry(key.clone()).or_default();
        if notice.uid != uid {
            *notice = Notice { uid, ..Notice::default() };
        }
        change(notice)
    }

    /// Of how many steps a provider was told.
    pub fn steps(&self, key: &Key, order: &Order, provider: &str) -> i64 {
        let written = order.status.iter().flat_map(|status| &status.messages);
        let written = written.filter(|m| m.provider == provider).map(|m| m.steps).max().unwrap_or(0);
        let known = self.lock();
        let notice = known.get(key).filter(|notice| notice.uid == uid_of(order));
        notice.and_then(|notice| notice.steps.get(provider).copied()).unwrap_or(0).max(written)
    }

    /// A provider was told of so many steps.
    pub(super) fn tell(&self, key: &Key, order: &Order, provider: &str, steps: i64) {
        self.with(key, order, |notice| notice.steps.insert(provider.to_owned(), steps));
    }

    /// A message was refused for good.
    pub(super) fn refuse(&self, key: &Key, order: &Order, why: &str) {
        self.with(key, order, |notice| notice.refused = Some(why.to_owned()));
    }

    /// How telling stands.
    pub(super) fn stands(&self, key: &Key, order: &Order, telling: NotificationStatus) {
        self.with(key, order, |notice| {
            let refused = notice.refused.clone().map(NotificationStatus::Refused);
            notice.telling = Some(refused.into_iter().fold(telling, NotificationStatus::or_worse));
        });
    }

    /// There is no such order any more.
    pub fn gone(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// Puts what is known into a status that is to be written. How telling stands is said once it is over, or amiss.
    pub fn put_into(&self, key: &Key, order: &Order, status: &mut OrderStatus, now: Timestamp) {
        let known = self.lock();
        let Some(notice) = known.get(key).filter(|notice| notice.uid == uid_of(order)) else { return };
        for (provider, steps) in &notice.steps {
            let place = status.messages.iter().position(|m| m.provider == *provider);
            if let Some(progress) = place.and_then(|place| status.messages.get_mut(place)) {
                progress.steps = progress.steps.max(*steps);
            } else if status.messages.len() < PROVIDERS {
                status.messages.push(MessageProgress { provider: provider.clone(), steps: *steps });
            }
        }
        let said = status.conditions.iter().any(|c| c.type_ == CONDITION);
        let Some(telling) = &notice.telling else { return };
        // The step that is written just now is still to be told.
        let steps =
            i64::try_from(status.history.len()).unwrap_or(i64::MAX).saturating_add(status.history_dropped);
        let is_behind = notice.steps.values().any(|told| *told < steps);
        if *telling == NotificationStatus::Done && (is_behind || (!said && !status.phase.is_terminal())) {
            return;
        }
        let (holds, reason, message) = telling.condition();
        let condition = Condition::said(&status.conditions, CONDITION, holds, reason.as_str(), message, now);
        status.conditions.retain(|c| c.type_ != CONDITION);
        status.conditions.push(condition);
    }
}
