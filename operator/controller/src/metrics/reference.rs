//! `docs/reference/metrics.md` is what the registry has, with a sample of each metric so that its labels show.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use fooddelivery_runtime::metrics::Metrics as _;

use super::{
    ByController, CircuitTransition, Metrics, OfProvider, Phase, ProviderCall, Reconciled, Request, Sent,
};

const RENEW: &str = "UPDATE_MANIFESTS=1 cargo test -p fooddelivery-controller metrics";

/// What the labels stand for.
const LABELS: &[(&str, &str)] = &[
    ("controller", "a controller's name, as in `--controllers`"),
    ("kind", "a kind of the API"),
    ("operation", "`prepare`, `charge`, `void`, `refund` or `lookup`"),
    ("outcome", "what came of a call or of a message"),
    ("phase", "the phase that was entered"),
    ("provider", "a PaymentProvider's or MessageProvider's name"),
    (
        "result",
        "of a reconcile: `done`, `waiting` (for a time), `unresolved`, `conflict` (somebody wrote first), `error`; of a request: `ok` or what went wrong",
    ),
    ("to", "the circuit's new state"),
    ("verb", "the verb of a request to the API server; watches are not counted"),
    ("version", "the operator's version"),
];

/// One sample of each. Every field is named, so that a new metric does not compile until it is here.
fn sampled() -> Metrics {
    let metrics = Metrics::default();
    let Metrics {
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

/// The names of the labels of a sample such as `name_total{a="x",b="y"} 1`, without those of a histogram.
fn labels_of(sample: &str) -> Vec<&str> {
    let inner =
        sample.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(inner, _)| inner);
    let names = inner.split(',').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name);
    names.filter(|name| *name != "le").collect()
}

fn page() -> String {
    let text = sampled().text().expect("it can be written");
    let mut rows = String::new();
    let mut labels = BTreeSet::new();
    let lines: Vec<&str> = text.lines().collect();
    for help in lines.iter().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, meaning) = help.split_once(' ').expect("a name and a sentence");
        let kind =
            lines.iter().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).expect("a type");
        let sample =
            lines.iter().find(|line| !line.starts_with('#') && line.starts_with(name)).expect("a sample");
        // A counter and an info are exported under a name of their own; a histogram under three.
        let exported = match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        };
        labels.extend(labels_of(sample).into_iter().map(str::to_owned));
        let shown: Vec<String> = labels_of(sample).iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(rows, "| `{exported}` | {kind} | {} | {meaning} |", shown.join(", "));
    }
    let mut explained = String::new();
    for label in &labels {
        let meaning = LABELS.iter().find(|(name, _)| name == label).map(|(_, meaning)| *meaning);
        let _ = writeln!(explained, "| `{label}` | {} |", meaning.expect("every label is explained"));
    }
    format!(
        "# Metrics\n\n<!-- generated: do not edit; {RENEW} -->\n\nServed in the OpenMetrics text format at `/metrics` on `--listen`. \
         A metric with labels appears once it has counted something.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n{rows}\n\
         ## Labels\n\n| label | meaning |\n|---|---|\n{explained}"
    )
}

#[test]
fn the_committed_reference_of_metrics_is_what_the_registry_has() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md");
    let generated = page();
    if std::env::var_os("UPDATE_MANIFESTS").is_some() {
        std::fs::write(&path, &generated).expect("the page can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "docs/reference/metrics.md has drifted: {RENEW}");
}
