//! By a person's word.

use fooddelivery_saga::payment::{Command, Decision, decide};
use fooddelivery_saga::phases::{PaymentDesired as Want, PaymentPhase as P, Resolution};

use crate::support::*;

#[test]
fn a_resolution_is_acted_on_once_and_then_taken_out_of_the_spec() {
    let mut view = resolved(Want::Captured, 1, 0, Resolution::Retry);
    let state = written(&view);
    assert_eq!((state.provider_uid.as_ref(), state.first_attempt_at), (None, None), "the keys begin anew");
    view.state = state;
    assert_eq!(acts(&view), Command::ClearResolution);
    view.resolution = None;
    assert_eq!(written(&view).provider_uid.as_deref(), Some("p"));
}

#[test]
fn without_a_resolution_a_payment_that_needs_review_stays_as_it_is() {
    for desired in [Want::Captured, Want::Refunded] {
        assert_eq!(decide(&paying(P::NeedsReview, desired), NOW), Decision::Wait(None));
        let mut deleting = paying(P::NeedsReview, desired);
        deleting.deleting = true;
        deleting.order_in_cache = false;
        assert_eq!(decide(&deleting, NOW), Decision::Wait(None), "its finalizer holds");
    }
}
