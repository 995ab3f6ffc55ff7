//! Stripe's rules in the words of the port: what the adapter makes of the sandbox's answers, without the JSON between.

use fooddelivery_providers::{ChargeRequest, LookUpRequest, PrepareRequest, RefundRequest, VoidRequest};
use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, ProviderPayment, ProviderStatus,
    RefundOutcome, VoidOutcome,
};
use fooddelivery_sandbox::bank::stripe::{
    Book, Intent, IntentStatus, NewIntent, NewRefund, ORDER_ID, Refusal,
};
use fooddelivery_sandbox::ledger::Ledger;
use jiff::Timestamp;

use super::{refusal, shown};

fn of_intent(intent: &Intent) -> ProviderPayment {
    let status = match intent.status() {
        IntentStatus::Succeeded => ProviderStatus::Captured,
        IntentStatus::Canceled => ProviderStatus::Failed,
        IntentStatus::RequiresConfirmation | IntentStatus::RequiresPaymentMethod => ProviderStatus::Open,
    };
    shown(intent.id(), &intent.money, status)
}

fn is(refused: &Refusal, code: &str) -> bool {
    refused.code == Some(code)
}

fn was_canceled(refused: &Refusal) -> bool {
    refused.intent.as_ref().is_some_and(|intent| intent.status() == IntentStatus::Canceled)
}

fn missing() -> CallFailure {
    CallFailure::OutcomeUnknown(
        "resource_missing: the provider does not know the payment that it named".into(),
    )
}

pub(super) fn prepare(book: &mut Book, id: &str, request: &PrepareRequest, now: Timestamp) -> PrepareOutcome {
    let new = NewIntent {
        amount: request.amount,
        payment_method: Some(request.token.expose().to_owned()),
        metadata: std::iter::once((ORDER_ID.to_owned(), request.order_id.clone())).collect(),
    };
    PrepareOutcome::Prepared(of_intent(book.create(id, &new, now)))
}

pub(super) fn charge(
    book: &mut Book,
    request: &ChargeRequest,
    decline: Option<&str>,
    now: Timestamp,
    ledger: &mut Ledger,
) -> ChargeOutcome {
    let Some(id) = &request.payment_id else {
        let why = "a payment has to be prepared before it is charged".to_owned();
        return ChargeOutcome::CallFailure(CallFailure::NotSent(why));
    };
    let key = Some(request.idempotency_key.as_str());
    match book.confirm(id, Some(request.token.expose()), key, decline, now, ledger) {
        Ok(intent) => ChargeOutcome::Captured(of_intent(intent)),
        Err(refused) if is(&refused, "payment_intent_unexpected_state") && was_canceled(&refused) => {
            ChargeOutcome::Refused(refusal("canceled", "The payment was canceled before."))
        }
        Err(refused) if is(&refused, "payment_intent_unexpected_state") => ChargeOutcome::AlreadyProcessed,
        Err(refused) if is(&refused, "resource_missing") => ChargeOutcome::CallFailure(missing()),
        Err(refused) => {
            ChargeOutcome::Refused(refusal(refused.code.unwrap_or("card_declined"), &refused.message))
        }
    }
}

pub(super) fn look_up(book: &mut Book, request: &LookUpRequest, now: Timestamp) -> LookUpOutcome {
    let id = match &request.payment_id {
        Some(id) => id.clone(),
        None => match book.search(&request.order_id, now).first() {
            Some(intent) => intent.id().to_owned(),
            None => return LookUpOutcome::NotFound,
        },
    };
    book.get(&id).map_or(LookUpOutcome::NotFound, |intent| LookUpOutcome::Found(of_intent(intent)))
}

pub(super) fn void(book: &mut Book, request: &VoidRequest, now: Timestamp) -> VoidOutcome {
    match book.cancel(&request.payment_id, None, now) {
        Ok(_) => VoidOutcome::Voided,
        Err(refused) if is(&refused, "payment_intent_unexpected_state") && was_canceled(&refused) => {
            VoidOutcome::Voided
        }
        Err(refused) if is(&refused, "payment_intent_unexpected_state") => VoidOutcome::TooLate,
        Err(_) => VoidOutcome::CallFailure(missing()),
    }
}

pub(super) fn refund(
    book: &mut Book,
    request: &RefundRequest,
    key: Option<&str>,
    now: Timestamp,
    ledger: &mut Ledger,
) -> RefundOutcome {
    let new = NewRefund { intent: request.payment_id.clone(), amount: Some(request.amount) };
    match book.refund(&new, key, now, ledger) {
        Ok(intent) => RefundOutcome::Refunded(of_intent(intent)),
        Err(refused) if is(&refused, "charge_already_refunded") => RefundOutcome::AlreadyRefunded,
        Err(refused) if is(&refused, "resource_missing") => RefundOutcome::CallFailure(missing()),
        Err(refused) => {
            RefundOutcome::Refused(refusal(refused.code.unwrap_or("refund_failed"), &refused.message))
        }
    }
}
