//! Prepared payments: an id before a charge, a void before a refusal counts.

use fooddelivery_saga::payment::{Command, Decision, ProviderCall, Responses, decide};
use fooddelivery_saga::phases::{PaymentDesired as Want, PaymentPhase as P};
use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, ProviderStatus, VoidOutcome,
};

use crate::support::*;

#[test]
fn a_payment_is_prepared_and_its_id_stored_before_it_is_charged() {
    let mut view = prepared(paying(P::Pending, Want::Captured));
    view.state.payment_id = None;
    view.responses.look_up = None;
    assert_eq!(acts(&view), Command::Call(ProviderCall::Prepare { amount: TOTAL }));
    view.responses.prepare = Some(PrepareOutcome::Prepared(at_provider(ProviderStatus::Open, 0)));
    let state = written(&view);
    assert_eq!((state.phase, state.payment_id.as_deref()), (P::Pending, Some("pk")));
    view.responses.prepare =
        Some(PrepareOutcome::CallFailure(CallFailure::IdempotencyKeyConsumed("500".into())));
    assert_eq!(written(&view).attempt, 2, "nothing can have been charged under a payment that nobody knows");
    view.responses.prepare = Some(PrepareOutcome::Refused(refusal()));
    assert_eq!(written(&view).phase, P::Declined);
}

#[test]
fn a_refusal_of_a_prepared_payment_is_final_only_when_it_is_voided() {
    let mut view = prepared(paying(P::Pending, Want::Captured));
    view.responses.charge = Some(ChargeOutcome::Refused(refusal()));
    assert_eq!(acts(&view), void(&view));
    view.responses.void = Some(VoidOutcome::TooLate);
    assert!(matches!(decide(&view, NOW), Decision::Retry(_)));
    view.responses.void = Some(VoidOutcome::Voided);
    let state = written(&view);
    assert_eq!((state.phase, state.message.as_str()), (P::Declined, "REJECT: no"));
}

#[test]
fn a_spent_key_leads_to_another_attempt_only_when_the_first_can_take_no_money_any_more() {
    let mut view = prepared(paying(P::Pending, Want::Captured));
    view.responses.charge =
        Some(ChargeOutcome::CallFailure(CallFailure::IdempotencyKeyConsumed("500".into())));
    view.responses.look_up = None;
    assert_eq!(acts(&view), look_up(&view));
    view.responses.look_up = Some(LookUpOutcome::Found(taken()));
    assert_eq!(written(&view).phase, P::Captured, "the first call had done it");
    view.responses.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Open, 0)));
    assert_eq!(acts(&view), void(&view));
    view.responses.void = Some(VoidOutcome::Voided);
    let state = written(&view);
    assert_eq!((state.attempt, state.payment_id, state.phase), (2, None, P::Pending));
}

#[test]
fn a_prepared_payment_is_voided_at_the_provider_and_never_charged_to_find_out() {
    let mut view = prepared(paying(P::Voiding, Want::Refunded));
    view.responses.look_up = None;
    assert_eq!(acts(&view), look_up(&view));
    view.responses.look_up = Some(LookUpOutcome::Found(taken()));
    assert_eq!(written(&view).phase, P::Refunding);
    view.responses.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Failed, 0)));
    assert_eq!(written(&view).phase, P::Voided);
    view.responses.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Open, 0)));
    assert_eq!(acts(&view), void(&view));
    view.responses.void = Some(VoidOutcome::Voided);
    assert_eq!(written(&view).phase, P::Voided);
    view.state.payment_id = None;
    view.responses = Responses { access: view.responses.access.clone(), ..Responses::default() };
    assert_eq!(written(&view).phase, P::Voided, "without an id nothing was ever charged");
}

#[test]
fn a_prepared_payment_that_its_provider_does_not_know_waits_for_a_person() {
    for (phase, desired) in [(P::Pending, Want::Captured), (P::Voiding, Want::Refunded)] {
        let mut view = prepared(paying(phase, desired));
        view.responses.look_up = Some(LookUpOutcome::NotFound);
        assert_eq!(written(&view).reason, "PaymentNotFound");
    }
}
