//! What a response of Stripe means, as a pure function: status, body and the mark of a replay in, outcome out.
//!
//! Only a 402 and a 400 about this request are final refusals. A 5xx is kept and replayed for its key, so that a
//! replayed one means that the key is consumed. What is neither is a [`CallFailure`]: a wrong "refused" loses a capture, a
//! wrong "unknown" costs one look-up. The sentences name neither payment method nor credential.
//!
//! Source: <https://docs.stripe.com/api/errors>, <https://docs.stripe.com/error-codes>.

use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, ProviderPayment, ProviderStatus,
    RefundOutcome, VoidOutcome,
};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::http::{HttpResponse, TransportError};
use crate::payment::port::{ChargeRequest, PrepareRequest, RefundRequest, VoidRequest};
use crate::refusal::{CODE_CHARS_MAX, refusal};
use crate::secret::Credential;

/// The fields of a payment intent that matter here.
#[derive(Debug, Deserialize)]
struct IntentBody {
    id: String,
    amount: i64,
    currency: String,
    status: String,
    metadata: Option<Metadata>,
    latest_charge: Option<LatestCharge>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    order_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum LatestCharge {
    Expanded { amount_refunded: i64 },
    Named(IgnoredAny),
}

#[derive(Debug, Deserialize)]
struct SearchBody {
    data: Vec<Hit>,
}

#[derive(Debug, Deserialize)]
struct Hit {
    id: String,
}

#[derive(Debug, Deserialize)]
struct RefundBody {
    payment_intent: Option<String>,
    amount: i64,
    status: String,
    failure_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ErrorEnvelope {
    error: ErrorBody,
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    #[serde(rename = "type")]
    kind: String,
    code: Option<String>,
    decline_code: Option<String>,
    message: Option<String>,
    payment_intent: Option<IntentState>,
}

/// The payment that an error is about.
#[derive(Debug, Deserialize)]
struct IntentState {
    id: String,
    status: String,
}

/// What an answer that is not a success means, for any operation.
enum Failure {
    Refused {
        code: String,
        message: String,
    },
    /// The payment is past, or not yet at, the state that the request needs.
    UnexpectedState(Option<IntentState>),
    AlreadyRefunded,
    Missing,
    CallFailure(CallFailure),
}

/// Proof that the provider made the refund, so that the payment can be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RefundMade;

fn unknown(why: impl Into<String>) -> CallFailure {
    CallFailure::OutcomeUnknown(why.into())
}

impl Failure {
    /// The failure that it is for an operation that has no other word for it.
    fn into_call_failure(self) -> CallFailure {
        match self {
            Self::Refused { code, .. } => unknown(code),
            Self::UnexpectedState(_) => unknown("payment_intent_unexpected_state"),
            Self::AlreadyRefunded => unknown("charge_already_refunded"),
            // Not a refusal: the id was given by the provider, so this is the wrong account or the wrong provider.
            Self::Missing => {
                unknown("resource_missing: the provider does not know the payment that it named")
            }
            Self::CallFailure(failure) => failure,
        }
    }
}

/// What came of preparing a payment.
pub(crate) fn prepare(
    result: &Result<HttpResponse, TransportError>,
    request: &PrepareRequest,
    credential: &Credential,
) -> PrepareOutcome {
    let secrets = [request.token.expose(), credential.expose()];
    let PrepareRequest { order_id, amount, currency, .. } = request;
    match read(result).and_then(|body| intent(body, false)) {
        Ok(payment) if !agrees(&payment, order_id, *amount, currency) => {
            PrepareOutcome::CallFailure(unknown("answered with another payment than the one asked for"))
        }
        Ok(payment) => PrepareOutcome::Prepared(payment),
        Err(Failure::Refused { code, message }) => {
            PrepareOutcome::Refused(refusal(&code, &message, &secrets))
        }
        Err(failure) => PrepareOutcome::CallFailure(failure.into_call_failure()),
    }
}

/// What came of a charge of the payment with this id.
pub(crate) fn charge(
    result: &Result<HttpResponse, TransportError>,
    request: &ChargeRequest,
    payment_id: &str,
    credential: &Credential,
) -> ChargeOutcome {
    let secrets = [request.token.expose(), credential.expose()];
    let ChargeRequest { order_id, amount, currency, .. } = request;
    match read(result).and_then(|body| intent(body, false)) {
        Ok(payment) if payment.payment_id != payment_id || !agrees(&payment, order_id, *amount, currency) => {
            ChargeOutcome::CallFailure(unknown("answered with another payment than the one asked for"))
        }
        Ok(payment) if payment.status != ProviderStatus::Captured => ChargeOutcome::CallFailure(unknown(
            format!("answered with a payment that is {:?}", payment.status),
        )),
        Ok(payment) => ChargeOutcome::Captured(payment),
        Err(Failure::Refused { code, message }) => ChargeOutcome::Refused(refusal(&code, &message, &secrets)),
        Err(Failure::UnexpectedState(state)) => {
            if canceled(state.as_ref(), payment_id) {
                ChargeOutcome::Refused(refusal("canceled", "The payment was canceled before.", &[]))
            } else {
                ChargeOutcome::AlreadyProcessed
            }
        }
        Err(failure) => ChargeOutcome::CallFailure(failure.into_call_failure()),
    }
}

/// What came of a look-up by id, with the latest charge in full.
pub(crate) fn look_up(result: &Result<HttpResponse, TransportError>) -> LookUpOutcome {
    match read(result).and_then(|body| intent(body, true)) {
        Ok(payment) => LookUpOutcome::Found(payment),
        Err(Failure::Missing) => LookUpOutcome::NotFound,
        Err(failure) => LookUpOutcome::CallFailure(failure.into_call_failure()),
    }
}

/// The id of the first payment that a search found.
pub(crate) fn first_hit(
    result: &Result<HttpResponse, TransportError>,
) -> Result<Option<String>, CallFailure> {
    let body = read(result).and_then(parse::<SearchBody>).map_err(Failure::into_call_failure)?;
    Ok(body.data.into_iter().next().map(|hit| hit.id))
}

/// What came of a request to void.
pub(crate) fn void(result: &Result<HttpResponse, TransportError>, request: &VoidRequest) -> VoidOutcome {
    match read(result).and_then(parse::<IntentState>) {
        Ok(state) if canceled(Some(&state), &request.payment_id) => VoidOutcome::Voided,
        Ok(_) => {
            VoidOutcome::CallFailure(unknown("answered with a payment that is not canceled, or not ours"))
        }
        Err(Failure::UnexpectedState(state)) => {
            if canceled(state.as_ref(), &request.payment_id) {
                VoidOutcome::Voided
            } else {
                VoidOutcome::TooLate
            }
        }
        Err(failure) => VoidOutcome::CallFailure(failure.into_call_failure()),
    }
}

/// Whether a request to refund made one.
///
/// # Errors
/// The outcome, when it did not, or when that is not known.
pub(crate) fn refund(
    result: &Result<HttpResponse, TransportError>,
    request: &RefundRequest,
    credential: &Credential,
) -> Result<RefundMade, RefundOutcome> {
    let failure = |why: &str| Err(RefundOutcome::CallFailure(unknown(why)));
    let body = match read(result).and_then(parse::<RefundBody>) {
        Ok(body) => body,
        Err(Failure::AlreadyRefunded) => return Err(RefundOutcome::AlreadyRefunded),
        Err(Failure::UnexpectedState(_)) => {
            let message = "Nothing was captured that could be refunded.";
            return Err(RefundOutcome::Refused(refusal("payment_intent_unexpected_state", message, &[])));
        }
        Err(Failure::Refused { code, message }) => {
            return Err(RefundOutcome::Refused(refusal(&code, &message, &[credential.expose()])));
        }
        Err(failure) => return Err(RefundOutcome::CallFailure(failure.into_call_failure())),
    };
    if body.payment_intent.as_deref() != Some(request.payment_id.as_str()) || body.amount != request.amount {
        return failure("answered with another refund than the one asked for");
    }
    match body.status.as_str() {
        "succeeded" => Ok(RefundMade),
        "failed" | "canceled" => {
            let code = body.failure_reason.filter(|code| well_formed(code));
            let code = code.as_deref().unwrap_or("refund_failed");
            Err(RefundOutcome::Refused(refusal(code, "The refund failed at the provider.", &[])))
        }
        _ => failure("the refund is still pending"),
    }
}

/// What came of a refund that was made, from the payment as it was read after it.
pub(crate) fn refunded(found: LookUpOutcome, request: &RefundRequest) -> RefundOutcome {
    let failure = |why: &str| RefundOutcome::CallFailure(unknown(why));
    match found {
        LookUpOutcome::Found(payment) if payment.payment_id != request.payment_id => {
            failure("refunded, and then shown another payment")
        }
        LookUpOutcome::Found(payment)
            if payment.status != ProviderStatus::Captured || payment.refunded < request.amount =>
        {
            failure("refunded, and then shown as refunded less")
        }
        LookUpOutcome::Found(payment) => RefundOutcome::Refunded(payment),
        LookUpOutcome::NotFound => failure("refunded, and then not found"),
        LookUpOutcome::CallFailure(why) => {
            RefundOutcome::CallFailure(unknown(format!("refunded, and then not readable: {}", why.why())))
        }
    }
}

fn agrees(payment: &ProviderPayment, order_id: &str, amount: i64, currency: &str) -> bool {
    payment.order_id == order_id && payment.amount == amount && payment.currency == currency
}

fn canceled(state: Option<&IntentState>, payment_id: &str) -> bool {
    state.is_some_and(|state| state.id == payment_id && state.status == "canceled")
}

fn read(result: &Result<HttpResponse, TransportError>) -> Result<&[u8], Failure> {
    match result {
        Ok(answer) if answer.status == 200 => Ok(&answer.body),
        Ok(answer) => Err(failure(answer)),
        Err(transport_error) => Err(Failure::CallFailure(transport_error.into())),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // The text of serde could quote the body, so it is not passed on.
    serde_json::from_slice(body).map_err(|_| Failure::CallFailure(unknown("200 without what was asked for")))
}

/// A payment from its intent; where the charge was asked for in full, it has to be there.
fn intent(body: &[u8], expanded: bool) -> Result<ProviderPayment, Failure> {
    let body: IntentBody = parse(body)?;
    let status = match body.status.as_str() {
        "succeeded" => ProviderStatus::Captured,
        "canceled" => ProviderStatus::Failed,
        _ => ProviderStatus::Open,
    };
    let refunded = match body.latest_charge {
        _ if status != ProviderStatus::Captured => 0,
        Some(LatestCharge::Expanded { amount_refunded }) => amount_refunded,
        // Right after its capture nothing has been given back.
        Some(LatestCharge::Named(_)) | None if !expanded => 0,
        Some(LatestCharge::Named(_)) | None => {
            return Err(Failure::CallFailure(unknown(
                "200 without the charge, which tells what was given back",
            )));
        }
    };
    if body.amount < 0 || !(0..=body.amount).contains(&refunded) {
        return Err(Failure::CallFailure(unknown("200 with amounts that do not add up")));
    }
    Ok(ProviderPayment {
        payment_id: body.id,
        order_id: body.metadata.and_then(|metadata| metadata.order_id).unwrap_or_default(),
        amount: body.amount,
        refunded,
        currency: body.currency.to_ascii_uppercase(),
        status,
    })
}

fn failure(answer: &HttpResponse) -> Failure {
    let status = answer.status;
    if status == 429 {
        return Failure::CallFailure(CallFailure::Throttled { retry_after_ms: answer.retry_after_ms() });
    }
    let error = serde_json::from_slice::<ErrorEnvelope>(&answer.body).ok().map(|envelope| envelope.error);
    // The most telling of the codes; where an error has none, its type.
    let code = error.as_ref().and_then(|error| {
        let codes = [error.decline_code.as_ref(), error.code.as_ref(), Some(&error.kind)];
        codes.into_iter().flatten().find(|code| well_formed(code)).cloned()
    });
    let sentence = format!("{status} {}", code.as_deref().unwrap_or("without a code"));
    match (status, error, code) {
        (500.., ..) if answer.replayed => {
            Failure::CallFailure(CallFailure::IdempotencyKeyConsumed(format!("a stored {sentence}")))
        }
        (500.., ..) => Failure::CallFailure(CallFailure::Errored(sentence)),
        (401 | 403, ..) => Failure::CallFailure(CallFailure::Unauthorized(sentence)),
        (400..500, Some(error), Some(code)) => by_error(status, error, code, sentence),
        _ => Failure::CallFailure(unknown(sentence)),
    }
}

fn by_error(status: u16, error: ErrorBody, code: String, sentence: String) -> Failure {
    let refused = |message: Option<String>| Failure::Refused { code, message: message.unwrap_or_default() };
    match (status, error.code.as_deref(), error.kind.as_str()) {
        (409, Some("idempotency_key_in_use"), _) => Failure::CallFailure(CallFailure::InProgress),
        (404, Some("resource_missing"), _) => Failure::Missing,
        (400, _, "idempotency_error") => Failure::CallFailure(CallFailure::IdempotencyKeyConsumed(sentence)),
        (400, Some("payment_intent_unexpected_state"), _) => Failure::UnexpectedState(error.payment_intent),
        (400, Some("charge_already_refunded"), _) => Failure::AlreadyRefunded,
        (402, ..) | (400, _, "invalid_request_error" | "card_error") => refused(error.message),
        _ => Failure::CallFailure(unknown(sentence)),
    }
}

/// Codes end up in sentences and labels, so nothing else is taken for one.
fn well_formed(code: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !code.is_empty() && code.len() <= CODE_CHARS_MAX && code.bytes().all(plain)
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
