//! Money on its way back.

use fooddelivery_saga::payment::{Decision, decide};
use fooddelivery_saga::phases::PaymentPhase as P;
use fooddelivery_saga::provider::{CallFailure, LookUpOutcome, ProviderStatus, RefundOutcome};

use crate::support::*;

#[test]
fn a_refund_whose_key_is_spent_gets_another_when_the_provider_says_that_nothing_went_back() {
    let mut view = refunded(RefundOutcome::CallFailure(CallFailure::IdempotencyKeyConsumed("500".into())));
    view.responses.look_up = None;
    assert_eq!(acts(&view), look_up(&view));
    view.responses.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Captured, TOTAL)));
    assert_eq!(written(&view).phase, P::Refunded);
    view.responses.look_up = Some(LookUpOutcome::Found(taken()));
    let state = written(&view);
    assert_eq!((state.phase, state.refund_attempt), (P::Refunding, 1));
}

#[test]
fn a_refund_that_met_an_error_keeps_its_key_for_the_first_few_times() {
    let mut view = refunded(RefundOutcome::CallFailure(CallFailure::Errored("500".into())));
    view.responses.look_up = None;
    assert!(matches!(decide(&view, NOW), Decision::Retry(_)));
    view.responses.unresolved_attempts = 3;
    assert_eq!(acts(&view), look_up(&view));
}

#[test]
fn a_refund_that_stays_pending_is_found_done_by_asking_about_the_payment() {
    let mut view = refunded(RefundOutcome::CallFailure(CallFailure::OutcomeUnknown("pending".into())));
    view.responses.look_up = None;
    assert!(matches!(decide(&view, NOW), Decision::Retry(_)), "the same call again, at first");
    view.responses.unresolved_attempts = 3;
    assert_eq!(acts(&view), look_up(&view));
    view.responses.look_up = Some(LookUpOutcome::Found(taken()));
    assert!(!matches!(decide(&view, NOW), Decision::Write(s) if s.refund_attempt > 0), "it may still come");
    view.responses.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Captured, TOTAL)));
    assert_eq!(written(&view).phase, P::Refunded);
}

#[test]
fn a_part_that_went_back_some_other_way_leaves_the_rest_to_be_refunded_under_another_key() {
    let mut view = refunded(RefundOutcome::Refused(refusal()));
    view.responses.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Captured, 4_000)));
    let state = written(&view);
    assert_eq!((state.phase, state.refunded, state.refund_attempt), (P::Refunding, 4_000, 1));
    view.state = state;
    view.responses.refund = None;
    assert_eq!(acts(&view), refund(&view, TOTAL - 4_000));
}

#[test]
fn more_given_back_than_was_captured_waits_for_a_person() {
    let view = refunded(RefundOutcome::Refunded(at_provider(ProviderStatus::Captured, TOTAL + 1)));
    assert_eq!(written(&view).phase, P::NeedsReview);
}
