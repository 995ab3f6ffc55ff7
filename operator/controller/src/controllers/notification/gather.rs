//! From the caches, and from what this replica remembers, to what a decision about notifying everybody of an order depends
//! on. Reads only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::order::OrderStatus;
use fooddelivery_api::{MessageProvider, Order};
use fooddelivery_providers::notification::Permit;
use fooddelivery_runtime::Key;
use fooddelivery_saga::notification::{NotificationView, Response};
use fooddelivery_saga::order_notification::OrderNotificationView;
use fooddelivery_saga::time::Millis;
use kube::ResourceExt;

use crate::context::Context;
use crate::shared::message_clients::MessageClient;
use crate::shared::notification_progress::NotificationProgress;
use crate::shared::notifications::{providers, view};

/// What was gathered: the view, and the copies that a decision on it is applied to.
pub(super) struct Gathered {
    pub(super) view: OrderNotificationView,
    pub(super) order: Arc<Order>,
    pub(super) providers: Vec<Arc<MessageProvider>>,
}

/// What this reconcile has learnt of a provider, for the step that it is to be notified of.
#[derive(Default)]
pub(super) struct Attempt {
    /// Its client, or why there is none.
    pub(super) client: Option<Result<MessageClient, String>>,
    /// What its breaker said; the permit itself until the message is sent.
    pub(super) permit: Option<Result<Option<Permit>, Duration>>,
    /// What came of sending.
    pub(super) response: Option<Response>,
}

/// What was learnt of each provider, by its name.
pub(super) type Attempts = BTreeMap<String, Attempt>;

/// What the decision sees of `order`.
pub(super) fn gather(
    context: &Context,
    progress: &NotificationProgress,
    key: &Key,
    order: Arc<Order>,
    attempts: &Attempts,
) -> Gathered {
    let providers = providers(context);
    let seen = |provider: &Arc<MessageProvider>| {
        learnt(view(context, progress, key, &order, provider), attempts.get(&provider.name_any()))
    };
    let view = OrderNotificationView {
        providers: providers.iter().map(seen).collect(),
        refused: progress.refused(key, &order),
        ended: order.phase().is_terminal(),
        deleting: order.metadata.deletion_timestamp.is_some(),
        says_pending: order.status.as_ref().is_some_and(OrderStatus::is_notification_pending),
    };
    Gathered { view, order, providers }
}

/// The view of a provider with what was learnt of it.
fn learnt(view: NotificationView, attempt: Option<&Attempt>) -> NotificationView {
    let Some(attempt) = attempt else { return view };
    let needs_contact = match &attempt.client {
        Some(Ok(client)) => client.port.needs_contact(),
        Some(Err(_)) | None => view.needs_contact,
    };
    NotificationView {
        needs_contact,
        session: attempt.client.as_ref().map(|client| client.as_ref().map(drop).map_err(Clone::clone)),
        permit: attempt.permit.as_ref().map(|said| said.as_ref().map(drop).map_err(|left| millis(*left))),
        response: attempt.response.clone(),
        ..view
    }
}

/// In milliseconds, rounded up: nobody comes back too early.
pub(super) fn millis(span: Duration) -> Millis {
    Millis(i64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX))
}
