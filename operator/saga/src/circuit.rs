//! The circuits of a payment provider, replica by replica, as its status sums them up: each replica has a breaker of its
//! own, and writes only its own entry.

use crate::phases::CircuitState;
use crate::time::{Millis, Timestamp};

/// Maximum number of entries, as the schema has it.
pub const REPLICAS_MAX: usize = 16;

/// How long an entry that is not closed is kept after its replica last wrote it: a replica that is gone closes nothing.
pub const STALE_AFTER: Millis = Millis::seconds(3600);

/// A replica's circuit to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The replica.
    pub replica: String,
    /// Whether it lets calls through.
    pub circuit: CircuitState,
    /// Since when.
    pub since: Timestamp,
    /// Percentage of its last calls that failed.
    pub failure_percent: i64,
    /// Percentage of its last calls that were slow.
    pub slow_percent: i64,
}

/// All replicas' circuits to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// By name.
    pub entries: Vec<Entry>,
    /// The most open of them, the latest of several; `None` when there is none.
    pub worst: Option<Entry>,
}

/// The circuits after the one of `own.replica` has turned. One that is closed and was never anything else, or that has not
/// changed, leaves its entry as it is: it is not worth a write.
pub fn turned(entries: &[Entry], own: &Entry) -> Summary {
    let is_own = |entry: &Entry| entry.replica == own.replica;
    let known = entries.iter().find(|entry| is_own(entry));
    let same = known.map_or(own.circuit == CircuitState::Closed, |entry| entry.circuit == own.circuit);
    let is_stale = |entry: &Entry| {
        !is_own(entry) && entry.circuit != CircuitState::Closed && entry.since + STALE_AFTER < own.since
    };
    let mut entries: Vec<Entry> = entries.iter().filter(|entry| !is_stale(entry)).cloned().collect();
    if !same {
        entries.retain(|entry| !is_own(entry));
        entries.push(own.clone());
    }
    entries.sort_by_key(|entry| std::cmp::Reverse((is_own(entry), entry.since)));
    entries.truncate(REPLICAS_MAX);
    let worst = entries.iter().max_by_key(|entry| (entry.circuit, entry.since)).cloned();
    entries.sort_by(|a, b| a.replica.cmp(&b.replica));
    Summary { entries, worst }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(replica: &str, circuit: CircuitState, since: i64) -> Entry {
        Entry {
            replica: replica.into(),
            circuit,
            since: Timestamp(since),
            failure_percent: 60,
            slow_percent: 10,
        }
    }

    fn worst(summary: &Summary) -> Option<(CircuitState, Timestamp)> {
        summary.worst.as_ref().map(|entry| (entry.circuit, entry.since))
    }

    #[test]
    fn a_circuit_that_never_turned_is_not_worth_an_entry() {
        let none = turned(&[], &entry("a", CircuitState::Closed, 1));
        assert_eq!(none, Summary { entries: Vec::new(), worst: None });
    }

    #[test]
    fn a_circuit_that_opens_again_after_a_trial_keeps_its_entry() {
        let open = turned(&[], &entry("a", CircuitState::Open, 1));
        assert_eq!(turned(&open.entries, &entry("a", CircuitState::Open, 9)), open);
        assert_eq!(worst(&open), Some((CircuitState::Open, Timestamp(1))));
    }

    #[test]
    fn the_summary_is_that_of_the_most_open_replica() {
        let one = turned(&[], &entry("a", CircuitState::Open, 1));
        let two = turned(&one.entries, &entry("b", CircuitState::HalfOpen, 2));
        assert_eq!(worst(&two), Some((CircuitState::Open, Timestamp(1))));
        let closed = turned(&two.entries, &entry("a", CircuitState::Closed, 3));
        assert_eq!(worst(&closed), Some((CircuitState::HalfOpen, Timestamp(2))));
        assert_eq!(closed.entries.len(), 2);
    }

    #[test]
    fn the_entries_are_bounded_and_those_of_replicas_that_are_gone_do_not_stay_open() {
        let mut entries = Vec::new();
        for n in 0..40 {
            entries = turned(&entries, &entry(&format!("r{n}"), CircuitState::Open, n)).entries;
        }
        assert_eq!(entries.len(), REPLICAS_MAX);
        let later = entry("new", CircuitState::Open, STALE_AFTER.0 + 1_000);
        let summary = turned(&entries, &later);
        assert_eq!(summary.entries.len(), 1, "{summary:?}");
    }
}
