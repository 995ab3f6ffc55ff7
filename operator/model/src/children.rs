//! The ticket and the delivery controller: they put paid orders into the store's queue, offer cooked ones to riders,
//! and clear away what an order left behind. Counts are left out: they have a model of their own.
//!
//! `saga::ticket` and `saga::delivery` decide. Transcribed are the reads, from caches of any age and live where the
//! controllers read live, and the requests, which everything else may overtake. A decision that breaks a rule of its
//! machine is a violation, whatever it was made on.

use fooddelivery_saga::delivery::{self, DeliveryView};
use fooddelivery_saga::machine::Violation;
use fooddelivery_saga::phases::{Acceptance, DeliveryStage, TicketStage};
use fooddelivery_saga::ticket::{self, OrderSeen, StoreSeen, TicketView};
use fooddelivery_saga::view::Child;

use crate::bounds::Bounds;
use crate::flight::{DeliveryFlight, TicketFlight};
use crate::objects::{Delivery, Order, Payment, Ticket};
use crate::views::{child, payment_seen, ticket_seen};
use crate::world::{Kind, World};

fn order_seen(world: &World, replica: usize, orphan: bool) -> OrderSeen {
    match world.held::<Order>(replica) {
        _ if orphan => OrderSeen::Gone,
        Some((_, order)) => OrderSeen::Present { phase: order.phase, cancel_wanted: order.cancel_wanted() },
        None => OrderSeen::Missing,
    }
}

/// As the controller's `is_orphan`: order and payment, read live.
fn is_orphan(world: &World) -> bool {
    world.live::<Order>().is_none() && world.live::<Payment>().is_none()
}

/// Without its order a child is nobody's, and a payment next to it a stranger's.
fn payment_of(world: &World, replica: usize) -> Option<Payment> {
    world.held::<Order>(replica).and(world.held::<Payment>(replica)).map(|(_, payment)| payment)
}

/// What the ticket controller of a replica would do now.
///
/// # Errors
/// The rule that its decision breaks.
pub fn next_for_ticket(world: &World, replica: usize) -> Result<Option<TicketFlight>, Violation> {
    let held = world.held::<Ticket>(replica).map(|(_, t)| t);
    let view = |orphan| TicketView {
        order: order_seen(world, replica, orphan),
        payment: child(payment_of(world, replica).as_ref(), payment_seen),
        ticket: held.map_or(Child::Absent, |t| Child::Present(t.stage)),
        store: StoreSeen::Present(Acceptance::Manual),
        store_replaced: false,
        awaits_count: false,
        paused: false,
        deleting: false,
    };
    let mut decision = ticket::decide(&view(false));
    if decision == ticket::Decision::Act(ticket::Command::CheckOrder) && is_orphan(world) {
        decision = ticket::decide(&view(true));
    }
    match decision {
        ticket::Decision::Act(ticket::Command::Create) => {
            Ok(world.held::<Order>(replica).map(|(version, _)| TicketFlight::Create(version)))
        }
        ticket::Decision::Act(ticket::Command::Delete) => Ok(held.map(|t| TicketFlight::Delete(t.uid))),
        ticket::Decision::Halt(violation) => Err(violation),
        ticket::Decision::Act(
            ticket::Command::Accept
            | ticket::Command::CheckOrder
            | ticket::Command::CheckStore
            | ticket::Command::Withhold,
        )
        | ticket::Decision::Skip
        | ticket::Decision::Write(_)
        | ticket::Decision::Rest(_)
        | ticket::Decision::Wait(_)
        | ticket::Decision::Retry(_) => Ok(None),
    }
}

/// What the delivery controller of a replica would do now.
///
/// # Errors
/// The rule that its decision breaks.
pub fn next_for_delivery(world: &World, replica: usize) -> Result<Option<DeliveryFlight>, Violation> {
    let held = world.held::<Delivery>(replica).map(|(_, d)| d);
    let view = |orphan| DeliveryView {
        order: order_seen(world, replica, orphan),
        payment: child(payment_of(world, replica).as_ref(), payment_seen),
        ticket: child(world.held::<Ticket>(replica).map(|(_, t)| t).as_ref(), ticket_seen),
        delivery: held.map_or(Child::Absent, |d| Child::Present(d.stage)),
        awaits_count: false,
        paused: false,
        deleting: false,
    };
    let mut decision = delivery::decide(&view(false));
    if decision == delivery::Decision::Act(delivery::Command::CheckOrder) && is_orphan(world) {
        decision = delivery::decide(&view(true));
    }
    match decision {
        delivery::Decision::Act(delivery::Command::Create) => {
            Ok(world.held::<Order>(replica).map(|(version, _)| DeliveryFlight::Create(version)))
        }
        delivery::Decision::Act(delivery::Command::Delete) => Ok(held.map(|d| DeliveryFlight::Delete(d.uid))),
        delivery::Decision::Halt(violation) => Err(violation),
        delivery::Decision::Act(delivery::Command::CheckOrder)
        | delivery::Decision::Skip
        | delivery::Decision::Write(_)
        | delivery::Decision::Rest(_)
        | delivery::Decision::Wait(_)
        | delivery::Decision::Retry(_) => Ok(None),
    }
}

/// The ticket controller of a replica decides.
pub fn decide_ticket(world: &mut World, replica: usize) {
    let decided = next_for_ticket(world, replica);
    let flight = recorded(world, decided);
    if let Some(slot) = world.replicas.get_mut(replica) {
        slot.ticket = flight;
    }
}

/// The delivery controller of a replica decides.
pub fn decide_delivery(world: &mut World, replica: usize) {
    let decided = next_for_delivery(world, replica);
    let flight = recorded(world, decided);
    if let Some(slot) = world.replicas.get_mut(replica) {
        slot.delivery = flight;
    }
}

/// What is to be carried out: nothing, where a rule would be broken, and that is a violation.
pub fn recorded<F>(world: &mut World, decided: Result<Option<F>, Violation>) -> Option<F> {
    decided.unwrap_or_else(|_| {
        world.violations.halted = true;
        None
    })
}

/// Whether the copy in hand is as good as one that the replica has just written by compare-and-set: the operator has written no
/// status since. What the customer has is what such a replica cannot know. That another replica takes the order over takes longer
/// than such a copy counts, but where [`Bounds::freezes`] says otherwise.
fn is_fresh(world: &World, bounds: &Bounds, version: u8) -> bool {
    let chain = Order::chain(world);
    let Some(held) = chain.at(version) else { return false };
    let since = chain.0.iter().skip(usize::from(version));
    !bounds.freezes && since.copied().all(|later| later.is_some_and(|later| later.has_status_of(&held)))
}

/// As the controllers': the order was just written, or, read live, is the version that was decided on. The model's one timing
/// assumption: what shows that and the create that follows are one step, but where [`Bounds::freezes`] says otherwise.
fn is_as_seen(world: &mut World, bounds: &Bounds, replica: usize, version: u8) -> bool {
    if !bounds.carrying.order_is_live || is_fresh(world, bounds, version) {
        return true;
    }
    world.refresh::<Order>(replica);
    Order::chain(world).last().0 == version
}

/// Carries out what the ticket controller decided.
pub fn carry_out_ticket(world: &mut World, bounds: &Bounds, replica: usize) {
    let Some(slot) = world.replicas.get_mut(replica) else { return };
    match slot.ticket.take() {
        None => {}
        Some(TicketFlight::Create(version)) => {
            if !is_as_seen(world, bounds, replica, version) {
                return;
            }
            if !bounds.freezes {
                make_ticket(world, bounds, replica);
            } else if let Some(slot) = world.replicas.get_mut(replica) {
                slot.ticket = Some(TicketFlight::Make);
            }
        }
        Some(TicketFlight::Make) => make_ticket(world, bounds, replica),
        Some(TicketFlight::Delete(uid)) => delete_ticket(world, replica, uid),
    }
}

fn make_ticket(world: &mut World, bounds: &Bounds, replica: usize) {
    if world.live::<Ticket>().is_none() {
        // What a frozen replica makes for an order on its way out is ended or cleared away.
        if !(bounds.freezes && world.is_leaving()) {
            world.violations.unpaid_ticket |= !world.bank.has_money();
            world.violations.second_ticket |= world.queued;
        }
        world.queued = true;
        let uid = world.count(1);
        let created = world.epoch;
        world.put(Some(Ticket { uid, stage: TicketStage::Pending, reason: "", created }));
    }
    world.refresh::<Ticket>(replica);
}

fn delete_ticket(world: &mut World, replica: usize, uid: u8) {
    if world.live::<Ticket>().is_none_or(|t| t.uid != uid) {
        return;
    }
    world.put::<Ticket>(None);
    let same = world.held::<Ticket>(replica).is_some_and(|(_, t)| t.uid == uid);
    if let Some(slot) = world.replicas.get_mut(replica)
        && same
    {
        slot.tickets.held = None;
    }
}

/// Carries out what the delivery controller decided.
pub fn carry_out_delivery(world: &mut World, bounds: &Bounds, replica: usize) {
    let Some(slot) = world.replicas.get_mut(replica) else { return };
    match slot.delivery.take() {
        None => {}
        Some(DeliveryFlight::Create(version)) => {
            if !is_as_seen(world, bounds, replica, version) {
                return;
            }
            if !bounds.freezes {
                make_delivery(world, replica);
            } else if let Some(slot) = world.replicas.get_mut(replica) {
                slot.delivery = Some(DeliveryFlight::Make);
            }
        }
        Some(DeliveryFlight::Make) => make_delivery(world, replica),
        Some(DeliveryFlight::Delete(uid)) => delete_delivery(world, replica, uid),
    }
}

fn make_delivery(world: &mut World, replica: usize) {
    if world.live::<Delivery>().is_none() {
        let uid = world.count(2);
        let stage = DeliveryStage::Waiting;
        world.put(Some(Delivery { uid, stage, reason: "", claimed: false }));
    }
    world.refresh::<Delivery>(replica);
}

fn delete_delivery(world: &mut World, replica: usize, uid: u8) {
    if world.live::<Delivery>().is_none_or(|d| d.uid != uid) {
        return;
    }
    world.put::<Delivery>(None);
    let same = world.held::<Delivery>(replica).is_some_and(|(_, d)| d.uid == uid);
    if let Some(slot) = world.replicas.get_mut(replica)
        && same
    {
        slot.deliveries.held = None;
    }
}
