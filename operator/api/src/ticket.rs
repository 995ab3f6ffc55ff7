//! Ticket: a paid order in the store's queue.

use fooddelivery_saga::phases::TicketStage;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Item, OrderRef, StoreRef, Time};

/// What the store is to cook. The operator creates it; the store moves `stage`.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "Ticket",
    namespaced,
    status = "TicketStatus",
    derive = "PartialEq",
    shortname = "tkt",
    category = "food",
    doc = "A paid order in a store's queue. The store moves spec.stage: Accepted or Rejected, Cooking, Cooked.",
    selectable = ".spec.storeRef.name",
    selectable = ".spec.stage",
    selectable = ".status.phase",
    printcolumn(name = "Store", type_ = "string", json_path = ".spec.storeRef.name"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".spec.stage"),
    printcolumn(name = "Cooking-Since", type_ = "date", json_path = ".status.cookingAt"),
    printcolumn(name = "Cooked", type_ = "date", json_path = ".status.cookedAt"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Items", type_ = "string", json_path = ".spec.items")
)]
#[serde(rename_all = "camelCase")]
pub struct TicketSpec {
    /// The order that it belongs to.
    pub order_ref: OrderRef,
    /// The store whose queue it is in.
    pub store_ref: StoreRef,
    /// What to cook.
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Vec<Item>,
    /// How far it is. The store moves it; `Cancelled` and `Abandoned` are the operator's.
    pub stage: TicketStage,
    /// Why it was rejected (by the store) or ended (by the operator). Set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub reason: Option<String>,
    /// How long the store may take, copied when the ticket was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<TicketDeadlines>,
}

/// How long a store may take, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketDeadlines {
    /// To accept or reject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub acceptance_seconds: Option<i64>,
    /// From acceptance to cooked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub cooking_seconds: Option<i64>,
}

/// A mirror of the stage, with times. It may lag by up to a second; decisions never depend on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketStatus {
    /// The stage last seen.
    #[serde(default = "first_stage")]
    #[schemars(default = "first_stage")]
    pub phase: TicketStage,
    /// When it was seen accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Time>,
    /// When it was seen cooking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooking_at: Option<Time>,
    /// When it was seen cooked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooked_at: Option<Time>,
    /// When it was seen ended otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Why it ended, as in the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub reason: Option<String>,
    /// Whether it is in the count of its store, or need not be any more. Never taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counted: bool,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl Default for TicketStatus {
    fn default() -> Self {
        Self {
            phase: first_stage(),
            accepted_at: None,
            cooking_at: None,
            cooked_at: None,
            ended_at: None,
            counted: false,
            reason: None,
            observed_generation: None,
        }
    }
}

fn first_stage() -> TicketStage {
    TicketStage::Pending
}
