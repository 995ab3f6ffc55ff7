//! An order that has ended: its money is settled, and when it is deleted its children go before it.

use super::command::{ChildKind, Command, Decision, Rest};
use super::conditions;
use super::status::{ConditionKind, OrderState};
use super::view::OrderView;
use crate::machine::Note;
use crate::phases::{CancellationVerdict, OrderPhase, PaymentDesired, TicketStage};
use crate::reason::Reason;
use crate::time::{Millis, Timestamp};
use crate::view::{Child, DeletionBlocker, Reversal};

pub(super) fn decide(view: &OrderView, now: Timestamp) -> Decision {
    let completed = view.state.phase == OrderPhase::Completed;
    if let Some(payment) = view.payment.present()
        && !completed
        && payment.desired == PaymentDesired::Captured
        && !payment.phase.is_over()
    {
        let (reason, message) = (view.state.reason.clone(), view.state.message.clone());
        return Decision::Act(Command::ReturnMoney(Reversal { reason, message }));
    }
    if let Some(ticket) = view.ticket.present()
        && !completed
        && matches!(ticket.stage, TicketStage::Pending | TicketStage::Accepted)
    {
        // Made by a replica that had stalled: nothing is to be cooked for an order that was undone.
        let reason = view.state.reason.clone();
        return Decision::Act(Command::EndTicket { stage: TicketStage::Cancelled, reason });
    }
    let settled = completed || view.money_is_back();
    let state = settled_state(view, settled, now);
    if view.deleting && settled {
        return finalize(view, state, now);
    }
    let removal = settled.then(|| removed_at(view, &state)).flatten();
    if removal.is_some_and(|at| now >= at) && state == view.state {
        return Decision::Act(Command::DeleteOrder);
    }
    let mut notes: Vec<Note> = conditions::review_note(view, &state).into_iter().collect();
    if state.cancellation != view.state.cancellation && completed {
        notes.push(Note::warning(
            Reason::CancelRefused,
            "the order is completed: it can no longer be cancelled",
        ));
    }
    Decision::Rest(Rest { state, notes, wake_at: removal.filter(|at| now < *at) })
}

/// When an order that is settled has been kept for long enough.
fn removed_at(view: &OrderView, state: &OrderState) -> Option<Timestamp> {
    let settled = state.condition(ConditionKind::Settled).filter(|c| c.holds)?;
    view.related.time_to_live.map(|kept| settled.since + kept)
}

fn settled_state(view: &OrderView, settled: bool, now: Timestamp) -> OrderState {
    let mut state = view.state.clone();
    if view.cancellation.is_some() && state.cancellation.is_none() {
        let harmless = state.phase == OrderPhase::Completed;
        state.cancellation =
            Some(if harmless { CancellationVerdict::Refused } else { CancellationVerdict::Accepted });
    }
    if state.phase != OrderPhase::Completed {
        conditions::close(&mut state, view, settled, now);
    }
    state
}

/// For so long nothing is said of what keeps an order that is being deleted: mostly it is over in a moment.
const REPORT_BLOCKED_AFTER: Millis = Millis::seconds(30);

/// Children first, the money last, then the order itself; and each only when nothing needs it any more.
fn finalize(view: &OrderView, state: OrderState, now: Timestamp) -> Decision {
    let next = match (&view.delivery, &view.ticket, &view.payment) {
        (Child::Present(delivery), ..) if !delivery.deleting => {
            Some((ChildKind::Delivery, DeletionBlocker::DeliveryCount))
        }
        (_, Child::Present(ticket), _) if !ticket.deleting => {
            Some((ChildKind::Ticket, DeletionBlocker::TicketCount))
        }
        (_, _, Child::Present(payment)) if !payment.deleting => {
            Some((ChildKind::Payment, DeletionBlocker::Coupon))
        }
        _ => None,
    };
    let gone = view.delivery.is_absent() && view.ticket.is_absent() && view.payment.is_absent();
    match next {
        Some((_, blocker)) if view.related.deletion_blockers.contains(&blocker) => {
            blocked(view, state, blocker, now)
        }
        Some((child, _)) => Decision::Act(Command::DeleteChild(child)),
        None if gone && view.related.deletion_blockers.contains(&DeletionBlocker::Messages) => {
            blocked(view, state, DeletionBlocker::Messages, now)
        }
        None if gone => Decision::Act(Command::RemoveFinalizer),
        None => Decision::Rest(Rest { state, notes: Vec::new(), wake_at: None }),
    }
}

/// Something still needs the order: when that takes long, it says what.
fn blocked(view: &OrderView, mut state: OrderState, blocker: DeletionBlocker, now: Timestamp) -> Decision {
    let said_at = view.related.deleting_since.unwrap_or(now) + REPORT_BLOCKED_AFTER;
    let wake_at = (now < said_at).then_some(said_at);
    let mut notes = Vec::new();
    if wake_at.is_none() {
        let (reason, message) = match blocker {
            DeletionBlocker::DeliveryCount => {
                (Reason::NotCountedYet, "the rider's count does not keep it yet")
            }
            DeletionBlocker::TicketCount => (Reason::NotCountedYet, "the store's counts do not keep it yet"),
            DeletionBlocker::Coupon => {
                (Reason::CouponNotSettled, "its coupon has not been told yet that it was used, or given back")
            }
            DeletionBlocker::Messages => {
                (Reason::MessagesOwed, "the customer has not been told everything yet")
            }
        };
        state.set(ConditionKind::Released, false, reason, message, now);
        if !view.state.says(ConditionKind::Released, reason) {
            notes.push(Note::warning(reason, message));
        }
    }
    Decision::Rest(Rest { state, notes, wake_at })
}
