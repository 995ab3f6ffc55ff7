//! Notifications of an order: who is notified of which of its steps. Reads only.

use std::sync::Arc;

use fooddelivery_api::{MessageProvider, MessageTransport, Order, convert};
use fooddelivery_runtime::Key;
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::guard::Guarded;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::message_log::Message;
use fooddelivery_saga::notification::{self, NotificationView, Step};
use fooddelivery_saga::order_notification::PROVIDERS_MAX;
use kube::ResourceExt;

use super::notification_progress::NotificationProgress;
use crate::context::Context;

/// The message providers that are notified of orders, sorted by name; no more than an order keeps track of.
pub(crate) fn providers(context: &Context) -> Vec<Arc<MessageProvider>> {
    let is_known = |_: &Key, provider: &MessageProvider| provider.spec.transport != MessageTransport::Unknown;
    // They are few, and in no namespace.
    let found = context.caches.message_providers.walk(is_known);
    found.into_iter().map(|(_, provider)| provider).take(PROVIDERS_MAX).collect()
}

/// The telephone number of the customer of an order.
pub(crate) fn contact(context: &Context, key: &Key, order: &Order) -> Option<String> {
    let customer =
        context.caches.customers.object(&Key::new(&key.namespace, &order.spec.customer_ref.name))?;
    customer.spec.contact.clone()
}

/// A step as it stands in the customer's log.
pub(crate) fn logged(key: &Key, order: &Order, step: &Step) -> Message {
    Message {
        id: notification::id(&uid_of(order), step.number),
        order: key.name.to_string(),
        phase: step.phase.clone(),
        at: step.at,
    }
}

/// All steps of an order.
pub(crate) fn steps(order: &Order) -> Vec<Step> {
    notification::steps(&order.state(), convert::created_at(&order.metadata))
}

/// What a decision about notifying a provider of an order depends on, as long as nothing was asked of the provider.
pub(crate) fn view(
    context: &Context,
    progress: &NotificationProgress,
    key: &Key,
    order: &Order,
    provider: &MessageProvider,
) -> NotificationView {
    let name = provider.name_any();
    NotificationView {
        notified: progress.steps(key, order, &name),
        provider: name,
        steps: steps(order),
        since: convert::created_at(&provider.metadata),
        needs_contact: provider.spec.transport.needs_contact(),
        has_contact: contact(context, key, order).is_some(),
        session: None,
        permit: None,
        response: None,
    }
}

/// Reads live who is to be notified of an order, and where, and puts what was found into the caches. A replica that has just
/// started may have been shown lists from before a provider or a customer was there.
///
/// # Errors
/// As [`ApiServer::read`](fooddelivery_runtime::api::ApiServer::read).
pub(crate) async fn read_who_is_notified(
    context: &Context,
    key: &Key,
    order: &Order,
) -> Result<(), ApiError> {
    for Guarded(provider) in context.api.list_cluster::<MessageProvider>().await? {
        // What this version cannot read is sent nothing.
        if let Ok(provider) = provider {
            context.caches.message_providers.remember(provider);
        }
    }
    if providers(context).iter().any(|provider| provider.spec.transport.needs_contact()) {
        let customer = Key::new(&key.namespace, &order.spec.customer_ref.name);
        context.refresh(&context.caches.customers, &customer).await?;
    }
    Ok(())
}

/// Whether somebody is still to be notified of an order, and can be.
pub(crate) fn is_pending(
    context: &Context,
    progress: &NotificationProgress,
    key: &Key,
    order: &Order,
) -> bool {
    providers(context).iter().any(|provider| view(context, progress, key, order, provider).is_owed())
}
