//! A port for the policy's tests, with scripted and timed responses.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, ProviderPayment, ProviderStatus, RefundOutcome, Refusal,
};
use tokio::sync::Semaphore;

use super::{Request, ResiliencePolicy, ResilienceSettings, Transition};
use crate::payment::port::{ChargeRequest, LookUpRequest, PaymentPort, RefundRequest, Traits};
use crate::secret::Token;

pub(super) const MS: Duration = Duration::from_millis(1);

type Answer = dyn Fn(usize) -> (Duration, ChargeOutcome) + Send + Sync;

/// Answers the charges, counted from 0, as it is told to; a look-up finds what `found` says.
pub(super) struct Fake {
    answer: Box<Answer>,
    found: LookUpOutcome,
    gate: Semaphore,
    pub(super) charges: AtomicUsize,
    pub(super) running: AtomicUsize,
    pub(super) most: AtomicUsize,
    pub(super) asked: Mutex<Vec<LookUpRequest>>,
}

impl Fake {
    /// Answers are given at once.
    pub(super) fn at_once(answer: fn(usize) -> ChargeOutcome) -> Arc<Self> {
        Self::timed(move |number| (Duration::ZERO, answer(number)), LookUpOutcome::NotFound)
    }

    pub(super) fn timed(
        answer: impl Fn(usize) -> (Duration, ChargeOutcome) + Send + Sync + 'static,
        found: LookUpOutcome,
    ) -> Arc<Self> {
        Self::new(answer, found, Semaphore::MAX_PERMITS)
    }

    /// No answer is given before [`Fake::release`].
    pub(super) fn held(answer: fn(usize) -> ChargeOutcome) -> Arc<Self> {
        Self::new(move |number| (Duration::ZERO, answer(number)), LookUpOutcome::NotFound, 0)
    }

    fn new(
        answer: impl Fn(usize) -> (Duration, ChargeOutcome) + Send + Sync + 'static,
        found: LookUpOutcome,
        permits: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            answer: Box::new(answer),
            found,
            gate: Semaphore::new(permits),
            charges: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            asked: Mutex::new(Vec::new()),
        })
    }

    pub(super) fn release(&self, answers: usize) {
        self.gate.add_permits(answers);
    }

    pub(super) fn charges(&self) -> usize {
        self.charges.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl PaymentPort for Fake {
    fn traits(&self) -> Traits {
        Traits { prepares: false, key_retention: Duration::from_hours(1), token_lifetime: None }
    }

    async fn charge(&self, _: &ChargeRequest) -> ChargeOutcome {
        let number = self.charges.fetch_add(1, Ordering::SeqCst);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        let (takes, outcome) = (self.answer)(number);
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        outcome
    }

    async fn look_up(&self, request: &LookUpRequest) -> LookUpOutcome {
        self.asked.lock().unwrap().push(request.clone());
        self.found.clone()
    }

    async fn refund(&self, _: &RefundRequest) -> RefundOutcome {
        RefundOutcome::AlreadyRefunded
    }
}

/// A policy that records its transitions.
pub(super) fn observed_policy(
    settings: &ResilienceSettings,
) -> (Arc<ResiliencePolicy>, Arc<Mutex<Vec<Transition>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let policy =
        ResiliencePolicy::new("fake", settings, move |transition| notes.lock().unwrap().push(transition));
    (Arc::new(policy.unwrap()), seen)
}

pub(super) fn charge() -> Request {
    Request::Charge(charge_request())
}

pub(super) fn charge_request() -> ChargeRequest {
    ChargeRequest {
        idempotency_key: "key".into(),
        token: Token::new("token"),
        payment_id: None,
        order_id: "order-1".into(),
        amount: 1000,
        currency: "KRW".into(),
        correlation_id: "c".into(),
    }
}

pub(super) fn payment(status: ProviderStatus) -> ProviderPayment {
    let (payment_id, order_id) = ("token".to_owned(), "order-1".to_owned());
    ProviderPayment { payment_id, order_id, amount: 1000, refunded: 0, currency: "KRW".into(), status }
}

pub(super) fn captured() -> ChargeOutcome {
    ChargeOutcome::Captured(payment(ProviderStatus::Captured))
}

pub(super) fn refused() -> ChargeOutcome {
    ChargeOutcome::Refused(Refusal { code: "NO".into(), message: "no".into() })
}

pub(super) fn errored() -> ChargeOutcome {
    ChargeOutcome::CallFailure(CallFailure::Errored("500".into()))
}

pub(super) fn timed_out() -> ChargeOutcome {
    ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown("timed out".into()))
}
