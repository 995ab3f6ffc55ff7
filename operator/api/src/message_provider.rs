//! MessageProvider: whom to tell of every step of every order. Cluster-scoped, for administrators only.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::Condition;
use crate::provider::{ProviderSecretRef, millis};

/// Endpoint, transport and credentials of a notification provider.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "MessageProvider",
    status = "MessageProviderStatus",
    derive = "PartialEq",
    shortname = "msp",
    category = "food",
    doc = "A recipient of notifications about every step of every order: customers by AlimTalk, or a service by a webhook that takes signed CloudEvents. Its secret lives in the operator's namespace.",
    printcolumn(name = "Transport", type_ = "string", json_path = ".spec.transport"),
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
    /// Transport of the notifications. Immutable.
    pub transport: MessageTransport,
    /// Destination of the notifications: the base URL of a business-message API, or the URL of a webhook. Immutable.
    #[schemars(length(min = 1, max = 500))]
    pub endpoint: String,
    /// Whether `http://` endpoints are allowed, as for a sandbox.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// Secret in the operator's namespace that holds the secret key.
    pub secret_ref: ProviderSecretRef,
    /// Timeout of a call, such as `3s` or `500ms`.
    #[serde(default = "default_timeout")]
    #[schemars(default = "default_timeout", length(max = 10), regex(pattern = r"^[1-9][0-9]{0,5}(ms|s)$"))]
    pub timeout: String,
    /// Maximum concurrent calls per operator replica.
    #[serde(default = "default_concurrency")]
    #[schemars(default = "default_concurrency", range(min = 1, max = 1000))]
    pub concurrency: i64,
    /// Settings of the transport AlimTalk; required there and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alim_talk: Option<AlimTalk>,
}

/// Sender profile, and the template that was registered for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlimTalk {
    /// Application key at the business-message service; not secret.
    #[schemars(length(min = 1, max = 100))]
    pub app_key: String,
    /// Key of the sender profile.
    #[schemars(length(min = 1, max = 100))]
    pub sender_key: String,
    /// Code of the message template.
    #[schemars(length(min = 1, max = 100))]
    pub template_code: String,
}

/// The ways by which this version sends messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum MessageTransport {
    /// Kakao AlimTalk, by a business-message HTTP API.
    AlimTalk,
    /// A webhook that takes CloudEvents, signed as Standard Webhooks are.
    Webhook,
    /// A transport that this version does not know.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// State of the provider, as the operator sees it. Written by the operator alone, on transitions only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageProviderStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions: `Ready`, whether it can be called and answers.
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

impl MessageTransport {
    /// Every transport that this version knows.
    pub const ALL: &'static [Self] = &[Self::AlimTalk, Self::Webhook];

    /// Whether the endpoint is a URL that is called by HTTP.
    pub fn is_http(self) -> bool {
        match self {
            Self::AlimTalk | Self::Webhook => true,
            Self::Unknown => false,
        }
    }

    /// Whether a message needs the customer's telephone number.
    pub fn needs_contact(self) -> bool {
        match self {
            Self::AlimTalk => true,
            Self::Webhook | Self::Unknown => false,
        }
    }
}

impl MessageProviderSpec {
    /// The time-out in milliseconds; the default where the text cannot be read.
    pub fn timeout_ms(&self) -> u64 {
        millis(&self.timeout).unwrap_or(3_000)
    }
}
