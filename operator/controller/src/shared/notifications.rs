//! Notifications of an order: who is notified of which of its steps. Reads only.

use std::sync::Arc;

use fooddelivery_api::common::Time;
use fooddelivery_api::customer::CustomerMessage;
use fooddelivery_api::{MessageProvider, MessageTransport, Order, convert};
use fooddelivery_runtime::Key;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::notification::{self, Step};
use kube::ResourceExt;

use super::notification_progress::{NotificationProgress, PROVIDERS_PER_ORDER_MAX};
use crate::context::Context;

/// The message providers that are notified of orders, sorted by name; no more than an order keeps track of.
pub(crate) fn providers(context: &Context) -> Vec<Arc<MessageProvider>> {
    let is_known = |provider: &MessageProvider| provider.spec.transport != MessageTransport::Unknown;
    // They are in no namespace.
    let found = context.caches.message_providers.objects_in("", is_known);
    found.into_iter().map(|(_, provider)| provider).take(PROVIDERS_PER_ORDER_MAX).collect()
}

/// The telephone number of the customer of an order.
pub(crate) fn contact(context: &Context, key: &Key, order: &Order) -> Option<String> {
    let customer =
        context.caches.customers.object(&Key::new(&key.namespace, &order.spec.customer_ref.name))?;
    customer.spec.contact.clone()
}

/// A step as it stands in the customer's log.
pub(crate) fn logged(key: &Key, order: &Order, step: &Step) -> CustomerMessage {
    CustomerMessage {
        id: notification::id(&uid_of(order), step.number),
        order: key.name.to_string(),
        phase: step.phase.clone(),
        at: Time(step.at),
    }
}

/// All steps of an order.
pub(crate) fn steps(order: &Order) -> Vec<Step> {
    notification::steps(&order.state(), convert::created_at(&order.metadata))
}

/// The next of an order's steps that a provider is to be notified of.
pub(crate) fn next<'a>(
    progress: &NotificationProgress,
    key: &Key,
    order: &Order,
    steps: &'a [Step],
    provider: &MessageProvider,
) -> Option<&'a Step> {
    let done = progress.steps(key, order, &provider.name_any());
    notification::next(steps, done, convert::created_at(&provider.metadata))
}

/// Whether somebody is still to be notified of an order, and can be.
pub(crate) fn is_pending(
    context: &Context,
    progress: &NotificationProgress,
    key: &Key,
    order: &Order,
) -> bool {
    let steps = steps(order);
    providers(context).iter().any(|provider| {
        let reachable = !provider.spec.transport.needs_contact() || contact(context, key, order).is_some();
        reachable && next(progress, key, order, &steps, provider).is_some()
    })
}
