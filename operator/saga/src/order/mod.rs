//! What is to be done for an order: [`decide`] looks at a snapshot and names one next step.
//!
//! The order's controller carries a command out, looks again and asks again, until the answer is [`Decision::Rest`];
//! only then the status is written, once, as a compare-and-set. So the status never runs ahead of the facts, and a
//! crash at any point leaves something from which the same decision follows.

pub mod admission;
mod check;
mod compensate;
mod conditions;
mod deadline;
mod finished;
mod forward;
mod status;
pub mod steps;

pub use compensate::Cause;
pub use deadline::SLACK;
pub use status::{Condition, ConditionKind, HISTORY_LIMIT, OrderState, PhaseEntry};

pub use crate::machine::Note;

use crate::machine::{self, Next, StateMachine, Violation};
use crate::phases::{
    CancellationVerdict, DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase, TicketStage,
    WhenUnavailable,
};
use crate::quote::{Blocker, Quote};
use crate::reason::Reason;
use crate::time::{Deadlines, Timestamp};
use crate::view::{
    Child, ControllerAvailability, DeliverySeen, PaymentSeen, RelatedState, Reversal, TicketSeen,
};

/// All that a decision about an order depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderView {
    /// When the order was created.
    pub created_at: Timestamp,
    /// Whether the operator's finalizer is on it.
    pub has_finalizer: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether its namespace is being deleted: nothing can be created there any more.
    pub namespace_terminating: bool,
    /// Whether a person stopped it where it is.
    pub paused: bool,
    /// The customer's reason, when `spec.cancellation` is set.
    pub cancellation: Option<String>,
    /// `spec.receiptConfirmed`.
    pub receipt_confirmed: bool,
    /// What to do when the provider is out of reach.
    pub when_unavailable: WhenUnavailable,
    /// Whether the customer has put another token in than its payment carries.
    pub token_replaced: bool,
    /// The status as it stands.
    pub state: OrderState,
    /// Its payment.
    pub payment: Child<PaymentSeen>,
    /// Its ticket.
    pub ticket: Child<TicketSeen>,
    /// Its delivery.
    pub delivery: Child<DeliverySeen>,
    /// What came of resolving its references; `None` until [`Command::ResolveReferences`] was carried out.
    pub quote: Option<Result<Quote, Blocker>>,
    /// Whether its store takes part now: `false` while it is closed, so that nobody could act.
    pub store_open: bool,
    /// Whether its store has the operator accept its tickets, so that nobody else is waited for.
    pub accepts_by_itself: bool,
    /// How long each phase may wait.
    pub deadlines: Deadlines,
    /// Since when the operator's controllers have been at work in the order's namespace, in whichever process.
    pub availability: ControllerAvailability,
    /// Since when this process has been watching.
    pub watching_since: Timestamp,
    /// What the rest of the marketplace has to do with it.
    pub related: RelatedState,
}

/// The answer of [`decide`].
pub type Decision = Next<Command, OrderState>;

/// What remains when there is nothing to do: the status, written only when it differs.
pub type Rest = machine::Rest<OrderState>;

/// The order's decisions.
#[derive(Debug, Clone, Copy)]
pub struct OrderMachine;

impl StateMachine for OrderMachine {
    type View = OrderView;
    type Command = Command;
    type Status = OrderState;

    fn decide(view: &OrderView, now: Timestamp) -> Decision {
        next(view, now)
    }

    fn check(view: &OrderView, next: &Decision) -> Result<(), Violation> {
        check::check(view, next)
    }
}

/// One step on the order or its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Put the operator's finalizer on the order; before anything else.
    AddFinalizer,
    /// Read store, menu and provider live, and price the order.
    ResolveReferences,
    /// Create the payment, which is the recorded intent to charge.
    CreatePayment(Quote),
    /// Create the payment as a tombstone: it can never be charged, and no late create can get past it.
    CreatePaymentTombstone(Reversal),
    /// Hand the customer's new token to a payment that is deferred.
    ReplaceToken,
    /// Ask for the money back, or that it never be taken.
    ReturnMoney(Reversal),
    /// Create the ticket as a tombstone, born Cancelled.
    CreateTicketTombstone(String),
    /// Move the ticket to an operator-only stage; the API server arbitrates against the store.
    EndTicket {
        /// `Cancelled` or `Abandoned`.
        stage: TicketStage,
        /// Why, for the store to read.
        reason: String,
    },
    /// Create the delivery as a tombstone, born Cancelled.
    CreateDeliveryTombstone(String),
    /// Move the delivery to `Cancelled` or `Failed`.
    EndDelivery {
        /// `Cancelled` (unclaimed) or `Failed` (picked up, never delivered).
        stage: DeliveryStage,
        /// Why, for the rider to read.
        reason: String,
    },
    /// Take the claim from a rider who did not pick up.
    ReleaseClaim,
    /// Take the claim from a rider who carries as many as they can.
    RefuseClaim,
    /// Delete the order: it has been settled for as long as it is to be kept.
    DeleteOrder,
    /// Delete a child; the order has ended and its money is where it belongs.
    DeleteChild(ChildKind),
    /// Let the order go; only when no child is left (checked live).
    RemoveFinalizer,
}

/// The kinds of children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildKind {
    /// The delivery.
    Delivery,
    /// The ticket.
    Ticket,
    /// The payment.
    Payment,
}

/// Names the next step for an order, or what its status should be when there is none.
pub fn decide(view: &OrderView, now: Timestamp) -> Decision {
    OrderMachine::step(view, now)
}

fn next(view: &OrderView, now: Timestamp) -> Decision {
    if view.speaks_of_another_version() {
        return Decision::Skip;
    }
    if view.paused {
        return paused(view);
    }
    if view.state.reason == Reason::Paused {
        // What held it up before is found out anew.
        let mut resumed = view.clone();
        resumed.state.set_reason("", "");
        return next(&resumed, now);
    }
    if !view.has_finalizer {
        return if view.deleting { Decision::Skip } else { Decision::Act(Command::AddFinalizer) };
    }
    if view.has_foreign_child() {
        return forward::wait_for_namesake(view);
    }
    if view.state.phase.is_terminal() {
        return finished::decide(view, now);
    }
    match compensate::cause(view, now) {
        Some(cause) => compensate::decide(view, &cause, now),
        None => forward::decide(view, now),
    }
}

/// A person stopped it where it is: it says so, and its deadline does not run. Nothing else is done.
fn paused(view: &OrderView) -> Decision {
    let phase = view.state.phase;
    // While it is undone, the reason in status is why: it is not to be lost.
    if !view.has_finalizer || phase.is_terminal() || phase == OrderPhase::Cancelling {
        return Decision::Skip;
    }
    let mut state = view.state.clone();
    state.set_reason(
        Reason::Paused,
        "a person stopped the order where it is; its deadline begins anew when it goes on",
    );
    state.deadline = None;
    Decision::Rest(Rest { state, notes: Vec::new(), wake_at: None })
}

impl OrderView {
    fn speaks_of_another_version(&self) -> bool {
        let payment = self.payment.present();
        matches!(self.payment, Child::Unreadable)
            || matches!(self.ticket, Child::Unreadable)
            || matches!(self.delivery, Child::Unreadable)
            || self.state.phase == OrderPhase::Unknown
            || self.when_unavailable == WhenUnavailable::Unknown
            || self.state.cancellation == Some(CancellationVerdict::Unknown)
            || payment
                .is_some_and(|p| p.phase == PaymentPhase::Unknown || p.desired == PaymentDesired::Unknown)
            || self.ticket.present().is_some_and(|t| t.stage == TicketStage::Unknown)
            || self.delivery.present().is_some_and(|d| d.stage == DeliveryStage::Unknown)
    }

    fn has_foreign_child(&self) -> bool {
        matches!(self.payment, Child::Foreign)
            || matches!(self.ticket, Child::Foreign)
            || matches!(self.delivery, Child::Foreign)
    }

    /// Whether somebody wants the order undone and has had no answer yet.
    fn cancel_is_open(&self) -> bool {
        (self.cancellation.is_some() || self.deleting) && self.state.cancellation.is_none()
    }

    /// Whether the money is where it belongs, given that the order is being undone.
    fn money_is_back(&self) -> bool {
        match &self.payment {
            Child::Absent => true,
            Child::Present(payment) => payment.phase.is_over(),
            Child::Foreign | Child::Unreadable => false,
        }
    }
}
