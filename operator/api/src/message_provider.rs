//! MessageProvider: whom to tell of every step of every order. Cluster-scoped, for administrators only.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::Condition;
use crate::provider::{ProviderSecretRef, millis};

/// How somebody is told.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "MessageProvider",
    status = "MessageProviderStatus",
    derive = "PartialEq",
    shortname = "msp",
    category = "food",
    doc = "Who is told of every step of every order: customers by AlimTalk, or any service by a signed CloudEvents webhook. Its secret lives in the operator's namespace.",
    printcolumn(name = "Dialect", type_ = "string", json_path = ".spec.dialect"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".spec.endpoint"),
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
pub struct MessageProviderSpec {
    /// The protocol it speaks.
    pub dialect: MessageDialect,
    /// Where messages go: the base URL of a business-message API, or the URL of a webhook.
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
    /// What AlimTalk needs beside the secret; only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alim_talk: Option<AlimTalk>,
}

/// The sender's profile and the template that was registered for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlimTalk {
    /// The application's key at the business-message service; not secret.
    #[schemars(length(min = 1, max = 100))]
    pub app_key: String,
    /// The sender's profile.
    #[schemars(length(min = 1, max = 100))]
    pub sender_key: String,
    /// The template.
    #[schemars(length(min = 1, max = 100))]
    pub template_code: String,
}

/// The protocols that this version speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum MessageDialect {
    /// Kakao AlimTalk, by a business-message HTTP API.
    AlimTalk,
    /// A webhook that takes CloudEvents, signed as Standard Webhooks are.
    CloudEvents,
    /// A protocol that this version does not know.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// How it stands with the provider. Written by the operator alone, on transitions only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageProviderStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: it can be called, and answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

fn default_timeout() -> String {
    "3s".into()
}

fn default_concurrency() -> i64 {
    32
}

impl MessageProviderSpec {
    /// The time-out in milliseconds; the default where the text cannot be read.
    pub fn timeout_ms(&self) -> u64 {
        millis(&self.timeout).unwrap_or(3_000)
    }
}
