//! The circuits of a payment provider, replica by replica, as its status sums them up: each replica has a breaker of its
//! own, and writes only its own entry. And the payments that wait for one: which they are, and how they come back.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::phases::{CircuitState, PaymentPhase};
use crate::time::{Millis, Timestamp};

/// Maximum number of entries, as the schema has it.
pub const REPLICAS_MAX: usize = 16;

/// How long an entry that is not closed is kept after its replica last wrote it, where nobody knows which replicas are live: one
/// that is gone closes nothing.
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
    /// Whether the replica holds no Lease: nobody can tell whether it is live.
    pub without_lease: bool,
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
    summary(entries)
}

/// The circuits of the replicas that are live: nobody waits for one of a replica that is gone, and nobody would close it.
pub fn of_live(entries: &[Entry], live: &BTreeSet<String>) -> Summary {
    let may_be_live = |entry: &&Entry| entry.without_lease || live.contains(&entry.replica);
    summary(entries.iter().filter(may_be_live).cloned().collect())
}

fn summary(mut entries: Vec<Entry>) -> Summary {
    let worst = entries.iter().max_by_key(|entry| (entry.circuit, entry.since)).cloned();
    entries.sort_by(|a, b| a.replica.cmp(&b.replica));
    Summary { entries, worst }
}

/// How those who wait for a circuit are to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReturnRate {
    /// How long an open circuit lets nobody through.
    pub open_for: Duration,
    /// Number of payments that are let through on trial then.
    pub trials: usize,
    /// Number of payments per second once it has closed.
    pub per_second: u32,
}

/// Payments that are to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallBack {
    /// Until the first of them does.
    pub after: Duration,
    /// How many of them at most.
    pub payments_max: usize,
    /// From one to the next.
    pub gap: Duration,
}

/// Who is called back when a circuit has turned to `to`: a few on trial once an open one may be tried; all of them when it
/// has closed, spread out so that the provider is not stormed.
pub fn call_back(to: CircuitState, rate: ReturnRate) -> Option<CallBack> {
    let ReturnRate { open_for, trials, per_second } = rate;
    match to {
        CircuitState::Open => Some(CallBack { after: open_for, payments_max: trials, gap: Duration::ZERO }),
        CircuitState::Closed => Some(CallBack {
            after: Duration::ZERO,
            payments_max: usize::MAX,
            gap: Duration::from_secs(1) / per_second.max(1),
        }),
        CircuitState::HalfOpen | CircuitState::Unknown => None,
    }
}

/// Which payments that wait for a circuit look again, the first of these first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precedence {
    /// Money that is on its way back to a customer.
    Returning,
    /// A charge that was put off and is due.
    Due,
}

impl Precedence {
    /// All of them, in order.
    pub const ALL: [Self; 2] = [Self::Returning, Self::Due];
}

/// How early a payment is called back; `None` when it does not wait for the circuit, or has a later time of its own.
pub fn precedence(
    phase: PaymentPhase,
    next_attempt_at: Option<Timestamp>,
    now: Timestamp,
) -> Option<Precedence> {
    let soon = now + Millis::seconds(1);
    match phase {
        PaymentPhase::Refunding | PaymentPhase::Voiding => Some(Precedence::Returning),
        PaymentPhase::Deferred => next_attempt_at.is_none_or(|at| at <= soon).then_some(Precedence::Due),
        PaymentPhase::Pending
        | PaymentPhase::Captured
        | PaymentPhase::Declined
        | PaymentPhase::Refunded
        | PaymentPhase::Voided
        | PaymentPhase::NeedsReview
        | PaymentPhase::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: ReturnRate = ReturnRate { open_for: Duration::from_secs(10), trials: 3, per_second: 20 };

    #[test]
    fn an_open_circuit_is_tried_by_a_few_and_a_closed_one_is_not_stormed() {
        let on_trial = CallBack { after: Duration::from_secs(10), payments_max: 3, gap: Duration::ZERO };
        assert_eq!(call_back(CircuitState::Open, RATE), Some(on_trial));
        let all = call_back(CircuitState::Closed, RATE);
        assert_eq!(all.map(|all| (all.after, all.gap)), Some((Duration::ZERO, Duration::from_millis(50))));
        assert_eq!(call_back(CircuitState::HalfOpen, RATE), None);
        let unlimited = call_back(CircuitState::Closed, ReturnRate { per_second: 0, ..RATE });
        assert_eq!(unlimited.map(|all| all.gap), Some(Duration::from_secs(1)));
    }

    #[test]
    fn money_on_its_way_back_comes_before_charges_and_only_what_is_due_is_called_back() {
        let now = Timestamp(60_000);
        let due = |at| precedence(PaymentPhase::Deferred, at, now);
        assert_eq!(due(None), Some(Precedence::Due));
        assert_eq!(due(Some(now + Millis(1_000))), Some(Precedence::Due));
        assert_eq!(due(Some(now + Millis(1_001))), None);
        assert_eq!(precedence(PaymentPhase::Refunding, None, now), Some(Precedence::Returning));
        assert_eq!(precedence(PaymentPhase::Voiding, None, now), Some(Precedence::Returning));
        assert_eq!(precedence(PaymentPhase::Captured, None, now), None);
        assert!(Precedence::Returning < Precedence::Due);
    }

    fn entry(replica: &str, circuit: CircuitState, since: i64) -> Entry {
        Entry {
            replica: replica.into(),
            circuit,
            since: Timestamp(since),
            failure_percent: 60,
            slow_percent: 10,
            without_lease: false,
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
    fn the_circuit_of_a_replica_that_is_gone_is_nobodys() {
        let one = turned(&[], &entry("a", CircuitState::Open, 1));
        let two = turned(&one.entries, &entry("b", CircuitState::HalfOpen, 2));
        let live = |names: &[&str]| of_live(&two.entries, &names.iter().map(|&name| name.into()).collect());
        assert_eq!(live(&["a", "b", "c"]), two);
        assert_eq!(worst(&live(&["b"])), Some((CircuitState::HalfOpen, Timestamp(2))));
        assert_eq!(live(&["c"]), Summary { entries: Vec::new(), worst: None });
        let unknown = Entry { without_lease: true, ..entry("a", CircuitState::Open, 1) };
        assert_eq!(of_live(std::slice::from_ref(&unknown), &BTreeSet::new()).entries, [unknown]);
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
