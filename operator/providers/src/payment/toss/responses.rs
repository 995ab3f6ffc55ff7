//! What a response of Toss Payments means, as a pure function: status and body in, outcome out.
//!
//! The code decides before the status, for Toss answers 403 both to a wrong key and to a card without money. What
//! is not plainly a success or a final refusal is a [`CallFailure`]: a wrong "refused" loses a capture, a wrong "unknown"
//! costs one look-up. The sentences name neither token nor credential.
//!
//! Source: <https://docs.tosspayments.com/reference/error-codes>.

use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, ProviderPayment, ProviderStatus, RefundOutcome, Refusal,
};
use serde::Deserialize;

use crate::http::{HttpResponse, TransportError};
use crate::payment::port::{ChargeRequest, RefundRequest};
use crate::refusal::{CODE_CHARS_MAX, refusal};
use crate::secret::Credential;

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
    Refused { code: String, message: String },
    AlreadyProcessed,
    AlreadyCanceled,
    NotFound,
    CallFailure(CallFailure),
}

/// A sentence that sends the caller to a look-up.
fn look_it_up(code: &str) -> CallFailure {
    CallFailure::OutcomeUnknown(format!("{code}: look the payment up"))
}

/// What came of a charge.
pub(crate) fn charge(
    result: &Result<HttpResponse, TransportError>,
    request: &ChargeRequest,
    credential: &Credential,
) -> ChargeOutcome {
    let token = request.token.expose();
    let secrets = [token, credential.expose()];
    let unknown = |why: String| ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown(why));
    match read(result) {
        Ok(payment) if payment.status != ProviderStatus::Captured => {
            unknown(format!("answered with a payment that is {:?}", payment.status))
        }
        // The key is matched without the body: a key used for two orders would replay the first one's payment.
        Ok(payment)
            if payment.payment_id != token
                || payment.order_id != request.order_id
                || payment.amount != request.amount
                || payment.currency != request.currency =>
        {
            unknown("answered with another payment than the one asked for".to_owned())
        }
        Ok(payment) => ChargeOutcome::Captured(payment),
        Err(Failure::Refused { code, message }) => ChargeOutcome::Refused(refusal(&code, &message, &secrets)),
        Err(Failure::NotFound) => ChargeOutcome::Refused(not_found()),
        Err(Failure::AlreadyProcessed) => ChargeOutcome::AlreadyProcessed,
        Err(Failure::AlreadyCanceled) => ChargeOutcome::CallFailure(look_it_up("ALREADY_CANCELED_PAYMENT")),
        Err(Failure::CallFailure(failure)) => ChargeOutcome::CallFailure(failure),
    }
}

/// What came of a look-up.
pub(crate) fn look_up(result: &Result<HttpResponse, TransportError>) -> LookUpOutcome {
    // A look-up asks for nothing that could be refused, so such codes say only that there is no answer.
    let unknown = |code: &str| LookUpOutcome::CallFailure(CallFailure::OutcomeUnknown(code.to_owned()));
    match read(result) {
        Ok(payment) => LookUpOutcome::Found(payment),
        Err(Failure::NotFound) => LookUpOutcome::NotFound,
        Err(Failure::Refused { code, .. }) => unknown(&code),
        Err(Failure::AlreadyProcessed) => unknown("ALREADY_PROCESSED_PAYMENT"),
        Err(Failure::AlreadyCanceled) => unknown("ALREADY_CANCELED_PAYMENT"),
        Err(Failure::CallFailure(failure)) => LookUpOutcome::CallFailure(failure),
    }
}

/// What came of a refund.
pub(crate) fn refund(
    result: &Result<HttpResponse, TransportError>,
    request: &RefundRequest,
    credential: &Credential,
) -> RefundOutcome {
    let secrets = [request.payment_id.as_str(), credential.expose()];
    let unknown = |why: &str| RefundOutcome::CallFailure(CallFailure::OutcomeUnknown(why.to_owned()));
    match read(result) {
        Ok(payment) if payment.payment_id != request.payment_id => {
            unknown("answered with another payment than the one asked for")
        }
        Ok(payment) if payment.status != ProviderStatus::Captured || payment.refunded < request.amount => {
            unknown("answered with a payment that was refunded less than asked for")
        }
        Ok(payment) => RefundOutcome::Refunded(payment),
        Err(Failure::Refused { code, message }) => RefundOutcome::Refused(refusal(&code, &message, &secrets)),
        Err(Failure::NotFound) => RefundOutcome::Refused(not_found()),
        Err(Failure::AlreadyProcessed) => RefundOutcome::CallFailure(look_it_up("ALREADY_PROCESSED_PAYMENT")),
        Err(Failure::AlreadyCanceled) => RefundOutcome::AlreadyRefunded,
        Err(Failure::CallFailure(failure)) => RefundOutcome::CallFailure(failure),
    }
}

fn not_found() -> Refusal {
    refusal("NOT_FOUND_PAYMENT", "The provider knows no such payment.", &[])
}

fn read(result: &Result<HttpResponse, TransportError>) -> Result<ProviderPayment, Failure> {
    match result {
        Ok(answer) if answer.status == 200 => payment(&answer.body),
        Ok(answer) => Err(failure(answer)),
        Err(transport_error) => Err(Failure::CallFailure(transport_error.into())),
    }
}

fn payment(body: &[u8]) -> Result<ProviderPayment, Failure> {
    // The text of serde could quote the body, so it is not passed on.
    let unknown = |why: &str| Failure::CallFailure(CallFailure::OutcomeUnknown(why.to_owned()));
    let body: PaymentBody = serde_json::from_slice(body).map_err(|_| unknown("200 without a payment"))?;
    if body.total_amount < 0 || !(0..=body.total_amount).contains(&body.balance_amount) {
        return Err(unknown("200 with amounts that do not add up"));
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

fn failure(answer: &HttpResponse) -> Failure {
    let status = answer.status;
    if status == 429 {
        return Failure::CallFailure(CallFailure::Throttled { retry_after_ms: answer.retry_after_ms() });
    }
    let error = serde_json::from_slice::<ErrorBody>(&answer.body).ok().filter(well_formed);
    let code = error.as_ref().map_or("without a code", |error| error.code.as_str());
    let sentence = format!("{status} {code}");
    let unauthorized = |sentence| Failure::CallFailure(CallFailure::Unauthorized(sentence));
    let unknown = |sentence| Failure::CallFailure(CallFailure::OutcomeUnknown(sentence));
    if status >= 500 {
        return Failure::CallFailure(CallFailure::Errored(sentence));
    }
    let Some(ErrorBody { code, message }) = error else {
        return if matches!(status, 401 | 403) { unauthorized(sentence) } else { unknown(sentence) };
    };
    match code.as_str() {
        "IDEMPOTENT_REQUEST_PROCESSING" => Failure::CallFailure(CallFailure::InProgress),
        "ALREADY_PROCESSED_PAYMENT" => Failure::AlreadyProcessed,
        "ALREADY_CANCELED_PAYMENT" | "ALREADY_REFUND_PAYMENT" => Failure::AlreadyCanceled,
        "NOT_FOUND_PAYMENT" if status == 404 => Failure::NotFound,
        "UNAUTHORIZED_KEY" | "INVALID_API_KEY" | "INCORRECT_BASIC_AUTH_FORMAT" | "FORBIDDEN_REQUEST" => {
            unauthorized(sentence)
        }
        code if undecided(code) => Failure::CallFailure(look_it_up(code)),
        _ => match status {
            401 => unauthorized(sentence),
            403 if !refuses(&code) => unauthorized(sentence),
            // 408, 409 and 425 speak of the request's timing, not of the payment.
            400..500 if !matches!(status, 408 | 409 | 425) => Failure::Refused { code, message },
            _ => unknown(sentence),
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
    !error.code.is_empty() && error.code.len() <= CODE_CHARS_MAX && error.code.bytes().all(plain)
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
