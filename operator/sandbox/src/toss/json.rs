//! How Toss payments and refusals look in JSON. Nothing here decides.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde_json::{Value, json};

use crate::bank::toss::Status;
use crate::bank::{Payment, Rejection};
use crate::idempotency::Answer;

/// A refusal as the protocol words it.
pub(crate) fn rejection_answer(rejection: &Rejection) -> Answer {
    let body = json!({ "code": rejection.code, "message": rejection.message }).to_string();
    Answer::new(rejection.status, body)
}

/// A payment as the protocol shows it.
pub(crate) fn payment_answer(payment: &Payment) -> Answer {
    Answer::new(200, payment_json(payment).to_string())
}

/// The Payment object (version 2022-11-16), with the fields that a card payment has.
pub(crate) fn payment_json(payment: &Payment) -> Value {
    let money = &payment.money;
    let cancels: Vec<Value> = money
        .refunds()
        .iter()
        .enumerate()
        .map(|(index, cancel)| {
            json!({
                "cancelAmount": cancel.amount,
                "cancelReason": cancel.reason,
                "canceledAt": korean_time(cancel.at),
                "refundableAmount": cancel.balance_after,
                "taxFreeAmount": 0,
                "transactionKey": format!("{}-{}", money.order_id(), index + 1),
                "cancelStatus": "DONE",
            })
        })
        .collect();
    // Value-added tax is a tenth on top, so an eleventh of what is left.
    let vat = money.balance() / 11;
    json!({
        "version": "2022-11-16",
        "mId": "sandbox",
        "type": "NORMAL",
        "paymentKey": money.payment_key(),
        "orderId": money.order_id(),
        "orderName": money.order_id(),
        "currency": "KRW",
        "country": "KR",
        "method": "카드",
        "status": payment.status.as_str(),
        "totalAmount": money.total(),
        "balanceAmount": money.balance(),
        "suppliedAmount": money.balance() - vat,
        "vat": vat,
        "taxFreeAmount": 0,
        "requestedAt": korean_time(payment.requested_at),
        "approvedAt": money.captured_at().map(korean_time),
        "useEscrow": false,
        "isPartialCancelable": payment.status != Status::Canceled,
        "cancels": if cancels.is_empty() { Value::Null } else { Value::from(cancels) },
        "failure": payment.failure.as_ref().map(|why| json!({ "code": why.code, "message": why.message })),
    })
}

/// Toss gives times as `yyyy-MM-dd'T'HH:mm:ss±hh:mm`, in Korea's zone.
fn korean_time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::fixed(Offset::constant(9))).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_korean() {
        assert_eq!(korean_time(Timestamp::UNIX_EPOCH), "1970-01-01T09:00:00+09:00");
    }
}
