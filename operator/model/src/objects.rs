//! The objects of one order as the model keeps them: all that a decision depends on, and nothing that would make the
//! states endless. Times are epochs; sentences are left out; reasons are kept, because decisions compare them.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use fooddelivery_saga::phases::{
    CancellationVerdict, DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase, TicketStage,
};

/// A reason of `saga`, interned.
pub type Label = &'static str;

/// Interns a reason, so that objects that carry it are `Copy`.
pub fn intern(word: &str) -> Label {
    static WORDS: Mutex<BTreeSet<Label>> = Mutex::new(BTreeSet::new());
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = words.get(word) {
        return known;
    }
    let kept: Label = Box::leak(word.to_owned().into_boxed_str());
    words.insert(kept);
    kept
}

/// The order: what the customer asked for, and its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Order {
    /// `spec.cancellation` is set.
    pub cancel: bool,
    /// `spec.receiptConfirmed`.
    pub confirmed: bool,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `status.phase`.
    pub phase: OrderPhase,
    /// `status.reason`.
    pub reason: Label,
    /// `status.cancellation`.
    pub verdict: Option<CancellationVerdict>,
    /// Whether `status.total` is set.
    pub priced: bool,
    /// The epoch in which the phase was entered.
    pub entered: u8,
    /// The epoch in which `status.deadline` began to run, when it stands there: it has passed in every later one.
    pub deadline: Option<u8>,
    /// The conditions.
    pub conditions: Conditions,
}

/// The order's conditions, `None` where there is none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Conditions {
    /// `Paid`.
    pub paid: Option<bool>,
    /// `Settled`.
    pub settled: Option<bool>,
    /// The reason of `Settled`.
    pub settled_why: Label,
    /// `Completed`.
    pub completed: Option<bool>,
    /// `Ended`.
    pub ended: Option<bool>,
}

impl Order {
    /// Whether the status is the same; what the customer asked for may differ.
    pub fn has_status_of(&self, other: &Self) -> bool {
        let Self { cancel, confirmed, deleting, .. } = *other;
        Self { cancel, confirmed, deleting, ..*self } == *other
    }

    /// As the customer applied it.
    pub fn new() -> Self {
        Self {
            cancel: false,
            confirmed: false,
            deleting: false,
            phase: OrderPhase::AwaitingPayment,
            reason: "",
            verdict: None,
            priced: false,
            entered: 0,
            deadline: None,
            conditions: Conditions::default(),
        }
    }

    /// Whether somebody wants it undone and has had no verdict.
    pub fn cancel_wanted(&self) -> bool {
        (self.cancel || self.deleting) && self.verdict.is_none()
    }
}

impl Default for Order {
    fn default() -> Self {
        Self::new()
    }
}

/// The payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Payment {
    /// 1 for the first that was created under the order's name, and so on.
    pub uid: u8,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Born to be never charged: its total is zero.
    pub tombstone: bool,
    /// `spec.desired`.
    pub desired: PaymentDesired,
    /// `spec.reversal.reason`.
    pub reversal: Option<Label>,
    /// `status.phase`.
    pub phase: PaymentPhase,
    /// `status.reason`.
    pub reason: Label,
    /// `status.attempt`; 1 where an intent was recorded with the creation.
    pub attempt: u8,
    /// Whether it was created with an intent, and its status was not written yet.
    pub as_created: bool,
    /// Whether it was put off before.
    pub deferred: bool,
    /// Whether the provider's name for it is known.
    pub known: bool,
    /// Whether `status.capturedAmount` is the total.
    pub captured: bool,
    /// Whether `status.refundedAmount` is the total.
    pub refunded: bool,
}

impl Payment {
    /// A payment as it is created, with the intent to charge or without.
    pub fn new(uid: u8, reversal: Option<Label>, intent: bool) -> Self {
        let tombstone = reversal.is_some();
        Self {
            uid,
            deleting: false,
            tombstone,
            desired: if tombstone { PaymentDesired::Refunded } else { PaymentDesired::Captured },
            reversal,
            phase: PaymentPhase::Pending,
            reason: "",
            attempt: u8::from(intent),
            as_created: intent,
            deferred: false,
            known: false,
            captured: false,
            refunded: false,
        }
    }
}

/// The ticket. It has no finalizer: deleted is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// 1 for the first that was created under the order's name, and so on.
    pub uid: u8,
    /// `spec.stage`.
    pub stage: TicketStage,
    /// `spec.reason`.
    pub reason: Label,
    /// The epoch in which it was created.
    pub created: u8,
}

/// The delivery. It has no finalizer: deleted is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// 1 for the first that was created under the order's name, and so on.
    pub uid: u8,
    /// `spec.stage`.
    pub stage: DeliveryStage,
    /// `spec.reason`.
    pub reason: Label,
    /// Whether a rider has taken it.
    pub claimed: bool,
}
