//! Liveness: in fair weather every step that is under way comes to its end, every watch catches up, the provider answers,
//! and time passes. No actor helps. From any state all must come to an end this way.

use fooddelivery_saga::phases::{OrderPhase, TicketStage};

use crate::bank::ProviderFault;
use crate::bounds::Bounds;
use crate::children::{self, next_for_delivery, next_for_ticket};
use crate::flight::OrderStep;
use crate::objects::{Delivery, Order, Payment, Ticket};
use crate::world::World;
use crate::{order, payment};

/// Maximum rounds in one epoch; more means that something goes round in circles.
const ROUNDS_PER_EPOCH_MAX: usize = 200;
/// Maximum epochs until everything is over.
const EPOCHS_MAX: usize = 12;

/// Whether nothing is under way and every cache shows what is.
pub fn is_calm(world: &World) -> bool {
    world.in_flight() == 0 && world.bank.wire.is_empty() && world.is_seen()
}

/// Whether no controller of any replica has anything to do.
pub fn is_quiet(world: &World, bounds: &Bounds) -> bool {
    is_calm(world)
        && (0..world.replicas.len()).all(|r| {
            order::next(world, bounds, r).is_none_or(|step| matches!(step, OrderStep::Rest { .. }))
                && payment::rests(world, bounds, r)
                && next_for_ticket(world, r) == Ok(None)
                && next_for_delivery(world, r) == Ok(None)
        })
}

/// Works until there is nothing to do now; `false` when that does not come.
pub fn work(world: &mut World, bounds: &Bounds) -> bool {
    for _ in 0..ROUNDS_PER_EPOCH_MAX {
        let before = world.clone();
        while let Some(request) = world.bank.wire.pop() {
            world.bank.execute(request, false);
        }
        for replica in 0..world.replicas.len() {
            catch_up(world, replica);
            finish(world, bounds, replica);
            catch_up(world, replica);
            order::reconcile(world, bounds, replica);
            payment::reconcile(world, bounds, replica);
            children::decide_ticket(world, replica);
            children::decide_delivery(world, replica);
            finish(world, bounds, replica);
        }
        *world = world.clone().canonical();
        if *world == before {
            return true;
        }
    }
    false
}

/// Brings all watches of a replica up to date.
pub fn catch_up(world: &mut World, replica: usize) {
    while world.lags::<Order>(replica) {
        world.watch::<Order>(replica);
    }
    while world.lags::<Payment>(replica) {
        world.watch::<Payment>(replica);
    }
    while world.lags::<Ticket>(replica) {
        world.watch::<Ticket>(replica);
    }
    while world.lags::<Delivery>(replica) {
        world.watch::<Delivery>(replica);
    }
}

fn finish(world: &mut World, bounds: &Bounds, replica: usize) {
    while world.replicas.get(replica).is_some_and(|r| r.in_flight() > 0) {
        order::carry_out(world, bounds, replica);
        payment::carry_out(world, bounds, replica, ProviderFault::None);
        children::carry_out_ticket(world, bounds, replica);
        children::carry_out_delivery(world, bounds, replica);
    }
}

/// Plays fair weather until all is over.
///
/// # Errors
/// What is not as it should be at the end.
pub fn settle(mut world: World, bounds: &Bounds) -> Result<(), &'static str> {
    for _ in 0..EPOCHS_MAX {
        if !work(&mut world, bounds) {
            return Err("the operator goes round in circles");
        }
        if world.violations.halted {
            return Err("a decision breaks a rule of its machine");
        }
        if is_over(&world) {
            return is_right(&world);
        }
        world.epoch = world.epoch.saturating_add(1);
    }
    Err("it does not come to an end")
}

fn is_over(world: &World) -> bool {
    match world.live::<Order>() {
        None => true,
        Some(order) => order.phase.is_terminal() && !order.deleting,
    }
}

fn is_right(world: &World) -> Result<(), &'static str> {
    let Some(order) = world.live::<Order>() else {
        let left = world.live::<Payment>().is_some()
            || world.live::<Ticket>().is_some()
            || world.live::<Delivery>().is_some();
        return if left { Err("the order is gone and left a child") } else { Ok(()) };
    };
    if order.conditions.ended != Some(true) || order.conditions.settled != Some(true) {
        return Err("the order has ended, but its conditions do not say so");
    }
    let queued = world
        .live::<Ticket>()
        .is_some_and(|t| matches!(t.stage, TicketStage::Pending | TicketStage::Accepted));
    if queued && order.phase != OrderPhase::Completed {
        return Err("an order that was undone is in the store's queue");
    }
    if (order.phase == OrderPhase::Completed) != world.bank.has_money() {
        return Err("the money is not where it belongs");
    }
    Ok(())
}
