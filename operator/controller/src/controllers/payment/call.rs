//! Calls the provider through its resilience policy and the port. Idempotency keys follow from the payment's uid, the operation and
//! the attempt, and from nothing else, so that any replica at any time makes the same call.

use std::time::Duration;

use fooddelivery_api::Payment;
use fooddelivery_providers::resilience::{Permit, Rejected, Request, Response};
use fooddelivery_providers::{
    ChargeRequest, LookUpRequest, PrepareRequest, RefundRequest, Token, VoidRequest,
};
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::payment::{ProviderCall, ProviderPaymentId, Responses};
use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, RefundOutcome, VoidOutcome,
};
use tokio::time::Instant;
use tracing::{debug, info};

use crate::context::Context;
use crate::shared::payment_clients::PaymentClient;

/// The key of an operation in an attempt: at most 64 characters.
fn idempotency_key(payment: &Payment, operation: &str) -> String {
    let state = payment.state();
    let uid = uid_of(payment);
    match (operation, state.refund_attempt) {
        ("refund", again @ 1..) => format!("{uid}-refund-{}.{again}", state.attempt),
        _ => format!("{uid}-{operation}-{}", state.attempt),
    }
}

/// Why a call was not made.
pub(super) enum NotCalled {
    /// The circuit lets nothing through; the time after which it is worth trying again.
    CircuitOpen(Duration),
    /// The customer's token is not at hand, and the call takes it.
    NoToken,
}

/// Makes the call and puts its outcome among the responses.
///
/// # Errors
/// When nothing was sent.
pub(super) async fn call(
    context: &Context,
    client: &PaymentClient,
    permit: &Permit,
    token: Option<Token>,
    payment: &Payment,
    call: ProviderCall,
    responses: &mut Responses,
) -> Result<(), NotCalled> {
    let begun = Instant::now();
    let request = request(payment, token, call).ok_or(NotCalled::NoToken)?;
    let operation = request.operation();
    let answer = client.resilience.call(permit, &client.port, request).await;
    let response = answer.map_err(|Rejected { retry_in }| NotCalled::CircuitOpen(retry_in))?;
    let outcome = outcome_label(&response);
    let took = begun.elapsed();
    context.metrics.provider_call(operation, outcome, took);
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    // What is asked again and again tells nothing new until the answer is another one.
    if responses.unresolved_attempts > 1 && is_failure(&response) {
        debug!(operation, outcome, took_ms, "provider call finished");
    } else {
        info!(operation, outcome, took_ms, "provider call finished");
    }
    keep(response, responses);
    Ok(())
}

/// The call as a request; `None` when it takes a token and there is none.
fn request(payment: &Payment, token: Option<Token>, call: ProviderCall) -> Option<Request> {
    let correlation_id = payment.spec.order_ref.uid.clone();
    let order_id = payment.spec.provider_order_id.clone();
    let currency = payment.spec.quote.currency.clone();
    let text = |id: ProviderPaymentId| id.as_str().to_owned();
    Some(match call {
        ProviderCall::Prepare { amount } => Request::Prepare(PrepareRequest {
            idempotency_key: idempotency_key(payment, "prepare"),
            token: token?,
            order_id,
            amount,
            currency,
            correlation_id,
        }),
        ProviderCall::LookUp { payment_id } => {
            let payment_id = payment_id.map(text);
            Request::LookUp(LookUpRequest { token, payment_id, order_id, correlation_id })
        }
        ProviderCall::Charge { payment_id, amount } => Request::Charge(ChargeRequest {
            idempotency_key: idempotency_key(payment, "charge"),
            token: token?,
            payment_id: payment_id.map(text),
            order_id,
            amount,
            currency,
            correlation_id,
        }),
        ProviderCall::Void { payment_id } => {
            Request::Void(VoidRequest { payment_id: text(payment_id), correlation_id })
        }
        ProviderCall::Refund { payment_id, amount } => Request::Refund(RefundRequest {
            idempotency_key: idempotency_key(payment, "refund"),
            payment_id: text(payment_id),
            amount,
            reason: "the order was undone".into(),
            correlation_id,
        }),
    })
}

fn keep(response: Response, responses: &mut Responses) {
    match response {
        Response::Prepare(outcome) => responses.prepare = Some(outcome),
        Response::Charge { outcome, resolved } => {
            responses.charge = Some(outcome);
            responses.look_up = resolved.or(responses.look_up.take());
        }
        Response::LookUp(outcome) => responses.look_up = Some(outcome),
        Response::Void(outcome) => responses.void = Some(outcome),
        Response::Refund(outcome) => responses.refund = Some(outcome),
    }
}

fn is_failure(response: &Response) -> bool {
    matches!(
        response,
        Response::Prepare(PrepareOutcome::CallFailure(_))
            | Response::Charge { outcome: ChargeOutcome::CallFailure(_), .. }
            | Response::LookUp(LookUpOutcome::CallFailure(_))
            | Response::Void(VoidOutcome::CallFailure(_))
            | Response::Refund(RefundOutcome::CallFailure(_))
    )
}

fn outcome_label(response: &Response) -> &'static str {
    match response {
        Response::Prepare(PrepareOutcome::Prepared(_)) => "prepared",
        Response::Charge { outcome: ChargeOutcome::Captured(_), .. } => "captured",
        Response::Charge { outcome: ChargeOutcome::AlreadyProcessed, .. } => "already_processed",
        Response::Charge { resolved: Some(LookUpOutcome::Found(_)), .. } => "unknown_then_found",
        Response::LookUp(LookUpOutcome::Found(_)) => "found",
        Response::LookUp(LookUpOutcome::NotFound) => "not_found",
        Response::Void(VoidOutcome::Voided) => "voided",
        Response::Void(VoidOutcome::TooLate) => "too_late",
        Response::Refund(RefundOutcome::Refunded(_)) => "refunded",
        Response::Refund(RefundOutcome::AlreadyRefunded) => "already_refunded",
        Response::Prepare(PrepareOutcome::Refused(_))
        | Response::Charge { outcome: ChargeOutcome::Refused(_), .. }
        | Response::Refund(RefundOutcome::Refused(_)) => "refused",
        Response::Prepare(PrepareOutcome::CallFailure(failure))
        | Response::Charge { outcome: ChargeOutcome::CallFailure(failure), .. }
        | Response::LookUp(LookUpOutcome::CallFailure(failure))
        | Response::Void(VoidOutcome::CallFailure(failure))
        | Response::Refund(RefundOutcome::CallFailure(failure)) => failure_label(failure),
    }
}

fn failure_label(failure: &CallFailure) -> &'static str {
    match failure {
        CallFailure::NotSent(_) => "not_sent",
        CallFailure::InProgress => "in_progress",
        CallFailure::Throttled { .. } => "throttled",
        CallFailure::Unauthorized(_) => "unauthorized",
        CallFailure::Errored(_) => "errored",
        CallFailure::IdempotencyKeyConsumed(_) => "key_consumed",
        CallFailure::OutcomeUnknown(_) => "unknown",
    }
}
