//! Without the customer's token.

use fooddelivery_saga::payment::{Access, NoToken, PaymentView, ProviderSession};
use fooddelivery_saga::phases::{PaymentDesired as Want, PaymentPhase as P};
use fooddelivery_saga::provider::LookUpOutcome;
use fooddelivery_saga::time::Timestamp;

use crate::support::*;

fn without_token(view: PaymentView, prepares: bool) -> PaymentView {
    barred_from_it(view, NoToken::Missing("Secret t is missing".into()), prepares)
}

fn barred_from_it(mut view: PaymentView, why: NoToken, prepares: bool) -> PaymentView {
    let no_token = Some(why);
    view.responses.access = Some(Access::Ready(ProviderSession { no_token, prepares, ..way() }));
    view
}

#[test]
fn without_the_token_nothing_is_charged_and_the_reason_is_shown() {
    let fresh = without_token(paying(P::Pending, Want::Captured), false);
    let state = written(&fresh);
    assert_eq!((state.attempt, state.reason.as_str()), (0, "TokenSecretMissing"));
    for prepares in [false, true] {
        let view = without_token(prepared(paying(P::Pending, Want::Captured)), prepares);
        assert_eq!(written(&view).reason, "TokenSecretMissing", "prepares: {prepares}");
    }
}

#[test]
fn a_token_that_may_not_be_read_is_told_from_one_that_is_missing() {
    for prepares in [false, true] {
        let fresh = paying(P::Pending, Want::Captured);
        for view in [fresh.clone(), prepared(fresh)] {
            let why = NoToken::Forbidden("the operator may not read Secret t".into());
            let state = written(&barred_from_it(view, why, prepares));
            assert_eq!(state.reason, "TokenSecretForbidden", "prepares: {prepares}");
            assert_eq!(state.message, "the operator may not read Secret t");
        }
    }
}

#[test]
fn without_the_token_money_goes_back_all_the_same() {
    for prepares in [false, true] {
        let mut view = without_token(paying(P::Refunding, Want::Refunded), prepares);
        view.responses.look_up = None;
        assert_eq!(acts(&view), refund(&view, TOTAL));
    }
    let mut view = without_token(prepared(paying(P::Voiding, Want::Refunded)), true);
    view.responses.charge = None;
    assert_eq!(acts(&view), void(&view));
}

#[test]
fn without_the_token_a_charge_on_its_way_is_waited_for_until_its_checkout_has_expired() {
    let mut view = without_token(begun(paying(P::Voiding, Want::Refunded)), false);
    assert_eq!(written(&view).reason, "TokenSecretMissing");
    view.state.first_attempt_at = Some(Timestamp(NOW.0 - 900_000));
    assert_eq!(written(&view).phase, P::Voided);
    view.responses.look_up = Some(LookUpOutcome::Found(taken()));
    assert_eq!(written(&view).phase, P::Refunding);
}
