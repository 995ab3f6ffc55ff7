//! Order: what a customer applies, and the integrated status of everything that follows from it.

use fooddelivery_saga::phases::{CancellationVerdict, OrderPhase, WhenUnavailable};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Condition, Item, NameRef, Time, TokenText, is_zero};

/// What the customer wants. Everything but a cancellation and the receipt is fixed once it is ordered.
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
    /// Who orders.
    pub customer_ref: NameRef,
    /// Where to order; without it at the store that the customer prefers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_ref: Option<NameRef>,
    /// What to order; the price comes from the store's menu.
    #[schemars(length(min = 1, max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<Item>,
    /// Where the food goes.
    pub delivery: Destination,
    /// A coupon's code, which is its name; in capitals or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub coupon_code: Option<String>,
    /// A guard, not a price: the order is refused unless it comes to exactly this many KRW.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub expected_total: Option<i64>,
    /// How it is paid.
    pub payment: PaymentMethod,
    /// Set once, it asks for the order to be undone. Refused once cooking has started: see `status.cancellation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<Cancellation>,
    /// Set once, to `true`, when the food has arrived: it completes the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_confirmed: Option<bool>,
}

/// Where the food goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// Street, number, floor.
    #[schemars(length(min = 1, max = 200))]
    pub address: String,
    /// The region whose riders are asked.
    #[schemars(length(min = 1, max = 63))]
    pub region: String,
}

/// How an order is paid: a provider, and the token that the provider's checkout gave the customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentMethod {
    /// The PaymentProvider.
    pub provider_ref: NameRef,
    /// The token of the checkout (Toss: `paymentKey`). Can be replaced while payment is deferred. Either this or
    /// `tokenSecretRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenText>,
    /// A Secret in the order's namespace that holds the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// The order id that was fixed at checkout; without it the order's uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub provider_order_id: Option<String>,
    /// What to do when the provider is out of reach: pay later, or fail at once.
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
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A request to undo the order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cancellation {
    /// Why, in the customer's words.
    #[schemars(length(min = 1, max = 200))]
    pub reason: String,
}

/// What has become of the order. Written by the operator alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderStatus {
    /// Where it stands.
    #[serde(default = "first_phase")]
    #[schemars(default = "first_phase")]
    pub phase: OrderPhase,
    /// Why it stands there, in one word; absent when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub reason: Option<String>,
    /// The same in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// The store that it goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_ref: Option<NameRef>,
    /// What it costs, in KRW, frozen before it was charged: the discount is taken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// What its coupon takes off, in KRW; absent without a coupon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<i64>,
    /// The verdict on the request to cancel; it never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<CancellationVerdict>,
    /// When each phase was entered. Phases that passed too quickly to be seen are filled in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub history: Vec<PhaseChange>,
    /// How many entries after the first were dropped from the history, so that steps keep their numbers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub history_dropped: i64,
    /// How far each message provider has been told of the history. Written with whatever else is written, so that it
    /// may lag while the order is on its way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["provider"])
    )]
    pub messages: Vec<MessageProgress>,
    /// When the present phase ends by itself, if nobody acts. Absent while nobody could act: it then begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Paid`, `Settled`, `Completed`, `Ended`: each is reached or denied in the end. Where something is amiss, `Notified`
    /// and `Released` say what.
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

/// How far a message provider has been told of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageProgress {
    /// The MessageProvider.
    #[schemars(length(min = 1, max = 253))]
    pub provider: String,
    /// So many steps of the order's history, from the first on, were told or are not to be.
    pub steps: i64,
}

fn first_phase() -> OrderPhase {
    OrderPhase::AwaitingPayment
}

/// An entry of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PhaseChange {
    /// The phase.
    #[schemars(length(max = 40))]
    pub phase: String,
    /// When it was entered.
    pub at: Time,
}
