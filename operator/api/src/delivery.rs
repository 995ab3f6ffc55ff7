//! Delivery: cooked food on its way to the customer.

use fooddelivery_saga::phases::DeliveryStage;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{NameRef, OrderRef, StoreRef};
use crate::order::Destination;

/// Pick-up and drop-off of a delivery. Created by the operator; a rider takes it and moves `stage`.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "Delivery",
    namespaced,
    derive = "PartialEq",
    plural = "deliveries",
    shortname = "dlv",
    category = "food",
    doc = "Cooked food for one customer. The first rider to set spec.riderRef has it, and moves spec.stage: PickedUp, then Delivered or Failed.",
    selectable = ".spec.dropoff.region",
    selectable = ".spec.riderRef.name",
    selectable = ".spec.stage",
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
    /// Order that it belongs to.
    pub order_ref: OrderRef,
    /// Store where the food waits.
    pub pickup: StoreRef,
    /// Destination of the food.
    pub dropoff: Destination,
    /// Rider who has claimed it. The first claim wins; it can be given back until pick-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rider_ref: Option<NameRef>,
    /// Stage of the delivery, moved by the rider; `Cancelled` is set by the operator.
    pub stage: DeliveryStage,
    /// Reason for the failure (set by the rider) or the end (set by the operator). Set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub reason: Option<String>,
    /// Maximum duration of each step, copied when the delivery was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<DeliveryDeadlines>,
}

/// Maximum duration of each step of a delivery, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryDeadlines {
    /// Maximum time until a rider claims it, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub rider_seconds: Option<i64>,
    /// Maximum time from the claim until pick-up, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub pickup_seconds: Option<i64>,
    /// Maximum time from pick-up until delivery, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub delivery_seconds: Option<i64>,
}
