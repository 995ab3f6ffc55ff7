//! Carries out what was decided for a payment: steps on the object, calls to the provider, and the writes of its status,
//! of which the one that records an intent comes before its call.

use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::payment::PaymentStatus;
use fooddelivery_api::{FINALIZER, Payment};
use fooddelivery_runtime::Outcome;
use fooddelivery_runtime::api::{ApiError, with_finalizer, without_finalizer};
use fooddelivery_saga::order::Note;
use fooddelivery_saga::payment::{Access, Command, PaymentState, ProviderCall, Responses};
use fooddelivery_saga::phases::{PaymentDesired, PaymentPhase};
use fooddelivery_saga::reason::Reason;
use kube::ResourceExt;
use serde_json::json;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::call::NotCalled;
use super::{PaymentReconcile, call, gather};
use crate::context::COPY_AGE_MAX;
use crate::shared::payment_clients::span;

/// The payment after a step, or how the reconcile ends with it.
pub(super) type Applied = ControlFlow<Outcome, Arc<Payment>>;

impl PaymentReconcile<'_> {
    /// Carries out a command; the payment as it is then, or how the reconcile ends.
    pub(super) async fn carry_out(
        &mut self,
        payment: Arc<Payment>,
        command: Command,
    ) -> Result<Applied, ApiError> {
        let (context, key) = (&self.controller.context, self.key);
        match command {
            Command::AddFinalizer => self.patch(&payment, with_finalizer(&*payment, FINALIZER)).await,
            Command::CheckOrder => {
                self.responses.order = Some(gather::standing(context, key, &payment).await?);
                Ok(ControlFlow::Continue(payment))
            }
            Command::CheckAccess => {
                let (access, client) =
                    gather::access(context, &self.controller.shared.payment_clients, key, &payment).await?;
                self.responses.access = Some(access);
                self.client = client;
                Ok(ControlFlow::Continue(payment))
            }
            Command::Call(call) => self.call(payment, call).await,
            Command::ClearResolution => self.patch(&payment, json!({ "spec": { "resolution": null } })).await,
            Command::WantMoneyBack => {
                warn!("the order of this payment is gone; refunding");
                self.patch(&payment, json!({ "spec": { "desired": PaymentDesired::Refunded } })).await
            }
            Command::Delete => {
                context.api.delete(&*payment).await?;
                context.refresh(&context.caches.payments, key).await?;
                Ok(ControlFlow::Break(Outcome::Done))
            }
            Command::RemoveFinalizer => {
                match context.api.patch(&*payment, without_finalizer(&*payment, FINALIZER)).await {
                    Ok(_) | Err(ApiError::NotFound) => {
                        info!(phase = %payment.phase(), "payment removed");
                        context.caches.payments.forget(key, Some(&payment));
                        Ok(ControlFlow::Break(Outcome::Done))
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    async fn patch(&self, payment: &Payment, change: serde_json::Value) -> Result<Applied, ApiError> {
        let written = self.controller.context.api.patch(payment, change).await?;
        self.controller.context.caches.payments.remember(written.clone());
        Ok(ControlFlow::Continue(Arc::new(written)))
    }

    /// Calls the provider, but only for an object that is known to be fresh.
    async fn call(&mut self, payment: Arc<Payment>, call: ProviderCall) -> Result<Applied, ApiError> {
        let Some((client, token)) = self.client.clone() else {
            self.responses.access = None;
            return Ok(ControlFlow::Continue(payment));
        };
        // The bulkhead and the rate limit first, so that waiting for a place does not age what was read.
        let permit = match client.resilience.acquire().await {
            Ok(permit) => permit,
            Err(come_back) => return Ok(ControlFlow::Break(Outcome::After(come_back))),
        };
        if self.read_at.is_none_or(|at| at.elapsed() > COPY_AGE_MAX) {
            let before = Instant::now();
            let Some(live) =
                self.controller.context.refresh(&self.controller.context.caches.payments, self.key).await?
            else {
                return Err(ApiError::NotFound);
            };
            if live.resource_version() != payment.resource_version() {
                self.responses = Responses::default();
                self.read_at = Some(before);
                return Ok(ControlFlow::Continue(Arc::new(live)));
            }
            self.read_at = Some(before);
        }
        let responses = &mut self.responses;
        match call::call(&self.controller.context, &client, &permit, token, &payment, call, responses).await {
            Ok(()) => {}
            Err(NotCalled::CircuitOpen(retry_in)) => {
                if let Some(Access::Ready(session)) = &mut responses.access {
                    session.open_until = Some(self.controller.context.clock.now() + span(retry_in));
                }
            }
            Err(NotCalled::NoToken) => {
                error!("a call that takes the customer's token was decided on without one: it is read anew");
                responses.access = None;
            }
        }
        Ok(ControlFlow::Continue(payment))
    }

    async fn write(&mut self, payment: &Payment, state: &PaymentState) -> Result<Payment, ApiError> {
        let old = payment.status.clone();
        let new = PaymentStatus::from_state(state, payment.metadata.generation);
        let before = Instant::now();
        let written = self.controller.context.api.write_status(payment, &old, &new).await?;
        self.controller.context.caches.payments.remember(written.clone());
        let was = payment.state();
        self.responses = self.responses.after_write(&was, state);
        self.read_at = Some(before);
        if was.phase != state.phase {
            self.controller.context.metrics.phase("Payment", state.phase.as_str());
            info!(
                from = %was.phase, phase = %state.phase, reason = %state.reason,
                captured = state.captured, refunded = state.refunded, "payment moved"
            );
        } else if was.reason != state.reason && !state.reason.is_empty() {
            warn!(reason = %state.reason, message = %state.message, "payment is blocked");
        }
        self.record(payment, &was, state).await;
        Ok(written)
    }

    /// Records Events for what waits for a person, and for what a person has decided.
    async fn record(&self, payment: &Payment, was: &PaymentState, state: &PaymentState) {
        if was.phase == state.phase {
            return;
        }
        let note = match (&payment.spec.resolution, was.phase, state.phase) {
            (_, _, PaymentPhase::NeedsReview) => Note::warning(&state.reason, state.message.clone()),
            (Some(found), PaymentPhase::NeedsReview, phase) => Note {
                warning: false,
                reason: Reason::ResolvedByHand.into(),
                message: format!("{} ({}): the payment is {phase}", found.action, found.note),
            },
            _ => return,
        };
        self.controller.context.record(payment, &note).await;
    }

    /// Writes; when somebody else did first, what they wrote is read, and nothing that was learnt counts any more.
    pub(super) async fn write_or_refresh(
        &mut self,
        payment: &Payment,
        state: &PaymentState,
    ) -> Result<Payment, ApiError> {
        match self.write(payment, state).await {
            Err(ApiError::Conflict) => {
                let before = Instant::now();
                let live = self
                    .controller
                    .context
                    .refresh(&self.controller.context.caches.payments, self.key)
                    .await?
                    .ok_or(ApiError::NotFound)?;
                self.responses = Responses {
                    unresolved_attempts: self.responses.unresolved_attempts,
                    ..Responses::default()
                };
                self.read_at = Some(before);
                Ok(live)
            }
            result => result,
        }
    }
}
