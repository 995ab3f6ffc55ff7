//! Payment: the recorded intent to take an order's money, and what became of it.

use fooddelivery_saga::phases::{PaymentDesired, PaymentPhase, Resolution, WhenUnavailable};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{NameRef, OrderRef, Time, TokenText, is_zero};
use crate::order::SecretKeyRef;

/// Charge of an order, frozen when it was priced. Written by the operator alone, except for `resolution`.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "Payment",
    namespaced,
    status = "PaymentStatus",
    derive = "PartialEq",
    shortname = "pay",
    category = "food",
    doc = "The money of one order: captured once, and given back in full when the order is undone.",
    selectable = ".status.phase",
    selectable = ".spec.desired",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Desired", type_ = "string", json_path = ".spec.desired"),
    printcolumn(name = "Total", type_ = "integer", json_path = ".spec.quote.total"),
    printcolumn(name = "Captured", type_ = "integer", json_path = ".status.capturedAmount"),
    printcolumn(name = "Refunded", type_ = "integer", json_path = ".status.refundedAmount"),
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.providerRef.name"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextAttemptAt"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct PaymentSpec {
    /// Order that it pays for.
    pub order_ref: OrderRef,
    /// Frozen price.
    pub quote: PaymentQuote,
    /// PaymentProvider that charges.
    pub provider_ref: NameRef,
    /// Order id at the provider.
    #[schemars(length(min = 1, max = 64))]
    pub provider_order_id: String,
    /// Token of the checkout, as in the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenText>,
    /// Secret that holds the token, as in the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// Policy while the provider cannot be reached, as in the order.
    pub when_unavailable: WhenUnavailable,
    /// Intent to charge, recorded as the payment was created; its first attempt is made under it. Absent where the provider
    /// was not known, or out of reach: then `status.attempt` tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<PaymentIntent>,
    /// Desired state of the money. `Refunded` also means that it must never be captured.
    pub desired: PaymentDesired,
    /// Coupon behind the discount of the quote; the order holds one redemption of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<PaymentCoupon>,
    /// Reason for giving the money back. Set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversal: Option<ReversalReason>,
    /// Finding of a person on a payment that needs review. Can be set only then; removed by the operator once it has
    /// acted on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<PaymentResolution>,
}

/// Intent to charge: where, with what, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentIntent {
    /// Uid of the PaymentProvider.
    #[schemars(length(min = 1, max = 64))]
    pub provider_uid: String,
    /// Fingerprint of its credential.
    #[schemars(length(min = 1, max = 64))]
    pub credential_fingerprint: String,
    /// Time at which it was recorded.
    pub recorded_at: Time,
}

/// Finding of a person on a payment that needs review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentResolution {
    /// `Captured` (the whole total was captured and not refunded), `Refunded` (it was refunded in full), `NotCharged`
    /// (nothing was captured and nothing will be), or `Retry` (ask the provider again, as it is configured now).
    pub action: Resolution,
    /// Who found it out, and where. Recorded in an Event.
    #[schemars(length(min = 1, max = 500))]
    pub note: String,
}

/// A redemption of a coupon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentCoupon {
    /// Name of the coupon.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Uid of the coupon: one that was created anew under the same name counts separately.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// Whether it was given back because the order was undone. Set once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returned: bool,
}

/// Reason for undoing an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReversalReason {
    /// Machine-readable reason, in one word.
    #[schemars(length(max = 100))]
    pub reason: String,
    /// Human-readable explanation, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Frozen price, in whole units of `currency`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentQuote {
    /// Name of the store whose menu set the price. Empty where nothing is to be charged.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub store_name: String,
    /// Uid of that store.
    #[schemars(length(max = 64))]
    pub store_uid: String,
    /// Priced lines, as ordered.
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub lines: Vec<QuoteLine>,
    /// Discount by a coupon, in whole units of `currency`.
    pub discount: i64,
    /// Amount charged, after the discount, in whole units of `currency`.
    pub total: i64,
    /// Currency code, as in ISO 4217.
    #[schemars(length(min = 3, max = 3))]
    pub currency: String,
}

/// A priced line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuoteLine {
    /// Name of the dish on the menu.
    #[schemars(length(max = 63))]
    pub menu_item: String,
    /// Number of portions.
    pub quantity: i64,
    /// Names of the options chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 63)), extend("x-kubernetes-list-type" = "atomic"))]
    pub options: Vec<String>,
    /// Price of one portion with its options, in whole units of the quote's currency.
    pub unit_price: i64,
    /// Price of the line, in whole units of the quote's currency.
    pub amount: i64,
}

/// State of the money. Written by the operator alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentStatus {
    /// Phase of the payment.
    #[serde(default = "first_phase")]
    #[schemars(default = "first_phase")]
    pub phase: PaymentPhase,
    /// Machine-readable reason for the phase, in one word; absent when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub reason: Option<String>,
    /// Human-readable explanation of `reason`, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Number of the charge attempt, part of the idempotency key; 0 until an intent to charge is recorded. While there is no
    /// `observedGeneration`, the attempt is 1 where `spec.intent` stands.
    #[serde(default)]
    pub attempt: i64,
    /// Time at which the first intent was recorded for this provider and credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_attempt_at: Option<Time>,
    /// Number of consecutive attempts in which the provider could not be reached.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deferrals: i64,
    /// Time at which a deferred payment is retried; from then on it waits for the provider's circuit to close.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// Id of the payment at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub provider_payment_id: Option<String>,
    /// Uid of the PaymentProvider for which the intent was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub provider_uid: Option<String>,
    /// Fingerprint of the credential with which the intent was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub credential_fingerprint: Option<String>,
    /// Amount captured, in KRW.
    #[serde(default)]
    pub captured_amount: i64,
    /// Amount refunded, in KRW.
    #[serde(default)]
    pub refunded_amount: i64,
    /// Number of the refund attempt, part of the idempotency key; 0 for the first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refund_attempt: i64,
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

fn first_phase() -> PaymentPhase {
    PaymentPhase::Pending
}
