//! Payments: the reconciler. It records the intent, calls the provider and writes down what came of it; what to do is
//! decided in `saga::payment`.

mod call;
mod observe;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fooddelivery_api::Payment;
use fooddelivery_api::payment::PaymentStatus;
use fooddelivery_providers::Token;
use fooddelivery_saga::order::Note;
use fooddelivery_saga::payment::{
    Access, Command, Decision, PaymentState, ProviderCall, Responses, RetryAfter, decide,
};
use fooddelivery_saga::phases::{PaymentDesired, PaymentPhase};
use fooddelivery_saga::provider::{CallFailure, ChargeOutcome};
use fooddelivery_saga::reason::Reason;
use kube::ResourceExt;
use serde_json::json;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::api::{ApiError, with_finalizer, without_finalizer};
use crate::context::Context;
use crate::engine::{Category, Key, Outcome, ReconcileError, Reconciler};
use crate::events::correlate;
use crate::gateway::Gateway;
use crate::planted::{self, Bug};
use crate::settings::ControllerName;

use call::NotCalled;

/// More steps than any payment needs in one go.
const ROUNDS: usize = 24;
/// Between reading a payment and sending for it at most this may pass, on a monotonic clock.
const FRESH_FOR: Duration = Duration::from_secs(2);

/// The payment controller.
pub struct Payments {
    context: Arc<Context>,
    in_review: Mutex<HashSet<Key>>,
}

/// What one reconcile knows beside the object.
struct Visit {
    responses: Responses,
    gateway: Option<(Gateway, Option<Token>)>,
    /// When the object in hand was read live or written; `None` for a copy from the cache.
    read_at: Option<Instant>,
}

/// What to do after a step.
enum Next {
    Again(Arc<Payment>),
    End(Outcome),
}

impl Payments {
    /// Over the shared context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, in_review: Mutex::default() }
    }

    async fn act(
        &self,
        key: &Key,
        payment: Arc<Payment>,
        visit: &mut Visit,
        command: Command,
    ) -> Result<Next, ApiError> {
        let context = &self.context;
        match command {
            Command::AddFinalizer => self.patch(&payment, with_finalizer(&*payment)).await,
            Command::CheckOrder => {
                visit.responses.order = Some(observe::standing(context, key, &payment).await?);
                Ok(Next::Again(payment))
            }
            Command::CheckAccess => {
                let (access, gateway) = observe::access(context, key, &payment).await?;
                visit.responses.access = Some(access);
                visit.gateway = gateway;
                Ok(Next::Again(payment))
            }
            Command::Call(call) => self.call(key, payment, visit, call).await,
            Command::ClearResolution => self.patch(&payment, json!({ "spec": { "resolution": null } })).await,
            Command::WantMoneyBack => {
                warn!("the order of this payment is gone: the money is to go back");
                self.patch(&payment, json!({ "spec": { "desired": PaymentDesired::Refunded } })).await
            }
            Command::Delete => {
                context.api.delete(&*payment).await?;
                context.refresh(&context.payments, key).await?;
                Ok(Next::End(Outcome::Done))
            }
            Command::RemoveFinalizer => {
                match context.api.patch(&*payment, without_finalizer(&*payment)).await {
                    Ok(_) | Err(ApiError::NotFound) => {
                        info!(phase = %payment.state().phase, "payment settled and gone");
                        context.payments.forget(key, Some(&payment));
                        Ok(Next::End(Outcome::Done))
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    async fn patch(&self, payment: &Payment, change: serde_json::Value) -> Result<Next, ApiError> {
        let written = self.context.api.patch(payment, change).await?;
        self.context.payments.remember(written.clone());
        Ok(Next::Again(Arc::new(written)))
    }

    /// Calls the provider, but only for an object that is known to be fresh.
    async fn call(
        &self,
        key: &Key,
        payment: Arc<Payment>,
        visit: &mut Visit,
        call: ProviderCall,
    ) -> Result<Next, ApiError> {
        let Some((gateway, token)) = visit.gateway.clone() else {
            visit.responses.access = None;
            return Ok(Next::Again(payment));
        };
        // The bulkhead and the rate limit first, so that waiting for a place does not age what was read.
        let permit = match gateway.guard.acquire().await {
            Ok(permit) => permit,
            Err(come_back) => return Ok(Next::End(Outcome::After(come_back))),
        };
        if visit.read_at.is_none_or(|at| at.elapsed() > FRESH_FOR) {
            let before = Instant::now();
            let Some(live) = self.context.refresh(&self.context.payments, key).await? else {
                return Err(ApiError::NotFound);
            };
            if live.resource_version() != payment.resource_version() {
                visit.responses = Responses::default();
                visit.read_at = Some(before);
                return Ok(Next::Again(Arc::new(live)));
            }
            visit.read_at = Some(before);
        }
        let responses = &mut visit.responses;
        match call::call(&self.context, &gateway, &permit, token, &payment, call, responses).await {
            Ok(()) => {}
            Err(NotCalled::CircuitOpen(retry_in)) => {
                if let Some(Access::Ready(way)) = &mut responses.access {
                    way.open_until = Some(observe::after(&self.context, retry_in));
                }
            }
            Err(NotCalled::NoToken) => {
                error!("a call that takes the customer's token was decided on without one: it is read anew");
                responses.access = None;
            }
        }
        Ok(Next::Again(payment))
    }

    async fn write(
        &self,
        payment: &Payment,
        visit: &mut Visit,
        state: &PaymentState,
    ) -> Result<Payment, ApiError> {
        let old = payment.status.clone();
        let new = PaymentStatus::from_state(state, payment.metadata.generation);
        let before = Instant::now();
        let written = self.context.api.write_status(payment, &old, &new).await?;
        self.context.payments.remember(written.clone());
        let was = payment.state();
        let intent_is_fresh = state.phase == PaymentPhase::Pending && is_fresh(&visit.responses, &was, state);
        // What was learnt of the order and of the way to the provider is still young; responses about money are not
        // carried over a write.
        visit.responses = Responses {
            order: visit.responses.order,
            access: visit.responses.access.clone(),
            unresolved_attempts: visit.responses.unresolved_attempts,
            intent_is_fresh,
            ..Responses::default()
        };
        visit.read_at = Some(before);
        if was.phase != state.phase {
            self.context.metrics.phase("Payment", state.phase.as_str());
            info!(
                from = %was.phase, phase = %state.phase, reason = %state.reason,
                captured = state.captured, refunded = state.refunded, "payment moved"
            );
        } else if was.reason != state.reason && !state.reason.is_empty() {
            warn!(reason = %state.reason, message = %state.message, "payment is held up");
        }
        self.tell(payment, &was, state).await;
        Ok(written)
    }

    /// People hear of what waits for them, and of what they have said.
    async fn tell(&self, payment: &Payment, was: &PaymentState, state: &PaymentState) {
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
        self.context.events.tell(payment, &note).await;
    }

    /// Keeps count of what waits for a person.
    fn count(&self, key: &Key, payment: Option<&Payment>) {
        let waits = payment.is_some_and(|p| p.state().phase == PaymentPhase::NeedsReview);
        let mut waiting = self.in_review.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = if waits { waiting.insert(key.clone()) } else { waiting.remove(key) };
        if changed {
            self.context.metrics.in_review(waiting.len());
        }
    }
}

/// Whether what a charge is made under was recorded just now, so that no earlier charge can have been sent under it.
fn is_fresh(responses: &Responses, was: &PaymentState, state: &PaymentState) -> bool {
    match &responses.access {
        Some(Access::Ready(way)) if way.prepares => was.payment_id.is_none() && state.payment_id.is_some(),
        _ => was.attempt == 0 && state.attempt > 0,
    }
}

impl Reconciler for Payments {
    fn name(&self) -> &'static str {
        ControllerName::Payment.word()
    }

    fn is_mine(&self, key: &Key) -> bool {
        self.context.has_order(ControllerName::Payment, key)
    }

    async fn reconcile(&self, key: Key, tries: u32) -> Result<Outcome, ReconcileError> {
        let found = self.context.payments.object(&key);
        self.count(&key, found.as_deref());
        let Some(mut payment) = found else { return Ok(Outcome::Done) };
        correlate(Some(payment.spec.order_ref.uid.clone()));
        let responses = Responses { unresolved_attempts: tries, ..Responses::default() };
        let mut visit = Visit { responses, gateway: None, read_at: None };
        for _ in 0..ROUNDS {
            let view = observe::view(&self.context, &key, &payment, visit.responses.clone());
            match decide(&view, self.context.clock.now()) {
                Decision::Skip => return Ok(Outcome::Done),
                Decision::Halt(violation) => {
                    error!(%violation, "a decision about a payment breaks a rule: nothing is done");
                    return Ok(Outcome::Done);
                }
                Decision::Wait(at) => {
                    return Ok(at.map_or(Outcome::Done, |at| Outcome::After(self.context.clock.until(at))));
                }
                Decision::Retry(_) if is_counted_twice(&visit.responses, &payment) => {
                    let state = payment.state();
                    let attempt = state.attempt + 1;
                    let state = PaymentState { attempt, payment_id: None, ..state };
                    payment = Arc::new(self.write_or_refresh(&key, &payment, &mut visit, &state).await?);
                }
                Decision::Retry(RetryAfter::Soon) => return Ok(Outcome::AskAgain(None)),
                Decision::Retry(RetryAfter::After(ms)) => {
                    return Ok(Outcome::AskAgain(Some(Duration::from_millis(ms))));
                }
                Decision::Write(state) => {
                    if planted::has(Bug::ChargeBeforeIntent) {
                        self.charge_early(&payment, &visit, &state).await;
                    }
                    payment = Arc::new(self.write_or_refresh(&key, &payment, &mut visit, &state).await?);
                }
                Decision::Rest(rest) => {
                    self.write_or_refresh(&key, &payment, &mut visit, &rest.state).await?;
                    let wake_at = rest.wake_at.map(|at| self.context.clock.until(at));
                    return Ok(wake_at.map_or(Outcome::Done, Outcome::After));
                }
                Decision::Act(command) => match self.act(&key, payment, &mut visit, command).await? {
                    Next::Again(next) => payment = next,
                    Next::End(outcome) => return Ok(outcome),
                },
            }
        }
        let message = format!("payment {} does not come to rest", key.name);
        Err(ReconcileError { category: Category::Transient, message })
    }
}

/// A planted bug: a call whose outcome is not known counts as an attempt.
fn is_counted_twice(responses: &Responses, payment: &Payment) -> bool {
    let unknown =
        matches!(&responses.charge, Some(ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown(_))));
    planted::has(Bug::CountedTwice) && unknown && payment.state().phase == PaymentPhase::Pending
}

impl Payments {
    /// A planted bug: the call comes before the intent to make it.
    async fn charge_early(&self, payment: &Payment, visit: &Visit, state: &PaymentState) {
        let Some((gateway, token)) = visit.gateway.clone() else { return };
        if payment.state().attempt > 0 || state.attempt == 0 {
            return;
        }
        let status = Some(PaymentStatus::from_state(state, payment.metadata.generation));
        let early = Payment { status, ..payment.clone() };
        if let Ok(permit) = gateway.guard.acquire().await {
            let mut responses = Responses::default();
            let (payment_id, amount) = (state.provider_payment_id(), payment.spec.quote.total);
            let charge = ProviderCall::Charge { payment_id, amount };
            // What comes of it is asked for again, under the same key.
            let _ = call::call(&self.context, &gateway, &permit, token, &early, charge, &mut responses).await;
        }
    }

    /// Writes; when somebody else did first, what they wrote is read, and nothing that was learnt counts any more.
    async fn write_or_refresh(
        &self,
        key: &Key,
        payment: &Payment,
        visit: &mut Visit,
        state: &PaymentState,
    ) -> Result<Payment, ApiError> {
        match self.write(payment, visit, state).await {
            Err(ApiError::Conflict) => {
                let before = Instant::now();
                let live =
                    self.context.refresh(&self.context.payments, key).await?.ok_or(ApiError::NotFound)?;
                visit.responses = Responses {
                    unresolved_attempts: visit.responses.unresolved_attempts,
                    ..Responses::default()
                };
                visit.read_at = Some(before);
                Ok(live)
            }
            result => result,
        }
    }
}
