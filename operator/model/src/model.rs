//! The model for the checker: which events can happen in a state, and what each leads to.

use fooddelivery_saga::phases::{DeliveryStage, OrderPhase, TicketStage};
use fooddelivery_saga::table::{self, Actor};
use stateright::{Model, Property};

use crate::bank::{Request, Weather};
use crate::bounds::{Bounds, Start, Store};
use crate::children;
use crate::objects::{Delivery, Order, Payment, Ticket};
use crate::properties;
use crate::world::World;
use crate::{fair, order, payment};

/// So many payments, tickets and deliveries each are created under the order's name, tombstones among them.
pub const CREATED_MAX: u8 = 2;

/// The model within its bounds.
#[derive(Debug, Clone)]
pub struct Saga {
    /// The bounds.
    pub bounds: Bounds,
}

/// A kind of object, for watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// Orders.
    Orders,
    /// Payments.
    Payments,
    /// Tickets.
    Tickets,
    /// Deliveries.
    Deliveries,
}

/// A controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// Of orders.
    Orders,
    /// Of payments.
    Payments,
    /// Of tickets.
    Tickets,
    /// Of deliveries.
    Deliveries,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A watch brings news to a replica.
    Watch(usize, Watched),
    /// A controller of a replica looks at its caches and decides.
    Decide(usize, Controller),
    /// What was decided is carried out.
    CarryOut(usize, Controller, Weather),
    /// A request that was under way arrives at the provider.
    Arrive(Request, Weather),
    /// A replica crashes and starts anew.
    Crash(usize),
    /// All deadlines pass.
    TimePasses,
    /// The customer cancels.
    Cancel,
    /// The order is deleted.
    Delete,
    /// The customer confirms receipt.
    Confirm,
    /// The store moves its ticket.
    StoreMoves(TicketStage),
    /// A rider takes the delivery.
    Claim,
    /// The rider gives it back.
    GiveBack,
    /// The rider moves the delivery.
    RiderMoves(DeliveryStage),
}

impl Saga {
    /// Within these bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds }
    }

    /// Whether fair weather leads from here to an end, and the right one.
    ///
    /// # Errors
    /// What is not as it should be.
    pub fn settles(&self, world: &World) -> Result<(), &'static str> {
        fair::settle(world.clone(), &self.bounds)
    }

    fn begin(&self) -> World {
        let bounds = &self.bounds;
        let mut world = World::new(bounds.replicas, bounds.every_version);
        let stages: &[TicketStage] = match bounds.start {
            Start::Applied => return world,
            Start::InQueue => &[],
            Start::Cooked | Start::PickedUp => {
                &[TicketStage::Accepted, TicketStage::Cooking, TicketStage::Cooked]
            }
        };
        fair::work(&mut world, bounds);
        for stage in stages {
            store_moves(&mut world, *stage);
            fair::work(&mut world, bounds);
        }
        if bounds.start == Start::PickedUp {
            let change = |d: Delivery| Delivery { claimed: true, stage: DeliveryStage::PickedUp, ..d };
            let delivery = world.live::<Delivery>().map(change);
            world.put(delivery);
            fair::work(&mut world, bounds);
        }
        world.canonical()
    }

    fn operator_events(&self, world: &World, events: &mut Vec<Event>) {
        let room = world.in_flight() < self.bounds.in_flight;
        for (r, replica) in world.replicas.iter().enumerate() {
            if self.bounds.stale {
                watches(world, r, events);
            }
            let busy = [
                (Controller::Orders, replica.order.is_some()),
                (Controller::Payments, replica.payment.is_some()),
                (Controller::Tickets, replica.ticket.is_some()),
                (Controller::Deliveries, replica.delivery.is_some()),
            ];
            for (controller, busy) in busy {
                if busy {
                    for weather in self.weathers(world, r, controller) {
                        events.push(Event::CarryOut(r, controller, *weather));
                    }
                } else if room {
                    events.push(Event::Decide(r, controller));
                }
            }
            if world.spent.crashes < self.bounds.crashes {
                events.push(Event::Crash(r));
            }
        }
        for request in &world.bank.wire {
            events.push(Event::Arrive(*request, Weather::Fair));
        }
    }

    fn weathers(&self, world: &World, replica: usize, controller: Controller) -> &'static [Weather] {
        use Weather::{Blind, Declines, Fair, Lost, Stalled, Unreachable};
        let visit = world.replicas.get(replica).and_then(|r| r.payment);
        let Some(visit) = visit.filter(|_| controller == Controller::Payments) else { return &[Fair] };
        let faults = world.spent.faults < self.bounds.faults;
        match (visit.step, faults, self.bounds.declines) {
            (payment::Step::LookUp, true, _) => &[Fair, Blind],
            (payment::Step::Prepare, true, _) => &[Fair, Lost],
            (payment::Step::Charge, true, true) => &[Fair, Declines, Unreachable, Lost, Stalled],
            (payment::Step::Charge, true, false) | (payment::Step::Refund | payment::Step::Void, true, _) => {
                &[Fair, Unreachable, Lost, Stalled]
            }
            (payment::Step::Charge, false, true) => &[Fair, Declines],
            _ => &[Fair],
        }
    }

    fn actor_events(&self, world: &World, events: &mut Vec<Event>) {
        let bounds = &self.bounds;
        if let Some(order) = world.live::<Order>() {
            if bounds.cancel && !order.cancel {
                events.push(Event::Cancel);
            }
            if bounds.delete && !order.deleting {
                events.push(Event::Delete);
            }
            if bounds.riders && !order.confirmed && order.phase == OrderPhase::Delivered {
                events.push(Event::Confirm);
            }
        }
        if let Some(ticket) = world.live::<Ticket>() {
            for step in table::TICKET.iter().filter(|s| s.from == ticket.stage && s.by == Actor::Store) {
                let rejects = step.to == TicketStage::Rejected;
                if bounds.store == Store::Free || (bounds.store == Store::Cooks && !rejects) {
                    events.push(Event::StoreMoves(step.to));
                }
            }
        }
        if let Some(delivery) = world.live::<Delivery>().filter(|_| bounds.riders) {
            if delivery.stage == DeliveryStage::Waiting && delivery.claimed {
                events.push(Event::GiveBack);
            } else if delivery.stage == DeliveryStage::Waiting && world.spent.claims < bounds.claims {
                events.push(Event::Claim);
            }
            for step in table::DELIVERY.iter().filter(|s| s.from == delivery.stage) {
                if delivery.claimed && step.by != Actor::Operator {
                    events.push(Event::RiderMoves(step.to));
                }
            }
        }
        if world.epoch < bounds.epochs {
            events.push(Event::TimePasses);
        }
    }

    fn happen(&self, world: &mut World, event: Event) {
        let bounds = &self.bounds;
        match event {
            Event::Watch(r, Watched::Orders) => world.watch::<Order>(r),
            Event::Watch(r, Watched::Payments) => world.watch::<Payment>(r),
            Event::Watch(r, Watched::Tickets) => world.watch::<Ticket>(r),
            Event::Watch(r, Watched::Deliveries) => world.watch::<Delivery>(r),
            Event::Decide(r, controller) => decide(world, bounds, r, controller),
            Event::CarryOut(r, controller, weather) => {
                if !matches!(weather, Weather::Fair | Weather::Declines) {
                    world.spent.faults += 1;
                }
                match controller {
                    Controller::Orders => order::carry_out(world, bounds, r),
                    Controller::Payments => payment::carry_out(world, bounds, r, weather),
                    Controller::Tickets => children::carry_out_ticket(world, bounds, r),
                    Controller::Deliveries => children::carry_out_delivery(world, bounds, r),
                }
            }
            Event::Arrive(request, _) => {
                if let Some(place) = world.bank.wire.iter().position(|known| *known == request) {
                    world.bank.wire.remove(place);
                }
                world.bank.execute(request, false);
            }
            Event::Crash(r) => {
                world.spent.crashes += 1;
                world.restart(r);
            }
            Event::TimePasses => world.epoch += 1,
            Event::Cancel => of_order(world, |o| Order { cancel: true, ..o }),
            Event::Delete => of_order(world, |o| Order { deleting: true, ..o }),
            Event::Confirm => of_order(world, |o| Order { confirmed: true, ..o }),
            Event::StoreMoves(stage) => store_moves(world, stage),
            Event::Claim => {
                world.spent.claims += 1;
                of_delivery(world, |d| Delivery { claimed: true, ..d });
            }
            Event::GiveBack => of_delivery(world, |d| Delivery { claimed: false, ..d }),
            Event::RiderMoves(stage) => of_delivery(world, |d| Delivery { stage, ..d }),
        }
    }
}

fn watches(world: &World, r: usize, events: &mut Vec<Event>) {
    let kinds = [
        (Watched::Orders, world.lags::<Order>(r)),
        (Watched::Payments, world.lags::<Payment>(r)),
        (Watched::Tickets, world.lags::<Ticket>(r)),
        (Watched::Deliveries, world.lags::<Delivery>(r)),
    ];
    events.extend(kinds.into_iter().filter(|(_, lags)| *lags).map(|(kind, _)| Event::Watch(r, kind)));
}

fn decide(world: &mut World, bounds: &Bounds, replica: usize, controller: Controller) {
    match controller {
        Controller::Orders => order::reconcile(world, bounds, replica),
        Controller::Payments => payment::reconcile(world, bounds, replica),
        Controller::Tickets => {
            let flight = children::next_for_ticket(world, replica);
            if let Some(slot) = world.replicas.get_mut(replica) {
                slot.ticket = flight;
            }
        }
        Controller::Deliveries => {
            let flight = children::next_for_delivery(world, replica);
            if let Some(slot) = world.replicas.get_mut(replica) {
                slot.delivery = flight;
            }
        }
    }
}

fn of_order(world: &mut World, change: impl Fn(Order) -> Order) {
    if let Some(order) = world.live::<Order>() {
        world.put(Some(change(order)));
    }
}

fn of_delivery(world: &mut World, change: impl Fn(Delivery) -> Delivery) {
    if let Some(delivery) = world.live::<Delivery>() {
        world.put(Some(change(delivery)));
    }
}

fn store_moves(world: &mut World, stage: TicketStage) {
    if let Some(ticket) = world.live::<Ticket>() {
        world.put(Some(Ticket { stage, ..ticket }));
    }
}

impl Model for Saga {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![self.begin()]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        self.operator_events(world, events);
        self.actor_events(world, events);
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        self.happen(&mut next, event);
        // Without stale caches every watch is as fast as the writes.
        if !self.bounds.stale {
            for replica in 0..next.replicas.len() {
                fair::catch_up(&mut next, replica);
            }
        }
        let next = next.canonical();
        (next != *world).then_some(next)
    }

    /// A replica whose caches never catch up could make and clear away children without end.
    fn within_boundary(&self, world: &World) -> bool {
        world.created.iter().all(|created| *created <= CREATED_MAX)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
