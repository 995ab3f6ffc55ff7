//! Customer: who orders, what they prefer and how they are reached.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{NameRef, Time};

/// Preferences and contact of a customer.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "Customer",
    namespaced,
    status = "CustomerStatus",
    derive = "PartialEq",
    shortname = "cus",
    category = "food",
    doc = "A customer: preferred store and contact. Optional: orders are fulfilled without it.",
    printcolumn(name = "Prefers", type_ = "string", json_path = ".spec.preferredStoreRef.name"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CustomerSpec {
    /// Store of orders that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_store_ref: Option<NameRef>,
    /// Telephone number for notifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 32))]
    pub contact: Option<String>,
}

/// Notifications sent to the customer. Written by the operator alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerStatus {
    /// Latest notifications, oldest first. Derived from the orders; may lag by up to a minute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub messages: Vec<CustomerMessage>,
}

/// A notification that was sent to a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerMessage {
    /// Id of the notification: the uid of the order and the number of the step.
    #[schemars(length(max = 64))]
    pub id: String,
    /// Name of the order.
    #[schemars(length(max = 63))]
    pub order: String,
    /// Phase that it reports.
    #[schemars(length(max = 40))]
    pub phase: String,
    /// Time at which the order entered that phase.
    pub at: Time,
}
