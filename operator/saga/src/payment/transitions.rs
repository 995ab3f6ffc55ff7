//! From what was learnt to the next status: taken, put off, not resolved yet, for a person to look at.

use super::{Decision, PaymentState, PaymentView};
use crate::machine::RetryAfter;
use crate::phases::PaymentPhase;
use crate::provider::{ProviderPayment, Refusal};
use crate::reason::Reason;
use crate::time::{Millis, Timestamp};

/// An outcome that stays unknown for so many rounds of asking is worth telling people.
const WORTH_TELLING: u32 = 4;
/// First pause after the provider was out of reach; doubles up to [`DEFERRAL_MAX`].
const DEFERRAL_MIN: Millis = Millis::seconds(5);
/// Longest pause between two tries of a deferred payment.
const DEFERRAL_MAX: Millis = Millis::seconds(300);
/// A payment that waits for a circuit looks again this long after the circuit may be tried, at the latest; sooner when
/// it is told that the circuit has closed.
const CIRCUIT_SLACK: Millis = Millis::seconds(60);
/// What people read of it.
const CIRCUIT_OPEN: &str = "the circuit to the payment provider is open: it failed or was slow too often";

/// Money was taken: is it ours, and the right sum?
pub(super) fn taken(view: &PaymentView, payment: &ProviderPayment, phase: PaymentPhase) -> Decision {
    let known = view.state.payment_id.as_ref().is_none_or(|id| *id == payment.payment_id);
    if payment.order_id != view.order_id || !known {
        return review(view, Reason::PaymentMismatch, "the provider answered with another order's payment");
    }
    if payment.amount != view.total || payment.currency != view.currency {
        let message = format!(
            "the provider took {} {}, but {} {} were due",
            payment.amount, payment.currency, view.total, view.currency
        );
        return review(view, Reason::AmountMismatch, &message);
    }
    let refunded = payment.refunded.clamp(0, payment.amount);
    if refunded > 0 && phase == PaymentPhase::Captured {
        let message = "the payment was refunded at the provider, not by an order";
        return review(view, Reason::RefundedElsewhere, message);
    }
    Decision::Write(Box::new(PaymentState {
        phase,
        reason: String::new(),
        message: String::new(),
        payment_id: Some(payment.payment_id.clone()),
        captured: payment.amount,
        refunded,
        deferrals: 0,
        next_attempt_at: None,
        ..view.state.clone()
    }))
}

/// The provider is out of reach: put off, with growing pauses. An earlier call may still have reached it, so the next
/// try, like a void, asks first.
pub(super) fn defer(view: &PaymentView, message: &str, now: Timestamp) -> Decision {
    put_off(view, message, now + pause(view))
}

/// The circuit is open: a payment that was not deferred yet is, until the circuit may be tried. One that is due again
/// waits without a write: thousands may be waiting.
pub(super) fn held_by_circuit(view: &PaymentView, until: Timestamp, now: Timestamp) -> Decision {
    if view.state.phase == PaymentPhase::Deferred {
        return Decision::Wait(Some(until + spread(view, CIRCUIT_SLACK)));
    }
    put_off(view, CIRCUIT_OPEN, (now + pause(view)).max(until))
}

/// The circuit is open, and the money is not where it belongs: says so once, and waits.
pub(super) fn wait_for_circuit(view: &PaymentView, until: Timestamp) -> Decision {
    if view.state.reason == Reason::ProviderUnavailable {
        return Decision::Wait(Some(until + spread(view, CIRCUIT_SLACK)));
    }
    Decision::Write(Box::new(PaymentState {
        reason: Reason::ProviderUnavailable.into(),
        message: CIRCUIT_OPEN.into(),
        ..view.state.clone()
    }))
}

fn put_off(view: &PaymentView, message: &str, at: Timestamp) -> Decision {
    let state = &view.state;
    Decision::Write(Box::new(PaymentState {
        phase: PaymentPhase::Deferred,
        reason: Reason::ProviderUnavailable.into(),
        message: message.into(),
        deferrals: state.deferrals.saturating_add(1),
        next_attempt_at: Some(at),
        ..state.clone()
    }))
}

/// Doubles, and is up to half as long again, so that many do not come back at once.
fn pause(view: &PaymentView) -> Millis {
    let doublings = u32::try_from(view.state.deferrals.clamp(0, 10)).unwrap_or(10);
    let pause = Millis((DEFERRAL_MIN.0 << doublings).min(DEFERRAL_MAX.0));
    Millis(pause.0 + spread(view, pause).0 / 2)
}

/// This payment's share of a span.
fn spread(view: &PaymentView, span: Millis) -> Millis {
    Millis(span.0.saturating_mul(i64::from(view.spread.min(1_000))) / 1_000)
}

/// Says once why it is not resolved yet; after that only asks again.
pub(super) fn unresolved(
    view: &PaymentView,
    reason: impl AsRef<str>,
    why: &str,
    pace: RetryAfter,
) -> Decision {
    let reason = reason.as_ref();
    let early = *reason == Reason::OutcomeUnknown && view.responses.unresolved_attempts < WORTH_TELLING;
    if view.state.reason == reason || early {
        return Decision::Retry(pace);
    }
    let (reason, message) = (reason.to_owned(), why.to_owned());
    Decision::Write(Box::new(PaymentState { reason, message, ..view.state.clone() }))
}

/// What the operator cannot resolve by itself waits for a person.
pub(super) fn review(view: &PaymentView, reason: Reason, message: &str) -> Decision {
    Decision::Write(Box::new(PaymentState {
        phase: PaymentPhase::NeedsReview,
        reason: reason.into(),
        message: message.into(),
        next_attempt_at: None,
        ..view.state.clone()
    }))
}

pub(super) fn throttled(retry_after_ms: Option<u64>) -> (Reason, String, RetryAfter) {
    let pace = retry_after_ms.map_or(RetryAfter::Soon, RetryAfter::After);
    (Reason::ProviderThrottles, "the provider asks for patience".into(), pace)
}

pub(super) fn reason_and_message(refusal: &Refusal) -> String {
    format!("{}: {}", refusal.code, refusal.message)
}
