//! The money is in and has to go back.

use super::inquiry::ChargeInquiry;
use super::transitions::{reason_and_message, review, unresolved, wait_for_circuit};
use super::{
    Command, Decision, PaymentState, PaymentView, ProviderCall, ProviderSession, RetryAfter, session,
};
use crate::phases::PaymentPhase;
use crate::provider::{CallFailure, LookUpOutcome, ProviderPayment, ProviderStatus, RefundOutcome, Refusal};
use crate::reason::Reason;
use crate::time::Timestamp;

/// A provider that answered so often with its own errors has stored one of them under the key.
const IN_VAIN_AFTER: u32 = 3;

/// The next step towards the money's return, or the status that follows from what was learnt.
pub(super) fn refund(view: &PaymentView, now: Timestamp) -> Decision {
    let state = &view.state;
    let rest = state.captured - state.refunded;
    if rest <= 0 {
        return Decision::Write(Box::new(back(state)));
    }
    let session = match session(view) {
        Ok(session) => session,
        Err(decision) => return *decision,
    };
    if let Some(until) = session.open_until {
        return wait_for_circuit(view, until);
    }
    let Some(payment_id) = state.provider_payment_id().filter(|_| session.is_scope_of(state, now)) else {
        return elsewhere(view, session, now);
    };
    match (&view.responses.refund, &view.responses.look_up) {
        (None, _) => Decision::Act(Command::Call(ProviderCall::Refund { payment_id, amount: rest })),
        (Some(RefundOutcome::Refunded(payment)), _) => given_back(view, payment),
        (Some(RefundOutcome::AlreadyRefunded | RefundOutcome::Refused(_)), None) => ask(view),
        (Some(RefundOutcome::CallFailure(failure)), None) if is_spent(view, failure) || in_vain(view) => {
            ask(view)
        }
        (Some(outcome), Some(LookUpOutcome::Found(payment))) => looked_up(view, outcome, payment),
        (Some(RefundOutcome::CallFailure(failure)), _)
        | (Some(_), Some(LookUpOutcome::CallFailure(failure))) => in_trouble(view, failure),
        (Some(_), Some(LookUpOutcome::NotFound)) => not_found(view),
    }
}

fn ask(view: &PaymentView) -> Decision {
    let payment_id = view.state.provider_payment_id();
    Decision::Act(Command::Call(ProviderCall::LookUp { payment_id }))
}

/// Whether this key will never bring anything else.
fn is_spent(view: &PaymentView, failure: &CallFailure) -> bool {
    match failure {
        CallFailure::IdempotencyKeyConsumed(_) => true,
        CallFailure::Errored(_) => in_vain(view),
        CallFailure::NotSent(_)
        | CallFailure::InProgress
        | CallFailure::Throttled { .. }
        | CallFailure::Unauthorized(_)
        | CallFailure::OutcomeUnknown(_) => false,
    }
}

/// It was repeated so often that the payment itself is worth a look.
fn in_vain(view: &PaymentView) -> bool {
    view.responses.unresolved_attempts >= IN_VAIN_AFTER
}

/// The keys mean nothing here, or the payment's id is not known: the provider is asked before anything is sent.
fn elsewhere(view: &PaymentView, session: &ProviderSession, now: Timestamp) -> Decision {
    match &view.responses.look_up {
        None => ask(view),
        Some(LookUpOutcome::NotFound) => not_found(view),
        Some(LookUpOutcome::CallFailure(failure)) => in_trouble(view, failure),
        Some(LookUpOutcome::Found(payment)) if !is_ours(view, payment) => mismatch(view),
        Some(LookUpOutcome::Found(payment)) if payment.refunded > view.state.refunded => {
            given_back(view, payment)
        }
        Some(LookUpOutcome::Found(payment)) => {
            let state = session.scoped(&view.state, now);
            let payment_id = Some(payment.payment_id.clone());
            Decision::Write(Box::new(PaymentState { payment_id, ..state }))
        }
    }
}

/// A refund that was refused, or whose key is spent, and what the provider says of the payment.
fn looked_up(view: &PaymentView, outcome: &RefundOutcome, payment: &ProviderPayment) -> Decision {
    if !is_ours(view, payment) {
        return mismatch(view);
    }
    if payment.refunded > view.state.refunded {
        return given_back(view, payment);
    }
    match outcome {
        RefundOutcome::Refused(refusal) => review(view, Reason::RefundRefused, &reason_and_message(refusal)),
        RefundOutcome::AlreadyRefunded => review(
            view,
            Reason::RefundUnclear,
            "the provider says both that it was refunded and that it was not",
        ),
        // It was not given back, and the provider gives no more back than it took: another key is safe.
        RefundOutcome::CallFailure(failure) if is_spent(view, failure) => {
            Decision::Write(Box::new(PaymentState {
                refund_attempt: view.state.refund_attempt.saturating_add(1),
                ..view.state.clone()
            }))
        }
        RefundOutcome::CallFailure(failure) => in_trouble(view, failure),
        RefundOutcome::Refunded(payment) => given_back(view, payment),
    }
}

fn is_ours(view: &PaymentView, payment: &ProviderPayment) -> bool {
    payment.order_id == view.order_id
        && payment.status == ProviderStatus::Captured
        && view.state.payment_id.as_ref().is_none_or(|id| *id == payment.payment_id)
}

fn given_back(view: &PaymentView, payment: &ProviderPayment) -> Decision {
    let state = &view.state;
    if payment.refunded > state.captured {
        return review(view, Reason::RefundMismatch, "the provider gave back more than was captured");
    }
    if payment.refunded == state.captured {
        return Decision::Write(Box::new(back(state)));
    }
    if payment.refunded <= state.refunded {
        return review(view, Reason::RefundIncomplete, "the provider gave back less than was captured");
    }
    // A part went back some other way. The rest is another refund, with a key of its own.
    Decision::Write(Box::new(PaymentState {
        refunded: payment.refunded,
        refund_attempt: state.refund_attempt.saturating_add(1),
        ..state.clone()
    }))
}

fn back(state: &PaymentState) -> PaymentState {
    PaymentState {
        phase: PaymentPhase::Refunded,
        refunded: state.captured,
        reason: String::new(),
        message: String::new(),
        ..state.clone()
    }
}

fn in_trouble(view: &PaymentView, failure: &CallFailure) -> Decision {
    match failure.into() {
        ChargeInquiry::Unresolved(reason, why, pace) => unresolved(view, reason, &why, pace),
        ChargeInquiry::Act(_)
        | ChargeInquiry::Keep(_)
        | ChargeInquiry::Captured(_)
        | ChargeInquiry::Never(_)
        | ChargeInquiry::Unreachable(_)
        | ChargeInquiry::Unknowable(..) => {
            unresolved(view, Reason::OutcomeUnknown, failure.why(), RetryAfter::Soon)
        }
    }
}

fn not_found(view: &PaymentView) -> Decision {
    let refusal = match &view.responses.refund {
        Some(RefundOutcome::Refused(refusal)) => refusal.clone(),
        _ => Refusal { code: "NOT_FOUND".into(), message: "the provider knows no such payment".into() },
    };
    review(view, Reason::RefundRefused, &reason_and_message(&refusal))
}

fn mismatch(view: &PaymentView) -> Decision {
    review(
        view,
        Reason::PaymentMismatch,
        "the provider answered with another payment than the one to be refunded",
    )
}
