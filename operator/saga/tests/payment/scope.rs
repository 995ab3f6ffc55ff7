//! Keys mean something in a scope and for a time.

use fooddelivery_saga::payment::{Decision, PaymentView, decide};
use fooddelivery_saga::phases::{PaymentDesired as Want, PaymentPhase as P};
use fooddelivery_saga::provider::{CallFailure, ChargeOutcome, LookUpOutcome, ProviderStatus};
use fooddelivery_saga::time::Timestamp;

use crate::support::*;

#[test]
fn with_another_credential_or_provider_or_beyond_the_retention_the_provider_is_asked_and_no_call_is_repeated()
{
    let rotated = |v: &mut PaymentView| v.state.credential = Some("older".into());
    let replaced = |v: &mut PaymentView| v.state.provider_uid = Some("older".into());
    let expired = |v: &mut PaymentView| v.state.first_attempt_at = Some(Timestamp(NOW.0 - way().retention.0));
    let changes: [&dyn Fn(&mut PaymentView); 3] = [&rotated, &replaced, &expired];
    for change in changes {
        for (phase, desired) in [(P::Pending, Want::Captured), (P::Voiding, Want::Refunded)] {
            let mut view = begun(paying(phase, desired));
            change(&mut view);
            view.responses.look_up = None;
            view.responses.intent_is_fresh = true;
            assert_eq!(acts(&view), look_up(&view), "asked first");
            view.responses.look_up = Some(LookUpOutcome::Found(taken()));
            assert_eq!(written(&view).captured, TOTAL, "what it says counts");
            view.responses.look_up = Some(LookUpOutcome::NotFound);
            assert_eq!(written(&view).phase, P::NeedsReview, "asking could not tell");
            view.responses.look_up =
                Some(LookUpOutcome::CallFailure(CallFailure::OutcomeUnknown("time-out".into())));
            assert!(matches!(decide(&view, NOW), Decision::Retry(_)), "it was not asked yet");
            view.responses.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Open, 0)));
            let state = written(&view);
            let scope = (state.provider_uid.as_deref(), state.credential.as_deref(), state.first_attempt_at);
            assert_eq!(scope, (Some("p"), Some("c"), Some(NOW)), "it is known here: the keys begin anew");
            assert_eq!((state.phase, state.attempt), (phase, 1));
        }
    }
}

#[test]
fn a_refund_under_another_credential_asks_first_and_then_begins_anew() {
    let mut view = paying(P::Refunding, Want::Refunded);
    view.state.credential = Some("older".into());
    view.responses.look_up = None;
    assert_eq!(acts(&view), look_up(&view));
    view.responses.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Captured, TOTAL)));
    assert_eq!(written(&view).phase, P::Refunded, "it had been given back");
    view.responses.look_up = Some(LookUpOutcome::Found(taken()));
    let state = written(&view);
    assert_eq!((state.phase, state.credential.as_deref()), (P::Refunding, Some("c")));
    view.responses.look_up = Some(LookUpOutcome::NotFound);
    assert_eq!(written(&view).phase, P::NeedsReview);
}

#[test]
fn an_intent_that_was_deferred_keeps_the_scope_that_it_was_recorded_under() {
    let mut view = paying(P::Deferred, Want::Captured);
    view.state.credential = Some("older".into());
    assert_eq!(written(&view).credential.as_deref(), Some("older"));
    view.state.attempt = 0;
    assert_eq!(written(&view).credential.as_deref(), Some("c"), "nothing was ever sent");
}

#[test]
fn a_checkout_that_was_used_before_the_first_call_pays_for_something_else() {
    let mut view = charged(P::Pending, Want::Captured, ChargeOutcome::AlreadyProcessed);
    assert!(matches!(decide(&view, NOW), Decision::Retry(_)), "an earlier call of ours may have done it");
    view.responses.intent_is_fresh = true;
    let state = written(&view);
    assert_eq!((state.phase, state.reason.as_str()), (P::NeedsReview, "CheckoutUsedBefore"));
}
