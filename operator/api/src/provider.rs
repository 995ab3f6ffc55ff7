//! PaymentProvider: where money is charged. Cluster-scoped, for administrators only.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::Condition;

/// How a provider is reached.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "PaymentProvider",
    status = "PaymentProviderStatus",
    derive = "PartialEq",
    shortname = "psp",
    category = "food",
    doc = "A payment provider. Its secret lives in the operator's namespace.",
    printcolumn(name = "Dialect", type_ = "string", json_path = ".spec.dialect"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".spec.endpoint"),
    printcolumn(name = "Timeout", type_ = "string", json_path = ".spec.timeout"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PaymentProviderSpec {
    /// The protocol it speaks.
    pub dialect: Dialect,
    /// Base URL of its API.
    #[schemars(length(min = 1, max = 500))]
    pub endpoint: String,
    /// Allows `http://` endpoints, as for a sandbox.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// The Secret, in the operator's namespace, that holds its secret key.
    pub secret_ref: ProviderSecretRef,
    /// A call is cut after this time.
    #[serde(default = "default_timeout")]
    #[schemars(default = "default_timeout", length(max = 10), regex(pattern = r"^[1-9][0-9]{0,5}(ms|s)$"))]
    pub timeout: String,
    /// At most so many calls at once, per replica of the operator.
    #[serde(default = "default_concurrency")]
    #[schemars(default = "default_concurrency", range(min = 1, max = 1000))]
    pub concurrency: i64,
}

/// The protocols that this version speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Dialect {
    /// Toss Payments.
    Toss,
    /// A protocol that this version does not know.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// A Secret in the operator's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderSecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it.
    #[serde(default = "default_key")]
    #[schemars(default = "default_key", length(min = 1, max = 253))]
    pub key: String,
}

/// How it stands with the provider. Written by the operator alone, on transitions only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentProviderStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: it is configured so that it can be called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

fn default_timeout() -> String {
    "610ms".into()
}

fn default_concurrency() -> i64 {
    64
}

fn default_key() -> String {
    "secretKey".into()
}

impl PaymentProviderSpec {
    /// The time-out in milliseconds; the default where the text cannot be read.
    pub fn timeout_ms(&self) -> u64 {
        let (digits, factor) = match self.timeout.strip_suffix("ms") {
            Some(digits) => (digits, 1),
            None => (self.timeout.trim_end_matches('s'), 1_000),
        };
        digits.parse::<u64>().map_or(610, |n| n.saturating_mul(factor))
    }
}
