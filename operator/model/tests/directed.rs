//! Ways that lie beyond the bounds of the exhaustive checks: a replica freezes right before a create, the others go on
//! to the very end, and it wakes up in every state on that way.
#![allow(clippy::unwrap_used)]

use fooddelivery_model::bank::ProviderFault;
use fooddelivery_model::bounds::{Bounds, Start};
use fooddelivery_model::children::recorded;
use fooddelivery_model::flight::{OrderStep, TicketFlight};
use fooddelivery_model::model::{Controller, Event};
use fooddelivery_model::objects::{Order, Payment, Ticket};
use fooddelivery_model::runs::RUNS;
use fooddelivery_model::saga::Saga;
use fooddelivery_model::world::World;
use fooddelivery_model::{liveness, order};
use fooddelivery_saga::machine::Violation;
use fooddelivery_saga::phases::{DeliveryStage, OrderPhase, TicketStage};
use stateright::{Model, Property};

/// The store, a rider and the customer bring the order to its end; then it is deleted.
const EVENTS: &[Event] = &[
    Event::StoreMoves(TicketStage::Accepted),
    Event::StoreMoves(TicketStage::Cooking),
    Event::StoreMoves(TicketStage::Cooked),
    Event::Claim,
    Event::RiderMoves(DeliveryStage::PickedUp),
    Event::RiderMoves(DeliveryStage::Delivered),
    Event::Confirm,
    Event::Delete,
];

fn bounds() -> Bounds {
    let plain = RUNS.first().unwrap().bounds;
    Bounds { replicas: 2, stale: true, faults: 0, crashes: 0, start: Start::Applied, ..plain }
}

fn holds_everywhere(saga: &Saga, world: &World) {
    for Property { name, condition, .. } in saga.properties() {
        assert!(condition(saga, world), "not {name} in {world:?}");
    }
}

/// One step after the other on the first replica only, until it has nothing to do.
fn work_alone(saga: &Saga, mut world: World, mut seen: impl FnMut(&World)) -> World {
    let controllers = [Controller::Orders, Controller::Payments, Controller::Tickets, Controller::Deliveries];
    for _ in 0..200 {
        let before = world.clone();
        for controller in controllers {
            liveness::catch_up(&mut world, 0);
            let mut event = Event::Decide(0, controller);
            // A visit is several steps.
            while let Some(next) = saga.next_state(&world, event) {
                world = next;
                seen(&world);
                event = Event::CarryOut(0, controller, ProviderFault::None);
            }
        }
        if world == before {
            return world;
        }
    }
    panic!("the first replica does not come to rest");
}

/// Wakes the second replica's `controller` in this state; then everything must hold until all is quiet.
fn wake(saga: &Saga, waking: World, controller: Controller) -> World {
    let landed = saga.next_state(&waking, Event::CarryOut(1, controller, ProviderFault::None));
    let mut world = landed.unwrap_or(waking);
    holds_everywhere(saga, &world);
    world = work_alone(saga, world, |w| holds_everywhere(saga, w));
    assert!(liveness::work(&mut world, &saga.bounds));
    holds_everywhere(saga, &world);
    world
}

/// The way of the first replica through these events, state by state.
fn way(saga: &Saga, begin: World, events: &[Event]) -> Vec<World> {
    let mut wakings = vec![begin.clone()];
    let mut world = work_alone(saga, begin, |w| wakings.push(w.clone()));
    for event in events {
        world = saga.next_state(&world, *event).unwrap();
        wakings.push(world.clone());
        world = work_alone(saga, world, |w| wakings.push(w.clone()));
    }
    assert!(world.live::<Order>().is_none(), "the order is gone at the end");
    wakings
}

#[test]
fn a_payment_that_a_frozen_replica_makes_at_any_time_comes_to_its_end() {
    let saga = Saga::new(bounds());
    let mut world = saga.init_states().remove(0);
    order::reconcile(&mut world, &saga.bounds, 1);
    assert_eq!(world.replicas[1].order.unwrap().step, OrderStep::CreatePayment(None));
    let (mut under_an_ended_order, mut under_none) = (0, 0);
    for waking in way(&saga, world, EVENTS) {
        let late = waking.live::<Payment>().is_none();
        let order = waking.live::<Order>();
        under_an_ended_order +=
            usize::from(late && order.is_some_and(|o| o.phase == OrderPhase::Completed && o.deleting));
        under_none += usize::from(late && order.is_none());
        let end = wake(&saga, waking, Controller::Orders);
        if end.ended_as == Some(OrderPhase::Completed) {
            assert!(end.live::<Order>().is_some() || end.live::<Payment>().is_none(), "{end:?}");
            assert!(end.bank.captures == 1 && end.bank.refunds == 0);
        }
    }
    assert!(under_an_ended_order > 0 && under_none > 0, "the way leads where it should");
}

#[test]
fn a_ticket_that_a_frozen_replica_makes_at_any_time_comes_to_its_end() {
    let saga = Saga::new(Bounds { freezes: true, ..bounds() });
    let begin = saga.init_states().remove(0);
    let mut paid = None;
    work_alone(&saga, begin, |w| {
        let waits = w.live::<Order>().is_some_and(|o| o.phase == OrderPhase::AwaitingStore);
        if waits && w.live::<Ticket>().is_none() && paid.is_none() {
            paid = Some(w.clone());
        }
    });
    let mut world = paid.unwrap();
    liveness::catch_up(&mut world, 1);
    for event in
        [Event::Decide(1, Controller::Tickets), Event::CarryOut(1, Controller::Tickets, ProviderFault::None)]
    {
        world = saga.next_state(&world, event).unwrap();
    }
    assert_eq!(world.replicas[1].ticket, Some(TicketFlight::Make));
    let mut late = 0;
    for waking in way(&saga, world, &[Event::Delete]) {
        let leaving = waking.is_leaving() && waking.live::<Ticket>().is_none();
        let end = wake(&saga, waking, Controller::Tickets);
        late += usize::from(leaving);
        if leaving {
            assert!(end.live::<Order>().is_none() && end.live::<Ticket>().is_none(), "{end:?}");
            assert!(!end.bank.has_money());
        }
    }
    assert!(late > 1, "the way leads where it should");
}

#[test]
fn a_decision_that_breaks_a_rule_is_a_violation_and_is_not_carried_out() {
    let mut world = Saga::new(RUNS[0].bounds).init_states().remove(0);
    assert_eq!(recorded(&mut world, Ok(Some(TicketFlight::Make))), Some(TicketFlight::Make));
    assert!(!world.violations.halted);
    let broken: Result<Option<TicketFlight>, _> = Err(Violation::new("a rule", "broken"));
    assert_eq!(recorded(&mut world, broken), None);
    assert!(world.violations.halted);
}
