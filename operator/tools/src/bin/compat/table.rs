//! The table of what came of each version, in Markdown. Computes only.

use std::time::Duration;

/// What is tried on each version, in this order, after the installation.
pub(crate) const TRIED: [&str; 4] = ["demo", "conformance", "refusals", "actors"];

/// What came of one thing that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Whether it passed.
    pub(crate) passed: bool,
    /// How long it took.
    pub(crate) took: Duration,
}

/// What came of one version.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The version of Kubernetes.
    pub(crate) version: String,
    /// The installation by the one command.
    pub(crate) install: Outcome,
    /// Whether the API server has MutatingAdmissionPolicy.
    pub(crate) stamps_finalizers: bool,
    /// What came of [`TRIED`].
    pub(crate) outcomes: [Outcome; TRIED.len()],
}

impl Row {
    /// Whether all of it passed.
    pub(crate) fn passed(&self) -> bool {
        self.install.passed && self.outcomes.iter().all(|outcome| outcome.passed)
    }
}

/// The table, with a line for each row.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines = vec![
        format!("| Kubernetes | `kubectl apply -k` | finalizers are written by | {} |", TRIED.join(" | ")),
        "|---|---|---|---|---|---|---|".to_owned(),
    ];
    for row in rows {
        let writer = if row.stamps_finalizers { "the API server" } else { "the operator" };
        let outcomes = row.outcomes.map(cell).join(" | ");
        lines.push(format!("| {} | {} | {writer} | {outcomes} |", row.version, cell(row.install)));
    }
    lines.join("\n") + "\n"
}

fn cell(outcome: Outcome) -> String {
    let word = if outcome.passed { "passed" } else { "**failed**" };
    format!("{word}, {} s", outcome.took.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_passes_when_all_of_it_does_and_shows_what_does_not() {
        let passed = Outcome { passed: true, took: Duration::from_secs(9) };
        let failed = Outcome { passed: false, took: Duration::from_millis(2_900) };
        let row = |demo| Row {
            version: "1.33.13".to_owned(),
            install: passed,
            stamps_finalizers: false,
            outcomes: [demo, passed, passed, passed],
        };
        assert!(row(passed).passed() && !row(failed).passed());
        let text = table(&[row(failed)]);
        let line = "| 1.33.13 | passed, 9 s | the operator | **failed**, 2 s | passed, 9 s | passed, 9 s | passed, 9 s |";
        assert!(text.ends_with(&format!("{line}\n")), "{text}");
        let columns = |line: &str| line.matches('|').count();
        assert!(text.lines().all(|each| columns(each) == columns(line)), "{text}");
    }
}
