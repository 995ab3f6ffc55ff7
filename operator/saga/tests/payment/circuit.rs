//! What an open circuit holds up, and for how long.

use fooddelivery_saga::payment::{Access, Decision, PaymentView, ProviderSession, decide};
use fooddelivery_saga::phases::{PaymentDesired as Want, PaymentPhase as P};
use fooddelivery_saga::provider::{CallFailure, ChargeOutcome};
use fooddelivery_saga::reason::Reason;
use fooddelivery_saga::time::Millis;

use crate::support::*;

fn with_open_circuit(mut view: PaymentView) -> PaymentView {
    view.responses.access =
        Some(Access::Ready(ProviderSession { open_until: Some(NOW + Millis(10_000)), ..way() }));
    view
}

#[test]
fn with_an_open_circuit_a_payment_is_deferred_before_anything_is_recorded_or_sent() {
    let state = written(&with_open_circuit(paying(P::Pending, Want::Captured)));
    assert_eq!((state.phase, state.attempt), (P::Deferred, 0));
    assert_eq!(state.next_attempt_at, Some(NOW + Millis(10_000)), "not before the circuit may be tried");
    assert_eq!(state.reason, Reason::ProviderUnavailable);
}

#[test]
fn a_deferred_payment_that_is_due_waits_for_the_circuit_without_a_write() {
    let mut view = with_open_circuit(paying(P::Deferred, Want::Captured));
    view.state.next_attempt_at = Some(NOW);
    view.spread = 500;
    assert_eq!(decide(&view, NOW), Decision::Wait(Some(NOW + Millis(10_000 + 30_000))));
}

#[test]
fn voids_and_refunds_say_once_that_they_wait_for_the_circuit() {
    for view in [paying(P::Refunding, Want::Refunded), begun(paying(P::Voiding, Want::Refunded))] {
        let mut view = with_open_circuit(view);
        let state = written(&view);
        assert_eq!(
            (state.phase, state.reason.as_str()),
            (view.state.phase, Reason::ProviderUnavailable.as_str())
        );
        view.state = state;
        assert!(matches!(decide(&view, NOW), Decision::Wait(Some(_))));
    }
}

#[test]
fn deferrals_are_spread_out_and_grow_and_are_bounded() {
    let failure = || ChargeOutcome::CallFailure(CallFailure::NotSent("refused".into()));
    let mut last = 0;
    for deferrals in 0..12 {
        let mut at = Vec::new();
        for spread in [0, 500, 1_000] {
            let mut view = charged(P::Pending, Want::Captured, failure());
            view.state.deferrals = deferrals;
            view.spread = spread;
            at.push(written(&view).next_attempt_at.unwrap().0 - NOW.0);
        }
        assert!(at[0] < at[1] && at[1] < at[2] && at[0] >= last && at[2] <= 450_000, "{at:?}");
        last = at[0];
    }
}
