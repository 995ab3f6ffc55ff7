//! From the caches, and from what this replica remembers, to what a decision about a customer's log depends on. Reads only,
//! but that what nobody has a log for is forgotten.

use std::sync::Arc;

use fooddelivery_api::{Customer, Order, convert};
use fooddelivery_runtime::Key;
use fooddelivery_saga::message_log::{Message, MessageLogView};
use fooddelivery_saga::notification::told;
use kube::ResourceExt;

use crate::context::Context;
use crate::shared::notification_progress::NotificationProgress;
use crate::shared::notifications::{logged, providers, steps};

/// What a decision is applied to.
pub(super) struct Copies {
    pub(super) customer: Arc<Customer>,
    /// Number of messages in the view beside them that this replica sent and has not logged yet.
    pub(super) unlogged: usize,
}

/// What a customer's log depends on; `None` when there is no such customer.
pub(super) fn gather(
    context: &Context,
    notifications: &NotificationProgress,
    key: &Key,
) -> Option<(MessageLogView, Copies)> {
    let mut sent = notifications.unlogged_of(key);
    let unlogged = sent.len();
    let Some(customer) = context.caches.customers.object(key) else {
        notifications.mark_logged(key, unlogged);
        return None;
    };
    // What was sent of their orders that are there.
    for (key, order) in context.caches.orders.objects(&context.indexes.orders.of_customer(key)) {
        sent_of(context, notifications, &key, &order, &mut sent);
    }
    let logged = customer.status.iter().flat_map(|status| &status.messages).map(Message::from).collect();
    Some((MessageLogView { logged, sent }, Copies { customer, unlogged }))
}

fn sent_of(
    context: &Context,
    notifications: &NotificationProgress,
    key: &Key,
    order: &Order,
    sent: &mut Vec<Message>,
) {
    let steps = steps(order);
    for provider in providers(context) {
        let reached = notifications.steps(key, order, &provider.name_any());
        let told = told(&steps, reached, convert::created_at(&provider.metadata));
        sent.extend(told.map(|step| logged(key, order, step)));
    }
}
