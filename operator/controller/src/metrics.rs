//! Prometheus metrics of the operator. Labels come from fixed vocabularies, so that their number is bounded.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use fooddelivery_runtime::metrics::Metrics as RuntimeMetrics;
use fooddelivery_saga::phases::CircuitState;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconciled {
    controller: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByController {
    controller: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    kind: String,
    verb: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderCall {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfProvider {
    provider: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CircuitTransition {
    provider: String,
    to: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sent {
    provider: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    kind: &'static str,
    phase: &'static str,
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Reconciled, Counter>,
    durations: Family<ByController, Histogram>,
    queues: Family<ByController, Gauge>,
    requests: Family<Request, Counter>,
    provider_calls: Family<ProviderCall, Counter>,
    provider_seconds: Histogram,
    phases: Family<Phase, Counter>,
    circuits: Family<OfProvider, Gauge>,
    circuit_turns: Family<CircuitTransition, Counter>,
    in_review: Gauge,
    messages: Family<Sent, Counter>,
    clock_skew: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("fooddelivery");
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let made = Self {
            reconciles: Family::default(),
            durations: Family::new_with_constructor(seconds),
            queues: Family::default(),
            requests: Family::default(),
            provider_calls: Family::default(),
            provider_seconds: seconds(),
            phases: Family::default(),
            circuits: Family::default(),
            circuit_turns: Family::default(),
            in_review: Gauge::default(),
            messages: Family::default(),
            clock_skew: Gauge::default(),
            registry: Registry::default(),
        };
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What this replica runs", version);
        registry.register("reconciles", "Reconciles by controller and result", made.reconciles.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "How long reconciles take",
            Unit::Seconds,
            made.durations.clone(),
        );
        registry.register("queue_length", "Keys that wait or run", made.queues.clone());
        registry.register("api_requests", "Requests to the API server", made.requests.clone());
        registry.register("provider_calls", "Calls to payment providers", made.provider_calls.clone());
        registry.register_with_unit(
            "provider_call_duration",
            "How long calls to payment providers take",
            Unit::Seconds,
            made.provider_seconds.clone(),
        );
        registry.register("phases_entered", "Phases that orders and payments entered", made.phases.clone());
        registry.register(
            "provider_circuit",
            "This replica's circuit to a payment provider: 0 closed, 1 half-open, 2 open",
            made.circuits.clone(),
        );
        registry.register(
            "provider_circuit_turns",
            "How often this replica's circuit to a payment provider turned",
            made.circuit_turns.clone(),
        );
        registry.register(
            "payments_in_review",
            "Payments that wait for a person (spec.resolution)",
            made.in_review.clone(),
        );
        registry.register("messages", "Messages that were sent, by what came of it", made.messages.clone());
        registry.register_with_unit(
            "clock_skew",
            "How far the machine's clock is ahead of the API server's, as far as that is certain",
            Unit::Seconds,
            made.clock_skew.clone(),
        );
        Self { registry, ..made }
    }
}

impl Metrics {
    /// One sample of each, as the reference of metrics shows them. Every field is named, so that a new metric does not compile
    /// until it is here.
    pub fn sampled() -> Self {
        let metrics = Self::default();
        let Self {
            registry: _,
            reconciles,
            durations,
            queues,
            requests,
            provider_calls,
            provider_seconds: _,
            phases,
            circuits,
            circuit_turns,
            in_review: _,
            messages,
            clock_skew: _,
        } = &metrics;
        let name = String::new;
        reconciles.get_or_create(&Reconciled { controller: "", result: "" }).inc();
        durations.get_or_create(&ByController { controller: "" }).observe(0.0);
        queues.get_or_create(&ByController { controller: "" }).set(0);
        requests.get_or_create(&Request { kind: name(), verb: "", result: "" }).inc();
        provider_calls.get_or_create(&ProviderCall { operation: "", outcome: "" }).inc();
        phases.get_or_create(&Phase { kind: "", phase: "" }).inc();
        circuits.get_or_create(&OfProvider { provider: name() }).set(0);
        circuit_turns.get_or_create(&CircuitTransition { provider: name(), to: "" }).inc();
        messages.get_or_create(&Sent { provider: name(), outcome: "" }).inc();
        metrics
    }

    pub(crate) fn provider_call(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        self.provider_calls.get_or_create(&ProviderCall { operation, outcome }).inc();
        self.provider_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn phase(&self, kind: &'static str, phase: &'static str) {
        self.phases.get_or_create(&Phase { kind, phase }).inc();
    }

    pub(crate) fn circuit(&self, provider: &str, circuit: CircuitState) {
        let provider = provider.to_owned();
        let level = match circuit {
            CircuitState::Closed | CircuitState::Unknown => 0,
            CircuitState::HalfOpen => 1,
            CircuitState::Open => 2,
        };
        self.circuits.get_or_create(&OfProvider { provider: provider.clone() }).set(level);
        self.circuit_turns.get_or_create(&CircuitTransition { provider, to: circuit.as_str() }).inc();
    }

    pub(crate) fn message(&self, provider: &str, outcome: &'static str) {
        self.messages.get_or_create(&Sent { provider: provider.to_owned(), outcome }).inc();
    }

    pub(crate) fn in_review(&self, count: usize) {
        self.in_review.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

impl RuntimeMetrics for Metrics {
    fn reconciled(&self, controller: &'static str, result: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Reconciled { controller, result }).inc();
        self.durations.get_or_create(&ByController { controller }).observe(took.as_secs_f64());
    }

    fn queue_length(&self, controller: &'static str, length: usize) {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        self.queues.get_or_create(&ByController { controller }).set(length);
    }

    fn request(&self, kind: &str, verb: &'static str, result: &'static str) {
        self.requests.get_or_create(&Request { kind: kind.to_owned(), verb, result }).inc();
    }

    fn clock_skew(&self, skew_ms: i64) {
        #[expect(clippy::cast_precision_loss, reason = "exact up to millions of years")]
        self.clock_skew.set(skew_ms as f64 / 1_000.0);
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
