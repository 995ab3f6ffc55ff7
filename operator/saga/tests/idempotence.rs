//! Every command of an order and of a payment, by name: carried out twice, stopped before it and stopped after it, the
//! order ends as it does undisturbed. A new command does not compile here until it is told how to come about.

mod support;

use fooddelivery_saga::order::{ChildKind, Command};
use fooddelivery_saga::payment::{self, ProviderCall};
use fooddelivery_saga::phases::{Resolution, TicketStage};
use fooddelivery_saga::time::Millis;
use support::{Event, World};

const HOUR: i64 = 3_600_000;

/// Ends a world in which `command` is the next of its kind, in four ways, and holds the ends against each other.
fn ends_the_same<C: std::fmt::Debug>(
    name: &str,
    world: impl Fn() -> World,
    next: impl Fn(&mut World) -> Option<C>,
    carry_out: impl Fn(&mut World, &C),
) {
    let end = |times: usize| {
        let mut world = world();
        let command = next(&mut world).unwrap_or_else(|| panic!("{name} does not come about"));
        for _ in 0..times {
            carry_out(&mut world, &command);
        }
        // Whoever carried it out has stopped: another goes on, and knows nothing but what is there.
        world.settle();
        world.check();
        world.end()
    };
    let undisturbed = {
        let mut world = world();
        world.settle();
        world.end()
    };
    for (times, how) in [(0, "failed before"), (1, "failed after"), (2, "carried out twice")] {
        assert_eq!(end(times), undisturbed, "{name}, {how}");
    }
}

fn order_command(name: &str, world: impl Fn() -> World, is_it: impl Fn(&Command) -> bool) {
    ends_the_same(name, world, |w| w.next_of_order(&is_it), World::repeat);
}

fn payment_command(name: &str, world: impl Fn() -> World, is_it: impl Fn(&payment::Command) -> bool) {
    ends_the_same(name, world, |w| w.next_of_payment(&is_it), World::repeat_of_payment);
}

fn paid() -> World {
    let mut world = World::new(true);
    world.operate();
    world
}

/// So many steps along the happy path, and then something happens.
fn far(steps: usize, event: Event) -> World {
    let mut world = World::new(true);
    world.go_far(steps);
    world.happen(event);
    world
}

/// One command of each variant of `Command`, by name; the match keeps the list whole.
fn name_of(command: &Command) -> &'static str {
    match command {
        Command::AddFinalizer => "AddFinalizer",
        Command::ResolveReferences => "ResolveReferences",
        Command::CreatePayment(..) => "CreatePayment",
        Command::CreatePaymentTombstone(_) => "CreatePaymentTombstone",
        Command::ReplaceToken => "ReplaceToken",
        Command::ReturnMoney(_) => "ReturnMoney",
        Command::CreateTicketTombstone(_) => "CreateTicketTombstone",
        Command::EndTicket { stage: TicketStage::Abandoned, .. } => "EndTicket as abandoned",
        Command::EndTicket { .. } => "EndTicket",
        Command::CreateDeliveryTombstone(_) => "CreateDeliveryTombstone",
        Command::EndDelivery { .. } => "EndDelivery",
        Command::ReleaseClaim => "ReleaseClaim",
        Command::RefuseClaim => "RefuseClaim",
        Command::DeleteOrder => "DeleteOrder",
        Command::DeleteChild(ChildKind::Delivery) => "DeleteChild delivery",
        Command::DeleteChild(ChildKind::Ticket) => "DeleteChild ticket",
        Command::DeleteChild(ChildKind::Payment) => "DeleteChild payment",
        Command::RemoveFinalizer => "RemoveFinalizer",
    }
}

fn of_order(name: &'static str, world: impl Fn() -> World) {
    order_command(name, world, |command| name_of(command) == name);
}

#[test]
fn adding_the_finalizer_twice_or_not_at_all_ends_the_same() {
    of_order("AddFinalizer", || World::new(true).without_finalizer());
}

#[test]
fn resolving_references_twice_or_not_at_all_ends_the_same() {
    of_order("ResolveReferences", || World::new(true));
}

#[test]
fn creating_the_payment_twice_or_not_at_all_ends_the_same() {
    of_order("CreatePayment", || World::new(true));
}

#[test]
fn creating_a_payment_tombstone_twice_or_not_at_all_ends_the_same() {
    of_order("CreatePaymentTombstone", || far(0, Event::Cancel));
}

#[test]
fn replacing_the_token_twice_or_not_at_all_ends_the_same() {
    of_order("ReplaceToken", || {
        let mut world = ordered(World::new(true));
        // The circuit to the provider is open.
        world.happen(Event::ReconcilePayment(7));
        world.with_another_token()
    });
}

#[test]
fn returning_the_money_twice_or_not_at_all_ends_the_same() {
    of_order("ReturnMoney", || far(1, Event::Cancel));
}

#[test]
fn creating_a_ticket_tombstone_twice_or_not_at_all_ends_the_same() {
    of_order("CreateTicketTombstone", || {
        let mut world = World::new(true);
        for _ in 0..2 {
            world.happen(Event::ReconcileOrder);
            world.happen(Event::ReconcilePayment(0));
        }
        world.happen(Event::Cancel);
        world
    });
}

#[test]
fn cancelling_the_ticket_twice_or_not_at_all_ends_the_same() {
    of_order("EndTicket", || far(2, Event::Cancel));
}

#[test]
fn abandoning_the_ticket_twice_or_not_at_all_ends_the_same() {
    of_order("EndTicket as abandoned", || far(3, Event::TimePasses(3 * HOUR)));
}

#[test]
fn creating_a_delivery_tombstone_twice_or_not_at_all_ends_the_same() {
    of_order("CreateDeliveryTombstone", || {
        let mut world = World::new(true);
        world.go_far(5);
        world.without_delivery()
    });
}

#[test]
fn ending_the_delivery_twice_or_not_at_all_ends_the_same() {
    of_order("EndDelivery", || far(4, Event::TimePasses(2 * HOUR)));
    of_order("EndDelivery", || far(6, Event::TimePasses(3 * HOUR)));
}

#[test]
fn releasing_the_claim_twice_or_not_at_all_ends_the_same() {
    of_order("ReleaseClaim", || far(5, Event::TimePasses(HOUR)));
}

#[test]
fn refusing_the_claim_twice_or_not_at_all_ends_the_same() {
    of_order("RefuseClaim", || far(4, Event::RiderClaims).with_surplus_claims());
}

#[test]
fn deleting_the_order_twice_or_not_at_all_ends_the_same() {
    of_order("DeleteOrder", || far(8, Event::TimePasses(HOUR)).living_for(Millis(HOUR)));
}

#[test]
fn deleting_the_children_twice_or_not_at_all_ends_the_same() {
    for name in ["DeleteChild delivery", "DeleteChild ticket", "DeleteChild payment"] {
        of_order(name, || far(8, Event::Delete));
    }
}

#[test]
fn removing_the_finalizer_twice_or_not_at_all_ends_the_same() {
    of_order("RemoveFinalizer", || far(8, Event::Delete));
}

/// The same for payments.
fn name_of_payment(command: &payment::Command) -> &'static str {
    match command {
        payment::Command::AddFinalizer => "AddFinalizer",
        payment::Command::CheckOrder => "CheckOrder",
        payment::Command::CheckAccess => "CheckAccess",
        payment::Command::Call(ProviderCall::Prepare { .. }) => "Prepare",
        payment::Command::Call(ProviderCall::LookUp { .. }) => "LookUp",
        payment::Command::Call(ProviderCall::Charge { .. }) => "Charge",
        payment::Command::Call(ProviderCall::Void { .. }) => "Void",
        payment::Command::Call(ProviderCall::Refund { .. }) => "Refund",
        payment::Command::WantMoneyBack => "WantMoneyBack",
        payment::Command::ClearResolution => "ClearResolution",
        payment::Command::Delete => "Delete",
        payment::Command::RemoveFinalizer => "RemoveFinalizer",
    }
}

fn of_payment(name: &'static str, world: impl Fn() -> World) {
    payment_command(name, world, |command| name_of_payment(command) == name);
}

/// With a payment that was just made.
fn ordered(world: World) -> World {
    let mut world = world;
    world.happen(Event::ReconcileOrder);
    world
}

/// Either kind of provider.
fn providers() -> [World; 2] {
    [World::new(true), World::new(true).preparing()]
}

#[test]
fn adding_the_payments_finalizer_twice_or_not_at_all_ends_the_same() {
    of_payment("AddFinalizer", || ordered(World::new(true)).with_bare_payment());
}

#[test]
fn reading_the_order_or_the_provider_twice_or_not_at_all_ends_the_same() {
    for name in ["CheckOrder", "CheckAccess"] {
        of_payment(name, || ordered(World::new(true)));
    }
}

#[test]
fn preparing_twice_or_not_at_all_ends_the_same() {
    of_payment("Prepare", || ordered(World::new(true).preparing()));
}

#[test]
fn charging_twice_or_not_at_all_ends_the_same_and_takes_the_money_once() {
    for kind in 0..providers().len() {
        of_payment("Charge", || {
            let [direct, prepares] = providers();
            ordered(if kind == 0 { direct } else { prepares })
        });
    }
}

#[test]
fn looking_up_twice_or_not_at_all_ends_the_same() {
    of_payment("LookUp", || {
        let mut world = ordered(World::new(true));
        // A charge whose answer was lost.
        world.happen(Event::ReconcilePayment(5));
        world
    });
}

#[test]
fn voiding_twice_or_not_at_all_ends_the_same() {
    of_payment("Void", || {
        let mut world = ordered(World::new(true).preparing());
        // The charge did not reach the provider, which has a prepared payment.
        world.happen(Event::ReconcilePayment(9));
        world.happen(Event::ReconcilePayment(9));
        world.happen(Event::Cancel);
        world.happen(Event::ReconcileOrder);
        world
    });
}

#[test]
fn refunding_twice_or_not_at_all_ends_the_same_and_gives_the_money_back_once() {
    of_payment("Refund", || {
        let mut world = paid();
        world.happen(Event::Cancel);
        for _ in 0..3 {
            world.happen(Event::ReconcileOrder);
        }
        world
    });
}

#[test]
fn wanting_the_money_back_twice_or_not_at_all_ends_the_same() {
    of_payment("WantMoneyBack", || paid().without_order());
}

#[test]
fn clearing_a_resolution_twice_or_not_at_all_ends_the_same() {
    of_payment("ClearResolution", || paid().resolved(Resolution::Retry));
}

#[test]
fn deleting_a_payment_twice_or_not_at_all_ends_the_same() {
    of_payment("Delete", || {
        let mut world = far(1, Event::Cancel);
        world.operate();
        world.without_order()
    });
}

#[test]
fn letting_a_payment_go_twice_or_not_at_all_ends_the_same() {
    of_payment("RemoveFinalizer", || far(8, Event::Delete).with_payment_leaving());
}
