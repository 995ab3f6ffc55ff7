//! How payment intents, refunds and refusals of Stripe look in JSON. Nothing here decides.
//!
//! `latest_charge` is always the whole object, as the real Stripe shows it when asked with `expand[]=latest_charge`.

use serde_json::{Value, json};

use super::search::SEARCH_PATH;
use crate::bank::money;
use crate::bank::stripe::{Intent, Refusal, RefusalKind};
use crate::idempotency::Answer;

/// The object `PaymentIntent`, with the fields that a card payment in KRW has.
pub(crate) fn intent_json(intent: &Intent) -> Value {
    let money = &intent.money;
    let captured = money.captured_at().is_some();
    let reason = intent.canceled.as_ref().and_then(|canceled| canceled.reason.as_deref());
    let decline = intent.last_decline.as_ref();
    json!({
        "id": intent.id(),
        "object": "payment_intent",
        "amount": money.total(),
        "amount_received": if captured { money.total() } else { 0 },
        "capture_method": "automatic",
        "currency": "krw",
        "status": intent.status().as_str(),
        "payment_method": intent.payment_method,
        "metadata": intent.metadata,
        "created": intent.created.as_second(),
        "last_payment_error": decline.map(|decline| json!({
            "type": "card_error",
            "code": "card_declined",
            "decline_code": decline.code,
            "message": "Your card was declined.",
        })),
        "latest_charge": captured.then(|| charge_json(intent)),
        "canceled_at": intent.canceled.as_ref().map(|canceled| canceled.at.as_second()),
        "cancellation_reason": reason,
        "livemode": false,
    })
}

fn charge_json(intent: &Intent) -> Value {
    let money = &intent.money;
    json!({
        "id": intent.charge_id(),
        "object": "charge",
        "amount": money.total(),
        "amount_captured": money.total(),
        "amount_refunded": money.refunded(),
        "captured": true,
        "currency": "krw",
        "paid": true,
        "payment_intent": intent.id(),
        "refunded": money.balance() == 0,
        "status": "succeeded",
    })
}

/// An intent as an answer.
pub(super) fn intent_answer(intent: &Intent) -> Answer {
    Answer::new(200, intent_json(intent).to_string())
}

/// The intent's last refund as an answer.
pub(super) fn refund_answer(intent: &Intent) -> Answer {
    let refunds = intent.money.refunds();
    let (index, amount, created) = match refunds.last() {
        Some(money::Refund { amount, at, .. }) => (refunds.len() - 1, *amount, at.as_second()),
        None => (0, 0, 0),
    };
    let refund = json!({
        "id": intent.refund_id(index),
        "object": "refund",
        "amount": amount,
        "charge": intent.charge_id(),
        "created": created,
        "currency": "krw",
        "payment_intent": intent.id(),
        "status": "succeeded",
    });
    Answer::new(200, refund.to_string())
}

/// A page of found intents as an answer; `next` is the page after it.
pub(super) fn search_answer(found: &[&Intent], next: Option<usize>) -> Answer {
    let page = json!({
        "object": "search_result",
        "url": SEARCH_PATH,
        "data": found.iter().map(|intent| intent_json(intent)).collect::<Vec<_>>(),
        "has_more": next.is_some(),
        "next_page": next.map(|next| next.to_string()),
    });
    Answer::new(200, page.to_string())
}

/// A refusal as the protocol words it.
pub(super) fn refusal_answer(refusal: &Refusal) -> Answer {
    let kind = match refusal.kind {
        RefusalKind::InvalidRequest => "invalid_request_error",
        RefusalKind::Card => "card_error",
        RefusalKind::Api => "api_error",
        RefusalKind::Idempotency => "idempotency_error",
    };
    let mut error = json!({ "type": kind, "message": refusal.message });
    let optional = [
        ("code", refusal.code.map(Value::from)),
        ("param", refusal.param.map(Value::from)),
        ("decline_code", refusal.decline_code.as_deref().map(Value::from)),
        ("payment_intent", refusal.intent.as_deref().map(intent_json)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            error[name] = value;
        }
    }
    Answer::new(refusal.status, json!({ "error": error }).to_string())
}
