//! The order wants no money, and a charge may be on its way: only the provider's word makes it impossible.

use super::inquiry::{self, ChargeInquiry};
use super::transitions::{reason_and_message, review, taken, unresolved, wait_for_circuit};
use super::{
    Access, Command, Decision, OrderStanding, PaymentState, PaymentView, ProviderCall, ProviderPaymentId,
    ProviderSession, Responses, RetryAfter, session,
};
use crate::phases::PaymentPhase;
use crate::provider::{LookUpOutcome, ProviderStatus, Refusal};
use crate::reason::Reason;
use crate::time::Timestamp;

/// The order wants no money of a payment that has taken none. Without a recorded intent nothing can have been sent, and the
/// compare-and-set sees to it that nothing will be.
pub(super) fn withdraw(view: &PaymentView) -> Decision {
    let Responses { order, access, look_up, intent_is_fresh, .. } = &view.responses;
    if view.state.attempt == 0 || (view.as_created && *intent_is_fresh) {
        return never_sent(view);
    }
    if !view.as_created {
        return may_be_sent(view);
    }
    // Under the intent of its creation a payment is charged by who made it alone, if its order wants it afterwards, and an
    // order ends only when what was charged for it is recorded. So one that has ended had ended before, and the payment was
    // made by a replica that had stalled: to repeat the charge, as voiding does, would be to charge for nothing.
    match order {
        None => Decision::Act(Command::CheckOrder),
        Some(OrderStanding::Wants | OrderStanding::Undoing) => may_be_sent(view),
        Some(OrderStanding::Completed | OrderStanding::Undone | OrderStanding::Gone { .. }) => {
            match (access, look_up) {
                (None, _) => Decision::Act(Command::CheckAccess),
                (Some(Access::Ready(_)), None) => {
                    Decision::Act(Command::Call(ProviderCall::LookUp { payment_id: None }))
                }
                (Some(Access::Ready(session)), Some(found)) if shows_no_charge(session, found) => {
                    never_sent(view)
                }
                (Some(_), _) => may_be_sent(view),
            }
        }
    }
}

/// Whether the provider knows of no charge: it has no payment, or a checkout of the customer's that nobody has confirmed. One
/// that is prepared there is to be cancelled.
pub(super) fn shows_no_charge(session: &ProviderSession, look_up: &LookUpOutcome) -> bool {
    match look_up {
        LookUpOutcome::NotFound => true,
        LookUpOutcome::Found(payment) => !session.prepares && payment.status == ProviderStatus::Open,
        LookUpOutcome::CallFailure(_) => false,
    }
}

fn never_sent(view: &PaymentView) -> Decision {
    let state = PaymentState { phase: PaymentPhase::Voided, next_attempt_at: None, ..view.state.clone() };
    Decision::Write(Box::new(state.without_intent()))
}

fn may_be_sent(view: &PaymentView) -> Decision {
    let state = PaymentState { phase: PaymentPhase::Voiding, next_attempt_at: None, ..view.state.clone() };
    Decision::Write(Box::new(state))
}

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
