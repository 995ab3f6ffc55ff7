//! What is to be done for a payment. Money moves exactly once because of five rules that all stand here:
//!
//! 1. The intent is recorded before the first call: as the payment is created, where its provider can be called then, else
//!    by a compare-and-set that raises `attempt` from 0.
//! 2. The idempotency key follows from the payment's uid, the operation and the attempt, and from nothing else. An
//!    attempt number grows only after what the provider said last is final.
//! 3. An unknown outcome is resolved by asking: a look-up, then the same call with the same key. A key means something
//!    only at the provider and with the credential that it was first used with, and for as long as the provider keeps
//!    it: beyond that the look-up alone decides, and where it cannot tell, a person does.
//! 4. A payment that may have a charge on its way is voided only by the provider's own word: a prepared one is
//!    cancelled there; of any other the charge is repeated under its key, and what it captures is refunded.
//! 5. Where payments are prepared, the prepared payment's id is stored before it is charged, so that a payment without
//!    one has never been charged.
//!
//! Protocol facts: see the providers' documentation as summed up in ARCHITECTURE.md.

mod charge;
mod check;
mod inquiry;
mod memory;
mod refund;
mod review;
mod transitions;
mod void;

use std::fmt;

pub use crate::machine::RetryAfter;
use crate::machine::{Next, StateMachine, Violation};
use crate::phases::{CancellationVerdict, OrderPhase, PaymentDesired, PaymentPhase, Resolution};
use crate::provider::{ChargeOutcome, LookUpOutcome, PrepareOutcome, RefundOutcome, VoidOutcome};
use crate::reason::Reason;
use crate::time::{Millis, Timestamp};

/// The payment's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentState {
    /// Where the money stands.
    pub phase: PaymentPhase,
    /// Why, in one word; empty when all is well.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// 0 until an intent to charge is recorded; grows only after a final refusal.
    pub attempt: i64,
    /// When the first intent was recorded under the scope below.
    pub first_attempt_at: Option<Timestamp>,
    /// How often the provider was out of reach since the last answer.
    pub deferrals: i64,
    /// When a deferred payment is due again.
    pub next_attempt_at: Option<Timestamp>,
    /// The provider's name for the payment.
    pub payment_id: Option<String>,
    /// The uid of the provider object that keys were used at.
    pub provider_uid: Option<String>,
    /// Fingerprint of the credential that keys were used with.
    pub credential: Option<String>,
    /// What was captured, in the currency's smallest unit.
    pub captured: i64,
    /// What was given back, same unit; never more than `captured`.
    pub refunded: i64,
    /// 0 for the first refund; grows only after what the provider said last is final.
    pub refund_attempt: i64,
}

impl PaymentState {
    /// The provider's name for the payment, once it is known.
    pub fn provider_payment_id(&self) -> Option<ProviderPaymentId> {
        ProviderPaymentId::new(self.payment_id.as_deref()?)
    }
}

/// The intent to charge, recorded as a payment is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Uid of the provider object that the first attempt's keys are used at.
    pub provider_uid: String,
    /// Fingerprint of the credential that they are used with.
    pub credential: String,
    /// When it was recorded.
    pub at: Timestamp,
}

impl Intent {
    /// What a payment of `total` is created with: an intent, when nothing that is known keeps it from being charged at once. One
    /// that waits for its provider, or for its token, is created without, so that it can be voided by a write alone.
    pub fn to_charge(total: i64, session: &ProviderSession, now: Timestamp) -> Option<Self> {
        let ready = total > 0 && session.open_until.is_none() && session.no_token.is_none();
        let (provider_uid, credential) = (session.provider_uid.clone(), session.credential.clone());
        ready.then_some(Self { provider_uid, credential, at: now })
    }
}

impl PaymentState {
    /// The state of a payment that was created with an intent and whose status nobody has written yet.
    pub fn intended(intent: &Intent) -> Self {
        Self {
            attempt: 1,
            first_attempt_at: Some(intent.at),
            provider_uid: Some(intent.provider_uid.clone()),
            credential: Some(intent.credential.clone()),
            ..Self::default()
        }
    }

    /// The state of a payment under whose intent, if it had one, nothing was sent nor will be: the intent is taken back.
    #[must_use]
    fn without_intent(self) -> Self {
        Self { attempt: 0, first_attempt_at: None, provider_uid: None, credential: None, ..self }
    }
}

impl Default for PaymentState {
    fn default() -> Self {
        Self {
            phase: PaymentPhase::Pending,
            reason: String::new(),
            message: String::new(),
            attempt: 0,
            first_attempt_at: None,
            deferrals: 0,
            next_attempt_at: None,
            payment_id: None,
            provider_uid: None,
            credential: None,
            captured: 0,
            refunded: 0,
            refund_attempt: 0,
        }
    }
}

/// The order behind a payment, read live before money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderStanding {
    /// It is there and wants to be paid.
    Wants,
    /// It is there, but is being undone, or wants a cancel: nothing is charged any more.
    Undoing,
    /// It has ended with the food delivered: the money is the store's.
    Completed,
    /// It has ended otherwise: what money there is goes back.
    Undone,
    /// There is no such order.
    Gone {
        /// Whether its ticket shows that the store has cooked: then the money is the store's.
        store_has_begun: bool,
    },
}

impl OrderStanding {
    /// Of an order that is there, by its status and whether somebody wants it undone who has had no answer.
    pub fn of(phase: OrderPhase, verdict: Option<CancellationVerdict>, undo_wanted: bool) -> Self {
        match phase {
            OrderPhase::Completed => Self::Completed,
            OrderPhase::Cancelled | OrderPhase::Rejected | OrderPhase::PaymentFailed => Self::Undone,
            OrderPhase::Cancelling | OrderPhase::Unknown => Self::Undoing,
            OrderPhase::AwaitingPayment
            | OrderPhase::PaymentDeferred
            | OrderPhase::AwaitingStore
            | OrderPhase::Accepted
            | OrderPhase::Cooking
            | OrderPhase::AwaitingRider
            | OrderPhase::RiderAssigned
            | OrderPhase::PickedUp
            | OrderPhase::Delivered => {
                let undoing = undo_wanted || verdict == Some(CancellationVerdict::Accepted);
                if undoing { Self::Undoing } else { Self::Wants }
            }
        }
    }
}

/// Whether the provider can be called at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// It is configured; these are the names of what it is called with, and how it behaves.
    Ready(ProviderSession),
    /// It is not: something is missing or wrong.
    NotReady {
        /// One word, such as `ProviderNotFound`.
        reason: String,
        /// A sentence.
        message: String,
    },
}

/// Why the customer's token cannot be had. Each with a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoToken {
    /// The Secret with it, or the token in it, is missing.
    Missing(String),
    /// The operator may not read the Secret.
    Forbidden(String),
}

impl NoToken {
    /// The reason in one word, and the sentence.
    fn reason_and_message(&self) -> (Reason, &str) {
        match self {
            Self::Missing(why) => (Reason::TokenSecretMissing, why),
            Self::Forbidden(why) => (Reason::TokenSecretForbidden, why),
        }
    }
}

/// The way to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSession {
    /// Uid of the provider object.
    pub provider_uid: String,
    /// Fingerprint of its credential.
    pub credential: String,
    /// Whether payments are prepared there, and their ids stored, before they are charged.
    pub prepares: bool,
    /// For how long the provider keeps what it answered to an idempotency key.
    pub retention: Millis,
    /// For how long a checkout's token can be charged at most, from when the order had it; `None`: for ever.
    pub token_lifetime: Option<Millis>,
    /// Why the token cannot be had; `None` when it is there. It is needed to charge, and for nothing else.
    pub no_token: Option<NoToken>,
    /// Until when at least the circuit to it is open; `None` while it is closed.
    pub open_until: Option<Timestamp>,
}

impl ProviderSession {
    /// Whether the payment's keys still mean something on this way.
    fn is_scope_of(&self, state: &PaymentState, now: Timestamp) -> bool {
        let same = |was: &Option<String>, is: &String| was.as_ref() == Some(is);
        same(&state.provider_uid, &self.provider_uid)
            && same(&state.credential, &self.credential)
            && state.first_attempt_at.is_some_and(|first| now < first + self.retention)
    }

    /// The state with this way as the scope of its keys from now on.
    fn scoped(&self, state: &PaymentState, now: Timestamp) -> PaymentState {
        PaymentState {
            provider_uid: Some(self.provider_uid.clone()),
            credential: Some(self.credential.clone()),
            first_attempt_at: Some(now),
            ..state.clone()
        }
    }
}

/// What has been learnt in this reconcile; forgotten after it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Responses {
    /// The order, read live.
    pub order: Option<OrderStanding>,
    /// The provider, its secret and the token, read live.
    pub access: Option<Access>,
    /// How often in a row the provider has been asked in vain; the first few times are not worth a write.
    pub unresolved_attempts: u32,
    /// What a charge is made under (the intent, or the prepared payment's id) was recorded by this very reconcile, so
    /// no earlier charge can have been sent under it.
    pub intent_is_fresh: bool,
    /// What preparing told.
    pub prepare: Option<PrepareOutcome>,
    /// What the look-up told.
    pub look_up: Option<LookUpOutcome>,
    /// What the charge told.
    pub charge: Option<ChargeOutcome>,
    /// What voiding told.
    pub void: Option<VoidOutcome>,
    /// What the refund told.
    pub refund: Option<RefundOutcome>,
}

/// All that a decision about a payment depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentView {
    /// Whether the operator's finalizer is on it.
    pub has_finalizer: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether its order was paused by a person.
    pub paused: bool,
    /// What the order wants.
    pub desired: PaymentDesired,
    /// What a person found out about a payment that needs review.
    pub resolution: Option<Resolution>,
    /// The frozen total, in the currency's smallest unit.
    pub total: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// The order id that the provider knows it by.
    pub order_id: String,
    /// The status as it stands.
    pub state: PaymentState,
    /// Whether the status is that of the creation: an intent stands there, and nothing was recorded under it yet.
    pub as_created: bool,
    /// Whether the cached order is there and is this payment's; a hint that spares a live read, never a proof.
    pub order_in_cache: bool,
    /// 0 to 1000, the same for this payment at any time: spreads out what would otherwise be due at once.
    pub spread: u16,
    /// What has been learnt so far.
    pub responses: Responses,
}

/// The answer of [`decide`]: a written status is followed by another question, with the responses forgotten but for the
/// order and the way to the provider.
pub type Decision = Next<Command, PaymentState>;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Put the operator's finalizer on the payment.
    AddFinalizer,
    /// Read the order live.
    CheckOrder,
    /// Read provider, secret and token live.
    CheckAccess,
    /// Call the provider, and put what it answers into [`Responses`].
    Call(ProviderCall),
    /// The order is gone, or ended without this payment: see to it that the money goes back.
    WantMoneyBack,
    /// What a person found out has been acted on: take it out of the spec.
    ClearResolution,
    /// The order is gone and all is settled: delete the payment.
    Delete,
    /// Let the payment go.
    RemoveFinalizer,
}

/// A call to the provider, with all that it takes but the customer's token: that is a secret, and stays with whoever
/// makes the call. Amounts are in the currency's smallest unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderCall {
    /// Make a payment at the provider that can be charged later; moves no money. Only while the token is at hand.
    Prepare {
        /// The whole total.
        amount: i64,
    },
    /// Ask the provider what became of the payment.
    LookUp {
        /// The provider's name for it, once known.
        payment_id: Option<ProviderPaymentId>,
    },
    /// Charge, under the key of this attempt. Only while the token is at hand.
    Charge {
        /// The payment that was prepared; `None` where none are.
        payment_id: Option<ProviderPaymentId>,
        /// The whole total.
        amount: i64,
    },
    /// Make it impossible that the prepared payment is ever charged.
    Void {
        /// The payment that was prepared.
        payment_id: ProviderPaymentId,
    },
    /// Refund.
    Refund {
        /// The payment that was captured.
        payment_id: ProviderPaymentId,
        /// What is to go back; positive.
        amount: i64,
    },
}

/// A provider's name for a payment (Toss: `paymentKey`; Stripe: the payment intent's id); never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProviderPaymentId(String);

impl ProviderPaymentId {
    /// `None` for an empty text, which names nothing.
    pub fn new(id: impl Into<String>) -> Option<Self> {
        Some(id.into()).filter(|id| !id.is_empty()).map(Self)
    }

    /// As the provider writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderPaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The payment's decisions.
#[derive(Debug, Clone, Copy)]
pub struct PaymentMachine;

impl StateMachine for PaymentMachine {
    type View = PaymentView;
    type Command = Command;
    type Status = PaymentState;

    fn decide(view: &PaymentView, now: Timestamp) -> Decision {
        next(view, now)
    }

    fn check(view: &PaymentView, next: &Decision) -> Result<(), Violation> {
        check::check(view, next)
    }
}

/// Names the next step for a payment.
pub fn decide(view: &PaymentView, now: Timestamp) -> Decision {
    PaymentMachine::step(view, now)
}

fn next(view: &PaymentView, now: Timestamp) -> Decision {
    let state = &view.state;
    let unknown = state.phase == PaymentPhase::Unknown
        || view.desired == PaymentDesired::Unknown
        || view.resolution == Some(Resolution::Unknown);
    if view.paused || unknown {
        return Decision::Skip;
    }
    if !view.has_finalizer {
        return if view.deleting { Decision::Skip } else { Decision::Act(Command::AddFinalizer) };
    }
    if view.resolution.is_some() && state.phase != PaymentPhase::NeedsReview {
        return Decision::Act(Command::ClearResolution);
    }
    match (view.desired, state.phase) {
        (_, PaymentPhase::Declined | PaymentPhase::Refunded | PaymentPhase::Voided) => over(view),
        (_, PaymentPhase::NeedsReview) => match view.resolution {
            Some(resolution) => Decision::Write(Box::new(review::resolved(view, resolution))),
            None => Decision::Wait(None),
        },
        (PaymentDesired::Captured, PaymentPhase::Captured) => captured(view),
        (PaymentDesired::Captured, PaymentPhase::Pending | PaymentPhase::Deferred) => {
            charge::charge(view, now)
        }
        (_, PaymentPhase::Pending | PaymentPhase::Deferred) => void::withdraw(view),
        (_, PaymentPhase::Voiding) => void::void(view, now),
        (_, PaymentPhase::Captured) => Decision::Write(Box::new(PaymentState {
            phase: PaymentPhase::Refunding,
            reason: String::new(),
            message: String::new(),
            ..state.clone()
        })),
        (_, PaymentPhase::Refunding) => refund::refund(view, now),
        (_, PaymentPhase::Unknown) => Decision::Skip,
    }
}

/// No money is on its way: the payment goes when it is told to, or when its order is gone.
fn over(view: &PaymentView) -> Decision {
    if view.deleting {
        return match view.responses.order {
            None => Decision::Act(Command::CheckOrder),
            Some(OrderStanding::Completed | OrderStanding::Undone | OrderStanding::Gone { .. }) => {
                Decision::Act(Command::RemoveFinalizer)
            }
            Some(OrderStanding::Wants | OrderStanding::Undoing) => Decision::Wait(None),
        };
    }
    if view.order_in_cache {
        return Decision::Wait(None);
    }
    match view.responses.order {
        None => Decision::Act(Command::CheckOrder),
        Some(OrderStanding::Gone { .. }) => Decision::Act(Command::Delete),
        Some(_) => Decision::Wait(None),
    }
}

/// The money is in. It stays, unless the order vanished before the store began.
fn captured(view: &PaymentView) -> Decision {
    if view.order_in_cache && !view.deleting {
        return Decision::Wait(None);
    }
    match view.responses.order {
        None => Decision::Act(Command::CheckOrder),
        Some(OrderStanding::Gone { store_has_begun: false }) => Decision::Act(Command::WantMoneyBack),
        Some(OrderStanding::Completed | OrderStanding::Gone { .. }) if view.deleting => {
            Decision::Act(Command::RemoveFinalizer)
        }
        Some(OrderStanding::Gone { .. }) => Decision::Act(Command::Delete),
        Some(_) => Decision::Wait(None),
    }
}

/// The way to the provider, or what to do for want of one.
fn session(view: &PaymentView) -> Result<&ProviderSession, Box<Decision>> {
    match &view.responses.access {
        None => Err(Box::new(Decision::Act(Command::CheckAccess))),
        Some(Access::Ready(session)) => Ok(session),
        Some(Access::NotReady { reason, message }) => {
            Err(Box::new(transitions::unresolved(view, reason, message, RetryAfter::Soon)))
        }
    }
}
