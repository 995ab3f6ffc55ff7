//! From the caches, and from what this replica remembers, to what a decision about a customer's log depends on. Reads only,
//! but that what nobody has a log for is forgotten.

use std::sync::Arc;

use fooddelivery_api::{Customer, Order, convert};
use fooddelivery_runtime::Key;
use fooddelivery_saga::message_log::{Message, MessageLogView};
use fooddelivery_saga::notification::told;
use kube::ResourceExt;

use super::Customers;
use crate::shared::notifications::{logged, providers, steps};

/// What was gathered: the view, and the copy that a decision on it is applied to.
pub(super) struct Gathered {
    pub(super) view: MessageLogView,
    pub(super) customer: Arc<Customer>,
    /// Number of messages in the view that this replica sent and has not logged yet.
    pub(super) unlogged: usize,
}

impl Customers {
    /// What a customer's log depends on; `None` when there is no such customer.
    pub(super) fn gather(&self, key: &Key) -> Option<Gathered> {
        let mut sent = self.notifications.unlogged_of(key);
        let unlogged = sent.len();
        let Some(customer) = self.context.caches.customers.object(key) else {
            self.notifications.mark_logged(key, unlogged);
            return None;
        };
        sent.extend(self.sent(key));
        let logged = customer.status.iter().flat_map(|status| &status.messages).map(Message::from).collect();
        Some(Gathered { view: MessageLogView { logged, sent }, customer, unlogged })
    }

    /// What was sent of the customer's orders that are there.
    fn sent(&self, key: &Key) -> Vec<Message> {
        let context = &self.context;
        let is_theirs = |order: &Order| order.spec.customer_ref.name == *key.name;
        let mut sent = Vec::new();
        for (key, order) in context.caches.orders.objects_in(&key.namespace, is_theirs) {
            self.sent_of(&key, &order, &mut sent);
        }
        sent
    }

    fn sent_of(&self, key: &Key, order: &Order, sent: &mut Vec<Message>) {
        let steps = steps(order);
        for provider in providers(&self.context) {
            let reached = self.notifications.steps(key, order, &provider.name_any());
            let told = told(&steps, reached, convert::created_at(&provider.metadata));
            sent.extend(told.map(|step| logged(key, order, step)));
        }
    }
}
