//! The payment providers, within the process: the sandbox's own bank, ledger and idempotency keys, without HTTP. A call
//! waits until the scheduler carries it out, and how is the scheduler's choice.

mod stripe;
mod toss;

use std::time::Duration;

use fooddelivery_providers::Dialect;
use fooddelivery_providers::resilience::Request;
use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, ProviderPayment, ProviderStatus,
    RefundOutcome, Refusal, VoidOutcome,
};
use fooddelivery_sandbox::bank::{self, money::Money};
use fooddelivery_sandbox::idempotency::{Admission, Answer, Keys, Policy, Presented};
use fooddelivery_sandbox::ledger::{Entry, Ledger};
use jiff::Timestamp;

/// How long a checkout waits to be confirmed at the provider.
const CHECKOUT_EXPIRY: Duration = Duration::from_mins(10);
const SEARCH_LAG: Duration = Duration::from_mins(1);

/// A call to a provider.
#[derive(Debug, Clone)]
pub struct Call {
    /// The provider's protocol.
    pub dialect: Dialect,
    /// What is asked.
    pub asked: Request,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallOutcome {
    /// To [`Request::Prepare`].
    Prepare(PrepareOutcome),
    /// To [`Request::Charge`].
    Charge(ChargeOutcome),
    /// To [`Request::LookUp`].
    LookUp(LookUpOutcome),
    /// To [`Request::Void`].
    Void(VoidOutcome),
    /// To [`Request::Refund`].
    Refund(RefundOutcome),
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderFault {
    /// It is carried out and answered.
    None,
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It is lost on its way.
    Lost,
    /// It provably never left.
    NotSent,
    /// It stays on its way, after the caller has given up.
    Stalled,
    /// The issuer declines.
    Declined,
    /// 409: an earlier one with this key still runs.
    InProgress,
    /// 429.
    Throttled,
    /// 5xx before anything was done.
    ErrorBefore,
    /// 5xx after it was done.
    ErrorAfter,
}

/// All that can become of a call; the first is the ordinary thing.
pub const PROVIDER_FAULTS: [ProviderFault; 10] = [
    ProviderFault::None,
    ProviderFault::AnswerLost,
    ProviderFault::Lost,
    ProviderFault::NotSent,
    ProviderFault::Stalled,
    ProviderFault::Declined,
    ProviderFault::InProgress,
    ProviderFault::Throttled,
    ProviderFault::ErrorBefore,
    ProviderFault::ErrorAfter,
];

impl Call {
    /// Whether it can change anything at the provider.
    pub fn moves_something(&self) -> bool {
        !matches!(self.asked, Request::LookUp(_))
    }

    /// In a few words.
    pub fn words(&self) -> String {
        let key =
            self.asked.idempotency_key().map(short).map(|key| format!(" (key {key})")).unwrap_or_default();
        format!("{} at {:?}{key}", self.asked.operation(), self.dialect)
    }

    /// The answer that tells only of a failure.
    pub fn failed(&self, failure: CallFailure) -> CallOutcome {
        match &self.asked {
            Request::Prepare(_) => CallOutcome::Prepare(PrepareOutcome::CallFailure(failure)),
            Request::Charge(_) => CallOutcome::Charge(ChargeOutcome::CallFailure(failure)),
            Request::LookUp(_) => CallOutcome::LookUp(LookUpOutcome::CallFailure(failure)),
            Request::Void(_) => CallOutcome::Void(VoidOutcome::CallFailure(failure)),
            Request::Refund(_) => CallOutcome::Refund(RefundOutcome::CallFailure(failure)),
        }
    }

    fn presented(&self) -> Option<Presented> {
        let (path, parameters) = match &self.asked {
            Request::Prepare(p) => ("/v1/payment_intents".to_owned(), format!("{}&{}", p.order_id, p.amount)),
            Request::Charge(c) => match &c.payment_id {
                Some(id) => (format!("/v1/payment_intents/{id}/confirm"), c.token.expose().to_owned()),
                None => ("/v1/payments/confirm".to_owned(), String::new()),
            },
            Request::Refund(r) => (format!("/v1/payments/{}/cancel", r.payment_id), r.amount.to_string()),
            Request::LookUp(_) | Request::Void(_) => return None,
        };
        let key = self.asked.idempotency_key()?.to_owned();
        Some(Presented { key, api_key: "sk".into(), method: "POST", path, parameters })
    }
}

/// A long key without the middle of its uid.
fn short(key: &str) -> String {
    match (key.get(..4), key.get(36..)) {
        (Some(head), Some(tail)) => format!("{head}…{tail}"),
        _ => key.to_owned(),
    }
}

/// All providers, over one ledger.
pub struct Providers {
    toss: bank::toss::Book,
    stripe: bank::stripe::Book,
    ledger: Ledger,
    toss_keys: Keys,
    stripe_keys: Keys,
    /// What was answered, by the number that the keys keep.
    answers: Vec<CallOutcome>,
    intents: u64,
}

impl Default for Providers {
    fn default() -> Self {
        Self {
            toss: bank::toss::Book::new(false, CHECKOUT_EXPIRY),
            stripe: bank::stripe::Book::new(SEARCH_LAG),
            ledger: Ledger::in_memory(),
            toss_keys: Keys::new(Policy::PerEndpoint, Dialect::Toss.traits().key_retention),
            stripe_keys: Keys::new(Policy::PerAccount, Dialect::Stripe.traits().key_retention),
            answers: Vec::new(),
            intents: 0,
        }
    }
}

impl Providers {
    /// Every movement of money so far.
    pub fn entries(&self) -> &[Entry] {
        self.ledger.entries()
    }

    /// A customer goes through a checkout at Toss.
    pub fn check_out(&mut self, token: &str, order_id: &str, amount: i64, now: Timestamp) {
        let (payment_key, order_id) = (token.to_owned(), order_id.to_owned());
        // A token that is used a second time stays what it was.
        let _ = self.toss.register(&bank::Checkout { payment_key, order_id, amount }, now);
    }

    /// Carries a call out, or not, and says what the caller is told; `None`: nothing.
    pub fn carry_out(&mut self, call: &Call, fault: ProviderFault, now: Timestamp) -> CallOutcome {
        let unknown = || call.failed(CallFailure::OutcomeUnknown("the connection was dropped".into()));
        let errored = || call.failed(CallFailure::Errored("500 INTERNAL".into()));
        match fault {
            ProviderFault::None => self.keyed(call, None, false, now),
            ProviderFault::Declined => self.keyed(call, Some("REJECT_CARD_PAYMENT"), false, now),
            ProviderFault::AnswerLost => {
                self.keyed(call, None, false, now);
                unknown()
            }
            ProviderFault::Lost | ProviderFault::Stalled => unknown(),
            ProviderFault::NotSent => call.failed(CallFailure::NotSent("connection refused".into())),
            ProviderFault::InProgress => call.failed(CallFailure::InProgress),
            ProviderFault::Throttled => call.failed(CallFailure::Throttled { retry_after_ms: Some(1_000) }),
            ProviderFault::ErrorBefore => {
                self.fail(call, now);
                errored()
            }
            ProviderFault::ErrorAfter => {
                self.keyed(call, None, true, now);
                errored()
            }
        }
    }

    fn keys(&mut self, dialect: Dialect) -> &mut Keys {
        if dialect == Dialect::Stripe { &mut self.stripe_keys } else { &mut self.toss_keys }
    }

    /// By its idempotency key: carried out once, answered as often as it takes.
    fn keyed(&mut self, call: &Call, decline: Option<&str>, errs: bool, now: Timestamp) -> CallOutcome {
        let Some(presented) = call.presented() else { return self.perform(call, decline, now) };
        match self.keys(call.dialect).begin(&presented, now) {
            Admission::Execute => {
                let told = self.perform(call, decline, now);
                // Stripe keeps the error that it answered; Toss what came of the request.
                let kept = if errs && call.dialect == Dialect::Stripe { spent(call) } else { told.clone() };
                self.keep(call.dialect, &presented, kept);
                told
            }
            Admission::InProgress => call.failed(CallFailure::InProgress),
            Admission::Mismatch => {
                call.failed(CallFailure::IdempotencyKeyConsumed("400 idempotency_error".into()))
            }
            Admission::Replay(answer) => {
                let number: Option<usize> = answer.body.parse().ok();
                number.and_then(|n| self.answers.get(n)).cloned().unwrap_or_else(|| spent(call))
            }
        }
    }

    /// An error before anything was done. Stripe keeps that, too.
    fn fail(&mut self, call: &Call, now: Timestamp) {
        if call.dialect == Dialect::Stripe
            && let Some(presented) = call.presented()
            && self.keys(call.dialect).begin(&presented, now) == Admission::Execute
        {
            self.keep(call.dialect, &presented, spent(call));
        }
    }

    fn keep(&mut self, dialect: Dialect, presented: &Presented, told: CallOutcome) {
        let number = self.answers.len().to_string();
        self.answers.push(told);
        self.keys(dialect).finish(presented, Answer::new(200, number));
    }

    fn perform(&mut self, call: &Call, decline: Option<&str>, now: Timestamp) -> CallOutcome {
        let key = call.asked.idempotency_key();
        let has_no_money = matches!(&call.asked, Request::Charge(c) if c.token.expose().starts_with("broke"));
        let decline = if has_no_money { Some("NOT_ENOUGH_MONEY") } else { decline };
        let is_stripe = call.dialect == Dialect::Stripe;
        match &call.asked {
            Request::Prepare(request) => {
                self.intents += 1;
                let id = format!("pi_{}", self.intents);
                CallOutcome::Prepare(stripe::prepare(&mut self.stripe, &id, request, now))
            }
            Request::Charge(request) if is_stripe => {
                CallOutcome::Charge(stripe::charge(&mut self.stripe, request, decline, now, &mut self.ledger))
            }
            Request::Charge(request) => {
                CallOutcome::Charge(toss::charge(&mut self.toss, request, decline, now, &mut self.ledger))
            }
            Request::LookUp(request) if is_stripe => {
                CallOutcome::LookUp(stripe::look_up(&mut self.stripe, request, now))
            }
            Request::LookUp(request) => CallOutcome::LookUp(toss::look_up(&mut self.toss, request, now)),
            Request::Void(request) => CallOutcome::Void(stripe::void(&mut self.stripe, request, now)),
            Request::Refund(request) if is_stripe => {
                CallOutcome::Refund(stripe::refund(&mut self.stripe, request, key, now, &mut self.ledger))
            }
            Request::Refund(request) => {
                CallOutcome::Refund(toss::refund(&mut self.toss, request, key, now, &mut self.ledger))
            }
        }
    }
}

fn spent(call: &Call) -> CallOutcome {
    call.failed(CallFailure::IdempotencyKeyConsumed("a stored 500".into()))
}

/// A payment as the port shows it.
fn shown(payment_id: &str, money: &Money, status: ProviderStatus) -> ProviderPayment {
    ProviderPayment {
        payment_id: payment_id.to_owned(),
        order_id: money.order_id().to_owned(),
        amount: money.total(),
        refunded: if status == ProviderStatus::Captured { money.refunded() } else { 0 },
        currency: "KRW".into(),
        status,
    }
}

fn refusal(code: &str, message: &str) -> Refusal {
    Refusal { code: code.to_owned(), message: message.to_owned() }
}
