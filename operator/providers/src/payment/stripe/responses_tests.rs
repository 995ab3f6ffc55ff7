//! Every row of the table from answers to outcomes.
#![expect(clippy::unnecessary_wraps, reason = "the functions under test take results")]

use std::time::SystemTime;

use fooddelivery_saga::provider::Refusal;
use serde_json::{Value, json};

use super::*;
use crate::secret::Token;

const ID: &str = "pi_1";
const TOKEN: &str = "pm_secret_1";

fn prepare_request() -> PrepareRequest {
    PrepareRequest {
        idempotency_key: "key".into(),
        token: Token::new(TOKEN),
        order_id: "order-1".into(),
        amount: 1000,
        currency: "KRW".into(),
        correlation_id: "c".into(),
    }
}

fn charge_request() -> ChargeRequest {
    let PrepareRequest { idempotency_key, token, order_id, amount, currency, correlation_id } =
        prepare_request();
    let payment_id = Some(ID.to_owned());
    ChargeRequest { idempotency_key, token, payment_id, order_id, amount, currency, correlation_id }
}

fn refund_request(amount: i64) -> RefundRequest {
    RefundRequest {
        idempotency_key: "key".into(),
        payment_id: ID.into(),
        amount,
        reason: "why".into(),
        correlation_id: "c".into(),
    }
}

type Answered = Result<HttpResponse, TransportError>;

fn answer(status: u16, body: &str) -> Answered {
    let body = body.as_bytes().to_vec();
    Ok(HttpResponse { status, retry_after: None, replayed: false, received: SystemTime::UNIX_EPOCH, body })
}

fn replayed(answer: Answered) -> Answered {
    answer.map(|answer| HttpResponse { replayed: true, ..answer })
}

fn error_of(kind: &str, code: &str) -> Value {
    json!({ "error": { "type": kind, "code": code, "message": "words" } })
}

fn error(status: u16, kind: &str, code: &str) -> Answered {
    answer(status, &error_of(kind, code).to_string())
}

fn invalid(status: u16, code: &str) -> Answered {
    error(status, "invalid_request_error", code)
}

fn unexpected_state(id: &str, status: &str) -> Answered {
    let mut body = error_of("invalid_request_error", "payment_intent_unexpected_state");
    body["error"]["payment_intent"] = json!({ "id": id, "object": "payment_intent", "status": status });
    answer(400, &body.to_string())
}

fn intent_json(status: &str) -> Value {
    json!({ "id": ID, "object": "payment_intent", "amount": 1000, "currency": "krw", "status": status,
            "metadata": { "order_id": "order-1" }, "latest_charge": null, "client_secret": "x" })
}

fn shown(body: &Value) -> Answered {
    answer(200, &body.to_string())
}

fn with_refunded(status: &str, amount_refunded: i64) -> Answered {
    let mut body = intent_json(status);
    body["latest_charge"] = json!({ "id": "ch_1", "amount_refunded": amount_refunded });
    shown(&body)
}

fn refund_json(status: &str, amount: i64) -> Value {
    json!({ "id": "re_1", "object": "refund", "payment_intent": ID, "amount": amount, "currency": "krw",
            "status": status })
}

fn prepared(result: &Answered) -> PrepareOutcome {
    prepare(result, &prepare_request(), &Credential::new("sk_1"))
}

fn charged(result: &Answered) -> ChargeOutcome {
    charge(result, &charge_request(), ID, &Credential::new("sk_1"))
}

fn voided(result: &Answered) -> VoidOutcome {
    void(result, &VoidRequest { payment_id: ID.to_owned(), correlation_id: "c".into() })
}

fn refund_made(result: &Answered) -> Result<RefundMade, RefundOutcome> {
    refund(result, &refund_request(1000), &Credential::new("sk_1"))
}

fn our_payment(refunded: i64, status: ProviderStatus) -> ProviderPayment {
    let (payment_id, order_id) = (ID.to_owned(), "order-1".to_owned());
    ProviderPayment { payment_id, order_id, amount: 1000, refunded, currency: "KRW".into(), status }
}

/// The failure that an answer is, which has to be the same for every operation.
fn failure(result: &Answered) -> CallFailure {
    let ChargeOutcome::CallFailure(failure) = charged(result) else { panic!("{result:?}") };
    assert_eq!(prepared(result), PrepareOutcome::CallFailure(failure.clone()));
    assert_eq!(look_up(result), LookUpOutcome::CallFailure(failure.clone()));
    assert_eq!(voided(result), VoidOutcome::CallFailure(failure.clone()));
    assert_eq!(refund_made(result), Err(RefundOutcome::CallFailure(failure.clone())));
    assert_eq!(first_hit(result), Err(failure.clone()));
    failure
}

fn is_unknown(outcome: &ChargeOutcome) -> bool {
    matches!(outcome, ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown(_)))
}

#[test]
fn an_unconfirmed_intent_is_prepared_and_open() {
    for status in ["requires_confirmation", "requires_payment_method"] {
        let expected = our_payment(0, ProviderStatus::Open);
        assert_eq!(prepared(&shown(&intent_json(status))), PrepareOutcome::Prepared(expected), "{status}");
    }
}

#[test]
fn only_a_succeeded_intent_is_captured() {
    let mut body = intent_json("succeeded");
    body["latest_charge"] = json!("ch_1");
    let captured = our_payment(0, ProviderStatus::Captured);
    assert_eq!(charged(&shown(&body)), ChargeOutcome::Captured(captured));
    for status in ["processing", "requires_action", "requires_capture", "canceled", "something_new"] {
        assert!(is_unknown(&charged(&shown(&intent_json(status)))), "{status}");
    }
}

#[test]
fn a_200_about_another_payment_order_amount_or_currency_is_not_ours() {
    for (field, value) in [
        ("id", json!("pi_2")),
        ("metadata", json!({ "order_id": "order-2" })),
        ("metadata", json!({})),
        ("metadata", Value::Null),
        ("amount", json!(1001)),
        ("currency", json!("usd")),
    ] {
        let mut body = intent_json("succeeded");
        body[field] = value;
        assert!(is_unknown(&charged(&shown(&body))), "{field}");
        if field != "id" {
            let outcome = prepared(&shown(&body));
            assert!(
                matches!(outcome, PrepareOutcome::CallFailure(CallFailure::OutcomeUnknown(_))),
                "{field}"
            );
        }
    }
}

#[test]
fn a_200_that_makes_no_sense_is_unknown_to_every_operation() {
    for body in ["", "<html>", "{}", "null", "[]", r#"{"id":1}"#, r#"{"data":1}"#] {
        assert!(matches!(failure(&answer(200, body)), CallFailure::OutcomeUnknown(_)), "{body}");
    }
    for refunded in [-1, 1001] {
        let outcome = look_up(&with_refunded("succeeded", refunded));
        assert!(matches!(outcome, LookUpOutcome::CallFailure(CallFailure::OutcomeUnknown(_))), "{refunded}");
    }
}

#[test]
fn a_402_is_a_final_refusal_under_its_most_telling_code() {
    let declined = |error: Value| match charged(&answer(402, &json!({ "error": error }).to_string())) {
        ChargeOutcome::Refused(Refusal { code, message }) => (code, message),
        other => panic!("{other:?}"),
    };
    let card = json!({ "type": "card_error", "code": "card_declined", "message": "words" });
    assert_eq!(declined(card.clone()), ("card_declined".into(), "words".into()));
    let mut decline = card.clone();
    decline["decline_code"] = json!("insufficient_funds");
    assert_eq!(declined(decline), ("insufficient_funds".into(), "words".into()));
    let mut odd = card;
    odd["decline_code"] = json!("Not a code!");
    assert_eq!(declined(odd).0, "card_declined");
    assert_eq!(declined(json!({ "type": "card_error" })), ("card_error".into(), String::new()));
    assert!(is_unknown(&charged(&answer(402, "<html>"))), "a proxy's");
}

#[test]
fn a_400_about_the_request_refuses_a_prepare_a_charge_and_a_refund_but_not_a_void() {
    for code in ["parameter_invalid_integer", "amount_too_small", "resource_missing"] {
        let expected = Refusal { code: code.into(), message: "words".into() };
        let result = invalid(400, code);
        assert_eq!(prepared(&result), PrepareOutcome::Refused(expected.clone()));
        assert_eq!(charged(&result), ChargeOutcome::Refused(expected.clone()));
        assert_eq!(refund_made(&result), Err(RefundOutcome::Refused(expected)));
        assert_eq!(voided(&result), VoidOutcome::CallFailure(unknown(code)));
        assert_eq!(look_up(&result), LookUpOutcome::CallFailure(unknown(code)));
    }
    let nameless = answer(400, r#"{"error":{"type":"invalid_request_error"}}"#);
    let refused =
        matches!(charged(&nameless), ChargeOutcome::Refused(no) if no.code == "invalid_request_error");
    assert!(refused);
}

#[test]
fn a_key_with_other_parameters_and_a_stored_5xx_mean_that_the_key_is_spent() {
    let spent = failure(&error(400, "idempotency_error", "x"));
    assert_eq!(spent, CallFailure::IdempotencyKeyConsumed("400 x".into()));
    for status in [500, 502, 503] {
        let stored = failure(&replayed(error(status, "api_error", "boom")));
        assert_eq!(stored, CallFailure::IdempotencyKeyConsumed(format!("a stored {status} boom")));
        assert_eq!(
            failure(&error(status, "api_error", "boom")),
            CallFailure::Errored(format!("{status} boom"))
        );
        let bare = CallFailure::Errored(format!("{status} without a code"));
        assert_eq!(failure(&answer(status, "<html>")), bare);
    }
    let declined = replayed(error(402, "card_error", "card_declined"));
    assert!(
        matches!(charged(&declined), ChargeOutcome::Refused(_)),
        "a replayed refusal is one all the same"
    );
}

#[test]
fn the_troubles_are_the_same_for_every_operation() {
    assert_eq!(failure(&invalid(409, "idempotency_key_in_use")), CallFailure::InProgress);
    assert_eq!(failure(&invalid(409, "something_else")), unknown("409 something_else"));
    assert_eq!(failure(&invalid(401, "x")), CallFailure::Unauthorized("401 x".into()));
    assert_eq!(failure(&invalid(403, "x")), CallFailure::Unauthorized("403 x".into()));
    assert_eq!(failure(&answer(401, "")), CallFailure::Unauthorized("401 without a code".into()));
    assert_eq!(failure(&error(400, "api_error", "x")), unknown("400 x"));
    assert_eq!(failure(&answer(429, "")), CallFailure::Throttled { retry_after_ms: None });
    let later = answer(429, "").map(|answer| HttpResponse { retry_after: Some("2".into()), ..answer });
    assert_eq!(failure(&later), CallFailure::Throttled { retry_after_ms: Some(2000) });
    assert_eq!(
        failure(&Err(TransportError::NotSent("refused".into()))),
        CallFailure::NotSent("refused".into())
    );
    assert_eq!(failure(&Err(TransportError::OutcomeUnknown("timed out".into()))), unknown("timed out"));
    for status in [100, 201, 204, 301, 302, 400, 402, 404, 408, 418] {
        assert!(matches!(failure(&answer(status, "not json")), CallFailure::OutcomeUnknown(_)), "{status}");
    }
    assert!(matches!(failure(&answer(404, r#"{"error":{"type":"A B"}}"#)), CallFailure::OutcomeUnknown(_)));
}

#[test]
fn a_payment_in_another_state_was_processed_before_unless_it_was_canceled() {
    for status in ["succeeded", "processing", "requires_capture"] {
        assert_eq!(charged(&unexpected_state(ID, status)), ChargeOutcome::AlreadyProcessed, "{status}");
        assert_eq!(voided(&unexpected_state(ID, status)), VoidOutcome::TooLate, "{status}");
    }
    let without = invalid(400, "payment_intent_unexpected_state");
    assert_eq!(charged(&without), ChargeOutcome::AlreadyProcessed);
    assert_eq!(voided(&without), VoidOutcome::TooLate);
    let charge = charged(&unexpected_state(ID, "canceled"));
    assert!(matches!(&charge, ChargeOutcome::Refused(no) if no.code == "canceled"), "{charge:?}");
    assert_eq!(voided(&unexpected_state(ID, "canceled")), VoidOutcome::Voided);
    assert_eq!(voided(&unexpected_state("pi_2", "canceled")), VoidOutcome::TooLate, "another's");
}

#[test]
fn a_payment_that_the_provider_named_and_does_not_know_is_no_refusal() {
    let missing = invalid(404, "resource_missing");
    assert!(is_unknown(&charged(&missing)));
    assert!(matches!(voided(&missing), VoidOutcome::CallFailure(CallFailure::OutcomeUnknown(_))));
    assert!(matches!(refund_made(&missing), Err(RefundOutcome::CallFailure(CallFailure::OutcomeUnknown(_)))));
    assert_eq!(look_up(&missing), LookUpOutcome::NotFound);
    assert!(
        matches!(look_up(&invalid(404, "x")), LookUpOutcome::CallFailure(_)),
        "only the provider's own word"
    );
}

#[test]
fn only_a_canceled_intent_of_that_id_is_voided() {
    assert_eq!(voided(&shown(&intent_json("canceled"))), VoidOutcome::Voided);
    let mut other = intent_json("canceled");
    other["id"] = json!("pi_2");
    for odd in [intent_json("succeeded"), intent_json("requires_confirmation"), other] {
        assert!(
            matches!(voided(&shown(&odd)), VoidOutcome::CallFailure(CallFailure::OutcomeUnknown(_))),
            "{odd}"
        );
    }
}

#[test]
fn a_look_up_shows_every_status_as_it_is() {
    for (status, expected) in [
        ("succeeded", ProviderStatus::Captured),
        ("canceled", ProviderStatus::Failed),
        ("requires_payment_method", ProviderStatus::Open),
        ("requires_confirmation", ProviderStatus::Open),
        ("requires_action", ProviderStatus::Open),
        ("processing", ProviderStatus::Open),
        ("something_new", ProviderStatus::Open),
    ] {
        let refunded = if expected == ProviderStatus::Captured { 300 } else { 0 };
        let found = LookUpOutcome::Found(our_payment(refunded, expected));
        assert_eq!(look_up(&with_refunded(status, 300)), found, "{status}");
    }
    for unexpanded in [json!("ch_1"), Value::Null] {
        let mut body = intent_json("succeeded");
        body["latest_charge"] = unexpanded;
        let outcome = look_up(&shown(&body));
        assert!(matches!(outcome, LookUpOutcome::CallFailure(CallFailure::OutcomeUnknown(_))), "{outcome:?}");
    }
    let mut foreign = intent_json("canceled");
    foreign["metadata"] = json!({});
    assert!(matches!(look_up(&shown(&foreign)), LookUpOutcome::Found(other) if other.order_id.is_empty()));
}

#[test]
fn a_search_gives_the_first_hit_or_none() {
    let hits = |data: Value| shown(&json!({ "object": "search_result", "data": data, "has_more": false }));
    assert_eq!(first_hit(&hits(json!([]))), Ok(None));
    let two = hits(json!([intent_json("canceled"), { "id": "pi_2" }]));
    assert_eq!(first_hit(&two), Ok(Some(ID.to_owned())));
}

#[test]
fn a_refund_is_made_when_it_succeeded_for_this_payment_and_amount() {
    assert_eq!(refund_made(&shown(&refund_json("succeeded", 1000))), Ok(RefundMade));
    let mut other = refund_json("succeeded", 1000);
    other["payment_intent"] = json!("pi_2");
    for odd in [
        refund_json("pending", 1000),
        refund_json("requires_action", 1000),
        refund_json("succeeded", 999),
        other,
    ] {
        let outcome = refund_made(&shown(&odd));
        assert!(matches!(outcome, Err(RefundOutcome::CallFailure(CallFailure::OutcomeUnknown(_)))), "{odd}");
    }
    let mut failed = refund_json("failed", 1000);
    let refused = |body: &Value| match refund_made(&shown(body)) {
        Err(RefundOutcome::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&failed), "refund_failed");
    failed["failure_reason"] = json!("expired_or_canceled_card");
    assert_eq!(refused(&failed), "expired_or_canceled_card");
    let already = refund_made(&invalid(400, "charge_already_refunded"));
    assert_eq!(already, Err(RefundOutcome::AlreadyRefunded));
    let uncaptured = refund_made(&unexpected_state(ID, "requires_confirmation"));
    assert!(matches!(uncaptured, Err(RefundOutcome::Refused(_))), "{uncaptured:?}");
}

#[test]
fn a_refund_that_was_made_is_done_when_the_payment_shows_it() {
    let found = |refunded| LookUpOutcome::Found(our_payment(refunded, ProviderStatus::Captured));
    let done = |looked_up| refunded(looked_up, &refund_request(300));
    assert_eq!(done(found(300)), RefundOutcome::Refunded(our_payment(300, ProviderStatus::Captured)));
    assert!(matches!(done(found(1000)), RefundOutcome::Refunded(_)), "earlier refunds are in it");
    let other = ProviderPayment { payment_id: "pi_2".into(), ..our_payment(300, ProviderStatus::Captured) };
    for odd in [
        found(299),
        LookUpOutcome::Found(other),
        LookUpOutcome::Found(our_payment(300, ProviderStatus::Failed)),
        LookUpOutcome::NotFound,
        LookUpOutcome::CallFailure(CallFailure::Throttled { retry_after_ms: None }),
        LookUpOutcome::CallFailure(CallFailure::NotSent("refused".into())),
    ] {
        let outcome = done(odd);
        assert!(matches!(outcome, RefundOutcome::CallFailure(CallFailure::OutcomeUnknown(_))), "{outcome:?}");
    }
}

#[test]
fn a_providers_sentence_repeats_neither_token_nor_credential() {
    let mut body = error_of("card_error", "card_declined");
    body["error"]["message"] = json!(format!("{TOKEN} declined for sk_1"));
    let result = answer(402, &body.to_string());
    let PrepareOutcome::Refused(prepare) = prepared(&result) else { panic!("not refused") };
    let ChargeOutcome::Refused(charge) = charged(&result) else { panic!("not refused") };
    assert_eq!(
        (prepare.message.as_str(), charge.message.as_str()),
        ("*** declined for ***", "*** declined for ***")
    );
    let Err(RefundOutcome::Refused(refund)) = refund_made(&result) else { panic!("not refused") };
    assert!(!refund.message.contains("sk_1"));
}
