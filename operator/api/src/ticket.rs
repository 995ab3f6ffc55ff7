//! Ticket: a paid order in the store's queue.

use fooddelivery_saga::phases::TicketStage;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Item, OrderRef, StoreRef};

/// Items that a store is to cook. Created by the operator; the store moves `stage`.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "Ticket",
    namespaced,
    derive = "PartialEq",
    shortname = "tkt",
    category = "food",
    doc = "A paid order in a store's queue. The store moves spec.stage: Accepted or Rejected, Cooking, Cooked.",
    selectable = ".spec.storeRef.name",
    selectable = ".spec.stage",
    printcolumn(name = "Store", type_ = "string", json_path = ".spec.storeRef.name"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".spec.stage"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Items", type_ = "string", json_path = ".spec.items")
)]
#[serde(rename_all = "camelCase")]
pub struct TicketSpec {
    /// Order that it belongs to.
    pub order_ref: OrderRef,
    /// Store whose queue it is in.
    pub store_ref: StoreRef,
    /// Items to cook.
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<Item>,
    /// Stage of the ticket, moved by the store; `Cancelled` and `Abandoned` are set by the operator.
    pub stage: TicketStage,
    /// Reason for the rejection (set by the store) or the end (set by the operator). Set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub reason: Option<String>,
    /// Whether another store was made under the name of its store: those who act for the name move it no more.
    /// Set by the operator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub store_replaced: bool,
    /// Maximum duration of each step, copied when the ticket was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<TicketDeadlines>,
}

/// Maximum duration of each step of a ticket, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketDeadlines {
    /// Maximum time until the store accepts or rejects, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub acceptance_seconds: Option<i64>,
    /// Maximum time from acceptance until cooked, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub cooking_seconds: Option<i64>,
}
