//! A small world around the decisions: an order with its children, a provider with its money, actors who act at any
//! moment, an operator that stops after any step. Thousands of random runs must never reach a state that loses or
//! doubles money, and every run must come to an end.

mod support;

use fooddelivery_saga::phases::{OrderPhase, PaymentDesired, TicketStage};
use proptest::prelude::*;
use support::size::cases;
use support::{Event, World};

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::ReconcileOrder),
        8 => (0_u8..13).prop_map(Event::ReconcilePayment),
        4 => Just(Event::ReconcileTicket),
        4 => Just(Event::ReconcileDelivery),
        1 => Just(Event::Cancel),
        1 => Just(Event::Delete),
        4 => (0_usize..6).prop_map(Event::StoreMoves),
        4 => (0_usize..4).prop_map(Event::RiderMoves),
        2 => Just(Event::RiderClaims),
        1 => Just(Event::RiderGivesBack),
        2 => Just(Event::Confirm),
        1 => (1_i64..200_000).prop_map(Event::TimePasses),
        1 => Just(Event::NamespaceGoes),
        1 => Just(Event::OperatorRestarts),
        1 => Just(Event::StoreTurns),
        1 => Just(Event::PauseTurns),
        1 => Just(Event::TicketsTurn),
        1 => (1_i64..20_000_000).prop_map(Event::OperatorAway),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(1_000, 4_000), max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_events_loses_or_doubles_money(
        events in proptest::collection::vec(event(), 1..80),
        defers in any::<bool>(),
        prepares in any::<bool>(),
        intends in any::<bool>(),
        far in 0_usize..=8,
    ) {
        let mut world = if prepares { World::new(defers).preparing() } else { World::new(defers) };
        if intends {
            world = world.intending();
        }
        world.go_far(far);
        for event in &events {
            world.happen(*event);
            world.check();
        }
        world.settle();
        world.check();
        world.check_end();
    }
}

#[test]
fn the_happy_path_reaches_completed_in_eight_status_writes() {
    let mut world = World::new(true);
    world.operate();
    assert_eq!(world.phase(), OrderPhase::AwaitingStore);
    for (stage, phase) in [
        (TicketStage::Accepted, OrderPhase::Accepted),
        (TicketStage::Cooking, OrderPhase::Cooking),
        (TicketStage::Cooked, OrderPhase::AwaitingRider),
    ] {
        world.store_moves_to(stage);
        world.operate();
        assert_eq!(world.phase(), phase);
    }
    for (event, phase) in [
        (Event::RiderClaims, OrderPhase::RiderAssigned),
        (Event::RiderMoves(0), OrderPhase::PickedUp),
        (Event::RiderMoves(0), OrderPhase::Delivered),
        (Event::Confirm, OrderPhase::Completed),
    ] {
        world.happen(event);
        world.operate();
        assert_eq!(world.phase(), phase);
    }
    assert_eq!(world.order_status_writes, 8);
    assert_eq!(world.payment_status_writes, 2);
    assert_eq!((world.captures, world.refunded), (1, 0));
}

#[test]
fn a_payment_that_is_created_with_its_intent_costs_one_write_less() {
    for (world, writes) in [(World::new(true), 1), (World::new(true).preparing(), 2)] {
        let mut world = world.intending();
        world.operate();
        assert_eq!(world.phase(), OrderPhase::AwaitingStore);
        assert_eq!((world.payment_status_writes, world.captures), (writes, 1));
    }
}

#[test]
fn an_intent_that_nothing_was_sent_under_is_taken_back_when_the_customer_was_quicker() {
    let mut world = World::new(true).intending();
    world.price();
    world.happen(Event::Cancel);
    world.operate();
    assert_eq!((world.phase(), world.captures), (OrderPhase::Cancelled, 0), "nobody is charged for that");
    let mut crashed = World::new(true).intending();
    crashed.price();
    crashed.forget();
    crashed.happen(Event::Cancel);
    crashed.operate();
    assert_eq!(crashed.phase(), OrderPhase::Cancelled, "nobody knows any more that nothing was sent");
    assert_eq!(crashed.refunded, crashed.captured);
}

#[test]
fn a_prepared_payment_costs_one_write_more() {
    let mut world = World::new(true).preparing();
    world.operate();
    assert_eq!(world.phase(), OrderPhase::AwaitingStore);
    assert_eq!((world.payment_status_writes, world.captures), (3, 1));
}

#[test]
fn a_cancel_after_cooking_began_is_refused_and_the_order_goes_on() {
    let mut world = World::new(true);
    world.operate();
    world.store_moves_to(TicketStage::Accepted);
    world.store_moves_to(TicketStage::Cooking);
    world.happen(Event::Cancel);
    world.operate();
    assert_eq!((world.phase(), world.verdict()), (OrderPhase::Cooking, Some("Refused")));
    world.store_moves_to(TicketStage::Cooked);
    world.operate();
    assert_eq!(world.phase(), OrderPhase::AwaitingRider);
}

#[test]
fn a_cancel_before_cooking_returns_the_money_and_clears_the_queue() {
    let mut world = World::new(true);
    world.operate();
    world.store_moves_to(TicketStage::Accepted);
    world.happen(Event::Cancel);
    world.operate();
    assert_eq!((world.phase(), world.verdict()), (OrderPhase::Cancelled, Some("Accepted")));
    assert_eq!(world.ticket_stage(), Some(TicketStage::Cancelled));
    assert_eq!(world.captures, 1);
    assert_eq!(world.refunded, world.captured);
}

#[test]
fn a_cancel_before_payment_leaves_a_tombstone_that_can_never_be_charged() {
    let mut world = World::new(true);
    world.happen(Event::Cancel);
    world.operate();
    assert_eq!(world.phase(), OrderPhase::Cancelled);
    assert_eq!(world.payment_desired(), Some(PaymentDesired::Refunded));
    assert_eq!((world.captures, world.ticket_stage()), (0, None));
}

#[test]
fn a_rejection_returns_the_money() {
    let mut world = World::new(true);
    world.operate();
    world.store_moves_to(TicketStage::Rejected);
    world.operate();
    assert_eq!(world.phase(), OrderPhase::Rejected);
    assert_eq!((world.captures, world.refunded), (1, world.captured));
}

#[test]
fn a_deleted_order_goes_only_when_its_money_is_back_and_its_children_are_gone() {
    let mut world = World::new(true);
    world.operate();
    world.happen(Event::Delete);
    world.operate();
    assert!(world.is_gone());
    assert_eq!(world.refunded, world.captured);
}

#[test]
fn the_store_that_never_answers_costs_the_customer_nothing() {
    let mut world = World::new(true);
    world.operate();
    world.happen(Event::TimePasses(3_600_000));
    world.operate();
    assert_eq!(world.phase(), OrderPhase::Cancelled);
    assert_eq!(world.reason(), "StoreDidNotAnswer");
    assert_eq!(world.refunded, world.captured);
}

#[test]
fn no_deadline_fires_just_after_a_restart() {
    let mut world = World::new(true);
    world.operate();
    world.happen(Event::TimePasses(3_600_000));
    world.happen(Event::OperatorRestarts);
    world.operate_once();
    assert_eq!(world.phase(), OrderPhase::AwaitingStore);
    world.store_moves_to(TicketStage::Accepted);
    world.operate();
    assert_eq!(world.phase(), OrderPhase::Accepted);
}

#[test]
fn what_was_done_in_time_counts_also_when_it_is_seen_late() {
    let mut world = World::new(true);
    world.operate();
    world.store_moves_to(TicketStage::Accepted);
    world.happen(Event::TimePasses(3_600_000));
    world.operate_once();
    assert_eq!(world.phase(), OrderPhase::Accepted, "the store had answered");
    world.go_far(6);
    world.happen(Event::RiderMoves(0));
    world.happen(Event::TimePasses(8 * 3_600_000));
    world.operate_once();
    assert_eq!(world.phase(), OrderPhase::Delivered, "the food had arrived");
    assert_eq!(world.refunded, 0);
}
