//! The model finds mistakes: each of these is planted in how decisions are carried out, and each breaks a property.

use fooddelivery_model::bounds::{Bounds, Carrying, Mutant, Start, Store};
use fooddelivery_model::runs::story;
use fooddelivery_model::saga::Saga;
use fooddelivery_saga::phases::WhenUnavailable;
use stateright::{Checker, HasDiscoveries, Model};

const PAYING: Bounds = Bounds {
    replicas: 2,
    in_flight: 2,
    every_version: false,
    stale: true,
    faults: 0,
    crashes: 0,
    freezes: false,
    epochs: 0,
    claims: 1,
    cancel: true,
    delete: false,
    declines: false,
    prepares: false,
    intends: false,
    store: Store::Idle,
    riders: false,
    when_unavailable: WhenUnavailable::Defer,
    start: Start::Applied,
    carrying: Carrying::RIGHT,
};

const COOKING: Bounds = Bounds { start: Start::InQueue, store: Store::Free, ..PAYING };

fn breaks(carrying: Carrying, bounds: Bounds) {
    let bounds = Bounds { carrying, ..bounds };
    let checker = Saga::new(bounds).checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discoveries();
    println!("{} states", checker.unique_state_count());
    for (name, path) in &found {
        println!("not {name}, in {} steps\n{}", path.clone().into_actions().len(), story(path.clone()));
    }
    assert!(!found.is_empty(), "the mutant was not found in {} states", checker.unique_state_count());
}

fn planted(mutant: Mutant, bounds: Bounds) {
    breaks(Carrying { mutant: Some(mutant), ..Carrying::RIGHT }, bounds);
}

#[test]
fn an_order_status_written_blindly_is_found() {
    planted(Mutant::BlindOrderStatus, COOKING);
}

#[test]
fn a_payment_status_written_blindly_is_found() {
    planted(Mutant::BlindPaymentStatus, PAYING);
}

#[test]
fn a_charge_before_the_intent_is_recorded_is_found() {
    planted(Mutant::ChargeBeforeIntent, PAYING);
}

#[test]
fn a_charge_under_an_intent_that_another_replica_recorded_is_found() {
    planted(Mutant::ChargeOthersIntent, Bounds { intends: true, in_flight: 3, ..PAYING });
}

#[test]
fn money_asked_back_before_the_ticket_is_fenced_is_found() {
    planted(Mutant::MoneyBeforeTicket, COOKING);
}

#[test]
fn a_payment_dropped_before_its_refund_is_found() {
    planted(Mutant::DropBeforeRefund, Bounds { cancel: false, delete: true, ..COOKING });
}

#[test]
fn a_fresh_idempotency_key_for_each_call_is_found() {
    planted(Mutant::FreshKeys, Bounds { faults: 1, ..PAYING });
}

#[test]
fn a_prepared_payment_charged_before_its_id_is_stored_is_found() {
    planted(Mutant::ChargeBeforeId, Bounds { prepares: true, ..PAYING });
}

#[test]
fn a_missing_tombstone_is_found() {
    planted(Mutant::NoTombstone, PAYING);
}

#[test]
fn a_patch_of_another_version_than_was_decided_on_is_found() {
    breaks(Carrying { decided_version: false, ..Carrying::RIGHT }, PAYING);
}

#[test]
fn a_step_on_a_stale_order_is_found() {
    let bounds = Bounds { cancel: false, delete: true, riders: true, start: Start::PickedUp, ..PAYING };
    breaks(Carrying { order_is_live: false, ..Carrying::RIGHT }, bounds);
}
