//! Carries out what was decided about notifying everybody of an order: sends messages, keeps in mind how far it came, and
//! writes that when it is due.

use std::time::Duration;

use fooddelivery_api::{MessageProvider, Order};
use fooddelivery_providers::notification::{Message, SendOutcome};
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Key, Outcome, ReconcileError};
use fooddelivery_saga::notification::{self, NotificationStatus, Progress, Response, Retry, Step};
use fooddelivery_saga::order_notification::{Command, Standing, WriteProgress};
use fooddelivery_saga::provider::CallFailure;
use kube::ResourceExt;
use tokio::time::Instant;
use tracing::{info, warn};

use super::gather::{Gathered, millis};
use super::{NotificationReconcile, Notifications};
use crate::names::ControllerName;
use crate::shared::notifications::{contact, logged};

impl NotificationReconcile<'_> {
    /// Carries out a step.
    pub(super) async fn carry_out(&mut self, gathered: &Gathered, command: Command) -> Result<(), ApiError> {
        match command {
            Command::Open(name) => {
                if let Some(provider) = gathered.providers.iter().find(|known| known.name_any() == name) {
                    self.open(name, provider).await?;
                }
            }
            Command::Acquire(name) => {
                let attempt = self.attempts.entry(name).or_default();
                if let Some(Ok(client)) = &attempt.client {
                    attempt.permit = Some(client.breaker.acquire().map(Some));
                }
            }
            Command::Send(name, step) => self.send(name, &step, &gathered.order).await,
            Command::Advance(name, progress) => self.advance(&name, &progress, gathered),
        }
        Ok(())
    }

    async fn open(&mut self, name: String, provider: &MessageProvider) -> Result<(), ApiError> {
        let (context, shared) = (&self.controller.context, &self.controller.shared);
        let opened = shared.message_clients.open(&context.api, provider).await?;
        self.attempts.entry(name).or_default().client = Some(opened.map_err(|not_ready| not_ready.message));
        Ok(())
    }

    async fn send(&mut self, name: String, step: &Step, order: &Order) {
        let context = &self.controller.context;
        let attempt = self.attempts.entry(name.clone()).or_default();
        let permit = attempt.permit.as_mut().and_then(|said| said.as_mut().ok()?.take());
        let (Some(Ok(client)), Some(permit)) = (&attempt.client, permit) else { return };
        let contact = contact(context, self.key, order);
        let outcome = client.port.send(&message(self.key, order, step, contact)).await;
        permit.record(&outcome);
        context.metrics.message(&name, outcome_label(&outcome));
        attempt.response = Some(match outcome {
            SendOutcome::Sent => {
                client.log_change(&name, "");
                info!(provider = name, step = step.number, phase = step.phase, "notification sent");
                Response::Sent
            }
            SendOutcome::Refused(why) => {
                client.log_change(&name, "");
                warn!(provider = name, step = step.number, why, "notification refused");
                Response::Refused(why)
            }
            SendOutcome::Pending => Response::Pending,
            SendOutcome::CallFailure(failure) => {
                let why = sentence(&failure);
                client.log_change(&name, &format!("{name}: {why}"));
                Response::Failed(why, client.breaker.open_for().map(millis))
            }
        });
    }

    /// The step is behind the order: it is kept in mind, and comes into the customer's log.
    fn advance(&mut self, name: &str, progress: &Progress, gathered: &Gathered) {
        let (order, known) = (&*gathered.order, &self.controller.shared.notifications);
        if let NotificationStatus::Refused(why) = &progress.standing {
            known.refuse(self.key, order, why);
        }
        known.notified(self.key, order, name, progress.notified);
        self.attempts.remove(name);
        let of = gathered.view.providers.iter().find(|view| view.provider == name);
        let told = of.and_then(|view| view.steps.iter().find(|step| step.number + 1 == progress.notified));
        if let Some(step) = told {
            self.controller.log(self.key, order, step);
        }
    }
}

impl Notifications {
    /// What was sent comes into the customer's log, with whatever else does in a while.
    fn log(&self, key: &Key, order: &Order, step: &Step) {
        let context = &self.context;
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

    /// Keeps in mind how notifying stands, wakes who may have waited for it, and writes it when that is due.
    pub(super) async fn settle(
        &self,
        key: &Key,
        order: &Order,
        standing: Standing,
    ) -> Result<Outcome, ReconcileError> {
        let Standing { status, retry, write, wakes_order } = standing;
        self.shared.notifications.set_status(key, order, status);
        if wakes_order {
            self.context.queues.push_at(ControllerName::Order, key.clone(), Instant::now());
        }
        let write_in = self.write_progress(key, order, write).await?;
        Ok(match (retry, write_in) {
            (None, None) => Outcome::Done,
            (None, Some(remaining)) => Outcome::After(remaining),
            (Some(Retry::WithBackoff), _) => Outcome::AskAgain(None),
            (Some(Retry::After(pause)), _) => {
                Outcome::After(Duration::from_millis(u64::try_from(pause.0).unwrap_or(0)))
            }
        })
    }

    /// Writes how far notifying came; the remaining time, when that is not due yet.
    async fn write_progress(
        &self,
        key: &Key,
        order: &Order,
        write: WriteProgress,
    ) -> Result<Option<Duration>, ReconcileError> {
        let context = &self.context;
        let old = order.status.clone().unwrap_or_default();
        let mut new = old.clone();
        self.shared.notifications.put_into(key, order, &mut new, context.clock.now());
        let (due, other) = match write {
            WriteProgress::WhenWaitingForLong => (&self.waiting, &self.final_write),
            WriteProgress::AtTheEnd | WriteProgress::WithTheNextStatus => (&self.final_write, &self.waiting),
        };
        other.clear(key);
        if new == old || write == WriteProgress::WithTheNextStatus {
            due.clear(key);
            return Ok(None);
        }
        if let Some(remaining) = due.remaining(key) {
            return Ok(Some(remaining));
        }
        context.write_status(&context.caches.orders, order, &old, &new).await?;
        due.clear(key);
        Ok(None)
    }
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
