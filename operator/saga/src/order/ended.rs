//! An order that has ended: its money is settled, and when it is deleted its children go before it.

use super::state::{Note, OrderState};
use super::{ChildKind, Command, Decision, OrderView, Rest, undo};
use crate::time::Timestamp;
use crate::view::{Child, Reversal};
use crate::words::{CancellationVerdict, OrderPhase, PaymentDesired, TicketStage};

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
        return leave(view, &state);
    }
    let mut notes: Vec<Note> = undo::review_note(view, &state).into_iter().collect();
    if state.cancellation != view.state.cancellation && completed {
        notes.push(Note::warning("CancelRefused", "the order is completed: it can no longer be cancelled"));
    }
    Decision::Rest(Rest { state, notes, wake_at: None })
}

fn settled_state(view: &OrderView, settled: bool, now: Timestamp) -> OrderState {
    let mut state = view.state.clone();
    if view.cancellation.is_some() && state.cancellation.is_none() {
        let harmless = state.phase == OrderPhase::Completed;
        state.cancellation =
            Some(if harmless { CancellationVerdict::Refused } else { CancellationVerdict::Accepted });
    }
    if state.phase != OrderPhase::Completed {
        undo::close(&mut state, view, settled, now);
    }
    state
}

/// Children first, the money last, then the order itself.
fn leave(view: &OrderView, state: &OrderState) -> Decision {
    let deleting = |kind| Decision::Act(Command::DeleteChild(kind));
    let waiting = || Decision::Rest(Rest { state: state.clone(), notes: Vec::new(), wake_at: None });
    match (&view.delivery, &view.ticket, &view.payment) {
        (Child::Present(delivery), ..) if !delivery.deleting => deleting(ChildKind::Delivery),
        (_, Child::Present(ticket), _) if !ticket.deleting => deleting(ChildKind::Ticket),
        (_, _, Child::Present(payment)) if !payment.deleting => deleting(ChildKind::Payment),
        (Child::Absent, Child::Absent, Child::Absent) => Decision::Act(Command::RemoveFinalizer),
        _ => waiting(),
    }
}
