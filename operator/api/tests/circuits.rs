//! What a provider's status says of the replicas' circuits.

use fooddelivery_api::PaymentProviderStatus;
use fooddelivery_api::common::Time;
use fooddelivery_saga::circuit::{Entry, REPLICAS_MAX, STALE_AFTER};
use fooddelivery_saga::phases::CircuitState;
use fooddelivery_saga::time::Timestamp;

fn entry(replica: &str, circuit: CircuitState, at: i64) -> Entry {
    Entry {
        replica: replica.into(),
        circuit,
        since: Timestamp(at),
        failure_percent: 60,
        slow_percent: 10,
        without_lease: false,
    }
}

#[test]
fn a_circuit_that_never_turned_is_not_worth_a_write() {
    let old = PaymentProviderStatus::default();
    assert_eq!(old.with_circuit(&entry("a", CircuitState::Closed, 1)), old);
}

#[test]
fn a_circuit_that_opens_again_after_a_trial_is_not_written_again() {
    let open = PaymentProviderStatus::default().with_circuit(&entry("a", CircuitState::Open, 1));
    assert_eq!(open.with_circuit(&entry("a", CircuitState::Open, 9)), open);
    assert_eq!((open.circuit, open.since), (CircuitState::Open, Some(Time(Timestamp(1)))));
}

#[test]
fn the_summary_is_that_of_the_most_open_replica() {
    let one = PaymentProviderStatus::default().with_circuit(&entry("a", CircuitState::Open, 1));
    let two = one.with_circuit(&entry("b", CircuitState::HalfOpen, 2));
    assert_eq!((two.circuit, two.since), (CircuitState::Open, Some(Time(Timestamp(1)))));
    let closed = two.with_circuit(&entry("a", CircuitState::Closed, 3));
    assert_eq!((closed.circuit, closed.since), (CircuitState::HalfOpen, Some(Time(Timestamp(2)))));
    assert_eq!(closed.replicas.len(), 2);
}

#[test]
fn the_entries_are_bounded_and_those_of_replicas_that_are_gone_do_not_stay_open() {
    let mut status = PaymentProviderStatus::default();
    for n in 0..40 {
        status = status.with_circuit(&entry(&format!("r{n}"), CircuitState::Open, n));
    }
    assert_eq!(status.replicas.len(), REPLICAS_MAX);
    let status = status.with_circuit(&entry("new", CircuitState::Open, STALE_AFTER.0 + 1_000));
    assert_eq!(status.replicas.len(), 1, "{status:?}");
}
