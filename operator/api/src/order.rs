//! Order: what a customer applies, and the integrated status of everything that follows from it.

use fooddelivery_saga::phases::{CancellationVerdict, OrderPhase, WhenUnavailable};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Condition, Item, NameRef, Time, TokenText, is_zero};

/// Contents of an order. Immutable once placed, except for a cancellation and the receipt.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "Order",
    namespaced,
    status = "OrderStatus",
    derive = "Default",
    derive = "PartialEq",
    shortname = "ord",
    category = "food",
    doc = "An order of food: charged, cooked, delivered; or undone, with the money back.",
    selectable = ".spec.storeRef.name",
    selectable = ".spec.customerRef.name",
    selectable = ".spec.delivery.region",
    selectable = ".status.storeRef.name",
    selectable = ".status.phase",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Store", type_ = "string", json_path = ".status.storeRef.name"),
    printcolumn(name = "Total", type_ = "integer", json_path = ".status.total"),
    printcolumn(
        name = "Paid",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Paid\")].status"
    ),
    printcolumn(
        name = "Settled",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Settled\")].status"
    ),
    printcolumn(name = "Cancel", type_ = "string", json_path = ".status.cancellation"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Discount", type_ = "integer", json_path = ".status.discount", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct OrderSpec {
    /// Customer who places the order.
    pub customer_ref: NameRef,
    /// Store that cooks; absent: the preferred store of the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_ref: Option<NameRef>,
    /// Items ordered; prices come from the store's menu.
    #[schemars(length(min = 1, max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<Item>,
    /// Destination of the food.
    pub delivery: Destination,
    /// Code of a coupon, which is its name; case-insensitive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub coupon_code: Option<String>,
    /// Expected total, in KRW: the order is refused if it comes to anything else. A guard, not a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub expected_total: Option<i64>,
    /// Payment method.
    pub payment: PaymentMethod,
    /// Request to cancel the order. Set once; refused once cooking has started: see `status.cancellation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<Cancellation>,
    /// Confirmation that the food has arrived, which completes the order. Set once, to `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_confirmed: Option<bool>,
}

/// Destination of the food.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// Street address, with number and floor.
    #[schemars(length(min = 1, max = 200))]
    pub address: String,
    /// Region whose riders can take the delivery.
    #[schemars(length(min = 1, max = 63))]
    pub region: String,
}

/// Payment method: a provider, and the token that the customer got from its checkout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentMethod {
    /// PaymentProvider that charges.
    pub provider_ref: NameRef,
    /// Token of the checkout (Toss: `paymentKey`); can be replaced while payment is deferred. Exactly one of `token`
    /// and `tokenSecretRef` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenText>,
    /// Secret in the order's namespace that holds the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// Order id that was fixed at checkout; absent: the uid of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub provider_order_id: Option<String>,
    /// Policy while the provider cannot be reached: pay later, or fail at once.
    #[serde(default = "defer")]
    #[schemars(default = "defer")]
    pub when_unavailable: WhenUnavailable,
}

impl Default for PaymentMethod {
    fn default() -> Self {
        Self {
            provider_ref: NameRef::default(),
            token: None,
            token_secret_ref: None,
            provider_order_id: None,
            when_unavailable: defer(),
        }
    }
}

fn defer() -> WhenUnavailable {
    WhenUnavailable::Defer
}

/// A key of a Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Request to cancel an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cancellation {
    /// Reason, in the words of the customer.
    #[schemars(length(min = 1, max = 200))]
    pub reason: String,
}

/// State of an order. Written by the operator alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderStatus {
    /// Phase of the order.
    #[serde(default = "first_phase")]
    #[schemars(default = "first_phase")]
    pub phase: OrderPhase,
    /// Machine-readable reason for the phase, in one word; absent when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub reason: Option<String>,
    /// Human-readable explanation of `reason`, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Store that the order goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_ref: Option<NameRef>,
    /// Price charged, in KRW, after the discount. Frozen before the charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Discount by the coupon, in KRW; absent without a coupon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<i64>,
    /// What the order came to when it was first priced, in KRW, if it had to wait then. It is charged no more than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_total: Option<i64>,
    /// Verdict on the request to cancel. Never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<CancellationVerdict>,
    /// Phases entered, with times. Phases that passed too quickly to be observed are filled in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub history: Vec<PhaseChange>,
    /// Number of entries dropped after the first, so that steps keep their numbers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub history_dropped: i64,
    /// Progress of notification by message provider. Written along with other changes, so it may lag while the order
    /// is under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["provider"])
    )]
    pub messages: Vec<MessageProgress>,
    /// Time at which the current phase times out if nobody acts. Absent while nobody could act; it then starts anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions: `Paid`, `Settled`, `Completed` and `Ended` each become True or False in the end; `Notified` and
    /// `Released` appear when something is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

impl Default for OrderStatus {
    fn default() -> Self {
        Self {
            phase: first_phase(),
            reason: None,
            message: None,
            store_ref: None,
            total: None,
            discount: None,
            first_total: None,
            cancellation: None,
            history: Vec::new(),
            history_dropped: 0,
            messages: Vec::new(),
            deadline: None,
            observed_generation: None,
            conditions: Vec::new(),
        }
    }
}

/// Progress of one message provider with an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageProgress {
    /// Name of the MessageProvider.
    #[schemars(length(min = 1, max = 253))]
    pub provider: String,
    /// Number of leading history steps that were delivered to this provider, or need not be.
    pub steps: i64,
}

fn first_phase() -> OrderPhase {
    OrderPhase::AwaitingPayment
}

/// A phase in the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PhaseChange {
    /// Name of the phase.
    #[schemars(length(max = 40))]
    pub phase: String,
    /// Time at which it was entered.
    pub at: Time,
}
