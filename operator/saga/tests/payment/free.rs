//! A payment of nothing: a coupon may take off all of it.

use fooddelivery_saga::payment::{
    Access, Command, Decision, PaymentState, PaymentView, ProviderSession, decide,
};
use fooddelivery_saga::phases::{PaymentDesired as Want, PaymentPhase as P, Resolution};
use fooddelivery_saga::time::Millis;

use crate::support::*;

/// A payment that costs nothing.
fn free(phase: P, desired: Want) -> PaymentView {
    let view = paying(phase, desired);
    let state = PaymentState { captured: 0, payment_id: None, ..view.state };
    PaymentView { total: 0, state, ..view }
}

/// The phases that it goes through, until there is nothing to write.
fn way_of(mut view: PaymentView) -> Vec<P> {
    let mut way = Vec::new();
    while let Decision::Write(state) = decide(&view, NOW) {
        view.responses = view.responses.after_write(&view.state, &state);
        view.state = *state;
        way.push(view.state.phase);
        assert!(way.len() < 10, "it comes to an end: {way:?}");
    }
    assert!(!matches!(decide(&view, NOW), Decision::Act(Command::Call(_))), "nobody is called for nothing");
    way
}

#[test]
fn what_costs_nothing_is_captured_at_once_and_never_put_off() {
    let mut view = free(P::Pending, Want::Captured);
    assert_eq!(way_of(view.clone()), [P::Captured]);
    // Neither an open circuit nor a provider that is not configured matters to it.
    let circuit = ProviderSession { open_until: Some(NOW + Millis(10_000)), ..way() };
    let closed = Access::NotReady { reason: "ProviderNotFound".into(), message: "there is none".into() };
    for access in [None, Some(Access::Ready(circuit)), Some(closed)] {
        view.responses.access = access;
        assert_eq!(way_of(view.clone()), [P::Captured]);
    }
}

#[test]
fn what_costs_nothing_and_says_that_it_was_put_off_goes_on_along_the_table() {
    for attempt in [0, 1] {
        let mut view = free(P::Deferred, Want::Captured);
        (view.state.attempt, view.state.next_attempt_at) = (attempt, Some(NOW));
        assert_eq!(way_of(view), [P::Pending, P::Captured]);
    }
}

#[test]
fn whatever_a_status_says_of_what_costs_nothing_no_decision_breaks_a_rule() {
    let resolutions = [None, Some(Resolution::Captured), Some(Resolution::Refunded), Some(Resolution::Retry)];
    for phase in P::ALL {
        for desired in [Want::Captured, Want::Refunded] {
            for (attempt, resolution) in [0, 1].into_iter().flat_map(|n| resolutions.map(|r| (n, r))) {
                let mut view = free(*phase, desired);
                (view.state.attempt, view.resolution) = (attempt, resolution);
                // Only what has an intent is being voided.
                if *phase == P::Voiding && attempt == 0 {
                    continue;
                }
                // A broken rule stops a debug build.
                assert!(!matches!(decide(&view, NOW), Decision::Halt(_)), "{view:?}");
            }
        }
    }
}
