//! What is to be done for a payment. Money moves exactly once because of four rules that all stand here:
//!
//! 1. The intent is recorded (a compare-and-set that raises `attempt` from 0) before the first call.
//! 2. The idempotency key follows from the payment's uid, the operation and the attempt, and from nothing else.
//! 3. An unknown outcome is resolved by asking: a look-up, then the same call with the same key.
//! 4. A payment that may have a charge on its way is voided only by the provider's own word: the charge is repeated
//!    under its key, and what it captures is refunded.
//!
//! Protocol facts: see the provider's documentation as summed up in ARCHITECTURE.md.

mod settle;

pub use settle::Pace;

use crate::provider::{ChargeOutcome, LookUpOutcome, RefundOutcome};
use crate::time::Timestamp;
use crate::words::{PaymentDesired, PaymentPhase};

/// The reason of a payment that was put off because the provider is out of reach.
pub const PROVIDER_UNAVAILABLE: &str = "ProviderUnavailable";

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
    /// When the first intent was recorded.
    pub first_attempt_at: Option<Timestamp>,
    /// How often the provider was out of reach since the last answer.
    pub deferrals: i64,
    /// When a deferred payment is tried again.
    pub next_attempt_at: Option<Timestamp>,
    /// The provider's name for the payment.
    pub payment_id: Option<String>,
    /// The uid of the provider object that the intent was recorded against.
    pub provider_uid: Option<String>,
    /// Fingerprint of the credential that the intent was recorded with.
    pub credential: Option<String>,
    /// What was captured, in the currency's smallest unit.
    pub captured: i64,
    /// What was given back, same unit; never more than `captured`.
    pub refunded: i64,
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
        }
    }
}

/// The order behind a payment, read live before money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStanding {
    /// It is there and wants to be paid.
    Wants,
    /// It is there, but is being undone, or wants a cancel: nothing is charged any more.
    Undoing,
    /// It has ended.
    Ended,
    /// There is no such order.
    Gone {
        /// Whether its ticket shows that the store has cooked: then the money is the store's.
        store_has_begun: bool,
    },
}

/// Whether the provider can be called at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// It can; these are the names of what it is called with.
    Ready {
        /// Uid of the provider object.
        provider_uid: String,
        /// Fingerprint of its credential.
        credential: String,
    },
    /// It cannot: something is missing or wrong.
    Barred {
        /// One word, such as `ProviderNotFound`.
        reason: String,
        /// A sentence.
        message: String,
    },
}

/// What has been learnt in this reconcile; forgotten after it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answers {
    /// The order, read live.
    pub order: Option<OrderStanding>,
    /// The provider, its secret and the token, read live.
    pub access: Option<Access>,
    /// How often in a row the provider has been asked in vain; the first few times are not worth a write.
    pub asked_in_vain: u32,
    /// The intent was recorded by this very reconcile, so no earlier call can have been made under it.
    pub intent_is_fresh: bool,
    /// What the look-up told.
    pub look_up: Option<LookUpOutcome>,
    /// What the charge told.
    pub charge: Option<ChargeOutcome>,
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
    /// The frozen total, in the currency's smallest unit.
    pub total: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// The order id that the provider knows it by.
    pub order_id: String,
    /// The status as it stands.
    pub state: PaymentState,
    /// Whether the cached order is there and is this payment's; a hint that spares a live read, never a proof.
    pub order_in_cache: bool,
    /// What has been learnt so far.
    pub answers: Answers,
}

/// The answer of [`decide`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing may be done.
    HandsOff,
    /// Do this, put what was learnt into [`Answers`], and ask again.
    Act(Command),
    /// Write this status (compare-and-set), then ask again with the answers forgotten but for the order.
    Write(Box<PaymentState>),
    /// Nothing to do until then, or until something changes.
    Wait(Option<Timestamp>),
    /// The provider has not told what became of the money: ask again, with back-off.
    AskAgain(Pace),
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Put the operator's finalizer on the payment.
    AddFinalizer,
    /// Read the order live.
    CheckOrder,
    /// Read provider, secret and token live.
    CheckAccess,
    /// Ask the provider what became of the payment.
    LookUp,
    /// Charge, under the key of this attempt.
    Charge,
    /// Refund this amount, in the currency's smallest unit.
    Refund(i64),
    /// The order is gone, or ended without this payment: see to it that the money goes back.
    WantMoneyBack,
    /// The order is gone and all is settled: delete the payment.
    Delete,
    /// Let the payment go.
    RemoveFinalizer,
}

/// Names the next step for a payment.
pub fn decide(view: &PaymentView, now: Timestamp) -> Decision {
    let state = &view.state;
    if view.paused || state.phase == PaymentPhase::Unknown || view.desired == PaymentDesired::Unknown {
        return Decision::HandsOff;
    }
    if !view.has_finalizer {
        return if view.deleting { Decision::HandsOff } else { Decision::Act(Command::AddFinalizer) };
    }
    match (view.desired, state.phase) {
        (_, PaymentPhase::Declined | PaymentPhase::Refunded | PaymentPhase::Voided) => over(view),
        (_, PaymentPhase::NeedsReview) => Decision::Wait(None),
        (PaymentDesired::Captured, PaymentPhase::Captured) => captured(view),
        (PaymentDesired::Captured, PaymentPhase::Pending | PaymentPhase::Deferred) => {
            settle::charge(view, now)
        }
        (_, PaymentPhase::Pending | PaymentPhase::Deferred) => Decision::Write(Box::new(withdraw(state))),
        (_, PaymentPhase::Voiding) => settle::void(view),
        (_, PaymentPhase::Captured) => Decision::Write(Box::new(PaymentState {
            phase: PaymentPhase::Refunding,
            reason: String::new(),
            message: String::new(),
            ..state.clone()
        })),
        (_, PaymentPhase::Refunding) => settle::refund(view),
        (_, PaymentPhase::Unknown) => Decision::HandsOff,
    }
}

/// Without a recorded intent nothing can have been sent, and the compare-and-set sees to it that nothing will be.
fn withdraw(state: &PaymentState) -> PaymentState {
    let phase = if state.attempt == 0 { PaymentPhase::Voided } else { PaymentPhase::Voiding };
    PaymentState { phase, next_attempt_at: None, ..state.clone() }
}

/// No money is on its way: the payment goes when it is told to, or when its order is gone.
fn over(view: &PaymentView) -> Decision {
    if view.deleting {
        return match view.answers.order {
            None => Decision::Act(Command::CheckOrder),
            Some(OrderStanding::Ended | OrderStanding::Gone { .. }) => {
                Decision::Act(Command::RemoveFinalizer)
            }
            Some(OrderStanding::Wants | OrderStanding::Undoing) => Decision::Wait(None),
        };
    }
    if view.order_in_cache {
        return Decision::Wait(None);
    }
    match view.answers.order {
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
    match view.answers.order {
        None => Decision::Act(Command::CheckOrder),
        Some(OrderStanding::Gone { store_has_begun: false }) => Decision::Act(Command::WantMoneyBack),
        Some(OrderStanding::Ended | OrderStanding::Gone { .. }) if view.deleting => {
            Decision::Act(Command::RemoveFinalizer)
        }
        Some(OrderStanding::Gone { .. }) => Decision::Act(Command::Delete),
        Some(_) => Decision::Wait(None),
    }
}
