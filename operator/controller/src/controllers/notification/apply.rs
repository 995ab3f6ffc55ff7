//! Sends notifications.

use std::time::Duration;

use fooddelivery_api::{MessageProvider, Order};
use fooddelivery_providers::notification::{Message, SendOutcome};
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Key, ReconcileError};
use fooddelivery_saga::notification::{self, NotificationStatus, Step};
use fooddelivery_saga::provider::CallFailure;
use kube::ResourceExt;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::context::Context;
use crate::names::ControllerName;
use crate::shared::notifications::{contact, logged, next};
use crate::shared::state::Shared;

/// How far notifying one provider came.
pub(super) enum Sent {
    /// To the end.
    All(NotificationStatus),
    /// The rest is sent later: after this time, or with back-off; and why.
    Later(Option<Duration>, String),
}

/// Sends notifications.
pub(super) struct Notifier<'a> {
    pub(super) context: &'a Context,
    pub(super) shared: &'a Shared,
}

impl Notifier<'_> {
    /// Sends a provider what it was not sent yet, one step after the other.
    pub(super) async fn notify(
        &self,
        key: &Key,
        order: &Order,
        steps: &[Step],
        provider: &MessageProvider,
    ) -> Result<Sent, ReconcileError> {
        let (context, progress) = (self.context, &self.shared.notifications);
        let name = provider.name_any();
        while let Some(step) = next(progress, key, order, steps, provider) {
            let client = match self.shared.message_clients.open(&context.api, provider).await? {
                Ok(client) => client,
                Err(not_ready) => return Ok(Sent::Later(None, not_ready.message)),
            };
            let contact = contact(context, key, order);
            if client.port.needs_contact() && contact.is_none() {
                return Ok(Sent::All(NotificationStatus::NoContact));
            }
            let permit = match client.breaker.acquire() {
                Ok(permit) => permit,
                Err(come_back) => {
                    return Ok(Sent::Later(Some(come_back), format!("{name} is not reachable")));
                }
            };
            let outcome = client.port.send(&Self::message(key, order, step, contact)).await;
            permit.record(&outcome);
            context.metrics.message(&name, outcome_label(&outcome));
            match outcome {
                SendOutcome::Sent => {
                    client.log_change(&name, "");
                    info!(provider = name, step = step.number, phase = step.phase, "notification sent");
                }
                SendOutcome::Refused(why) => {
                    client.log_change(&name, "");
                    warn!(provider = name, step = step.number, why, "notification refused");
                    progress.refuse(key, order, &why);
                }
                SendOutcome::Pending => {
                    return Ok(Sent::Later(None, format!("{name} has not delivered it yet")));
                }
                SendOutcome::CallFailure(failure) => {
                    let why = format!("{name}: {}", sentence(&failure));
                    client.log_change(&name, &why);
                    return Ok(Sent::Later(client.breaker.open_for(), why));
                }
            }
            progress.notified(key, order, &name, step.number + 1);
            self.log(key, order, step);
        }
        Ok(Sent::All(NotificationStatus::Done))
    }

    /// What was sent comes into the customer's log, with whatever else does in a while.
    fn log(&self, key: &Key, order: &Order, step: &Step) {
        let context = self.context;
        let customer = Key::new(&key.namespace, &order.spec.customer_ref.name);
        if context.queues.of(ControllerName::Customer).is_none() {
            return;
        }
        self.shared.notifications.add_unlogged(&customer, logged(key, order, step));
        context.queues.push_at(
            ControllerName::Customer,
            customer,
            Instant::now() + context.settings.message_log_lag(),
        );
    }

    fn message(key: &Key, order: &Order, step: &Step, contact: Option<String>) -> Message {
        let state = order.state();
        let is_latest = state.phase.as_str() == step.phase;
        Message {
            id: notification::id(&uid_of(order), step.number),
            order_namespace: key.namespace.to_string(),
            order_name: key.name.to_string(),
            order_uid: uid_of(order),
            step: step.number,
            phase: step.phase.clone(),
            at: step.at,
            customer: order.spec.customer_ref.name.clone(),
            store: state.store,
            total: state.total,
            reason: Some(state.reason).filter(|reason| is_latest && !reason.is_empty()),
            contact,
        }
    }
}

fn outcome_label(outcome: &SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Sent => "sent",
        SendOutcome::Pending => "pending",
        SendOutcome::Refused(_) => "refused",
        SendOutcome::CallFailure(_) => "failed",
    }
}

fn sentence(failure: &CallFailure) -> String {
    match failure {
        CallFailure::NotSent(why)
        | CallFailure::Unauthorized(why)
        | CallFailure::Errored(why)
        | CallFailure::OutcomeUnknown(why) => why.clone(),
        CallFailure::Throttled { .. } => "it asks for patience".into(),
        CallFailure::InProgress | CallFailure::IdempotencyKeyConsumed(_) => {
            "an earlier call is still under way".into()
        }
    }
}
