//! The events of the model: which can happen in a state, and what each leads to.

use fooddelivery_saga::phases::{DeliveryStage, OrderPhase, TicketStage};
use fooddelivery_saga::table::{self, Actor};
use stateright::{Model, Property};

use crate::bank::{ProviderFault, Request};
use crate::bounds::{Bounds, CREATED_MAX, Start, Store};
use crate::children;
use crate::flight::PaymentStep;
use crate::objects::{Delivery, Order, Payment, Ticket};
use crate::properties;
use crate::saga::Saga;
use crate::world::World;
use crate::{liveness, order, payment};

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
    CarryOut(usize, Controller, ProviderFault),
    /// A request that was under way arrives at the provider.
    Arrive(Request, ProviderFault),
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
        liveness::work(&mut world, bounds);
        for stage in stages {
            store_moves(&mut world, *stage);
            liveness::work(&mut world, bounds);
        }
        if bounds.start == Start::PickedUp {
            let change = |d: Delivery| Delivery { claimed: true, stage: DeliveryStage::PickedUp, ..d };
            let delivery = world.live::<Delivery>().map(change);
            world.put(delivery);
            liveness::work(&mut world, bounds);
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
                    for fault in self.faults(world, r, controller) {
                        events.push(Event::CarryOut(r, controller, *fault));
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
            events.push(Event::Arrive(*request, ProviderFault::None));
        }
    }

    fn faults(&self, world: &World, replica: usize, controller: Controller) -> &'static [ProviderFault] {
        use ProviderFault as F;
        let flight = world.replicas.get(replica).and_then(|r| r.payment);
        let Some(flight) = flight.filter(|_| controller == Controller::Payments) else { return &[F::None] };
        let faults = world.spent.faults < self.bounds.faults;
        match (flight.step, faults, self.bounds.declines) {
            (PaymentStep::LookUp, true, _) => &[F::None, F::Blind],
            (PaymentStep::Prepare, true, _) => &[F::None, F::Lost],
            (PaymentStep::Charge, true, true) => &[F::None, F::Declines, F::Unreachable, F::Lost, F::Stalled],
            (PaymentStep::Charge, true, false) | (PaymentStep::Refund | PaymentStep::Void, true, _) => {
                &[F::None, F::Unreachable, F::Lost, F::Stalled]
            }
            (PaymentStep::Charge, false, true) => &[F::None, F::Declines],
            _ => &[F::None],
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
            Event::CarryOut(r, controller, fault) => {
                if !matches!(fault, ProviderFault::None | ProviderFault::Declines) {
                    world.spent.faults += 1;
                }
                match controller {
                    Controller::Orders => order::carry_out(world, bounds, r),
                    Controller::Payments => payment::carry_out(world, bounds, r, fault),
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
        Controller::Tickets => children::decide_ticket(world, replica),
        Controller::Deliveries => children::decide_delivery(world, replica),
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
                liveness::catch_up(&mut next, replica);
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
