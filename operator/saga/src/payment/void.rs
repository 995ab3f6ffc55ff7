//! The order wants no money, and a charge may be on its way: only the provider's word makes it impossible.

use super::ask::{self, Asked};
use super::outcome::{OUTCOME_UNKNOWN, review, said, taken, unresolved, wait_for_circuit};
use super::{Command, Decision, Pace, PaymentState, PaymentView, Way, way};
use crate::provider::{LookUpOutcome, Refusal};
use crate::time::Timestamp;
use crate::words::PaymentPhase;

/// The next step towards a payment that can never take money, or to its refund.
pub(super) fn void(view: &PaymentView, now: Timestamp) -> Decision {
    let way = match way(view) {
        Ok(way) => way,
        Err(decision) => return decision,
    };
    if way.prepares && view.state.payment_id.is_none() {
        let message = "no payment had been prepared that could be charged".to_owned();
        return voided(view, message);
    }
    if let Some(until) = way.open_until {
        return wait_for_circuit(view, until);
    }
    if view.state.provider_uid.is_none() {
        return Decision::Write(Box::new(way.scoped(&view.state, now)));
    }
    match if way.prepares { cancelled(view, way, now) } else { ask::direct(view, way, now) } {
        Asked::Act(command) => Decision::Act(command),
        Asked::Keep(state) => Decision::Write(state),
        Asked::Captured(payment) => taken(view, &payment, PaymentPhase::Refunding),
        Asked::Never(refusal) => voided(view, said(&refusal)),
        Asked::Unreachable(why) => unresolved(view, OUTCOME_UNKNOWN, &why, Pace::Soon),
        Asked::Unresolved(reason, why, pace) => unresolved(view, reason, &why, pace),
        Asked::Unknowable(reason, why) => review(view, reason, why),
    }
}

/// A prepared payment is cancelled at the provider; its charge is never repeated.
fn cancelled(view: &PaymentView, way: &Way, now: Timestamp) -> Asked {
    match &view.answers.look_up {
        None => return Asked::Act(Command::LookUp),
        Some(LookUpOutcome::Found(payment)) => match ask::found(payment) {
            Some(asked) => return asked,
            None if !way.is_scope_of(&view.state, now) => {
                return Asked::Keep(Box::new(way.scoped(&view.state, now)));
            }
            None => {}
        },
        Some(LookUpOutcome::NotFound) => return ask::PAYMENT_LOST,
        Some(LookUpOutcome::Trouble(trouble)) => return trouble.into(),
    }
    ask::when_voided(view.answers.void.as_ref(), || {
        Asked::Never(Refusal { code: "CANCELED".into(), message: "it was voided at the provider".into() })
    })
}

fn voided(view: &PaymentView, message: String) -> Decision {
    let phase = PaymentPhase::Voided;
    Decision::Write(Box::new(PaymentState { phase, reason: String::new(), message, ..view.state.clone() }))
}
