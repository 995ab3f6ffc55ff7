//! Delivery: cooked food on its way to the customer.

use fooddelivery_saga::phases::DeliveryStage;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{NameRef, OrderRef, StoreRef, Time};
use crate::order::Destination;

/// What a rider is to bring where. The operator creates it; a rider takes it and moves `stage`.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "Delivery",
    namespaced,
    status = "DeliveryStatus",
    derive = "PartialEq",
    plural = "deliveries",
    shortname = "dlv",
    category = "food",
    doc = "Cooked food for one customer. The first rider to set spec.riderRef has it, and moves spec.stage: PickedUp, then Delivered or Failed.",
    selectable = ".spec.dropoff.region",
    selectable = ".spec.riderRef.name",
    selectable = ".spec.stage",
    selectable = ".status.phase",
    printcolumn(name = "Region", type_ = "string", json_path = ".spec.dropoff.region"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".spec.stage"),
    printcolumn(name = "Rider", type_ = "string", json_path = ".spec.riderRef.name"),
    printcolumn(name = "From", type_ = "string", json_path = ".spec.pickup.name"),
    printcolumn(name = "To", type_ = "string", json_path = ".spec.dropoff.address"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct DeliverySpec {
    /// The order that it belongs to.
    pub order_ref: OrderRef,
    /// The store where the food waits.
    pub pickup: StoreRef,
    /// Where it goes.
    pub dropoff: Destination,
    /// The rider who took it. First wins; it may be given back before pick-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rider_ref: Option<NameRef>,
    /// How far it is. The rider moves it; `Cancelled` is the operator's.
    pub stage: DeliveryStage,
    /// Why it failed (by the rider) or ended (by the operator). Set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub reason: Option<String>,
    /// How long each step may take, copied when the delivery was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<DeliveryDeadlines>,
}

/// How long riders may take, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryDeadlines {
    /// Until a rider takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub rider_seconds: Option<i64>,
    /// From a rider's claim until pick-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub pickup_seconds: Option<i64>,
    /// From pick-up until delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub delivery_seconds: Option<i64>,
}

/// A mirror of the stage, with times. It may lag by up to a second; decisions never depend on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatus {
    /// The stage last seen.
    #[serde(default = "first_stage")]
    #[schemars(default = "first_stage")]
    pub phase: DeliveryStage,
    /// When it was seen picked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picked_up_at: Option<Time>,
    /// When it was seen delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Time>,
    /// When it was seen failed or cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Whether it is in the count of its rider, or need not be any more. Never taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counted: bool,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl Default for DeliveryStatus {
    fn default() -> Self {
        Self {
            phase: first_stage(),
            picked_up_at: None,
            delivered_at: None,
            ended_at: None,
            counted: false,
            observed_generation: None,
        }
    }
}

fn first_stage() -> DeliveryStage {
    DeliveryStage::Waiting
}
