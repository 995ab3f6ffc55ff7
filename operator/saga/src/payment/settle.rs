//! Charging, voiding and refunding: from the provider's answers to the next status.

use super::{
    Access, Answers, Command, Decision, OrderStanding, PROVIDER_UNAVAILABLE, PaymentState, PaymentView,
};
use crate::provider::{
    ChargeOutcome, LookUpOutcome, ProviderPayment, ProviderStatus, RefundOutcome, Refusal,
};
use crate::time::{Millis, Timestamp};
use crate::words::PaymentPhase;

/// How soon to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The outcome of a call is not known yet: within a second, then more and more slowly.
    Soon,
    /// The provider named a time, in milliseconds.
    After(u64),
}

/// The provider has not told yet what became of the money.
const OUTCOME_UNKNOWN: &str = "OutcomeUnknown";
/// An outcome that stays unknown for so many rounds of asking is worth telling people.
const WORTH_TELLING: u32 = 4;
/// First pause after the provider was out of reach; doubles up to [`DEFERRAL_MAX`].
const DEFERRAL_MIN: Millis = Millis::seconds(5);
/// Longest pause between two tries of a deferred payment.
const DEFERRAL_MAX: Millis = Millis::seconds(300);

/// The order wants its money taken.
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
        Some(OrderStanding::Ended | OrderStanding::Gone { .. }) => {
            return Decision::Act(Command::WantMoneyBack);
        }
    }
    if view.total == 0 {
        let captured = PaymentState { phase: PaymentPhase::Captured, ..quiet(state) };
        return Decision::Write(Box::new(captured));
    }
    let (provider_uid, credential) = match access(view) {
        Ok(names) => names,
        Err(decision) => return decision,
    };
    if state.attempt == 0 || state.phase == PaymentPhase::Deferred {
        let intent = PaymentState {
            phase: PaymentPhase::Pending,
            attempt: state.attempt.max(1),
            first_attempt_at: state.first_attempt_at.or(Some(now)),
            next_attempt_at: None,
            provider_uid: Some(provider_uid),
            credential: Some(credential),
            ..quiet(state)
        };
        return Decision::Write(Box::new(intent));
    }
    match asked(view) {
        Asked::Act(command) => Decision::Act(command),
        Asked::Captured(payment) => captured(view, &payment, PaymentPhase::Captured),
        Asked::Never(refusal) => Decision::Write(Box::new(PaymentState {
            phase: PaymentPhase::Declined,
            reason: "PaymentDeclined".into(),
            message: said(&refusal),
            ..state.clone()
        })),
        Asked::Unreachable(why) => defer(view, &why, now),
        Asked::Unresolved(reason, why, pace) => unresolved(view, reason, &why, pace),
    }
}

/// The order wants no money, and a charge may be on its way: only the provider's word makes it impossible.
pub(super) fn void(view: &PaymentView) -> Decision {
    if let Err(decision) = access(view) {
        return decision;
    }
    match asked(view) {
        Asked::Act(command) => Decision::Act(command),
        Asked::Captured(payment) => captured(view, &payment, PaymentPhase::Refunding),
        Asked::Never(refusal) => {
            let message = said(&refusal);
            Decision::Write(Box::new(PaymentState {
                phase: PaymentPhase::Voided,
                message,
                ..view.state.clone()
            }))
        }
        Asked::Unreachable(why) => unresolved(view, OUTCOME_UNKNOWN, &why, Pace::Soon),
        Asked::Unresolved(reason, why, pace) => unresolved(view, reason, &why, pace),
    }
}

/// The money is in and has to go back.
pub(super) fn refund(view: &PaymentView) -> Decision {
    let state = &view.state;
    let rest = state.captured - state.refunded;
    if rest <= 0 {
        return Decision::Write(Box::new(PaymentState { phase: PaymentPhase::Refunded, ..quiet(state) }));
    }
    if let Err(decision) = access(view) {
        return decision;
    }
    match (&view.answers.refund, &view.answers.look_up) {
        (None, _) => Decision::Act(Command::Refund(rest)),
        (Some(RefundOutcome::Refunded(payment)), _) => refunded(view, payment),
        (Some(RefundOutcome::AlreadyRefunded | RefundOutcome::Refused(_)), None) => {
            Decision::Act(Command::LookUp)
        }
        (Some(_), Some(LookUpOutcome::Found(payment))) if payment.refunded > 0 => refunded(view, payment),
        (Some(RefundOutcome::Refused(refusal)), Some(LookUpOutcome::Found(_) | LookUpOutcome::NotFound)) => {
            review(view, "RefundRefused", &said(refusal))
        }
        (Some(RefundOutcome::AlreadyRefunded), Some(LookUpOutcome::Found(_) | LookUpOutcome::NotFound)) => {
            review(view, "RefundUnclear", "the provider says both that it was refunded and that it was not")
        }
        (Some(outcome), _) => {
            let (reason, why, pace) = unresolved_refund(outcome);
            unresolved(view, reason, &why, pace)
        }
    }
}

fn unresolved_refund(outcome: &RefundOutcome) -> (&'static str, String, Pace) {
    match outcome {
        RefundOutcome::Throttled { retry_after_ms } => throttled(*retry_after_ms),
        RefundOutcome::Unauthorized(why) => ("ProviderRefusesCredentials", why.clone(), Pace::Soon),
        RefundOutcome::NotSent(why) | RefundOutcome::Unknown(why) => {
            (OUTCOME_UNKNOWN, why.clone(), Pace::Soon)
        }
        _ => (OUTCOME_UNKNOWN, String::new(), Pace::Soon),
    }
}

fn throttled(retry_after_ms: Option<u64>) -> (&'static str, String, Pace) {
    let pace = retry_after_ms.map_or(Pace::Soon, Pace::After);
    ("ProviderThrottles", "the provider asks for patience".into(), pace)
}

/// What asking about a charge has come to.
enum Asked {
    Act(Command),
    Captured(ProviderPayment),
    Never(Refusal),
    Unreachable(String),
    Unresolved(&'static str, String, Pace),
}

/// Ask first what became of an earlier call; if that does not tell, repeat the call under its key.
fn asked(view: &PaymentView) -> Asked {
    let Answers { look_up, charge, intent_is_fresh, .. } = &view.answers;
    if !intent_is_fresh {
        match look_up {
            None => return Asked::Act(Command::LookUp),
            Some(LookUpOutcome::Found(payment)) => match payment.status {
                ProviderStatus::Captured => return Asked::Captured(payment.clone()),
                ProviderStatus::Failed | ProviderStatus::Expired => {
                    let code = if payment.status == ProviderStatus::Failed { "ABORTED" } else { "EXPIRED" };
                    return Asked::Never(Refusal {
                        code: code.into(),
                        message: "it can never be captured".into(),
                    });
                }
                ProviderStatus::Open | ProviderStatus::Unrecognised => {}
            },
            Some(LookUpOutcome::NotFound | LookUpOutcome::Failed(_)) => {}
        }
    }
    match charge {
        None => Asked::Act(Command::Charge),
        Some(ChargeOutcome::Captured(payment)) => Asked::Captured(payment.clone()),
        Some(ChargeOutcome::Refused(refusal)) => Asked::Never(refusal.clone()),
        Some(ChargeOutcome::NotSent(why)) => Asked::Unreachable(why.clone()),
        Some(ChargeOutcome::InProgress) => Asked::Unresolved(OUTCOME_UNKNOWN, String::new(), Pace::Soon),
        Some(ChargeOutcome::Throttled { retry_after_ms }) => {
            let (reason, why, pace) = throttled(*retry_after_ms);
            Asked::Unresolved(reason, why, pace)
        }
        Some(ChargeOutcome::Unauthorized(why)) => {
            Asked::Unresolved("ProviderRefusesCredentials", why.clone(), Pace::Soon)
        }
        Some(ChargeOutcome::Unknown(why)) => Asked::Unresolved(OUTCOME_UNKNOWN, why.clone(), Pace::Soon),
    }
}

/// The names of provider and credential, or what to do for want of them. A payment that was begun against another
/// provider object or credential is not continued blindly: its key would mean nothing there.
fn access(view: &PaymentView) -> Result<(String, String), Decision> {
    match &view.answers.access {
        None => Err(Decision::Act(Command::CheckAccess)),
        Some(Access::Barred { reason, message }) => Err(unresolved(view, reason, message, Pace::Soon)),
        Some(Access::Ready { provider_uid, credential }) => {
            let begun = view.state.attempt > 0;
            let same = |was: &Option<String>, is: &String| was.as_ref().is_none_or(|was| was == is);
            if begun && !same(&view.state.provider_uid, provider_uid) {
                let message = "the payment provider was replaced while a payment was under way";
                return Err(review(view, "ProviderReplaced", message));
            }
            Ok((provider_uid.clone(), credential.clone()))
        }
    }
}

/// Money was taken: is it ours, and the right sum?
fn captured(view: &PaymentView, payment: &ProviderPayment, phase: PaymentPhase) -> Decision {
    let known = view.state.payment_id.as_ref().is_none_or(|id| *id == payment.payment_id);
    if payment.order_id != view.order_id || !known {
        return review(view, "PaymentMismatch", "the provider answered with another order's payment");
    }
    if payment.amount != view.total || payment.currency != view.currency {
        let message = format!(
            "the provider took {} {}, but {} {} were due",
            payment.amount, payment.currency, view.total, view.currency
        );
        return review(view, "AmountMismatch", &message);
    }
    let refunded = payment.refunded.clamp(0, payment.amount);
    if refunded > 0 && phase == PaymentPhase::Captured {
        return review(
            view,
            "RefundedElsewhere",
            "the payment was refunded at the provider, not by an order",
        );
    }
    Decision::Write(Box::new(PaymentState {
        phase,
        payment_id: Some(payment.payment_id.clone()),
        captured: payment.amount,
        refunded,
        deferrals: 0,
        next_attempt_at: None,
        ..quiet(&view.state)
    }))
}

fn refunded(view: &PaymentView, payment: &ProviderPayment) -> Decision {
    let state = &view.state;
    if payment.refunded > state.captured {
        return review(view, "RefundMismatch", "the provider gave back more than was captured");
    }
    let phase =
        if payment.refunded == state.captured { PaymentPhase::Refunded } else { PaymentPhase::Refunding };
    let next = PaymentState { phase, refunded: payment.refunded, ..quiet(state) };
    if next == *state {
        return review(view, "RefundIncomplete", "the provider gave back less than was captured");
    }
    Decision::Write(Box::new(next))
}

/// The provider is out of reach: put off, with growing pauses. An earlier call may still have reached it, so the next
/// try, like a void, asks first.
fn defer(view: &PaymentView, why: &str, now: Timestamp) -> Decision {
    let state = &view.state;
    let doublings = u32::try_from(state.deferrals.clamp(0, 10)).unwrap_or(10);
    let pause = Millis((DEFERRAL_MIN.0 << doublings).min(DEFERRAL_MAX.0));
    Decision::Write(Box::new(PaymentState {
        phase: PaymentPhase::Deferred,
        reason: PROVIDER_UNAVAILABLE.into(),
        message: format!("the payment provider cannot be reached: {why}"),
        deferrals: state.deferrals.saturating_add(1),
        next_attempt_at: Some(now + pause),
        ..state.clone()
    }))
}

/// Says once why it is not resolved yet; after that only asks again.
fn unresolved(view: &PaymentView, reason: &str, why: &str, pace: Pace) -> Decision {
    let early = reason == OUTCOME_UNKNOWN && view.answers.asked_in_vain < WORTH_TELLING;
    if view.state.reason == reason || early {
        return Decision::AskAgain(pace);
    }
    let (reason, message) = (reason.to_owned(), why.to_owned());
    Decision::Write(Box::new(PaymentState { reason, message, ..view.state.clone() }))
}

fn review(view: &PaymentView, reason: &str, message: &str) -> Decision {
    Decision::Write(Box::new(PaymentState {
        phase: PaymentPhase::NeedsReview,
        reason: reason.into(),
        message: message.into(),
        ..view.state.clone()
    }))
}

fn quiet(state: &PaymentState) -> PaymentState {
    PaymentState { reason: String::new(), message: String::new(), ..state.clone() }
}

fn said(refusal: &Refusal) -> String {
    format!("{}: {}", refusal.code, refusal.message)
}
