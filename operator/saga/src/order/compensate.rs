//! Undoing an order: why, and in which order the fences go up.
//!
//! The ticket comes first, because the store races for it and the API server decides. Then the delivery, then the
//! money. A missing child is created as a tombstone, so that a late create by a stalled replica meets it.

use super::status::{ConditionKind, Note, OrderState};
use super::{Command, Decision, OrderView, Rest, deadline, forward};
use crate::payment::PROVIDER_UNAVAILABLE;
use crate::phases::{
    CancellationVerdict, DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase, TicketStage,
    WhenUnavailable,
};
use crate::time::Timestamp;
use crate::view::{Child, DeliverySeen, PaymentSeen, Reversal, TicketSeen};

const NEEDS_REVIEW: &str = "PaymentNeedsReview";
const DELIVERY_TIMED_OUT: &str = "DeliveryTimedOut";

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
    fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into(), asked: false, unpaid: false }
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
        let cause =
            Cause::new("NamespaceTerminating", "the namespace is being deleted; all that is open is undone");
        return Some(cause.asked());
    }
    if !view.cancel_is_open() {
        return None;
    }
    let begun = match &view.ticket {
        Child::Present(ticket) => ticket.has_begun(),
        // A ticket that was cooked may be gone; one that has never been made has not begun.
        _ => matches!(
            view.state.phase,
            OrderPhase::Cooking
                | OrderPhase::AwaitingRider
                | OrderPhase::RiderAssigned
                | OrderPhase::PickedUp
                | OrderPhase::Delivered
        ),
    };
    if begun || view.ticket.present().is_some_and(|t| t.stage == TicketStage::Rejected) {
        return None;
    }
    Some(match &view.cancellation {
        Some(why) => Cause::new("CancelledByCustomer", why.clone()).asked(),
        None => Cause::new("OrderDeleted", "the order was deleted before cooking began").asked(),
    })
}

fn of_ticket(view: &OrderView) -> Option<Cause> {
    let lost = matches!(view.state.phase, OrderPhase::Accepted | OrderPhase::Cooking);
    match &view.ticket {
        Child::Present(TicketSeen { stage: TicketStage::Cancelled, reason, .. }) => Some(Cause::new(
            non_empty(reason, "TicketCancelled"),
            "the ticket was taken from the store's queue",
        )),
        Child::Present(TicketSeen { stage: TicketStage::Abandoned, reason, .. }) => {
            Some(Cause::new(non_empty(reason, "CookingTimedOut"), "cooking did not end in time"))
        }
        Child::Absent if lost => Some(Cause::new("TicketLost", "the store's ticket no longer exists")),
        _ => None,
    }
}

fn of_delivery(view: &OrderView) -> Option<Cause> {
    let on_its_way =
        matches!(view.state.phase, OrderPhase::RiderAssigned | OrderPhase::PickedUp | OrderPhase::Delivered);
    match &view.delivery {
        // Failed by the operator, because the deadline had passed.
        Child::Present(DeliverySeen { stage: DeliveryStage::Failed, reason, .. })
            if reason == DELIVERY_TIMED_OUT =>
        {
            Some(Cause::new(DELIVERY_TIMED_OUT, "the food did not arrive in time"))
        }
        Child::Present(DeliverySeen { stage: DeliveryStage::Failed, reason, .. }) => {
            Some(Cause::new("DeliveryFailed", non_empty(reason, "the food did not arrive")))
        }
        Child::Present(DeliverySeen { stage: DeliveryStage::Cancelled, reason, .. }) => {
            Some(Cause::new(non_empty(reason, "DeliveryCancelled"), "no rider brought the food"))
        }
        Child::Absent if on_its_way && view.state.phase != OrderPhase::Delivered => {
            Some(Cause::new("DeliveryLost", "the delivery no longer exists"))
        }
        _ => None,
    }
}

fn of_payment(view: &OrderView) -> Option<Cause> {
    let payment = view.payment.present()?;
    let PaymentSeen { reason, message, .. } = payment;
    if payment.phase == PaymentPhase::Declined {
        return Some(Cause::new(non_empty(reason, "PaymentDeclined"), message.clone()).unpaid());
    }
    if payment.phase == PaymentPhase::Deferred && view.when_unavailable == WhenUnavailable::Fail {
        return Some(Cause::new(PROVIDER_UNAVAILABLE, message.clone()).unpaid());
    }
    let going_back = payment.desired == PaymentDesired::Refunded || payment.phase.is_over();
    going_back.then(|| match &payment.reversal {
        Some(why) if why.reason == PROVIDER_UNAVAILABLE => {
            Cause::new(&why.reason, why.message.clone()).unpaid()
        }
        Some(why) => Cause::new(&why.reason, why.message.clone()),
        None => Cause::new("PaymentReturned", "the payment was given back"),
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
    match state.phase {
        OrderPhase::AwaitingPayment => {
            let why = non_empty(&state.message, "it could not be paid in time").to_owned();
            Some(Cause::new(non_empty(&state.reason, "PaymentTimedOut"), why))
        }
        OrderPhase::PaymentDeferred => {
            Some(Cause::new("PaymentTimedOut", "the payment provider stayed out of reach"))
        }
        OrderPhase::AwaitingStore => {
            Some(Cause::new("StoreDidNotAnswer", "the store did not answer in time"))
        }
        OrderPhase::Accepted => Some(Cause::new("CookingTimedOut", "cooking did not begin in time")),
        OrderPhase::Cooking => Some(Cause::new("CookingTimedOut", "cooking did not end in time")),
        OrderPhase::AwaitingRider => Some(Cause::new("NoRider", "no rider took the delivery in time")),
        OrderPhase::PickedUp => Some(Cause::new(DELIVERY_TIMED_OUT, "the food did not arrive in time")),
        // The claim is released, or the order completes: nothing to undo.
        _ => None,
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
    Decision::Rest(undone(view, cause, now))
}

fn fence_ticket(view: &OrderView, cause: &Cause) -> Option<Command> {
    match &view.ticket {
        Child::Present(ticket) => match ticket.stage {
            TicketStage::Pending | TicketStage::Accepted => {
                Some(Command::EndTicket { stage: TicketStage::Cancelled, reason: cause.reason.clone() })
            }
            TicketStage::Cooking => {
                Some(Command::EndTicket { stage: TicketStage::Abandoned, reason: cause.reason.clone() })
            }
            _ => None,
        },
        // A ticket is made only for captured money. While a payment that is not captured is taken back by
        // compare-and-set, none can have been made; with captured money a stalled replica may be making one.
        Child::Absent
            if !view.namespace_terminating
                && view.payment.present().is_some_and(PaymentSeen::is_captured) =>
        {
            Some(Command::CreateTicketTombstone(cause.reason.clone()))
        }
        _ => None,
    }
}

fn fence_delivery(view: &OrderView, cause: &Cause) -> Option<Command> {
    let reason = cause.reason.clone();
    match &view.delivery {
        Child::Present(delivery) => match delivery.stage {
            DeliveryStage::Waiting if delivery.rider.is_some() => Some(Command::ReleaseClaim),
            DeliveryStage::Waiting => Some(Command::EndDelivery { stage: DeliveryStage::Cancelled, reason }),
            DeliveryStage::PickedUp => Some(Command::EndDelivery { stage: DeliveryStage::Failed, reason }),
            _ => None,
        },
        Child::Absent if !view.namespace_terminating && money_stays(view) => view
            .ticket
            .present()
            .filter(|ticket| ticket.stage == TicketStage::Cooked)
            .map(|_| Command::CreateDeliveryTombstone(reason)),
        _ => None,
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
        _ => None,
    }
}

fn undone(view: &OrderView, cause: &Cause, now: Timestamp) -> Rest {
    let mut state = view.state.clone();
    let mut notes = Vec::new();
    let first = state.phase != OrderPhase::Cancelling;
    let back = view.money_is_back();
    let end = match (cause.unpaid, back) {
        (true, _) => OrderPhase::PaymentFailed,
        (false, true) => OrderPhase::Cancelled,
        (false, false) => OrderPhase::Cancelling,
    };
    state.move_to(end, now, view.created_at);
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
    close(&mut state, view, back, now);
    notes.extend(review_note(view, &state));
    Rest { state, notes, wake_at: None }
}

/// Sets the conditions of an order that has been, or is being, undone.
pub(super) fn close(state: &mut OrderState, view: &OrderView, money_back: bool, now: Timestamp) {
    let (reason, message) = (non_empty(&state.reason, "Undone").to_owned(), state.message.clone());
    if state.phase.is_terminal() {
        state.set(ConditionKind::Ended, true, state.phase.as_str(), "", now);
        state.set(ConditionKind::Completed, false, state.phase.as_str(), "", now);
        if !view.state.holds(ConditionKind::Paid) {
            state.set(ConditionKind::Paid, false, &reason, &message, now);
        }
    }
    let settled = money_back && state.phase.is_terminal();
    let review = view.payment.present().filter(|p| p.phase == PaymentPhase::NeedsReview);
    let (why, detail) = match review {
        Some(payment) => (NEEDS_REVIEW, payment.message.as_str()),
        None if settled => ("MoneyReturned", ""),
        None => ("MoneyOnItsWay", ""),
    };
    state.set(ConditionKind::Settled, settled, why, detail, now);
}

/// A warning, once, when the money waits for a person.
pub(super) fn review_note(view: &OrderView, state: &OrderState) -> Option<Note> {
    let reviewing = |s: &OrderState| s.says(ConditionKind::Settled, NEEDS_REVIEW);
    let payment = view.payment.present()?;
    (reviewing(state) && !reviewing(&view.state))
        .then(|| Note::warning(NEEDS_REVIEW, payment.message.clone()))
}

fn non_empty<'a>(word: &'a str, otherwise: &'a str) -> &'a str {
    if word.is_empty() { otherwise } else { word }
}
