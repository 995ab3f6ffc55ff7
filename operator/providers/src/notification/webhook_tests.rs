//! The event, and every row of the table from answers to outcomes.
#![expect(clippy::unnecessary_wraps, reason = "the function under test takes results")]

use fooddelivery_saga::time::Timestamp;
use serde_json::{Value, json};

use super::*;

fn answer(status: u16) -> Result<HttpResponse, TransportError> {
    let (retry_after, received) = (Some("7".to_owned()), UNIX_EPOCH);
    Ok(HttpResponse { status, retry_after, replayed: false, received, body: b"anything".to_vec() })
}

fn failure(status: u16) -> CallFailure {
    match outcome(&answer(status)) {
        SendOutcome::CallFailure(failure) => failure,
        other => panic!("{status}: {other:?}"),
    }
}

fn message() -> Message {
    Message {
        id: "uid-3".into(),
        order_namespace: "food".into(),
        order_name: "lunch".into(),
        order_uid: "uid".into(),
        step: 3,
        phase: "Cooking".into(),
        at: Timestamp(1_700_000_000_250),
        customer: "kim".into(),
        store: Some("hanok".into()),
        total: Some(28_500),
        reason: None,
        contact: Some("01012345678".into()),
    }
}

#[test]
fn a_message_is_a_cloudevent_without_the_telephone_number() {
    let event: Value = serde_json::from_slice(&event(&message()).unwrap()).unwrap();
    assert_eq!(
        event,
        json!({
            "specversion": "1.0",
            "id": "uid-3",
            "source": "/apis/fooddelivery.dev/v1alpha1/namespaces/food/orders/lunch",
            "type": "dev.fooddelivery.order.phase.v1",
            "subject": "food/lunch",
            "time": "2023-11-14T22:13:20.25Z",
            "datacontenttype": "application/json",
            "data": { "orderUid": "uid", "step": 3, "phase": "Cooking", "customer": "kim", "store": "hanok",
                      "total": 28500, "reason": null },
        })
    );
}

#[test]
fn a_time_that_no_calendar_has_is_no_event() {
    assert_eq!(event(&Message { at: Timestamp(i64::MAX), ..message() }), None);
}

#[test]
fn any_2xx_is_sent_whatever_its_body() {
    for status in [200, 201, 202, 204, 299] {
        assert_eq!(outcome(&answer(status)), SendOutcome::Sent, "{status}");
    }
}

#[test]
fn a_4xx_refuses_this_message_and_410_says_why() {
    for status in [400, 404, 405, 410, 413, 415, 422, 451] {
        let SendOutcome::Refused(why) = outcome(&answer(status)) else { panic!("{status}") };
        assert!(why.contains(&status.to_string()), "{why}");
    }
    let SendOutcome::Refused(why) = outcome(&answer(410)) else { panic!("410") };
    assert_eq!(why, "the receiver answered 410: it wants no such messages");
}

#[test]
fn what_speaks_of_us_of_the_moment_or_of_the_receiver_refuses_nothing() {
    for status in [401, 403] {
        assert!(matches!(failure(status), CallFailure::Unauthorized(_)), "{status}");
    }
    for status in [409, 425] {
        assert_eq!(failure(status), CallFailure::InProgress, "{status}");
    }
    assert_eq!(failure(429), CallFailure::Throttled { retry_after_ms: Some(7_000) });
    for status in [500, 502, 503, 599] {
        assert!(matches!(failure(status), CallFailure::Errored(_)), "{status}");
    }
    for status in [101, 301, 302, 304, 408] {
        assert!(matches!(failure(status), CallFailure::OutcomeUnknown(_)), "{status}");
    }
}

#[test]
fn no_answer_is_what_the_client_says_of_it() {
    let not_sent = outcome(&Err(TransportError::NotSent("refused".into())));
    assert_eq!(not_sent, SendOutcome::CallFailure(CallFailure::NotSent("refused".into())));
    let unknown = outcome(&Err(TransportError::OutcomeUnknown("timed out".into())));
    assert_eq!(unknown, SendOutcome::CallFailure(CallFailure::OutcomeUnknown("timed out".into())));
}
