//! Undoing an order: why, and in which order the fences go up.
//!
//! The ticket comes first, because the store races for it and the API server decides. Then the delivery, then the
//! money. A missing child is created as a tombstone, so that a late create by a stalled replica meets it.

use super::command::{ChildKind, Command, Decision, Rest};
use super::status::ConditionKind;
use super::steps::{self, Cancel, Fence, Late, Proof};
use super::view::OrderView;
use super::{conditions, deadline, forward};
use crate::machine::{Note, Violation};
use crate::phases::{
    CancellationVerdict, DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase, TicketStage,
    WhenUnavailable,
};
use crate::reason::Reason;
use crate::time::Timestamp;
use crate::view::{Child, DeliverySeen, PaymentSeen, Reversal, TicketSeen};

/// Why an order has to be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// Whether somebody asked for it, so that a verdict is due.
    pub asked: bool,
    /// Whether the order ends as `PaymentFailed`, not as `Cancelled`.
    pub unpaid: bool,
}

impl Cause {
    fn new(reason: impl AsRef<str>, message: impl Into<String>) -> Self {
        Self { reason: reason.as_ref().to_owned(), message: message.into(), asked: false, unpaid: false }
    }

    fn asked(self) -> Self {
        Self { asked: true, ..self }
    }

    fn unpaid(self) -> Self {
        Self { unpaid: true, ..self }
    }
}

/// Why the order must be undone now, if it must.
pub(super) fn cause(view: &OrderView, now: Timestamp) -> Option<Cause> {
    let state = &view.state;
    if state.phase == OrderPhase::Cancelling {
        return Some(Cause::new(&state.reason, state.message.clone()));
    }
    asked(view)
        .or_else(|| of_ticket(view))
        .or_else(|| of_delivery(view))
        .or_else(|| of_payment(view))
        .or_else(|| of_quote(view))
        .or_else(|| of_deadline(view, now))
}

fn asked(view: &OrderView) -> Option<Cause> {
    // Food that arrived is paid for, also where that is not in the status yet.
    let arrived = view.state.phase == OrderPhase::Delivered
        || view.delivery.present().is_some_and(|d| d.stage == DeliveryStage::Delivered);
    if view.namespace_terminating && !arrived {
        let cause = Cause::new(
            Reason::NamespaceTerminating,
            "the namespace is being deleted; all that is open is undone",
        );
        return Some(cause.asked());
    }
    if !view.cancel_is_open() {
        return None;
    }
    let begun = match &view.ticket {
        Child::Present(ticket) => ticket.has_begun(),
        // A ticket that was cooked may be gone; one that has never been made has not begun.
        Child::Absent | Child::Foreign | Child::Unreadable => {
            steps::step(view.state.phase).cancel == Cancel::Refused
        }
    };
    if begun || view.ticket.present().is_some_and(|t| t.stage == TicketStage::Rejected) {
        return None;
    }
    Some(match &view.cancellation {
        Some(why) => Cause::new(Reason::CancelledByCustomer, why.clone()).asked(),
        None => Cause::new(Reason::OrderDeleted, "the order was deleted before cooking began").asked(),
    })
}

fn of_ticket(view: &OrderView) -> Option<Cause> {
    let lost = steps::has(view.state.phase, ChildKind::Ticket);
    match &view.ticket {
        Child::Present(TicketSeen { stage: TicketStage::Cancelled, reason, .. }) => Some(Cause::new(
            conditions::non_empty(reason, Reason::TicketCancelled.as_str()),
            "the ticket was taken from the store's queue",
        )),
        Child::Present(TicketSeen { stage: TicketStage::Abandoned, reason, .. }) => Some(Cause::new(
            conditions::non_empty(reason, Reason::CookingTimedOut.as_str()),
            "cooking did not end in time",
        )),
        Child::Absent if lost => Some(Cause::new(Reason::TicketLost, "the store's ticket no longer exists")),
        Child::Present(_) | Child::Absent | Child::Foreign | Child::Unreadable => None,
    }
}

fn of_delivery(view: &OrderView) -> Option<Cause> {
    let lost = steps::has(view.state.phase, ChildKind::Delivery);
    match &view.delivery {
        // Failed by the operator, because the deadline had passed.
        Child::Present(DeliverySeen { stage: DeliveryStage::Failed, reason, .. })
            if *reason == Reason::DeliveryTimedOut =>
        {
            Some(Cause::new(Reason::DeliveryTimedOut, "the food did not arrive in time"))
        }
        Child::Present(DeliverySeen { stage: DeliveryStage::Failed, reason, .. }) => {
            Some(Cause::new(Reason::DeliveryFailed, conditions::non_empty(reason, "the food did not arrive")))
        }
        Child::Present(DeliverySeen { stage: DeliveryStage::Cancelled, reason, .. }) => Some(Cause::new(
            conditions::non_empty(reason, Reason::DeliveryCancelled.as_str()),
            "no rider brought the food",
        )),
        Child::Absent if lost => Some(Cause::new(Reason::DeliveryLost, "the delivery no longer exists")),
        Child::Present(_) | Child::Absent | Child::Foreign | Child::Unreadable => None,
    }
}

fn of_payment(view: &OrderView) -> Option<Cause> {
    let payment = view.payment.present()?;
    let PaymentSeen { reason, message, .. } = payment;
    if payment.phase == PaymentPhase::Declined {
        return Some(
            Cause::new(conditions::non_empty(reason, Reason::PaymentDeclined.as_str()), message.clone())
                .unpaid(),
        );
    }
    if payment.phase == PaymentPhase::Deferred && view.when_unavailable == WhenUnavailable::Fail {
        return Some(Cause::new(Reason::ProviderUnavailable, message.clone()).unpaid());
    }
    let going_back = payment.desired == PaymentDesired::Refunded || payment.phase.is_over();
    going_back.then(|| match &payment.reversal {
        Some(why) if why.reason == Reason::ProviderUnavailable => {
            Cause::new(&why.reason, why.message.clone()).unpaid()
        }
        Some(why) => Cause::new(&why.reason, why.message.clone()),
        None => Cause::new(Reason::PaymentReturned, "the payment was given back"),
    })
}

fn of_quote(view: &OrderView) -> Option<Cause> {
    match &view.quote {
        Some(Err(blocker)) if !blocker.retryable && view.payment.is_absent() => {
            Some(Cause::new(blocker.reason, blocker.message.clone()))
        }
        _ => None,
    }
}

fn of_deadline(view: &OrderView, now: Timestamp) -> Option<Cause> {
    // What was done in time counts, also when it is seen late.
    let moved_on = forward::target(view, now) != view.state.phase;
    if moved_on || !deadline::has_passed(view, now) {
        return None;
    }
    let state = &view.state;
    match steps::step(state.phase).when_late {
        // What it was waiting for says more.
        Late::Undo(reason, why) if state.phase == OrderPhase::AwaitingPayment => {
            let why = conditions::non_empty(&state.message, why).to_owned();
            Some(Cause::new(conditions::non_empty(&state.reason, reason.as_str()), why))
        }
        Late::Undo(reason, why) => Some(Cause::new(reason, why)),
        // The claim is released, or the order completes: nothing to undo.
        Late::ReleaseClaim | Late::Complete | Late::Never => None,
    }
}

/// The next fence to put up; when all stand, the status.
pub(super) fn decide(view: &OrderView, cause: &Cause, now: Timestamp) -> Decision {
    if let Some(command) = fence_ticket(view, cause).or_else(|| fence_delivery(view, cause)) {
        return Decision::Act(command);
    }
    if let Some(command) = fence_money(view, cause) {
        return Decision::Act(command);
    }
    match undone(view, cause, now) {
        Ok(rest) => Decision::Rest(rest),
        Err(violation) => Decision::Halt(violation),
    }
}

fn fence_ticket(view: &OrderView, cause: &Cause) -> Option<Command> {
    match &view.ticket {
        Child::Present(ticket) => match steps::proved_by(Proof::Ticket(ticket.stage))?.fence {
            Fence::Ticket(stage) => Some(Command::EndTicket { stage, reason: cause.reason.clone() }),
            Fence::Payment | Fence::Claim | Fence::Delivery(_) | Fence::Nothing => None,
        },
        // A ticket is made only for captured money. While a payment that is not captured is taken back by
        // compare-and-set, none can have been made; with captured money a stalled replica may be making one.
        Child::Absent
            if !view.namespace_terminating
                && view.payment.present().is_some_and(PaymentSeen::is_captured) =>
        {
            Some(Command::CreateTicketTombstone(cause.reason.clone()))
        }
        Child::Absent | Child::Foreign | Child::Unreadable => None,
    }
}

fn fence_delivery(view: &OrderView, cause: &Cause) -> Option<Command> {
    let reason = cause.reason.clone();
    match &view.delivery {
        Child::Present(delivery) => {
            match steps::proved_by_delivery(delivery.stage, delivery.rider.is_some())?.fence {
                Fence::Claim => Some(Command::ReleaseClaim),
                Fence::Delivery(stage) => Some(Command::EndDelivery { stage, reason }),
                Fence::Payment | Fence::Ticket(_) | Fence::Nothing => None,
            }
        }
        Child::Absent if !view.namespace_terminating && money_stays(view) => view
            .ticket
            .present()
            .filter(|ticket| ticket.stage == TicketStage::Cooked)
            .map(|_| Command::CreateDeliveryTombstone(reason)),
        Child::Absent | Child::Foreign | Child::Unreadable => None,
    }
}

fn money_stays(view: &OrderView) -> bool {
    view.payment.present().is_some_and(|p| p.desired == PaymentDesired::Captured)
}

fn fence_money(view: &OrderView, cause: &Cause) -> Option<Command> {
    let why = Reversal { reason: cause.reason.clone(), message: cause.message.clone() };
    match &view.payment {
        Child::Present(payment) => {
            let open = payment.desired == PaymentDesired::Captured && !payment.phase.is_over();
            open.then_some(Command::ReturnMoney(why))
        }
        // Once money was recorded as paid, a payment that is gone is never made anew.
        Child::Absent if !view.namespace_terminating && !view.state.holds(ConditionKind::Paid) => {
            Some(Command::CreatePaymentTombstone(why))
        }
        Child::Absent | Child::Foreign | Child::Unreadable => None,
    }
}

fn undone(view: &OrderView, cause: &Cause, now: Timestamp) -> Result<Rest, Violation> {
    let mut state = view.state.clone();
    let mut notes = Vec::new();
    let first = state.phase != OrderPhase::Cancelling;
    let back = view.money_is_back();
    let end = match (cause.unpaid, back) {
        (true, _) => OrderPhase::PaymentFailed,
        (false, true) => OrderPhase::Cancelled,
        (false, false) => OrderPhase::Cancelling,
    };
    state.move_to(end, now, view.created_at)?;
    state.set_reason(&cause.reason, &cause.message);
    // What stood there before the payment was made is only what the customer preferred then.
    state.store = view.related.store.clone().or(state.store);
    state.discount = state.discount.or(view.payment.present().and_then(|p| p.discount));
    state.total = state.total.or(view.payment.present().map(|p| p.total).filter(|total| *total > 0));
    if view.cancel_is_open() {
        state.cancellation = Some(CancellationVerdict::Accepted);
    }
    if first && !cause.asked {
        notes.push(Note::warning(&cause.reason, cause.message.clone()));
    }
    conditions::close(&mut state, view, back, now);
    notes.extend(conditions::review_note(view, &state));
    Ok(Rest { state, notes, wake_at: None })
}
