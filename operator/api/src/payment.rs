//! Payment: the recorded intent to take an order's money, and what became of it.

use fooddelivery_saga::phases::{PaymentDesired, PaymentPhase, Resolution, WhenUnavailable};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{NameRef, OrderRef, Time, TokenText, is_zero};
use crate::order::SecretKeyRef;

/// What is to be charged, frozen when the order was priced. Written by the operator alone.
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
    /// The order that it pays.
    pub order_ref: OrderRef,
    /// The price, frozen.
    pub quote: PaymentQuote,
    /// The PaymentProvider.
    pub provider_ref: NameRef,
    /// The order id that the provider knows it by.
    #[schemars(length(min = 1, max = 64))]
    pub provider_order_id: String,
    /// The token of the checkout, as in the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenText>,
    /// The Secret that holds the token, as in the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// What to do when the provider is out of reach, as in the order.
    pub when_unavailable: WhenUnavailable,
    /// What the order wants of its money. `Refunded` also means: see to it that it is never taken.
    pub desired: PaymentDesired,
    /// The coupon that takes off the quote's discount: this order holds one redemption of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<PaymentCoupon>,
    /// Why the order wants its money back. Set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversal: Option<ReversalReason>,
    /// What a person found out about a payment that needs review. It can be set only then; the operator acts on it
    /// and takes it out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<PaymentResolution>,
}

/// A person's word on a payment that needs review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentResolution {
    /// What is the case: `Captured` (the whole total was taken and is still there), `Refunded` (it went back, in
    /// whole), `NotCharged` (none was taken and none will be); or `Retry`: ask the provider again, as it is configured
    /// now.
    pub action: Resolution,
    /// Who found it out, and where. It is kept in an Event.
    #[schemars(length(min = 1, max = 500))]
    pub note: String,
}

/// A redemption of a coupon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentCoupon {
    /// The coupon's name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The coupon's uid: one that was made anew under the name counts for itself.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// Whether it was given back, because the order was undone. Set once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returned: bool,
}

/// Why an order was undone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReversalReason {
    /// One word.
    #[schemars(length(max = 100))]
    pub reason: String,
    /// A sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// A frozen price, in whole units of `currency`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentQuote {
    /// Whose menu it came from: the store that the order goes to. Empty where nothing is to be charged.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub store_name: String,
    /// The uid of that store.
    #[schemars(length(max = 64))]
    pub store_uid: String,
    /// The lines, as ordered.
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub lines: Vec<QuoteLine>,
    /// What a coupon takes off.
    pub discount: i64,
    /// What is charged.
    pub total: i64,
    /// ISO 4217.
    #[schemars(length(min = 3, max = 3))]
    pub currency: String,
}

/// A priced line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuoteLine {
    /// Name on the menu.
    #[schemars(length(max = 63))]
    pub menu_item: String,
    /// How many.
    pub quantity: i64,
    /// Options chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 63)), extend("x-kubernetes-list-type" = "atomic"))]
    pub options: Vec<String>,
    /// Price of one with its options.
    pub unit_price: i64,
    /// The line's price.
    pub amount: i64,
}

/// What became of the money. Written by the operator alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentStatus {
    /// Where it stands.
    #[serde(default = "first_phase")]
    #[schemars(default = "first_phase")]
    pub phase: PaymentPhase,
    /// Why, in one word; absent when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub reason: Option<String>,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// The attempt that idempotency keys are made from; 0 until an intent to charge is recorded.
    #[serde(default)]
    pub attempt: i64,
    /// When the first intent was recorded at this provider, with this credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_attempt_at: Option<Time>,
    /// How often in a row the provider was out of reach.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deferrals: i64,
    /// When a deferred payment is due again. Once that has passed, it waits for the provider's circuit to close.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// The provider's name for the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub provider_payment_id: Option<String>,
    /// The uid of the PaymentProvider that the intent was recorded against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub provider_uid: Option<String>,
    /// Fingerprint of the credential that the intent was recorded with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub credential_fingerprint: Option<String>,
    /// What was captured, in KRW.
    #[serde(default)]
    pub captured_amount: i64,
    /// What was given back, in KRW.
    #[serde(default)]
    pub refunded_amount: i64,
    /// The attempt that the refund's idempotency key is made from; 0 for the first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refund_attempt: i64,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

fn first_phase() -> PaymentPhase {
    PaymentPhase::Pending
}
