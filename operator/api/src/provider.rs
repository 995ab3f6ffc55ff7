//! PaymentProvider: where money is charged. Cluster-scoped, for administrators only.

use std::collections::BTreeSet;

use fooddelivery_saga::circuit::{self, Entry, Summary};
use fooddelivery_saga::phases::CircuitState;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Condition, Time};

/// Endpoint, credentials and limits of a payment provider.
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
    /// Protocol that the provider speaks.
    pub dialect: Dialect,
    /// Base URL of the provider's API.
    #[schemars(length(min = 1, max = 500))]
    pub endpoint: String,
    /// Whether `http://` endpoints are allowed, as for a sandbox.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// Secret in the operator's namespace that holds the secret key.
    pub secret_ref: ProviderSecretRef,
    /// Timeout of a call, such as `610ms` or `2s`.
    #[serde(default = "default_timeout")]
    #[schemars(default = "default_timeout", length(max = 10), regex(pattern = r"^[1-9][0-9]{0,5}(ms|s)$"))]
    pub timeout: String,
    /// Maximum concurrent calls per operator replica.
    #[serde(default = "default_concurrency")]
    #[schemars(default = "default_concurrency", range(min = 1, max = 1000))]
    pub concurrency: i64,
    /// Circuit breaker: when calls are held back because the provider fails or is slow.
    #[serde(default)]
    #[schemars(default)]
    pub breaker: BreakerSpec,
    /// Rate limit per operator replica; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateSpec>,
}

/// Settings of a circuit breaker. Each operator replica has its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BreakerSpec {
    /// Percentage of failed calls at which the circuit opens. A call fails when it is not sent, is cut or dropped
    /// without its outcome being found out, or is answered by 5xx or 429.
    #[schemars(range(min = 1, max = 100))]
    pub failure_rate_percent: i64,
    /// Percentage of slow calls at which the circuit opens, whether or not they succeed.
    #[schemars(range(min = 1, max = 100))]
    pub slow_call_rate_percent: i64,
    /// Duration from which a call is slow, until its outcome is known; absent: `timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), regex(pattern = r"^[1-9][0-9]{0,5}(ms|s)$"))]
    pub slow_call_duration: Option<String>,
    /// Time window over which the rates are taken, such as `60s`.
    #[schemars(length(max = 10), regex(pattern = r"^[1-9][0-9]{0,5}(ms|s)$"))]
    pub window: String,
    /// Minimum number of calls in the window before the circuit can open.
    #[schemars(range(min = 1, max = 10_000))]
    pub minimum_calls: i64,
    /// How long an open circuit lets no call through, such as `10s`.
    #[schemars(length(max = 10), regex(pattern = r"^[1-9][0-9]{0,5}(ms|s)$"))]
    pub open_for: String,
    /// Number of trial calls after that; the circuit closes when they succeed.
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

/// Rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateSpec {
    /// Average number of calls per second.
    #[schemars(range(min = 1, max = 10_000))]
    pub per_second: i64,
    /// Maximum burst of calls after a quiet time.
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

/// Reference to a Secret in the operator's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret.
    #[serde(default = "default_key")]
    #[schemars(default = "default_key", length(min = 1, max = 253))]
    pub key: String,
}

/// State of the provider, as the operator sees it. Written by the operator alone, on transitions only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentProviderStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions: `Ready`, whether it is configured so that it can be called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
    /// Circuit of the replica whose circuit is most open.
    #[serde(default = "closed")]
    #[schemars(default = "closed")]
    pub circuit: CircuitState,
    /// Time at which that circuit last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Percentage of calls that had failed when that circuit last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_rate_percent: Option<i64>,
    /// Percentage of calls that had been slow when that circuit last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_call_rate_percent: Option<i64>,
    /// Circuits of the replicas, as far as they have ever changed.
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

/// Circuit of one operator replica, as of its last change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaCircuit {
    /// Name of the replica.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// State of its circuit.
    pub circuit: CircuitState,
    /// Time of the last change.
    pub since: Time,
    /// Percentage of calls that had failed at the last change.
    pub failure_rate_percent: i64,
    /// Percentage of calls that had been slow at the last change.
    pub slow_call_rate_percent: i64,
    /// Whether the replica holds no Lease (`--shard-lease-ms 0`). An entry with a Lease goes when that does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_lease: bool,
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

impl PaymentProviderStatus {
    /// The status after the circuit of `own.replica` has turned; the same when that is not worth a write.
    #[must_use]
    pub fn with_circuit(&self, own: &Entry) -> Self {
        let entries: Vec<Entry> = self.replicas.iter().map(Entry::from).collect();
        self.with_circuits(circuit::turned(&entries, own))
    }

    /// The status without the circuits of replicas that are gone.
    #[must_use]
    pub fn with_live_circuits(&self, live: &BTreeSet<String>) -> Self {
        let entries: Vec<Entry> = self.replicas.iter().map(Entry::from).collect();
        let summary = circuit::of_live(&entries, live);
        if summary.entries.len() == entries.len() { self.clone() } else { self.with_circuits(summary) }
    }

    fn with_circuits(&self, Summary { entries, worst }: Summary) -> Self {
        Self {
            circuit: worst.as_ref().map_or(CircuitState::Closed, |entry| entry.circuit),
            since: worst.as_ref().map(|entry| Time(entry.since)),
            failure_rate_percent: worst.as_ref().map(|entry| entry.failure_percent),
            slow_call_rate_percent: worst.as_ref().map(|entry| entry.slow_percent),
            replicas: entries.into_iter().map(ReplicaCircuit::from).collect(),
            ..self.clone()
        }
    }
}

impl From<&ReplicaCircuit> for Entry {
    fn from(shown: &ReplicaCircuit) -> Self {
        Self {
            replica: shown.name.clone(),
            circuit: shown.circuit,
            since: shown.since.0,
            failure_percent: shown.failure_rate_percent,
            slow_percent: shown.slow_call_rate_percent,
            without_lease: shown.without_lease,
        }
    }
}

impl From<Entry> for ReplicaCircuit {
    fn from(entry: Entry) -> Self {
        Self {
            name: entry.replica,
            circuit: entry.circuit,
            since: Time(entry.since),
            failure_rate_percent: entry.failure_percent,
            slow_call_rate_percent: entry.slow_percent,
            without_lease: entry.without_lease,
        }
    }
}
