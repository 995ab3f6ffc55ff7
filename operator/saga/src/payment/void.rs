//! The order wants no money, and a charge may be on its way: only the provider's word makes it impossible.

use super::inquiry::{self, ChargeInquiry};
use super::transitions::{OUTCOME_UNKNOWN, reason_and_message, review, taken, unresolved, wait_for_circuit};
use super::{Command, Decision, PaymentState, PaymentView, ProviderSession, RetryAfter, session};
use crate::phases::PaymentPhase;
use crate::provider::{LookUpOutcome, Refusal};
use crate::time::Timestamp;

/// The next step towards a payment that can never take money, or to its refund.
pub(super) fn void(view: &PaymentView, now: Timestamp) -> Decision {
    let session = match session(view) {
        Ok(session) => session,
        Err(decision) => return decision,
    };
    if session.prepares && view.state.payment_id.is_none() {
        let message = "no payment had been prepared that could be charged".to_owned();
        return voided(view, message);
    }
    if let Some(until) = session.open_until {
        return wait_for_circuit(view, until);
    }
    if view.state.provider_uid.is_none() {
        return Decision::Write(Box::new(session.scoped(&view.state, now)));
    }
    match if session.prepares { cancelled(view, session, now) } else { inquiry::direct(view, session, now) } {
        ChargeInquiry::Act(command) => Decision::Act(command),
        ChargeInquiry::Keep(state) => Decision::Write(state),
        ChargeInquiry::Captured(payment) => taken(view, &payment, PaymentPhase::Refunding),
        ChargeInquiry::Never(refusal) => voided(view, reason_and_message(&refusal)),
        ChargeInquiry::Unreachable(why) => unresolved(view, OUTCOME_UNKNOWN, &why, RetryAfter::Soon),
        ChargeInquiry::Unresolved(reason, why, pace) => unresolved(view, reason, &why, pace),
        ChargeInquiry::Unknowable(reason, why) => review(view, reason, why),
    }
}

/// A prepared payment is cancelled at the provider; its charge is never repeated.
fn cancelled(view: &PaymentView, session: &ProviderSession, now: Timestamp) -> ChargeInquiry {
    match &view.responses.look_up {
        None => return ChargeInquiry::Act(Command::LookUp),
        Some(LookUpOutcome::Found(payment)) => match inquiry::found(payment) {
            Some(inquiry) => return inquiry,
            None if !session.is_scope_of(&view.state, now) => {
                return ChargeInquiry::Keep(Box::new(session.scoped(&view.state, now)));
            }
            None => {}
        },
        Some(LookUpOutcome::NotFound) => return inquiry::PAYMENT_LOST,
        Some(LookUpOutcome::CallFailure(failure)) => return failure.into(),
    }
    inquiry::when_voided(view.responses.void.as_ref(), || {
        ChargeInquiry::Never(Refusal {
            code: "CANCELED".into(),
            message: "it was voided at the provider".into(),
        })
    })
}

fn voided(view: &PaymentView, message: String) -> Decision {
    let phase = PaymentPhase::Voided;
    Decision::Write(Box::new(PaymentState { phase, reason: String::new(), message, ..view.state.clone() }))
}
