//! Payments: the reconciler. It records the intent, calls the provider and writes down what came of it; what to do is
//! decided in `saga::payment`.

mod apply;
mod call;
mod gather;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use fooddelivery_api::{Order, Payment, PaymentProvider};
use fooddelivery_providers::Token;
use fooddelivery_runtime::driver::{Reconcile, Step, drive};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::payment::{Command, PaymentState, PaymentView, Responses, decide};
use fooddelivery_saga::phases::PaymentPhase;
use tokio::time::Instant;
use tracing::Span;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::concerns::order_concerns_payment;
use crate::shared::correlation::{correlate, order_span};
use crate::shared::machine::{Apply, Resting, step, wake_at};
use crate::shared::payment_clients::PaymentClient;
use crate::shared::state::Shared;
use crate::shared::waiting::orders_of_provider;

const NAME: ControllerName = ControllerName::Payment;

/// The payment controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: true, register };

fn register(mut controller: Registration<'_>) -> Registered {
    controller.on::<Payment>(|_, change| vec![change.key.clone()]);
    controller.on_difference::<Order>(order_concerns_payment, |_, change| vec![change.key.clone()]);
    controller.on::<PaymentProvider>(|context, change| orders_of_provider(context, &change.key.name));
    let reconciler = Payments {
        context: controller.context().clone(),
        shared: controller.shared().clone(),
        in_review: Mutex::default(),
    };
    controller.run(Shard::OfOrder, reconciler)
}

struct Payments {
    context: Arc<Context>,
    shared: Shared,
    in_review: Mutex<HashSet<Key>>,
}

impl Payments {
    /// Keeps count of what waits for a person.
    fn count(&self, key: &Key, payment: Option<&Payment>) {
        let waits = payment.is_some_and(|p| p.phase() == PaymentPhase::NeedsReview);
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
        if self.shared.intents.is_being_made(&payment) {
            return Ok(Outcome::Done);
        }
        let read_at = self.shared.intents.take(&payment);
        let known = if read_at.is_some() { Responses::of_created() } else { Responses::default() };
        let responses = Responses { unresolved_attempts: tries, ..known };
        let reconcile =
            PaymentReconcile { controller: self, key: &key, payment, responses, client: None, read_at };
        drive(self.name(), &key, reconcile).await
    }

    fn released(&self, key: &Key) {
        self.count(key, None);
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

impl Reconcile for PaymentReconcile<'_> {
    type View = PaymentView;
    type Command = Apply<Command, PaymentState>;
    type Rest = Resting<PaymentState>;

    async fn gather(&mut self) -> Result<ControlFlow<Outcome, PaymentView>, ReconcileError> {
        let context = &self.controller.context;
        Ok(ControlFlow::Continue(gather::view(context, self.key, &self.payment, self.responses.clone())))
    }

    fn decide(&self, view: &PaymentView) -> Step<Self::Command, Self::Rest> {
        step(decide(view, self.controller.context.clock.now()))
    }

    async fn apply(
        &mut self,
        _: PaymentView,
        what: Self::Command,
    ) -> Result<ControlFlow<Outcome>, ReconcileError> {
        let payment = self.payment.clone();
        let applied = match what {
            Apply::Write(state) => {
                ControlFlow::Continue(Arc::new(self.write_or_refresh(&payment, &state).await?))
            }
            Apply::Command(command) => self.carry_out(payment, command).await?,
        };
        Ok(match applied {
            ControlFlow::Continue(payment) => {
                self.payment = payment;
                ControlFlow::Continue(())
            }
            ControlFlow::Break(outcome) => ControlFlow::Break(outcome),
        })
    }

    async fn rest(&mut self, _: PaymentView, rest: Self::Rest) -> Result<Outcome, ReconcileError> {
        let clock = &self.controller.context.clock;
        match rest.status_or_outcome(clock) {
            Ok(rest) => {
                let payment = self.payment.clone();
                self.write_or_refresh(&payment, &rest.state).await?;
                Ok(wake_at(clock, rest.wake_at))
            }
            Err(outcome) => Ok(outcome),
        }
    }
}
