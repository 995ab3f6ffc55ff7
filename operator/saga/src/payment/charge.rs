//! The order wants its money taken.

use super::inquiry::{self, ChargeInquiry};
use super::transitions::{defer, held_by_circuit, reason_and_message, review, taken, unresolved};
use super::{Command, Decision, OrderStanding, PaymentState, PaymentView, RetryAfter, session};
use crate::phases::PaymentPhase;
use crate::reason::Reason;
use crate::time::Timestamp;

/// The next step towards the money, or the status that follows from what was learnt.
pub(super) fn charge(view: &PaymentView, now: Timestamp) -> Decision {
    let state = &view.state;
    if state.phase == PaymentPhase::Deferred && state.next_attempt_at.is_some_and(|at| now < at) {
        return Decision::Wait(state.next_attempt_at);
    }
    match view.responses.order {
        None => return Decision::Act(Command::CheckOrder),
        Some(OrderStanding::Wants) => {}
        // The payment was made with an intent while the order was being undone: without it, it is voided by a write alone.
        Some(_) if view.as_created && view.responses.intent_is_fresh => {
            return Decision::Write(Box::new(state.clone().without_intent()));
        }
        // The order's controller says what is to become of the money; until then none is taken.
        Some(OrderStanding::Undoing) => return Decision::Wait(None),
        // Made by a replica that had stalled: nobody is going to say anything about it any more.
        Some(OrderStanding::Completed | OrderStanding::Undone | OrderStanding::Gone { .. }) => {
            return Decision::Act(Command::WantMoneyBack);
        }
    }
    if view.total == 0 {
        return Decision::Write(Box::new(free(state)));
    }
    let session = match session(view) {
        Ok(session) => session,
        Err(decision) => return *decision,
    };
    if let Some(until) = session.open_until {
        return held_by_circuit(view, until, now);
    }
    if let (0, Some(token)) = (state.attempt, &session.no_token) {
        let (reason, why) = token.reason_and_message();
        return unresolved(view, reason, why, RetryAfter::Soon);
    }
    // Who made the payment may be about to charge under its intent, or to take it back: anybody else records it first.
    if view.as_created && !view.responses.intent_is_fresh {
        return Decision::Write(Box::new(state.clone()));
    }
    // With an intent recorded before, its scope stays: asking may find that the keys mean nothing here any more.
    if state.attempt == 0 || state.phase == PaymentPhase::Deferred {
        let begun = state.attempt > 0;
        let scoped = if begun { state.clone() } else { session.scoped(state, now) };
        let (phase, attempt) = (PaymentPhase::Pending, state.attempt.max(1));
        let intent = PaymentState { phase, attempt, next_attempt_at: None, ..quiet(&scoped) };
        return Decision::Write(Box::new(intent));
    }
    if state.provider_uid.is_none() {
        return Decision::Write(Box::new(session.scoped(state, now)));
    }
    let inquiry = if session.prepares {
        inquiry::prepared(view, session, now)
    } else {
        inquiry::direct(view, session, now)
    };
    match inquiry {
        ChargeInquiry::Act(command) => Decision::Act(command),
        ChargeInquiry::Keep(state) => Decision::Write(state),
        ChargeInquiry::Captured(payment) => taken(view, &payment, PaymentPhase::Captured),
        ChargeInquiry::Never(refusal) => Decision::Write(Box::new(PaymentState {
            phase: PaymentPhase::Declined,
            reason: Reason::PaymentDeclined.into(),
            message: reason_and_message(&refusal),
            ..state.clone()
        })),
        ChargeInquiry::Unreachable(why) => {
            defer(view, &format!("the payment provider cannot be reached: {why}"), now)
        }
        ChargeInquiry::Unresolved(reason, why, pace) => unresolved(view, reason, &why, pace),
        ChargeInquiry::Unknowable(reason, why) => review(view, reason, why),
    }
}

/// What costs nothing is captured without a call. It is never put off, as that comes of a call; where a status says that it
/// was, it is pending again first: from there the table leads on.
fn free(state: &PaymentState) -> PaymentState {
    let is_put_off = state.phase == PaymentPhase::Deferred;
    let phase = if is_put_off { PaymentPhase::Pending } else { PaymentPhase::Captured };
    PaymentState { phase, next_attempt_at: None, ..quiet(state) }
}

fn quiet(state: &PaymentState) -> PaymentState {
    PaymentState { reason: String::new(), message: String::new(), ..state.clone() }
}
