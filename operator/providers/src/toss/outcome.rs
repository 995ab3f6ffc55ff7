//! What an answer of Toss Payments means, as a pure function: status and body in, outcome out.
//!
//! The code decides before the status, for Toss answers 403 both to a wrong key and to a card without money. What
//! is not plainly a success or a final refusal is unknown: a wrong "refused" loses a capture, a wrong "unknown"
//! costs one look-up. The sentences name neither token nor credential.
//!
//! Source: <https://docs.tosspayments.com/reference/error-codes>.

use std::time::{Duration, SystemTime};

use fooddelivery_saga::provider::{
    ChargeOutcome, LookUpOutcome, ProviderPayment, ProviderStatus, RefundOutcome, Refusal,
};
use serde::Deserialize;

use crate::http::{HttpAnswer, NoAnswer};
use crate::port::{ChargeRequest, RefundRequest};

/// How much of a provider's sentence is kept.
const MAX_MESSAGE_CHARS: usize = 300;
/// The longest thing that is taken for a code.
const MAX_CODE_CHARS: usize = 64;

/// An answer and when it came (for a `Retry-After` that names a date).
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) http: HttpAnswer,
    pub(crate) now: SystemTime,
}

/// The fields of the Payment object that matter here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentBody {
    payment_key: String,
    order_id: String,
    status: String,
    total_amount: i64,
    balance_amount: i64,
    currency: String,
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    code: String,
    message: String,
}

/// What an answer that is not a success means, for any operation.
enum Failure {
    Refused(Refusal),
    AlreadyCanceled,
    NotFound,
    InProgress,
    Throttled(Option<u64>),
    Unauthorized(String),
    Unknown(String),
}

/// What came of a charge.
pub(crate) fn charge(result: &Result<Answer, NoAnswer>, request: &ChargeRequest) -> ChargeOutcome {
    let answer = match result {
        Ok(answer) => answer,
        Err(NoAnswer::NotSent(why)) => return ChargeOutcome::NotSent(why.clone()),
        Err(NoAnswer::Unknown(why)) => return ChargeOutcome::Unknown(why.clone()),
    };
    match read(answer) {
        Ok(payment) if payment.status != ProviderStatus::Captured => {
            ChargeOutcome::Unknown(format!("answered with a payment that is {:?}", payment.status))
        }
        // The key is matched without the body: a key used for two orders would replay the first one's payment.
        Ok(payment)
            if payment.payment_id != request.token.expose()
                || payment.order_id != request.order_id
                || payment.amount != request.amount
                || payment.currency != request.currency =>
        {
            ChargeOutcome::Unknown("answered with another payment than the one asked for".to_owned())
        }
        Ok(payment) => ChargeOutcome::Captured(payment),
        Err(Failure::Refused(refusal)) => ChargeOutcome::Refused(scrubbed(refusal, request.token.expose())),
        Err(Failure::NotFound) => {
            ChargeOutcome::Refused(refusal("NOT_FOUND_PAYMENT", "The provider knows no such payment."))
        }
        Err(Failure::AlreadyCanceled) => {
            ChargeOutcome::Unknown("ALREADY_CANCELED_PAYMENT: look the payment up".to_owned())
        }
        Err(Failure::InProgress) => ChargeOutcome::InProgress,
        Err(Failure::Throttled(retry_after_ms)) => ChargeOutcome::Throttled { retry_after_ms },
        Err(Failure::Unauthorized(why)) => ChargeOutcome::Unauthorized(why),
        Err(Failure::Unknown(why)) => ChargeOutcome::Unknown(why),
    }
}

/// What came of a look-up.
pub(crate) fn look_up(result: &Result<Answer, NoAnswer>) -> LookUpOutcome {
    let answer = match result {
        Ok(answer) => answer,
        Err(NoAnswer::NotSent(why) | NoAnswer::Unknown(why)) => return LookUpOutcome::Failed(why.clone()),
    };
    match read(answer) {
        Ok(payment) => LookUpOutcome::Found(payment),
        Err(Failure::NotFound) => LookUpOutcome::NotFound,
        Err(Failure::Refused(refusal)) => LookUpOutcome::Failed(refusal.code),
        Err(Failure::AlreadyCanceled) => LookUpOutcome::Failed("ALREADY_CANCELED_PAYMENT".to_owned()),
        Err(Failure::InProgress) => LookUpOutcome::Failed("a request is being processed (409)".to_owned()),
        Err(Failure::Throttled(_)) => LookUpOutcome::Failed("too many requests (429)".to_owned()),
        Err(Failure::Unauthorized(why) | Failure::Unknown(why)) => LookUpOutcome::Failed(why),
    }
}

/// What came of a refund.
pub(crate) fn refund(result: &Result<Answer, NoAnswer>, request: &RefundRequest) -> RefundOutcome {
    let answer = match result {
        Ok(answer) => answer,
        Err(NoAnswer::NotSent(why)) => return RefundOutcome::NotSent(why.clone()),
        Err(NoAnswer::Unknown(why)) => return RefundOutcome::Unknown(why.clone()),
    };
    match read(answer) {
        Ok(payment) if payment.payment_id != request.payment_id => {
            RefundOutcome::Unknown("answered with another payment than the one asked for".to_owned())
        }
        Ok(payment) if payment.status != ProviderStatus::Captured || payment.refunded < request.amount => {
            RefundOutcome::Unknown("answered with a payment that was refunded less than asked for".to_owned())
        }
        Ok(payment) => RefundOutcome::Refunded(payment),
        Err(Failure::Refused(refusal)) => RefundOutcome::Refused(scrubbed(refusal, &request.payment_id)),
        Err(Failure::NotFound) => {
            RefundOutcome::Refused(refusal("NOT_FOUND_PAYMENT", "The provider knows no such payment."))
        }
        Err(Failure::AlreadyCanceled) => RefundOutcome::AlreadyRefunded,
        Err(Failure::InProgress) => RefundOutcome::InProgress,
        Err(Failure::Throttled(retry_after_ms)) => RefundOutcome::Throttled { retry_after_ms },
        Err(Failure::Unauthorized(why)) => RefundOutcome::Unauthorized(why),
        Err(Failure::Unknown(why)) => RefundOutcome::Unknown(why),
    }
}

/// A refusal that needs no provider.
pub(crate) fn local_refusal(message: &str) -> Refusal {
    refusal("INVALID_REQUEST", message)
}

fn read(answer: &Answer) -> Result<ProviderPayment, Failure> {
    if answer.http.status == 200 { payment(&answer.http.body) } else { Err(failure(answer)) }
}

fn payment(body: &[u8]) -> Result<ProviderPayment, Failure> {
    // The text of serde could quote the body, so it is not passed on.
    let body: PaymentBody =
        serde_json::from_slice(body).map_err(|_| Failure::Unknown("200 without a payment".to_owned()))?;
    if body.total_amount < 0 || !(0..=body.total_amount).contains(&body.balance_amount) {
        return Err(Failure::Unknown("200 with amounts that do not add up".to_owned()));
    }
    let status = match body.status.as_str() {
        "DONE" | "CANCELED" | "PARTIAL_CANCELED" => ProviderStatus::Captured,
        "READY" | "IN_PROGRESS" | "WAITING_FOR_DEPOSIT" => ProviderStatus::Open,
        "ABORTED" => ProviderStatus::Failed,
        "EXPIRED" => ProviderStatus::Expired,
        _ => ProviderStatus::Unrecognised,
    };
    // Before a capture the balance is no measure of what was given back.
    let refunded =
        if status == ProviderStatus::Captured { body.total_amount - body.balance_amount } else { 0 };
    Ok(ProviderPayment {
        payment_id: body.payment_key,
        order_id: body.order_id,
        amount: body.total_amount,
        refunded,
        currency: body.currency,
        status,
    })
}

fn failure(answer: &Answer) -> Failure {
    let status = answer.http.status;
    if status == 429 {
        let header = answer.http.retry_after.as_deref();
        return Failure::Throttled(header.and_then(|text| retry_after_ms(text, answer.now)));
    }
    let error = serde_json::from_slice::<ErrorBody>(&answer.http.body).ok().filter(well_formed);
    let Some(ErrorBody { code, message }) = error else {
        return match status {
            401 | 403 => Failure::Unauthorized(format!("{status} without a code")),
            _ => Failure::Unknown(format!("{status} without a code")),
        };
    };
    if status >= 500 {
        return Failure::Unknown(format!("{status} {code}"));
    }
    match code.as_str() {
        "IDEMPOTENT_REQUEST_PROCESSING" => Failure::InProgress,
        "ALREADY_CANCELED_PAYMENT" | "ALREADY_REFUND_PAYMENT" => Failure::AlreadyCanceled,
        "NOT_FOUND_PAYMENT" if status == 404 => Failure::NotFound,
        "UNAUTHORIZED_KEY" | "INVALID_API_KEY" | "INCORRECT_BASIC_AUTH_FORMAT" | "FORBIDDEN_REQUEST" => {
            Failure::Unauthorized(format!("{status} {code}"))
        }
        code if undecided(code) => Failure::Unknown(format!("{code}: look the payment up")),
        _ => match status {
            401 => Failure::Unauthorized(format!("{status} {code}")),
            403 if !refuses(&code) => Failure::Unauthorized(format!("{status} {code}")),
            // 408, 409 and 425 speak of the request's timing, not of the payment.
            400..500 if !matches!(status, 408 | 409 | 425) => Failure::Refused(refusal(&code, &message)),
            _ => Failure::Unknown(format!("{status} {code}")),
        },
    }
}

/// 4xx codes after which the money may have moved: handled before, handled at the same time, or failed midway at
/// the card company.
fn undecided(code: &str) -> bool {
    code.starts_with("ALREADY_")
        || code.starts_with("FAILED_")
        || matches!(
            code,
            "PROVIDER_ERROR"
                | "CARD_PROCESSING_ERROR"
                | "COMMON_ERROR"
                | "UNKNOWN_PAYMENT_ERROR"
                | "DUPLICATED_REQUEST"
                | "FORBIDDEN_CONSECUTIVE_REQUEST"
        )
}

/// 403 codes that refuse this payment or refund, not our key.
fn refuses(code: &str) -> bool {
    const PREFIXES: [&str; 7] =
        ["REJECT_", "EXCEED_", "NOT_CANCELABLE_", "NOT_ALLOWED_", "NOT_AVAILABLE_", "INVALID_", "FDS_"];
    PREFIXES.iter().any(|prefix| code.starts_with(prefix))
}

/// Codes end up in sentences and labels, so nothing else is taken for one.
fn well_formed(error: &ErrorBody) -> bool {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    !error.code.is_empty() && error.code.len() <= MAX_CODE_CHARS && error.code.bytes().all(plain)
}

fn refusal(code: &str, message: &str) -> Refusal {
    Refusal { code: code.to_owned(), message: message.to_owned() }
}

/// The provider's sentence is passed on to people, so the token must not be in it; and it is bounded.
fn scrubbed(refusal: Refusal, secret: &str) -> Refusal {
    let message = if secret.is_empty() { refusal.message } else { refusal.message.replace(secret, "***") };
    Refusal { message: message.chars().take(MAX_MESSAGE_CHARS).collect(), ..refusal }
}

/// `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3), in ms from `now`; a past date is zero.
fn retry_after_ms(text: &str, now: SystemTime) -> Option<u64> {
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text.trim()).ok()?.duration_since(now).unwrap_or_default(),
    };
    u64::try_from(wait.as_millis()).ok()
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
