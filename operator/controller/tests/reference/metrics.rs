//! `docs/reference/metrics.md` is what the registry has, with a sample of each metric so that its labels show.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use fooddelivery_controller::metrics::Metrics;
use fooddelivery_runtime::metrics::Metrics as _;

use super::{RENEW, compare};

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

/// The names of the labels of a sample such as `name_total{a="x",b="y"} 1`, without those of a histogram.
fn labels_of(sample: &str) -> Vec<&str> {
    let inner =
        sample.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(inner, _)| inner);
    let names = inner.split(',').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name);
    names.filter(|name| *name != "le").collect()
}

fn page() -> String {
    let text = Metrics::sampled().text().expect("it can be written");
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
    compare("metrics.md", &page());
}
