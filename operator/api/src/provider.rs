//! PaymentProvider: where money is charged. Cluster-scoped, for administrators only.

use fooddelivery_saga::phases::CircuitState;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Condition, Time};

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
    printcolumn(name = "Circuit", type_ = "string", json_path = ".status.circuit"),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.since"),
    printcolumn(name = "Failed%", type_ = "integer", json_path = ".status.failureRatePercent"),
    printcolumn(name = "Slow%", type_ = "integer", json_path = ".status.slowCallRatePercent"),
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
    /// When calls are held back because the provider fails or is slow.
    #[serde(default)]
    #[schemars(default)]
    pub breaker: BreakerSpec,
    /// At most so many calls in a time, per replica of the operator; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateSpec>,
}

/// A circuit breaker. Each replica of the operator has its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BreakerSpec {
    /// The circuit opens when so many percent of the calls fail: not sent, cut or dropped without their outcome being
    /// found out, 5xx or 429.
    #[schemars(range(min = 1, max = 100))]
    pub failure_rate_percent: i64,
    /// It also opens when so many percent of the calls are slow, whether or not they succeed.
    #[schemars(range(min = 1, max = 100))]
    pub slow_call_rate_percent: i64,
    /// A call that takes this long, until its outcome is known, is slow; absent: `timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), regex(pattern = r"^[1-9][0-9]{0,5}(ms|s)$"))]
    pub slow_call_duration: Option<String>,
    /// The rates are those of the calls in this time.
    #[schemars(length(max = 10), regex(pattern = r"^[1-9][0-9]{0,5}(ms|s)$"))]
    pub window: String,
    /// Fewer calls than these in the window open nothing.
    #[schemars(range(min = 1, max = 10_000))]
    pub minimum_calls: i64,
    /// How long an open circuit lets no call through.
    #[schemars(length(max = 10), regex(pattern = r"^[1-9][0-9]{0,5}(ms|s)$"))]
    pub open_for: String,
    /// So many calls are then let through on trial; when they succeed, the circuit closes.
    #[schemars(range(min = 1, max = 100))]
    pub trials: i64,
}

impl Default for BreakerSpec {
    fn default() -> Self {
        Self {
            failure_rate_percent: 50,
            slow_call_rate_percent: 50,
            slow_call_duration: None,
            window: "60s".into(),
            minimum_calls: 10,
            open_for: "10s".into(),
            trials: 3,
        }
    }
}

/// A rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateSpec {
    /// Calls a second, on average.
    #[schemars(range(min = 1, max = 10_000))]
    pub per_second: i64,
    /// Calls at once after a quiet time.
    #[serde(default = "one")]
    #[schemars(default = "one", range(min = 1, max = 10_000))]
    pub burst: i64,
}

/// The protocols that this version speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Dialect {
    /// Toss Payments.
    Toss,
    /// Stripe.
    Stripe,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// The most open of the replicas' circuits.
    #[serde(default = "closed")]
    #[schemars(default = "closed")]
    pub circuit: CircuitState,
    /// Since when it has been so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// How many percent of the calls had failed when that replica's circuit last turned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_rate_percent: Option<i64>,
    /// How many percent of the calls had been slow then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_call_rate_percent: Option<i64>,
    /// The replicas whose circuit has ever turned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub replicas: Vec<ReplicaCircuit>,
}

impl Default for PaymentProviderStatus {
    fn default() -> Self {
        Self {
            observed_generation: None,
            conditions: Vec::new(),
            circuit: closed(),
            since: None,
            failure_rate_percent: None,
            slow_call_rate_percent: None,
            replicas: Vec::new(),
        }
    }
}

/// One replica's circuit to the provider, as it stood when it last turned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaCircuit {
    /// The replica's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its circuit.
    pub circuit: CircuitState,
    /// Since when.
    pub since: Time,
    /// How many percent of its calls had failed then.
    pub failure_rate_percent: i64,
    /// How many percent of its calls had been slow then.
    pub slow_call_rate_percent: i64,
}

fn closed() -> CircuitState {
    CircuitState::Closed
}

fn one() -> i64 {
    1
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

/// A span such as `610ms` or `2s`, in milliseconds.
pub(crate) fn millis(text: &str) -> Option<u64> {
    let (digits, factor) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s')?, 1_000),
    };
    Some(digits.parse::<u64>().ok()?.saturating_mul(factor))
}

impl PaymentProviderSpec {
    /// The time-out in milliseconds; the default where the text cannot be read.
    pub fn timeout_ms(&self) -> u64 {
        millis(&self.timeout).unwrap_or(610)
    }
}

impl BreakerSpec {
    /// From when on a call is slow, in milliseconds; `None`: from its time-out on.
    pub fn slow_call_ms(&self) -> Option<u64> {
        self.slow_call_duration.as_deref().and_then(millis)
    }

    /// The window in milliseconds; the default where the text cannot be read.
    pub fn window_ms(&self) -> u64 {
        millis(&self.window).unwrap_or(60_000)
    }

    /// How long the circuit stays open, in milliseconds; the default where the text cannot be read.
    pub fn open_for_ms(&self) -> u64 {
        millis(&self.open_for).unwrap_or(10_000)
    }
}
