//! An order on its way: from its children's stages to its phase.

use super::command::{Command, Decision, Rest};
use super::status::{ConditionKind, OrderState};
use super::steps::{self, Late, Proof, Step};
use super::view::OrderView;
use super::{conditions, deadline};
use crate::machine::{Note, Violation};
use crate::payment::Intent;
use crate::phases::{CancellationVerdict, DeliveryStage, OrderPhase, PaymentPhase, TicketStage};
use crate::quote::Blocker;
use crate::reason::Reason;
use crate::table;
use crate::time::Timestamp;

pub(super) fn decide(view: &OrderView, now: Timestamp) -> Decision {
    if view.payment.is_absent() && view.state.phase == OrderPhase::AwaitingPayment {
        return match &view.quote {
            None => Decision::Act(Command::ResolveReferences),
            Some(Ok(quote)) => {
                // A coupon is counted by what the payment's status records, so that an intent with a coupon is recorded there.
                let session = view.session.as_ref().filter(|_| quote.coupon.is_none());
                let intent = session.and_then(|session| Intent::to_charge(quote.total, session, now));
                Decision::Act(Command::CreatePayment(quote.clone(), intent))
            }
            Some(Err(blocker)) => Decision::Rest(blocked(view, blocker, now)),
        };
    }
    let deferred = view.payment.present().is_some_and(|p| p.phase == PaymentPhase::Deferred);
    if view.token_replaced && deferred {
        return Decision::Act(Command::ReplaceToken);
    }
    let claimed =
        view.delivery.present().is_some_and(|d| d.stage == DeliveryStage::Waiting && d.rider.is_some());
    if claimed && view.related.claim_is_surplus {
        return Decision::Act(Command::RefuseClaim);
    }
    if claimed && step(view).when_late == Late::ReleaseClaim && deadline::has_passed(view, now) {
        return Decision::Act(Command::ReleaseClaim);
    }
    match on_its_way(view, now) {
        Ok(rest) => Decision::Rest(rest),
        Err(violation) => Decision::Halt(violation),
    }
}

/// A namesake's child is still there: it is cleaned up by its own controller, and this order waits.
pub(super) fn wait_for_namesake(view: &OrderView) -> Decision {
    let mut state = view.state.clone();
    let message = "an earlier order of this name is still being cleaned up; this one waits";
    let mut notes = Vec::new();
    if !state.phase.is_terminal() && state.reason != Reason::NamesakeLingers {
        state.set_reason(Reason::NamesakeLingers, message);
        notes.push(Note::warning(Reason::NamesakeLingers, message));
    }
    // Nobody can act on this order before.
    state.deadline = None;
    Decision::Rest(Rest { state, notes, wake_at: None })
}

fn step(view: &OrderView) -> Step {
    steps::step(view.state.phase)
}

/// The phase that the children's stages amount to. Food that arrived stays arrived, also when its delivery is gone.
pub(super) fn target(view: &OrderView, now: Timestamp) -> OrderPhase {
    let arrived = view.state.phase == OrderPhase::Delivered;
    let delivery = view.delivery.present();
    if arrived || delivery.is_some_and(|d| d.stage == DeliveryStage::Delivered) {
        return received(view, now);
    }
    let by_delivery = || delivery.and_then(|d| steps::proved_by_delivery(d.stage, d.rider.is_some()));
    let by_ticket = || view.ticket.present().and_then(|t| steps::proved_by(Proof::Ticket(t.stage)));
    let by_payment = || {
        let wanted = view.payment.present().filter(|p| p.is_captured() || p.phase == PaymentPhase::Deferred);
        wanted.and_then(|p| steps::proved_by(Proof::Payment(p.phase)))
    };
    by_delivery().or_else(by_ticket).or_else(by_payment).map_or(view.state.phase, |step| step.phase)
}

/// The customer confirms, or time does, or there is nobody left to confirm.
fn received(view: &OrderView, now: Timestamp) -> OrderPhase {
    let waited = step(view).when_late == Late::Complete && deadline::has_passed(view, now);
    let complete = view.receipt_confirmed || waited || view.namespace_terminating;
    if complete { OrderPhase::Completed } else { OrderPhase::Delivered }
}

fn on_its_way(view: &OrderView, now: Timestamp) -> Result<Rest, Violation> {
    let mut state = view.state.clone();
    let mut notes = Vec::new();
    let target = target(view, now);
    // A child that is seen as it was does not take the order back.
    if !is_behind(target, state.phase) {
        state.move_to(target, now, view.created_at)?;
    }
    if let Some(payment) = view.payment.present() {
        state.total = Some(payment.total);
        state.discount = payment.discount;
        state.store = view.related.store.clone().or(state.store);
        if payment.is_captured() {
            state.set(ConditionKind::Paid, true, Reason::Captured, "", now);
        } else {
            report_payment(view, &mut state, &mut notes, now);
        }
    }
    if view.cancel_is_open() {
        refuse(view, &mut state, &mut notes);
    }
    if state.phase == OrderPhase::Rejected {
        reject(view, &mut state, &mut notes, now);
    } else if state.phase == OrderPhase::Completed {
        complete(&mut state, now);
    }
    let wake_at = deadline::set(view, &mut state, now);
    Ok(Rest { state, notes, wake_at })
}

/// Whether `target` is a phase that the order has passed through, and that nothing leads back to.
fn is_behind(target: OrderPhase, phase: OrderPhase) -> bool {
    table::path(table::ORDER, phase, target).is_none() && table::path(table::ORDER, target, phase).is_some()
}

/// Why the money is not in yet, said where the customer looks.
fn report_payment(view: &OrderView, state: &mut OrderState, notes: &mut Vec<Note>, now: Timestamp) {
    let Some(payment) = view.payment.present() else { return };
    if state.phase != OrderPhase::AwaitingPayment && state.phase != OrderPhase::PaymentDeferred {
        return;
    }
    if payment.reason.is_empty() {
        // What the payment is doing now is known in a moment: not worth a write of its own.
        state.total = view.state.total;
        state.discount = view.state.discount;
        state.store.clone_from(&view.state.store);
        return;
    }
    if view.state.reason != payment.reason {
        notes.push(Note::warning(&payment.reason, payment.message.clone()));
    }
    state.set_reason(&payment.reason, &payment.message);
    state.set(ConditionKind::Paid, false, &payment.reason, &payment.message, now);
}

fn refuse(view: &OrderView, state: &mut OrderState, notes: &mut Vec<Note>) {
    let rejected = view.ticket.present().is_some_and(|t| t.stage == TicketStage::Rejected);
    if rejected {
        state.cancellation = Some(CancellationVerdict::Accepted);
        return;
    }
    state.cancellation = Some(CancellationVerdict::Refused);
    let message = "cooking has started: the order can no longer be cancelled and goes on";
    state.set_reason(Reason::CancelRefused, message);
    notes.push(Note::warning(Reason::CancelRefused, message));
}

fn reject(view: &OrderView, state: &mut OrderState, notes: &mut Vec<Note>, now: Timestamp) {
    let why = view.ticket.present().map(|t| t.reason.clone()).filter(|r| !r.is_empty());
    let message = why.unwrap_or_else(|| "the store gave no reason".into());
    state.set_reason(Reason::RejectedByStore, &message);
    notes.push(Note::warning(Reason::RejectedByStore, message));
    conditions::close(state, view, false, now);
}

fn complete(state: &mut OrderState, now: Timestamp) {
    state.set(ConditionKind::Completed, true, OrderPhase::Completed.as_str(), "", now);
    state.set(ConditionKind::Settled, true, Reason::MoneyCaptured, "", now);
    state.set(ConditionKind::Ended, true, OrderPhase::Completed.as_str(), "", now);
}

/// Something is missing that may still be applied: say what, and wait for it until the deadline.
fn blocked(view: &OrderView, blocker: &Blocker, now: Timestamp) -> Rest {
    let mut state = view.state.clone();
    let mut notes = Vec::new();
    let known_by = view.created_at + deadline::SLACK;
    if blocker.reason == Reason::CouponPending && now < known_by {
        // A coupon is kept for the order in a moment: not worth a write of its own.
        return Rest { state, notes, wake_at: Some(known_by) };
    }
    state.store = view.related.store.clone().or(state.store);
    // The first price holds: see `admission::admit`.
    state.first_total = state.first_total.or(blocker.total);
    if state.reason != blocker.reason || state.message != blocker.message {
        state.set_reason(blocker.reason, &blocker.message);
        notes.push(Note::warning(blocker.reason, blocker.message.clone()));
    }
    state.set(ConditionKind::Paid, false, blocker.reason, &blocker.message, now);
    let wake_at = deadline::set(view, &mut state, now);
    Rest { state, notes, wake_at }
}
