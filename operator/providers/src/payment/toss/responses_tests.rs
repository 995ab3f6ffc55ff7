//! Every row of the table from answers to outcomes.
#![expect(clippy::unnecessary_wraps, reason = "the functions under test take results")]

use std::time::SystemTime;

use fooddelivery_saga::provider::Refusal;
use serde_json::{Value, json};

use super::*;
use crate::secret::Token;

const TOKEN: &str = "pk_secret_1";

fn charge_request() -> ChargeRequest {
    ChargeRequest {
        idempotency_key: "key".into(),
        token: Token::new(TOKEN),
        payment_id: None,
        order_id: "order-1".into(),
        amount: 1000,
        currency: "KRW".into(),
        correlation_id: "c".into(),
    }
}

fn refund_request(amount: i64) -> RefundRequest {
    RefundRequest {
        idempotency_key: "key".into(),
        payment_id: TOKEN.into(),
        amount,
        reason: "why".into(),
        correlation_id: "c".into(),
    }
}

fn answer(status: u16, body: &str, retry_after: Option<&str>) -> Result<HttpResponse, TransportError> {
    let (retry_after, body) = (retry_after.map(str::to_owned), body.as_bytes().to_vec());
    Ok(HttpResponse { status, retry_after, replayed: false, received: SystemTime::UNIX_EPOCH, body })
}

fn error(status: u16, code: &str) -> Result<HttpResponse, TransportError> {
    answer(status, &json!({ "code": code, "message": "words" }).to_string(), None)
}

fn payment_json(status: &str, balance: i64) -> Value {
    json!({ "paymentKey": TOKEN, "orderId": "order-1", "status": status, "totalAmount": 1000,
            "balanceAmount": balance, "currency": "KRW", "method": "카드", "cancels": null })
}

fn paid(status: &str, balance: i64) -> Result<HttpResponse, TransportError> {
    answer(200, &payment_json(status, balance).to_string(), None)
}

fn charged(result: &Result<HttpResponse, TransportError>) -> ChargeOutcome {
    charge(result, &charge_request(), &Credential::new("sk"))
}

fn refunded(result: &Result<HttpResponse, TransportError>) -> RefundOutcome {
    refund(result, &refund_request(1000), &Credential::new("sk"))
}

fn is_unknown(outcome: &ChargeOutcome) -> bool {
    matches!(outcome, ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown(_)))
}

fn our_payment(refunded: i64, status: ProviderStatus) -> ProviderPayment {
    let (payment_id, order_id) = (TOKEN.to_owned(), "order-1".to_owned());
    ProviderPayment { payment_id, order_id, amount: 1000, refunded, currency: "KRW".into(), status }
}

#[test]
fn done_and_both_kinds_of_canceled_are_captured_with_what_was_given_back() {
    for (status, balance) in [("DONE", 1000), ("PARTIAL_CANCELED", 300), ("CANCELED", 0)] {
        let expected = our_payment(1000 - balance, ProviderStatus::Captured);
        assert_eq!(charged(&paid(status, balance)), ChargeOutcome::Captured(expected), "{status}");
    }
}

#[test]
fn any_other_status_in_a_200_says_nothing_of_the_charge() {
    for status in ["READY", "IN_PROGRESS", "WAITING_FOR_DEPOSIT", "ABORTED", "EXPIRED", "SOMETHING_NEW"] {
        assert!(is_unknown(&charged(&paid(status, 1000))), "{status}");
    }
}

#[test]
fn a_200_about_another_payment_order_amount_or_currency_is_not_our_capture() {
    for (field, value) in [
        ("paymentKey", json!("pk_2")),
        ("orderId", json!("order-2")),
        ("totalAmount", json!(1001)),
        ("currency", json!("USD")),
    ] {
        let mut body = payment_json("DONE", 1000);
        body[field] = value;
        assert!(is_unknown(&charged(&answer(200, &body.to_string(), None))), "{field}");
    }
}

#[test]
fn a_200_that_makes_no_sense_is_unknown() {
    for body in ["", "<html>", "{}", "null", r#"{"paymentKey":1}"#] {
        assert!(is_unknown(&charged(&answer(200, body, None))), "{body}");
    }
    assert!(is_unknown(&charged(&paid("DONE", 1001))), "more left than there was");
    assert!(is_unknown(&charged(&paid("DONE", -1))), "less than nothing left");
}

#[test]
fn a_refusal_is_final_whether_it_comes_as_400_403_or_404() {
    for (status, code) in [
        (403, "REJECT_CARD_PAYMENT"),
        (403, "REJECT_ACCOUNT_PAYMENT"),
        (403, "REJECT_CARD_COMPANY"),
        (403, "EXCEED_MAX_ONE_DAY_AMOUNT"),
        (403, "NOT_AVAILABLE_BANK"),
        (403, "INVALID_PASSWORD"),
        (403, "FDS_ERROR"),
        (400, "REJECT_CARD_PAYMENT"),
        (400, "INVALID_CARD_EXPIRATION"),
        (400, "EXCEED_MAX_AMOUNT"),
        (400, "INVALID_REQUEST"),
        (400, "INVALID_IDEMPOTENCY_KEY"),
        (404, "NOT_FOUND_PAYMENT_SESSION"),
    ] {
        let expected = ChargeOutcome::Refused(Refusal { code: code.into(), message: "words".into() });
        assert_eq!(charged(&error(status, code)), expected, "{status} {code}");
    }
    assert!(matches!(charged(&error(404, "NOT_FOUND_PAYMENT")), ChargeOutcome::Refused(_)));
}

#[test]
fn a_4xx_that_leaves_the_money_open_is_unknown() {
    for (status, code) in [
        (400, "ALREADY_COMPLETED_PAYMENT"),
        (400, "ALREADY_CANCELED_PAYMENT"),
        (400, "PROVIDER_ERROR"),
        (400, "CARD_PROCESSING_ERROR"),
        (403, "FORBIDDEN_CONSECUTIVE_REQUEST"),
        (409, "SOMETHING_ELSE"),
        (408, "REQUEST_TIMEOUT"),
    ] {
        let outcome = charged(&error(status, code));
        assert!(
            matches!(&outcome, ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown(why)) if why.contains(code)),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_key_that_is_not_accepted_is_not_a_refusal_of_the_card() {
    for (status, code) in [
        (401, "UNAUTHORIZED_KEY"),
        (400, "INVALID_API_KEY"),
        (403, "INCORRECT_BASIC_AUTH_FORMAT"),
        (403, "FORBIDDEN_REQUEST"),
        (403, "SOMETHING_NEW"),
        (401, "SOMETHING_NEW"),
    ] {
        assert!(
            matches!(charged(&error(status, code)), ChargeOutcome::CallFailure(CallFailure::Unauthorized(_))),
            "{status} {code}"
        );
        assert!(
            matches!(
                refunded(&error(status, code)),
                RefundOutcome::CallFailure(CallFailure::Unauthorized(_))
            ),
            "{status} {code}"
        );
    }
    assert!(matches!(
        charged(&answer(401, "", None)),
        ChargeOutcome::CallFailure(CallFailure::Unauthorized(_))
    ));
    assert!(matches!(
        charged(&answer(403, "<html>", None)),
        ChargeOutcome::CallFailure(CallFailure::Unauthorized(_))
    ));
}

#[test]
fn a_call_in_progress_and_a_call_too_many_are_neither_success_nor_failure() {
    assert_eq!(
        charged(&error(409, "IDEMPOTENT_REQUEST_PROCESSING")),
        ChargeOutcome::CallFailure(CallFailure::InProgress)
    );
    assert_eq!(
        refunded(&error(409, "IDEMPOTENT_REQUEST_PROCESSING")),
        RefundOutcome::CallFailure(CallFailure::InProgress)
    );
    let throttled = |header| charged(&answer(429, "", header));
    let after = |retry_after_ms| ChargeOutcome::CallFailure(CallFailure::Throttled { retry_after_ms });
    assert_eq!(throttled(None), after(None));
    assert_eq!(throttled(Some("3")), after(Some(3000)));
    assert_eq!(throttled(Some("soon")), after(None));
    assert_eq!(
        refunded(&answer(429, "", Some("3"))),
        RefundOutcome::CallFailure(CallFailure::Throttled { retry_after_ms: Some(3000) })
    );
}

#[test]
fn a_checkout_that_was_dealt_with_under_another_key_says_so_and_a_refund_has_to_look_it_up() {
    assert_eq!(charged(&error(400, "ALREADY_PROCESSED_PAYMENT")), ChargeOutcome::AlreadyProcessed);
    let outcome = refunded(&error(400, "ALREADY_PROCESSED_PAYMENT"));
    assert!(matches!(outcome, RefundOutcome::CallFailure(CallFailure::OutcomeUnknown(_))), "{outcome:?}");
}

#[test]
fn a_5xx_is_an_error_of_the_provider_with_or_without_a_code() {
    let errored = |why: &str| CallFailure::Errored(why.to_owned());
    for status in [500, 502, 503, 504, 599] {
        let with_code = errored(&format!("{status} REJECT_CARD_PAYMENT"));
        assert_eq!(charged(&error(status, "REJECT_CARD_PAYMENT")), ChargeOutcome::CallFailure(with_code));
        let without = errored(&format!("{status} without a code"));
        assert_eq!(charged(&answer(status, "<html>", None)), ChargeOutcome::CallFailure(without.clone()));
        assert_eq!(refunded(&answer(status, "", None)), RefundOutcome::CallFailure(without.clone()));
        assert_eq!(look_up(&answer(status, "", None)), LookUpOutcome::CallFailure(without));
    }
}

#[test]
fn a_redirect_and_an_error_without_a_code_are_unknown() {
    for status in [100, 201, 204, 301, 302, 400, 404, 418] {
        assert!(is_unknown(&charged(&answer(status, "not json", None))), "{status}");
    }
    assert!(is_unknown(&charged(&error(400, "not a code"))));
    assert!(is_unknown(&charged(&error(400, &"A".repeat(65)))));
    assert!(is_unknown(&charged(&error(302, "REJECT_CARD_PAYMENT"))));
}

#[test]
fn no_answer_is_not_sent_or_unknown_as_the_client_says() {
    let not_sent = Err(TransportError::NotSent("refused".into()));
    let unknown = Err(TransportError::OutcomeUnknown("timed out".into()));
    assert_eq!(charged(&not_sent), ChargeOutcome::CallFailure(CallFailure::NotSent("refused".into())));
    assert_eq!(
        charged(&unknown),
        ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown("timed out".into()))
    );
    assert_eq!(refunded(&not_sent), RefundOutcome::CallFailure(CallFailure::NotSent("refused".into())));
    assert_eq!(
        refunded(&unknown),
        RefundOutcome::CallFailure(CallFailure::OutcomeUnknown("timed out".into()))
    );
    assert_eq!(look_up(&not_sent), LookUpOutcome::CallFailure(CallFailure::NotSent("refused".into())));
    assert_eq!(
        look_up(&unknown),
        LookUpOutcome::CallFailure(CallFailure::OutcomeUnknown("timed out".into()))
    );
}

#[test]
fn a_look_up_shows_every_status_as_it_is() {
    for (status, balance, expected) in [
        ("READY", 1000, ProviderStatus::Open),
        ("IN_PROGRESS", 1000, ProviderStatus::Open),
        ("WAITING_FOR_DEPOSIT", 1000, ProviderStatus::Open),
        ("DONE", 1000, ProviderStatus::Captured),
        ("PARTIAL_CANCELED", 1, ProviderStatus::Captured),
        ("CANCELED", 0, ProviderStatus::Captured),
        ("ABORTED", 0, ProviderStatus::Failed),
        ("EXPIRED", 0, ProviderStatus::Expired),
        ("SOMETHING_NEW", 0, ProviderStatus::Unrecognised),
    ] {
        let refunded = if expected == ProviderStatus::Captured { 1000 - balance } else { 0 };
        let found = LookUpOutcome::Found(our_payment(refunded, expected));
        assert_eq!(look_up(&paid(status, balance)), found, "{status}");
    }
}

#[test]
fn only_the_providers_own_word_means_not_found_and_what_fails_says_why() {
    assert_eq!(look_up(&error(404, "NOT_FOUND_PAYMENT")), LookUpOutcome::NotFound);
    let unknown = |why: &str| CallFailure::OutcomeUnknown(why.to_owned());
    for (result, failure) in [
        (error(404, "NOT_FOUND"), unknown("NOT_FOUND")),
        (answer(404, "<html>", None), unknown("404 without a code")),
        (error(400, "NOT_FOUND_PAYMENT"), unknown("NOT_FOUND_PAYMENT")),
        (error(400, "ALREADY_CANCELED_PAYMENT"), unknown("ALREADY_CANCELED_PAYMENT")),
        (answer(200, "{}", None), unknown("200 without a payment")),
        (error(401, "UNAUTHORIZED_KEY"), CallFailure::Unauthorized("401 UNAUTHORIZED_KEY".into())),
        (error(409, "IDEMPOTENT_REQUEST_PROCESSING"), CallFailure::InProgress),
        (answer(429, "", Some("2")), CallFailure::Throttled { retry_after_ms: Some(2000) }),
    ] {
        assert_eq!(look_up(&result), LookUpOutcome::CallFailure(failure), "{result:?}");
    }
}

#[test]
fn a_refund_is_done_when_the_payment_shows_that_much_given_back() {
    let whole = our_payment(1000, ProviderStatus::Captured);
    assert_eq!(refunded(&paid("CANCELED", 0)), RefundOutcome::Refunded(whole));
    let part = our_payment(300, ProviderStatus::Captured);
    let outcome = refund(&paid("PARTIAL_CANCELED", 700), &refund_request(300), &Credential::new("sk"));
    assert_eq!(outcome, RefundOutcome::Refunded(part));
    for odd in [paid("PARTIAL_CANCELED", 700), paid("DONE", 1000), paid("ABORTED", 0)] {
        assert!(
            matches!(refunded(&odd), RefundOutcome::CallFailure(CallFailure::OutcomeUnknown(_))),
            "{odd:?}"
        );
    }
    let other = RefundRequest { payment_id: "pk_2".into(), ..refund_request(1000) };
    assert!(matches!(
        refund(&paid("CANCELED", 0), &other, &Credential::new("sk")),
        RefundOutcome::CallFailure(CallFailure::OutcomeUnknown(_))
    ));
}

#[test]
fn a_refund_that_was_made_before_says_so_and_one_that_cannot_be_is_refused() {
    assert_eq!(refunded(&error(400, "ALREADY_CANCELED_PAYMENT")), RefundOutcome::AlreadyRefunded);
    assert_eq!(refunded(&error(400, "ALREADY_REFUND_PAYMENT")), RefundOutcome::AlreadyRefunded);
    for (status, code) in [
        (403, "NOT_CANCELABLE_AMOUNT"),
        (403, "NOT_CANCELABLE_PAYMENT"),
        (403, "NOT_ALLOWED_PARTIAL_REFUND"),
        (400, "REFUND_REJECTED"),
        (404, "NOT_FOUND_PAYMENT"),
    ] {
        let outcome = refunded(&error(status, code));
        assert!(matches!(&outcome, RefundOutcome::Refused(refusal) if refusal.code == code), "{outcome:?}");
    }
}

#[test]
fn a_providers_sentence_repeats_neither_token_nor_credential() {
    let body = json!({ "code": "REJECT_CARD_PAYMENT", "message": format!("{TOKEN} declined for sk_1") });
    let credential = Credential::new("sk_1");
    let outcome = charge(&answer(403, &body.to_string(), None), &charge_request(), &credential);
    let ChargeOutcome::Refused(charge) = outcome else { panic!("not refused") };
    let outcome = refund(&answer(403, &body.to_string(), None), &refund_request(1), &credential);
    let RefundOutcome::Refused(refund) = outcome else { panic!("not refused") };
    assert_eq!(
        (charge.message.as_str(), refund.message.as_str()),
        ("*** declined for ***", "*** declined for ***")
    );
}
