//! Rider: who brings food in a region.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{OrderRef, is_zero};

/// Region, availability and capacity of a rider.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "Rider",
    namespaced,
    status = "RiderStatus",
    derive = "PartialEq",
    shortname = "rid",
    category = "food",
    doc = "A rider, who takes deliveries of a region.",
    selectable = ".spec.region",
    printcolumn(name = "Region", type_ = "string", json_path = ".spec.region"),
    printcolumn(name = "Available", type_ = "boolean", json_path = ".spec.available"),
    printcolumn(name = "Capacity", type_ = "integer", json_path = ".spec.capacity"),
    printcolumn(name = "Deliveries", type_ = "integer", json_path = ".status.deliveries"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RiderSpec {
    /// Region in which the rider takes deliveries.
    #[schemars(length(min = 1, max = 63))]
    pub region: String,
    /// Whether the rider takes deliveries now.
    #[serde(default = "yes")]
    #[schemars(default = "yes")]
    pub available: bool,
    /// Maximum number of deliveries claimed or carried at once.
    #[serde(default = "one")]
    #[schemars(default = "one", range(min = 1, max = 20))]
    pub capacity: i64,
}

/// Counts of a rider's deliveries. Written by the operator alone; may lag by half a minute (`--count-lag-ms`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RiderStatus {
    /// Number of deliveries completed.
    #[serde(default)]
    #[schemars(default)]
    pub deliveries: i64,
    /// Number of these that is kept of orders whose deliveries are gone or may go.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub departed: i64,
    /// Orders that were last added to `departed`: their deliveries may still be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "atomic"))]
    pub departing: Vec<OrderRef>,
}

fn yes() -> bool {
    true
}

fn one() -> i64 {
    1
}
