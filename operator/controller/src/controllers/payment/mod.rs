//! Payments: the reconciler. It records the intent, calls the provider and writes down what came of it; what to do is
//! decided in `saga::payment`.

mod apply;
mod call;
mod gather;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fooddelivery_api::{Order, Payment, PaymentProvider};
use fooddelivery_providers::Token;
use fooddelivery_runtime::driver::{Reconcile, Step, drive};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::payment::{
    Command, Decision, PaymentState, PaymentView, Responses, RetryAfter, decide,
};
use fooddelivery_saga::phases::PaymentPhase;
use fooddelivery_saga::time::Timestamp;
use tokio::time::Instant;
use tracing::Span;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registration};
use crate::sharding::Shard;
use crate::shared::correlation::{correlate, order_span};
use crate::shared::payment_clients::PaymentClient;
use crate::shared::state::Shared;
use crate::shared::waiting::orders_of_provider;

const NAME: ControllerName = ControllerName::Payment;

/// Maximum time between reading a payment and sending for it, on a monotonic clock.
const COPY_AGE_MAX: Duration = Duration::from_secs(2);

/// The payment controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: true, register };

fn register(controller: &mut Registration<'_>) {
    controller.shard(Shard::OfOrder);
    controller.on::<Payment>(|_, change| vec![change.key.clone()]);
    controller.on::<Order>(|_, change| vec![change.key.clone()]);
    controller.on::<PaymentProvider>(|context, change| orders_of_provider(context, &change.key.name));
    controller.run(Payments {
        context: controller.context().clone(),
        shared: controller.shared().clone(),
        in_review: Mutex::default(),
    });
}

struct Payments {
    context: Arc<Context>,
    shared: Shared,
    in_review: Mutex<HashSet<Key>>,
}

impl Payments {
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

impl Reconciler for Payments {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    fn span(&self, key: &Key) -> Span {
        order_span(self.name(), key)
    }

    async fn reconcile(&self, key: Key, tries: u32) -> Result<Outcome, ReconcileError> {
        let found = self.context.caches.payments.object(&key);
        self.count(&key, found.as_deref());
        let Some(payment) = found else { return Ok(Outcome::Done) };
        correlate(Some(payment.spec.order_ref.uid.clone()));
        let responses = Responses { unresolved_attempts: tries, ..Responses::default() };
        let reconcile =
            PaymentReconcile { controller: self, key: &key, payment, responses, client: None, read_at: None };
        drive(self.name(), &key, reconcile).await
    }
}

/// One reconcile of one payment.
struct PaymentReconcile<'a> {
    controller: &'a Payments,
    key: &'a Key,
    /// The copy in hand: from the cache, read live, or as it was written.
    payment: Arc<Payment>,
    /// What was learnt beside the object.
    responses: Responses,
    client: Option<(PaymentClient, Option<Token>)>,
    /// When the copy in hand was read live or written; `None` for one from the cache.
    read_at: Option<Instant>,
}

/// Something to be done for a payment.
enum PaymentStep {
    Act(Command),
    /// Write this state, and go on from there.
    Write(Box<PaymentState>),
}

/// Where a payment rests.
enum PaymentRest {
    /// Until this time, or until something changes.
    Wait(Option<Timestamp>),
    /// Until the outcome of a call is asked for again.
    AskAgain(RetryAfter),
}

impl Reconcile for PaymentReconcile<'_> {
    type View = PaymentView;
    type Command = PaymentStep;
    type Rest = PaymentRest;

    async fn gather(&mut self) -> Result<ControlFlow<Outcome, PaymentView>, ReconcileError> {
        let context = &self.controller.context;
        Ok(ControlFlow::Continue(gather::view(context, self.key, &self.payment, self.responses.clone())))
    }

    fn decide(&self, view: &PaymentView) -> Step<PaymentStep, PaymentRest> {
        match decide(view, self.controller.context.clock.now()) {
            Decision::Skip => Step::Rest(PaymentRest::Wait(None)),
            Decision::Wait(at) => Step::Rest(PaymentRest::Wait(at)),
            Decision::AskAgain(retry) => Step::Rest(PaymentRest::AskAgain(retry)),
            Decision::Write(state) => Step::Apply(PaymentStep::Write(Box::new(state))),
            Decision::Act(command) => Step::Apply(PaymentStep::Act(command)),
        }
    }

    async fn apply(
        &mut self,
        _: PaymentView,
        step: PaymentStep,
    ) -> Result<ControlFlow<Outcome>, ReconcileError> {
        let payment = self.payment.clone();
        let applied = match step {
            PaymentStep::Write(state) => {
                ControlFlow::Continue(Arc::new(self.write_or_refresh(&payment, &state).await?))
            }
            PaymentStep::Act(command) => self.carry_out(payment, command).await?,
        };
        Ok(match applied {
            ControlFlow::Continue(payment) => {
                self.payment = payment;
                ControlFlow::Continue(())
            }
            ControlFlow::Break(outcome) => ControlFlow::Break(outcome),
        })
    }

    async fn rest(&mut self, _: PaymentView, rest: PaymentRest) -> Result<Outcome, ReconcileError> {
        let clock = &self.controller.context.clock;
        Ok(match rest {
            PaymentRest::Wait(at) => at.map_or(Outcome::Done, |at| Outcome::After(clock.until(at))),
            PaymentRest::AskAgain(RetryAfter::Soon) => Outcome::AskAgain(None),
            PaymentRest::AskAgain(RetryAfter::After(ms)) => {
                Outcome::AskAgain(Some(Duration::from_millis(ms)))
            }
        })
    }
}
