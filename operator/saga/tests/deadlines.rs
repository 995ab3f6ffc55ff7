//! Deadlines: each runs only while somebody could act, stands in status, and fires once it has passed there.

mod support;

use fooddelivery_saga::order::steps::{self, Controller, Late};
use fooddelivery_saga::order::{Decision, OrderState, SLACK, decide};
use fooddelivery_saga::phases::{OrderPhase, TicketStage};
use fooddelivery_saga::time::{Deadlines, Millis, Timestamp};
use proptest::prelude::*;
use support::size::cases;
use support::{Event, World};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn spans() -> Deadlines {
    Deadlines::default()
}

/// A paid order in the store's queue.
fn in_queue() -> World {
    let mut world = World::new(true);
    world.operate();
    assert_eq!(world.phase(), OrderPhase::AwaitingStore);
    assert_eq!(world.deadline(), Some(world.now() + spans().acceptance));
    world
}

/// Lets the operator look, often, and returns how many statuses of the order it wrote.
fn writes(world: &mut World) -> u32 {
    let before = world.order_status_writes;
    world.operate();
    world.order_status_writes - before
}

/// Nobody can act for two hours, from one `turn` to the next: the deadline is taken away with one write, begins anew
/// with another, and fires in the end.
fn two_hours_without_anybody(turn: Event, reason: &str) {
    let mut world = in_queue();
    world.happen(Event::TimePasses(10 * MINUTE));
    world.happen(turn);
    assert_eq!(writes(&mut world), 1);
    assert_eq!((world.deadline(), world.reason().as_str()), (None, reason));
    world.happen(Event::TimePasses(2 * HOUR));
    assert_eq!(writes(&mut world), 0);
    world.happen(turn);
    assert_eq!(writes(&mut world), 1);
    assert_eq!((world.phase(), world.reason().as_str()), (OrderPhase::AwaitingStore, ""));
    assert_eq!(world.deadline(), Some(world.now() + spans().acceptance), "the whole span again");
    world.happen(Event::TimePasses(16 * MINUTE));
    world.operate();
    assert_eq!((world.phase(), world.reason().as_str()), (OrderPhase::Cancelled, "StoreDidNotAnswer"));
    assert_eq!(world.refunded, world.captured);
}

#[test]
fn a_store_that_closes_for_two_hours_loses_no_order() {
    two_hours_without_anybody(Event::StoreTurns, "");
}

#[test]
fn an_order_that_is_stopped_for_two_hours_goes_on_and_says_meanwhile_that_it_is_stopped() {
    two_hours_without_anybody(Event::PauseTurns, "Paused");
}

#[test]
fn a_ticket_controller_that_is_away_for_two_hours_loses_no_order() {
    two_hours_without_anybody(Event::TicketsTurn, "");
}

#[test]
fn an_operator_that_was_away_for_two_hours_gives_every_waiting_phase_its_whole_span_again() {
    let spans = spans();
    for (steps, phase, span) in [
        (1, OrderPhase::AwaitingStore, spans.acceptance),
        (2, OrderPhase::Accepted, spans.cooking),
        (3, OrderPhase::Cooking, spans.cooking),
        (4, OrderPhase::AwaitingRider, spans.rider),
        (5, OrderPhase::RiderAssigned, spans.pickup),
        (6, OrderPhase::PickedUp, spans.delivery),
        (7, OrderPhase::Delivered, spans.confirmation),
    ] {
        let mut world = World::new(true);
        world.go_far(steps);
        assert_eq!(world.phase(), phase);
        world.happen(Event::OperatorAway(25 * HOUR));
        assert_eq!(writes(&mut world), 1, "{phase}");
        assert_eq!((world.phase(), world.deadline()), (phase, Some(world.now() + span)));
        world.happen(Event::TimePasses(span.0 + 1));
        world.operate();
        let released = phase == OrderPhase::RiderAssigned;
        assert!(released || world.phase() != phase || world.refunded > 0, "{phase} has an end");
    }
}

#[test]
fn a_short_restart_leaves_the_deadline_where_it_stands() {
    let mut world = in_queue();
    let deadline = world.deadline();
    world.happen(Event::TimePasses(5 * MINUTE));
    world.happen(Event::OperatorRestarts);
    assert_eq!(writes(&mut world), 0);
    assert_eq!(world.deadline(), deadline);
}

#[test]
fn nobody_is_waited_for_where_the_operator_itself_accepts() {
    let mut world = World::new(true);
    world.accepts_by_itself = true;
    world.operate();
    assert_eq!((world.phase(), world.deadline()), (OrderPhase::AwaitingStore, None));
    world.happen(Event::TimePasses(2 * HOUR));
    assert_eq!(writes(&mut world), 0);
}

#[test]
fn a_ticket_that_was_not_made_yet_is_not_waited_for() {
    let mut world = World::new(true);
    world.happen(Event::TicketsTurn);
    world.operate();
    assert_eq!((world.phase(), world.deadline()), (OrderPhase::AwaitingStore, None));
    world.happen(Event::TimePasses(2 * HOUR));
    world.happen(Event::TicketsTurn);
    assert_eq!(writes(&mut world), 1);
    assert_eq!(world.deadline(), Some(world.now() + spans().acceptance));
}

#[test]
fn a_ticket_that_cannot_be_made_though_somebody_tries_is_not_waited_for_either() {
    let mut world = World::new(true);
    for event in [Event::ReconcileOrder, Event::ReconcilePayment(0), Event::ReconcileOrder] {
        world.happen(event);
    }
    assert_eq!((world.phase(), world.ticket_stage()), (OrderPhase::AwaitingStore, None));
    assert!(world.deadline().is_some(), "it is mostly made in a moment");
    world.happen(Event::TimePasses(SLACK.0));
    world.happen(Event::ReconcileOrder);
    assert_eq!(world.deadline(), None);
    world.happen(Event::TimePasses(2 * HOUR));
    world.happen(Event::ReconcileOrder);
    assert_eq!(writes(&mut world), 1);
    assert_eq!(world.deadline(), Some(world.now() + spans().acceptance));
}

#[test]
fn a_payment_gets_its_deadline_only_when_it_takes_long() {
    let mut world = World::new(true);
    world.happen(Event::ReconcileOrder);
    for _ in 0..3 {
        world.happen(Event::ReconcileOrder);
        assert_eq!((world.order_status_writes, world.deadline()), (0, None));
    }
    world.happen(Event::TimePasses(SLACK.0));
    world.happen(Event::ReconcileOrder);
    assert_eq!((world.order_status_writes, world.deadline()), (1, Some(world.now() + spans().payment)));
    world.happen(Event::TimePasses(spans().payment.0));
    world.operate();
    assert_eq!((world.phase(), world.reason().as_str()), (OrderPhase::Cancelled, "PaymentTimedOut"));
}

#[test]
fn a_deadline_that_does_not_stand_in_status_does_not_fire() {
    let mut world = in_queue();
    world.happen(Event::TimePasses(2 * HOUR));
    let state = OrderState { phase: OrderPhase::AwaitingStore, ..OrderState::default() };
    let Decision::Rest(rest) = decide(&world.order_view(state), world.now()) else { panic!("a status") };
    assert_eq!(rest.state.phase, OrderPhase::AwaitingStore);
    assert_eq!(rest.state.deadline, Some(world.now() + spans().acceptance));
    assert_eq!(rest.wake_at, rest.state.deadline, "woken by time");
}

#[test]
fn a_deadline_that_a_wrong_clock_set_far_away_is_brought_back() {
    let world = in_queue();
    let view = world.order_view(OrderState {
        phase: OrderPhase::AwaitingStore,
        deadline: Some(world.now() + Millis(24 * HOUR)),
        ..OrderState::default()
    });
    let Decision::Rest(rest) = decide(&view, world.now()) else { panic!("a status") };
    assert_eq!(rest.state.deadline, Some(world.now() + spans().acceptance));
}

#[test]
fn a_closed_store_still_has_to_finish_what_it_cooks() {
    let mut world = in_queue();
    world.store_moves_to(TicketStage::Accepted);
    world.operate();
    world.happen(Event::StoreTurns);
    assert_eq!(writes(&mut world), 1);
    assert_eq!((world.phase(), world.deadline()), (OrderPhase::Accepted, None));
    world.store_moves_to(TicketStage::Cooking);
    world.operate();
    assert_eq!(world.deadline(), Some(world.now() + spans().cooking));
    world.happen(Event::TimePasses(spans().cooking.0));
    world.operate();
    assert_eq!((world.phase(), world.reason().as_str()), (OrderPhase::Cancelled, "CookingTimedOut"));
}

#[test]
fn an_order_that_is_stopped_while_it_is_undone_keeps_the_reason() {
    let mut world = in_queue();
    world.happen(Event::Cancel);
    for _ in 0..4 {
        world.happen(Event::ReconcileOrder);
    }
    assert_eq!((world.phase(), world.reason().as_str()), (OrderPhase::Cancelling, "CancelledByCustomer"));
    world.happen(Event::PauseTurns);
    assert_eq!(writes(&mut world), 0);
    world.happen(Event::PauseTurns);
    world.operate();
    assert_eq!((world.phase(), world.reason().as_str()), (OrderPhase::Cancelled, "CancelledByCustomer"));
}

/// How long a paid order may stay in the phase, and the reason that it is given when it has stayed too long: stated here
/// once more, as a test of the table.
fn term(phase: OrderPhase) -> Option<(Millis, &'static str)> {
    let spans = spans();
    match phase {
        OrderPhase::AwaitingStore => Some((spans.acceptance, "StoreDidNotAnswer")),
        OrderPhase::Accepted | OrderPhase::Cooking => Some((spans.cooking, "CookingTimedOut")),
        OrderPhase::AwaitingRider => Some((spans.rider, "NoRider")),
        OrderPhase::PickedUp => Some((spans.delivery, "DeliveryTimedOut")),
        // What an unpaid order was waiting for is its reason; another rider may come, and food that has arrived is paid
        // for; and nobody is waited for in the others.
        OrderPhase::AwaitingPayment
        | OrderPhase::PaymentDeferred
        | OrderPhase::RiderAssigned
        | OrderPhase::Delivered
        | OrderPhase::Completed
        | OrderPhase::Cancelling
        | OrderPhase::Cancelled
        | OrderPhase::Rejected
        | OrderPhase::PaymentFailed
        | OrderPhase::Unknown => None,
    }
}

#[test]
fn the_table_gives_every_phase_its_deadline() {
    for phase in OrderPhase::ALL {
        let step = steps::step(*phase);
        let undone = match step.when_late {
            Late::Undo(reason, _) if step.needs != Controller::Payment => {
                step.deadline.map(|span| (span.of(&spans()), reason.as_str()))
            }
            Late::Undo(..) | Late::ReleaseClaim | Late::Complete | Late::Never => None,
        };
        assert_eq!(undone, term(*phase), "{phase}");
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::ReconcileTicket),
        4 => Just(Event::ReconcileDelivery),
        3 => (0_usize..6).prop_map(Event::StoreMoves),
        2 => (0_usize..4).prop_map(Event::RiderMoves),
        2 => Just(Event::RiderClaims),
        1 => Just(Event::RiderGivesBack),
        6 => (1_i64..2 * HOUR).prop_map(Event::TimePasses),
        2 => (1_i64..20 * MINUTE).prop_map(Event::TimePasses),
        1 => Just(Event::OperatorRestarts),
        3 => Just(Event::StoreTurns),
        3 => Just(Event::PauseTurns),
        3 => Just(Event::TicketsTurn),
        1 => (40_000_i64..3 * HOUR).prop_map(Event::OperatorAway),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(500, 1_500), ..ProptestConfig::default() })]

    #[test]
    fn no_deadline_fires_for_time_in_which_nobody_could_act(
        events in proptest::collection::vec(event(), 1..60),
        far in 0_usize..=6,
    ) {
        let mut world = World::new(true);
        world.operate();
        world.go_far(far);
        // Since when somebody has been able to act, without a gap, in the present phase.
        let mut acting = world.somebody_can_act().then(|| (world.phase(), world.now()));
        for event in &events {
            let phase = world.phase();
            world.happen(*event);
            if matches!(event, Event::OperatorAway(_)) {
                acting = None;
            }
            for _ in 0..6 {
                world.happen(Event::ReconcileOrder);
            }
            if let Some((span, reason)) = term(phase)
                && world.reason() == reason
                && phase != world.phase()
            {
                let lasted = acting.map_or(0, |(_, since): (_, Timestamp)| world.now().0 - since.0);
                prop_assert!(lasted + SLACK.0 >= span.0, "{reason} after {lasted} ms");
            }
            let still = acting.filter(|(since, _)| *since == world.phase());
            acting = world.somebody_can_act().then(|| still.unwrap_or((world.phase(), world.now())));
        }
        world.settle();
        world.check_end();
    }
}
