//! Customer: who orders, what they prefer and how they are reached.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{NameRef, Time};

/// What a customer says of themselves.
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
    doc = "A customer. Supporting only: orders are fulfilled without it.",
    printcolumn(name = "Prefers", type_ = "string", json_path = ".spec.preferredStoreRef.name"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CustomerSpec {
    /// Where orders without a store go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_store_ref: Option<NameRef>,
    /// A telephone number for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 32))]
    pub contact: Option<String>,
    /// The users who act for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub subjects: Vec<String>,
}

/// What the customer was told. Written by the operator alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerStatus {
    /// The latest messages, oldest first. A view of what stands in the orders, which may lag by a minute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub messages: Vec<CustomerMessage>,
}

/// A message that a customer was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerMessage {
    /// Its id: the order's uid and the step.
    #[schemars(length(max = 64))]
    pub id: String,
    /// The order's name.
    #[schemars(length(max = 63))]
    pub order: String,
    /// The phase that it tells of.
    #[schemars(length(max = 40))]
    pub phase: String,
    /// When the order entered that phase.
    pub at: Time,
}
