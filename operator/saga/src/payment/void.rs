//! The order wants no money, and a charge may be on its way: only the provider's word makes it impossible.

use super::inquiry::{self, ChargeInquiry};
use super::transitions::{reason_and_message, review, taken, unresolved, wait_for_circuit};
use super::{Decision, PaymentState, PaymentView, ProviderPaymentId, ProviderSession, RetryAfter, session};
use crate::phases::PaymentPhase;
use crate::provider::{LookUpOutcome, Refusal};
use crate::reason::Reason;
use crate::time::Timestamp;

/// The next step towards a payment that can never take money, or to its refund.
pub(super) fn void(view: &PaymentView, now: Timestamp) -> Decision {
    let session = match session(view) {
        Ok(session) => session,
        Err(decision) => return *decision,
    };
    let payment_id = view.state.provider_payment_id();
    if session.prepares && payment_id.is_none() {
        let message = "no payment had been prepared that could be charged".to_owned();
        return voided(view, message);
    }
    if let Some(until) = session.open_until {
        return wait_for_circuit(view, until);
    }
    if view.state.provider_uid.is_none() {
        return Decision::Write(Box::new(session.scoped(&view.state, now)));
    }
    let inquiry = match payment_id.filter(|_| session.prepares) {
        Some(payment_id) => cancelled(view, session, payment_id, now),
        None => inquiry::direct(view, session, now),
    };
    match inquiry {
        ChargeInquiry::Act(command) => Decision::Act(command),
        ChargeInquiry::Keep(state) => Decision::Write(state),
        ChargeInquiry::Captured(payment) => taken(view, &payment, PaymentPhase::Refunding),
        ChargeInquiry::Never(refusal) => voided(view, reason_and_message(&refusal)),
        ChargeInquiry::Unreachable(why) => unresolved(view, Reason::OutcomeUnknown, &why, RetryAfter::Soon),
        ChargeInquiry::Unresolved(reason, why, pace) => unresolved(view, reason, &why, pace),
        ChargeInquiry::Unknowable(reason, why) => review(view, reason, why),
    }
}

/// A prepared payment is cancelled at the provider; its charge is never repeated.
fn cancelled(
    view: &PaymentView,
    session: &ProviderSession,
    payment_id: ProviderPaymentId,
    now: Timestamp,
) -> ChargeInquiry {
    match &view.responses.look_up {
        None => return inquiry::ask(view),
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
    inquiry::when_voided(view.responses.void.as_ref(), payment_id, || {
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
