//! Customer: who orders, what they prefer and how they are reached.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::NameRef;

/// What a customer says of themselves.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "Customer",
    namespaced,
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
