//! The order wants its money taken.

use super::ask::{self, Asked};
use super::outcome::{defer, held_by_circuit, review, said, taken, unresolved};
use super::{Command, Decision, OrderStanding, Pace, PaymentState, PaymentView, way};
use crate::time::Timestamp;
use crate::words::PaymentPhase;

/// The next step towards the money, or the status that follows from what was learnt.
pub(super) fn charge(view: &PaymentView, now: Timestamp) -> Decision {
    let state = &view.state;
    if state.phase == PaymentPhase::Deferred && state.next_attempt_at.is_some_and(|at| now < at) {
        return Decision::Wait(state.next_attempt_at);
    }
    match view.answers.order {
        None => return Decision::Act(Command::CheckOrder),
        Some(OrderStanding::Wants) => {}
        // The order's controller says what is to become of the money; until then none is taken.
        Some(OrderStanding::Undoing) => return Decision::Wait(None),
        // Made by a replica that had stalled: nobody is going to say anything about it any more.
        Some(OrderStanding::Completed | OrderStanding::Undone | OrderStanding::Gone { .. }) => {
            return Decision::Act(Command::WantMoneyBack);
        }
    }
    if view.total == 0 {
        let captured = PaymentState { phase: PaymentPhase::Captured, ..quiet(state) };
        return Decision::Write(Box::new(captured));
    }
    let way = match way(view) {
        Ok(way) => way,
        Err(decision) => return decision,
    };
    if let Some(until) = way.open_until {
        return held_by_circuit(view, until, now);
    }
    if let (0, Some(token)) = (state.attempt, &way.no_token) {
        let (reason, why) = token.said();
        return unresolved(view, reason, why, Pace::Soon);
    }
    // With an intent recorded before, its scope stays: asking may find that the keys mean nothing here any more.
    if state.attempt == 0 || state.phase == PaymentPhase::Deferred {
        let begun = state.attempt > 0;
        let scoped = if begun { state.clone() } else { way.scoped(state, now) };
        let (phase, attempt) = (PaymentPhase::Pending, state.attempt.max(1));
        let intent = PaymentState { phase, attempt, next_attempt_at: None, ..quiet(&scoped) };
        return Decision::Write(Box::new(intent));
    }
    if state.provider_uid.is_none() {
        return Decision::Write(Box::new(way.scoped(state, now)));
    }
    let asked = if way.prepares { ask::prepared(view, way, now) } else { ask::direct(view, way, now) };
    match asked {
        Asked::Act(command) => Decision::Act(command),
        Asked::Keep(state) => Decision::Write(state),
        Asked::Captured(payment) => taken(view, &payment, PaymentPhase::Captured),
        Asked::Never(refusal) => Decision::Write(Box::new(PaymentState {
            phase: PaymentPhase::Declined,
            reason: "PaymentDeclined".into(),
            message: said(&refusal),
            ..state.clone()
        })),
        Asked::Unreachable(why) => {
            defer(view, &format!("the payment provider cannot be reached: {why}"), now)
        }
        Asked::Unresolved(reason, why, pace) => unresolved(view, reason, &why, pace),
        Asked::Unknowable(reason, why) => review(view, reason, why),
    }
}

fn quiet(state: &PaymentState) -> PaymentState {
    PaymentState { reason: String::new(), message: String::new(), ..state.clone() }
}
