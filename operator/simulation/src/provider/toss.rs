//! Toss's rules in the words of the port: what the adapter makes of the sandbox's answers, without the JSON between.

use fooddelivery_providers::{ChargeRequest, LookUpRequest, RefundRequest};
use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, ProviderPayment, ProviderStatus, RefundOutcome,
};
use fooddelivery_sandbox::bank::toss::{Book, Cancel, Status};
use fooddelivery_sandbox::bank::{Checkout, Payment, Rejection};
use fooddelivery_sandbox::ledger::Ledger;
use jiff::Timestamp;

use super::{refusal, shown};

fn of_payment(payment: &Payment) -> ProviderPayment {
    let status = match payment.status {
        Status::InProgress => ProviderStatus::Open,
        Status::Done | Status::PartialCanceled | Status::Canceled => ProviderStatus::Captured,
        Status::Aborted => ProviderStatus::Failed,
        Status::Expired => ProviderStatus::Expired,
    };
    shown(payment.money.payment_key(), &payment.money, status)
}

fn is(rejection: &Rejection, code: &str) -> bool {
    rejection.code == code
}

pub(super) fn charge(
    book: &mut Book,
    request: &ChargeRequest,
    decline: Option<&str>,
    now: Timestamp,
    ledger: &mut Ledger,
) -> ChargeOutcome {
    let checkout = Checkout {
        payment_key: request.token.expose().to_owned(),
        order_id: request.order_id.clone(),
        amount: request.amount,
    };
    match book.confirm(&checkout, Some(&request.idempotency_key), decline, now, ledger) {
        Ok(payment) => ChargeOutcome::Captured(of_payment(payment)),
        Err(rejection) if is(&rejection, "ALREADY_PROCESSED_PAYMENT") => ChargeOutcome::AlreadyProcessed,
        Err(rejection) => ChargeOutcome::Refused(refusal(&rejection.code, &rejection.message)),
    }
}

pub(super) fn look_up(book: &mut Book, request: &LookUpRequest, now: Timestamp) -> LookUpOutcome {
    let token = request.token.as_ref().map(fooddelivery_providers::Token::expose);
    let found = book.by_order(&request.order_id, now).map(of_payment);
    let other = match (&found, token) {
        (Ok(payment), Some(token)) => {
            payment.status != ProviderStatus::Captured && payment.payment_id != token
        }
        _ => false,
    };
    let found = match token {
        Some(token) if other => book.by_key(token, now).map(of_payment),
        _ => found,
    };
    match found {
        Ok(payment) => LookUpOutcome::Found(payment),
        Err(rejection) if is(&rejection, "NOT_FOUND_PAYMENT") => LookUpOutcome::NotFound,
        Err(rejection) => LookUpOutcome::CallFailure(CallFailure::OutcomeUnknown(rejection.code)),
    }
}

pub(super) fn refund(
    book: &mut Book,
    request: &RefundRequest,
    key: Option<&str>,
    now: Timestamp,
    ledger: &mut Ledger,
) -> RefundOutcome {
    let cancel = Cancel {
        payment_key: request.payment_id.clone(),
        reason: request.reason.clone(),
        amount: Some(request.amount),
    };
    match book.cancel(&cancel, key, now, ledger) {
        Ok(payment) => RefundOutcome::Refunded(of_payment(payment)),
        Err(rejection) if is(&rejection, "ALREADY_CANCELED_PAYMENT") => RefundOutcome::AlreadyRefunded,
        Err(rejection) => RefundOutcome::Refused(refusal(&rejection.code, &rejection.message)),
    }
}
