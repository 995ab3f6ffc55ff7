//! Every row of the table from answers to outcomes.
#![expect(clippy::unnecessary_wraps, reason = "the functions under test take results")]

use std::time::SystemTime;

use serde_json::{Value, json};

use super::*;

const SECRETS: [&str; 2] = ["sk_hidden", "01012345678"];

fn answer(status: u16, body: &Value) -> Result<HttpResponse, TransportError> {
    raw(status, &body.to_string())
}

fn raw(status: u16, body: &str) -> Result<HttpResponse, TransportError> {
    let (retry_after, body) = (Some("3".to_owned()), body.as_bytes().to_vec());
    Ok(HttpResponse { status, retry_after, replayed: false, received: SystemTime::UNIX_EPOCH, body })
}

fn header(code: i64) -> Value {
    json!({ "resultCode": code, "resultMessage": "words", "isSuccessful": code == 0 })
}

fn sent(code: i64, recipient: i64) -> Result<HttpResponse, TransportError> {
    let result = json!({ "recipientSeq": 1, "recipientNo": "01012345678", "resultCode": recipient,
                         "resultMessage": "01012345678 is wrong, sk_hidden" });
    answer(200, &json!({ "header": header(code), "message": { "sendResults": [result] } }))
}

fn listed(messages: &Value) -> Result<HttpResponse, TransportError> {
    let list = json!({ "messages": messages, "totalCount": 1 });
    answer(200, &json!({ "header": header(0), "messageSearchResultResponse": list }))
}

fn of(id: &str, status: &str, code: Option<&str>) -> Value {
    json!({ "requestId": "r", "recipientSeq": 1, "recipientGroupingKey": id, "messageStatus": status,
            "resultCode": code, "resultCodeName": "words" })
}

fn asked_for(result: &Result<HttpResponse, TransportError>) -> Submission {
    submission(result, &SECRETS)
}

fn look_up(messages: &Value) -> Found {
    found(&listed(messages), "uid-1", &SECRETS)
}

fn code(code: i64) -> SendOutcome {
    match asked_for(&answer(200, &json!({ "header": header(code) }))) {
        Submission::Ended(outcome) => outcome,
        other => panic!("{code}: {other:?}"),
    }
}

#[test]
fn a_recipient_that_was_taken_on_is_accepted_and_no_more() {
    assert_eq!(asked_for(&sent(0, 0)), Submission::Accepted);
}

#[test]
fn a_recipient_that_was_not_is_refused_in_a_sentence_without_number_or_secret() {
    for all_failed in [0, -1031] {
        let expected = SendOutcome::Refused("-5000: *** is wrong, ***".to_owned());
        assert_eq!(asked_for(&sent(all_failed, -5000)), Submission::Ended(expected));
    }
}

#[test]
fn a_repeat_is_recognised_in_the_old_code_and_the_new() {
    for code in [-1005, 400_305] {
        assert_eq!(asked_for(&answer(200, &json!({ "header": header(code) }))), Submission::Recognised);
    }
}

#[test]
fn a_code_about_the_message_is_final_whether_it_comes_as_200_or_400() {
    for number in [4, -2000, -3004, -3010, -5000, -12345] {
        assert_eq!(code(number), SendOutcome::Refused(format!("{number}: words")));
        let bad_request = answer(400, &json!({ "header": header(number) }));
        assert!(matches!(asked_for(&bad_request), Submission::Ended(SendOutcome::Refused(_))), "{number}");
    }
}

#[test]
fn a_code_about_the_account_the_sender_or_the_template_gives_no_message_up() {
    for number in [-1000, -1001, -4004, -1006, -1027, -2017, -3003, -3005, -9998, 400_301, 400_318] {
        assert!(matches!(code(number), SendOutcome::CallFailure(CallFailure::Unauthorized(_))), "{number}");
    }
    assert_eq!(code(400_309), SendOutcome::CallFailure(CallFailure::Throttled { retry_after_ms: None }));
    for number in [-7000, -9999] {
        assert!(matches!(code(number), SendOutcome::CallFailure(CallFailure::Errored(_))), "{number}");
    }
}

#[test]
fn success_without_a_recipient_and_an_answer_that_makes_no_sense_are_unknown() {
    let without = answer(200, &json!({ "header": header(0) }));
    for result in [without, raw(200, ""), raw(200, "<html>"), raw(404, "{}"), raw(302, "")] {
        let outcome = asked_for(&result);
        assert!(
            matches!(outcome, Submission::Ended(SendOutcome::CallFailure(CallFailure::OutcomeUnknown(_)))),
            "{result:?} {outcome:?}"
        );
    }
}

#[test]
fn the_status_decides_where_it_speaks_of_us_or_of_the_provider() {
    let failure = |status: u16| match (asked_for(&raw(status, "{}")), found(&raw(status, "{}"), "", &[])) {
        (Submission::Ended(SendOutcome::CallFailure(failure)), Found::CallFailure(same))
            if failure == same =>
        {
            failure
        }
        other => panic!("{status}: {other:?}"),
    };
    assert_eq!(failure(429), CallFailure::Throttled { retry_after_ms: Some(3_000) });
    assert!([401, 403].iter().all(|status| matches!(failure(*status), CallFailure::Unauthorized(_))));
    assert!([500, 503].iter().all(|status| matches!(failure(*status), CallFailure::Errored(_))));
    assert!([408, 409, 425].iter().all(|status| matches!(failure(*status), CallFailure::OutcomeUnknown(_))));
    let not_sent = asked_for(&Err(TransportError::NotSent("no".into())));
    assert_eq!(not_sent, Submission::Ended(SendOutcome::CallFailure(CallFailure::NotSent("no".into()))));
}

#[test]
fn a_completed_message_is_sent_and_a_failed_or_cancelled_one_refused() {
    let one = |status, code| look_up(&json!([of("uid-1", status, code)]));
    let refused = |why: &str| Found::Outcome(SendOutcome::Refused(why.to_owned()));
    assert_eq!(one("COMPLETED", Some("MRC01")), Found::Outcome(SendOutcome::Sent));
    assert_eq!(one("COMPLETED", None), Found::Outcome(SendOutcome::Sent));
    assert_eq!(one("COMPLETED", Some("MRC02")), refused("not delivered: words"));
    assert_eq!(one("FAILED", Some("MRC02")), refused("not delivered: words"));
    assert_eq!(one("CANCEL", None), refused("its sending was cancelled at the provider"));
}

#[test]
fn a_message_in_any_other_state_is_pending() {
    for status in ["READY", "SENDING", "SOMETHING_NEW"] {
        let found = look_up(&json!([of("uid-1", status, None)]));
        assert_eq!(found, Found::Outcome(SendOutcome::Pending), "{status}");
    }
}

#[test]
fn of_several_sendings_the_one_that_arrived_counts_and_of_other_messages_none() {
    let all = json!([
        of("uid-1", "FAILED", None),
        of("uid-1", "COMPLETED", Some("MRC01")),
        of("uid-1", "READY", None),
    ]);
    assert_eq!(look_up(&all), Found::Outcome(SendOutcome::Sent));
    assert_eq!(look_up(&json!([of("uid-2", "COMPLETED", None)])), Found::Nothing);
    assert_eq!(look_up(&json!([])), Found::Nothing);
    assert_eq!(found(&answer(200, &json!({ "header": header(0) })), "uid-1", &[]), Found::Nothing);
}

#[test]
fn a_look_up_that_fails_refuses_nothing() {
    let failed = |code| found(&answer(200, &json!({ "header": header(code) })), "uid-1", &[]);
    assert!(matches!(failed(-4000), Found::CallFailure(CallFailure::OutcomeUnknown(_))));
    assert!(matches!(failed(-1001), Found::CallFailure(CallFailure::Unauthorized(_))));
}
