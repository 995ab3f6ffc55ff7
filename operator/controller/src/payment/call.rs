//! Calls the provider through the port. Idempotency keys follow from the payment's uid, the operation and the
//! attempt, and from nothing else, so that any replica at any time makes the same call.

use fooddelivery_api::Payment;
use fooddelivery_providers::{ChargeRequest, LookUpRequest, RefundRequest, Token};
use fooddelivery_saga::payment::{Answers, Command};
use fooddelivery_saga::provider::{ChargeOutcome, LookUpOutcome, RefundOutcome};
use tokio::time::Instant;
use tracing::info;

use crate::context::Context;
use crate::events::uid_of;
use crate::gateway::Gateway;

/// The key of an operation in an attempt: at most 64 characters.
fn idempotency_key(payment: &Payment, operation: &str) -> String {
    format!("{}-{operation}-{}", uid_of(payment), payment.state().attempt)
}

/// Makes the call and puts its outcome among the answers.
pub(super) async fn call(
    context: &Context,
    gateway: &Gateway,
    token: Token,
    payment: &Payment,
    command: Command,
    answers: &mut Answers,
) {
    let begun = Instant::now();
    let correlation_id = payment.spec.order_ref.uid.clone();
    let order_id = payment.spec.provider_order_id.clone();
    let (operation, outcome) = match command {
        Command::LookUp => {
            let outcome = gateway.port.look_up(&LookUpRequest { token, order_id, correlation_id }).await;
            let word = look_up_word(&outcome);
            answers.look_up = Some(outcome);
            ("look_up", word)
        }
        Command::Refund(amount) => {
            let request = RefundRequest {
                idempotency_key: idempotency_key(payment, "refund"),
                payment_id: payment.state().payment_id.unwrap_or_default(),
                amount,
                reason: "the order was undone".into(),
                correlation_id,
            };
            let outcome = gateway.port.refund(&request).await;
            let word = refund_word(&outcome);
            answers.refund = Some(outcome);
            ("refund", word)
        }
        _ => {
            let quote = &payment.spec.quote;
            let request = ChargeRequest {
                idempotency_key: idempotency_key(payment, "charge"),
                token,
                order_id,
                amount: quote.total,
                currency: quote.currency.clone(),
                correlation_id,
            };
            let outcome = gateway.port.charge(&request).await;
            let word = charge_word(&outcome);
            answers.charge = Some(outcome);
            ("charge", word)
        }
    };
    let took = begun.elapsed();
    context.metrics.provider_call(operation, outcome, took);
    info!(
        operation,
        outcome,
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "asked the provider"
    );
}

fn charge_word(outcome: &ChargeOutcome) -> &'static str {
    match outcome {
        ChargeOutcome::Captured(_) => "captured",
        ChargeOutcome::Refused(_) => "refused",
        ChargeOutcome::NotSent(_) => "not_sent",
        ChargeOutcome::InProgress => "in_progress",
        ChargeOutcome::Throttled { .. } => "throttled",
        ChargeOutcome::Unauthorized(_) => "unauthorized",
        ChargeOutcome::Unknown(_) => "unknown",
    }
}

fn refund_word(outcome: &RefundOutcome) -> &'static str {
    match outcome {
        RefundOutcome::Refunded(_) => "refunded",
        RefundOutcome::AlreadyRefunded => "already_refunded",
        RefundOutcome::Refused(_) => "refused",
        RefundOutcome::NotSent(_) => "not_sent",
        RefundOutcome::InProgress => "in_progress",
        RefundOutcome::Throttled { .. } => "throttled",
        RefundOutcome::Unauthorized(_) => "unauthorized",
        RefundOutcome::Unknown(_) => "unknown",
    }
}

fn look_up_word(outcome: &LookUpOutcome) -> &'static str {
    match outcome {
        LookUpOutcome::Found(_) => "found",
        LookUpOutcome::NotFound => "not_found",
        LookUpOutcome::Failed(_) => "failed",
    }
}
