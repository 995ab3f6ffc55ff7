//! A model of its own: tickets that are counted by their store, and two replicas of the store's controller.
//! The machine of `saga::counter` decides here as it does in the operator, with its postconditions, and `saga::ticket` says
//! what counts. Transcribed is what the model varies: when a copy of the store is taken, which tickets are read live after
//! it, what the caches show, and that a write may be overtaken, lost or late.
//!
//! Caches are not kept: whatever is read from one may be as it was at any time before, ticket by ticket.

mod world;

use fooddelivery_saga::counter::{Count, CounterMachine, CounterView, OrderId, Tally};
use fooddelivery_saga::machine::{Next, StateMachine, Violation};
use fooddelivery_saga::phases::TicketStage;
use fooddelivery_saga::time::Timestamp;
use stateright::{Model, Property};

use crate::snapshot::{ORDERS, Set, Snapshot, all, bit, has};

use world::put;
pub use world::{Bounds, Event, Mutant, ReconcileState, Seen, Store, Ticket, World};

/// Once at most.
pub const ONCE: &str = "no ticket is kept twice";
/// While it is there.
pub const SHOWN: &str = "no ticket that is there is shown twice";
/// Only what was cooked.
pub const COOKED: &str = "no ticket is in the counts that the store has not begun to cook";
/// Postconditions hold.
pub const CHECKED: &str = "no decision about a count breaks a rule of its machine";
/// In the end.
pub const ENDS: &str = "in fair weather each cooked ticket is shown once, and all that want to go are gone";

/// Maximum rounds of fair weather; more means that something goes round in circles.
const ROUNDS_MAX: usize = 40;

/// The model within its bounds.
#[derive(Debug, Clone)]
pub struct CounterModel {
    /// The bounds.
    pub bounds: Bounds,
}

/// How often each ticket is in the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts([u8; ORDERS]);

impl Tally for Counts {
    type Entry = usize;
    type Bounds = ();

    fn put_in(&mut self, order: &usize) {
        if let Some(count) = self.0.get_mut(*order) {
            *count = count.saturating_add(1);
        }
    }

    fn take_out(&mut self, order: &usize) {
        if let Some(count) = self.0.get_mut(*order) {
            *count = count.saturating_sub(1);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
    }

    fn keep_within(&mut self, (): &()) {}
}

fn id(order: usize) -> OrderId {
    OrderId { name: order.to_string(), uid: format!("uid of {order}") }
}

impl CounterModel {
    fn has(&self, mutant: Mutant) -> bool {
        self.bounds.mutant == Some(mutant)
    }

    /// What a reconcile's write would be.
    ///
    /// # Errors
    /// The rule that the decision breaks.
    fn folded(&self, reconcile: &ReconcileState) -> Result<Option<Store>, Violation> {
        let (store, seen) = (reconcile.store.value, reconcile.seen.unwrap_or(Seen { cached: 0, gone: 0 }));
        let departing: Vec<OrderId> = all(store.list).map(id).collect();
        let listed_is_live = self.has(Mutant::ListedIsLive);
        let mut live = Counts::default();
        for order in all(seen.cached).filter(|order| listed_is_live || !has(store.list, *order)) {
            live.put_in(&order);
        }
        let leaving: Vec<(OrderId, usize)> = all(reconcile.leaving).map(|order| (id(order), order)).collect();
        let view = CounterView {
            count: Count { shown: Counts(store.shown), base: Counts(store.base), departing },
            live,
            candidates: leaving.len(),
            read: leaving.len(),
            leaving,
            gone: all(seen.gone).map(|order| id(order).uid).collect(),
            bounds: (),
        };
        let count = match CounterMachine::step(&view, Timestamp(0)) {
            Next::Rest(rest) => rest.state,
            Next::Halt(violation) => return Err(violation),
            Next::Act(never) => match never {},
            Next::Skip | Next::Write(_) | Next::Wait(_) | Next::Retry(_) => return Ok(None),
        };
        let mut store = Store { shown: count.shown.0, base: count.base.0, ..store };
        store.list = (0..ORDERS).filter(|order| count.departing.contains(&id(*order))).map(bit).sum();
        if self.has(Mutant::NoList) {
            store.list = 0;
        }
        Ok(Some(store))
    }

    /// As [`Self::folded`]; a rule that would be broken is a violation.
    fn decided(&self, world: &mut World, reconcile: &ReconcileState) -> Option<Store> {
        self.folded(reconcile).unwrap_or_else(|_| {
            world.halted = true;
            None
        })
    }

    fn is_its_own(ticket: Ticket, store: Store) -> bool {
        store.there && ticket.store == store.uid
    }

    /// The store's tickets that `is` says something of.
    fn of_store(&self, world: &World, is: impl Fn(usize, Ticket) -> bool) -> Set {
        let tickets = world.tickets.into_iter().enumerate().take(self.bounds.tickets);
        let meant = tickets.filter(|(order, t)| Self::is_its_own(*t, world.store) && is(*order, *t));
        meant.map(|(order, _)| bit(order)).sum()
    }

    /// Tickets that leave and are not listed. By the cache it may be any that ever did; as all are read live, only those that
    /// do now make a difference, but for a mutant. In fair weather caches show what is.
    fn candidates(&self, world: &World, fair: bool) -> Set {
        let believed = self.has(Mutant::NoLiveRead) && !fair;
        self.of_store(world, |order, ticket| {
            let leaves = if believed { ticket.cooks() } else { ticket.leaves() && !ticket.gone };
            leaves && !has(world.store.list, order)
        })
    }

    /// All that a replica may see after it has taken its copy of the store.
    fn looks(&self, world: &World, reconcile: &ReconcileState) -> Vec<Seen> {
        let ever = self.of_store(world, |_, ticket| ticket.cooks());
        let there = self.of_store(world, |_, ticket| ticket.cooks() && !ticket.gone);
        let list = reconcile.store.value.list;
        let mut looks = Vec::new();
        // What was read live is in the cache.
        for cached in subsets(ever).filter(|cached| cached & reconcile.leaving == reconcile.leaving) {
            let not_there = if self.has(Mutant::GoneFromCache) { Set::MAX } else { !there };
            let may_leave = if self.bounds.long { list & !cached & not_there } else { 0 };
            looks.extend(subsets(may_leave).map(|gone| Seen { cached, gone }));
        }
        looks
    }

    /// Whether an order's ticket has to stay: as the controller's `awaits_count`.
    fn owes(&self, world: &World, ticket: Ticket) -> bool {
        // An old copy shows a ticket that has only been accepted.
        let old = self.has(Mutant::OldCopyOwesNothing);
        !old && ticket.cooks() && !ticket.listed && Self::is_its_own(ticket, world.store)
    }

    fn ticket_events(&self, world: &World, order: usize, ticket: Ticket, events: &mut Vec<Event>) {
        if ticket.gone {
            return;
        }
        match ticket.stage {
            None if world.store.there => events.push(Event::Queue(order)),
            Some(TicketStage::Accepted) => {
                events.push(Event::Move(order, TicketStage::Cooking));
                events.push(Event::Move(order, TicketStage::Cancelled));
            }
            Some(TicketStage::Cooking) => events.push(Event::Move(order, TicketStage::Cooked)),
            _ => {}
        }
        if ticket.stage.is_some() && !ticket.deleting {
            events.push(Event::Delete(order));
        }
        if ticket.has_ended() && ticket.deleting && !ticket.drops && !self.owes(world, ticket) {
            events.push(Event::Drop(order));
        }
        if ticket.drops {
            events.push(Event::Dropped(order));
        }
    }

    fn happen(&self, world: &mut World, event: Event) -> Option<()> {
        match event {
            Event::Queue(order) => {
                let uid = world.store.uid;
                let ticket = world.tickets.get_mut(order)?;
                (ticket.stage, ticket.store) = (Some(TicketStage::Accepted), uid);
            }
            Event::Move(order, stage) => world.tickets.get_mut(order)?.stage = Some(stage),
            Event::Delete(order) => world.tickets.get_mut(order)?.deleting = true,
            Event::Drop(order) => world.tickets.get_mut(order)?.drops = true,
            Event::Dropped(order) => {
                let ticket = world.tickets.get_mut(order)?;
                (ticket.gone, ticket.drops, ticket.deleting) = (true, false, false);
            }
            Event::Store => {
                let Store { uid, there, .. } = world.store;
                let uid = if there { uid } else { uid + 1 };
                put(world, Store { uid, there: !there, ..Store::default() });
            }
            Event::Begin(replica) => {
                let unread = self.candidates(world, false);
                *world.reconciles.get_mut(replica)? = Some(ReconcileState::of(world.store, unread));
            }
            Event::Read(replica) => {
                let reconcile = world.reconciles.get_mut(replica)?.as_mut()?;
                let order = all(reconcile.unread).next()?;
                let ticket = world.tickets.get(order)?;
                let leaves = (ticket.leaves() && !ticket.gone) || self.has(Mutant::NoLiveRead);
                reconcile.leaving |= if leaves { bit(order) } else { 0 };
                reconcile.unread &= !bit(order);
            }
            Event::Look(replica, seen) => {
                world.reconciles.get_mut(replica)?.as_mut()?.seen = Some(seen);
            }
            Event::Write(replica) => {
                let reconcile = world.reconciles.get_mut(replica)?.take()?;
                self.write(world, &reconcile);
            }
            Event::Crash(replica) => {
                let reconcile = world.reconciles.get_mut(replica)?.take()?;
                world.crashes += 1;
                if reconcile.seen.is_some() && reconcile.store.current {
                    world.late_write = self.decided(world, &reconcile).map(Snapshot::of);
                }
            }
            Event::Arrive => {
                if let Some(store) = world.late_write.take().filter(|late_write| late_write.current) {
                    put(world, store.value);
                }
            }
        }
        Some(())
    }

    fn write(&self, world: &mut World, reconcile: &ReconcileState) {
        let goes_through = reconcile.store.current || (self.has(Mutant::BlindCounts) && world.store.there);
        if let Some(store) = self.decided(world, reconcile).filter(|_| goes_through) {
            put(world, store);
        }
    }

    /// Plays fair weather: nothing else arrives, caches show what is, the store cooks on, and nobody is deleted who was not.
    ///
    /// # Errors
    /// What is not as it should be at the end.
    pub fn settles(&self, world: &World) -> Result<(), &'static str> {
        let mut world = world.clone();
        for _ in 0..ROUNDS_MAX {
            let before = world.clone();
            for order in 0..self.bounds.tickets {
                self.play(&mut world, order);
            }
            if world.store.there {
                self.reconcile(&mut world);
            }
            if world.halted {
                return Err(CHECKED);
            }
            if world == before {
                return Self::is_right(&world);
            }
        }
        Err("the operator goes round in circles")
    }

    /// A whole reconcile, with caches that show what is.
    fn reconcile(&self, world: &mut World) {
        let unread = self.candidates(world, true);
        world.reconciles = [Some(ReconcileState::of(world.store, unread)), None];
        while world.reconciles.iter().flatten().any(|reconcile| reconcile.unread != 0) {
            self.happen(world, Event::Read(0));
        }
        let cached = self.of_store(world, |_, ticket| ticket.cooks() && !ticket.gone);
        let gone = if self.bounds.long { world.store.list & !cached } else { 0 };
        self.happen(world, Event::Look(0, Seen { cached, gone }));
        self.happen(world, Event::Write(0));
    }

    fn play(&self, world: &mut World, order: usize) {
        let mut events = Vec::new();
        if let Some(ticket) = world.tickets.get(order).copied() {
            self.ticket_events(world, order, ticket, &mut events);
        }
        for event in events {
            let happens = match event {
                Event::Move(_, stage) => stage != TicketStage::Cancelled,
                Event::Queue(_) | Event::Delete(_) => false,
                _ => true,
            };
            if happens {
                self.happen(world, event);
            }
        }
    }

    fn is_right(world: &World) -> Result<(), &'static str> {
        for (ticket, shown) in world.tickets.into_iter().zip(world.store.shown) {
            if !ticket.gone && ticket.deleting {
                return Err("an order that is deleted does not go");
            }
            if Self::is_its_own(ticket, world.store) && shown != u8::from(ticket.cooks()) {
                return Err("a cooked ticket is not shown once");
            }
        }
        Ok(())
    }
}

fn subsets(of: Set) -> impl Iterator<Item = Set> {
    (0..=of).filter(move |set| set & of == *set)
}

impl Model for CounterModel {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            store: Store { there: true, ..Store::default() },
            tickets: [Ticket::default(); ORDERS],
            reconciles: [None; 2],
            late_write: None,
            crashes: 0,
            halted: false,
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        for (order, ticket) in world.tickets.iter().enumerate().take(self.bounds.tickets) {
            self.ticket_events(world, order, *ticket, events);
        }
        if world.store.uid < self.bounds.stores {
            events.push(Event::Store);
        }
        // Replicas are symmetric: the first idle one stands for both.
        if let Some(idle) = world.reconciles.iter().position(Option::is_none).filter(|_| world.store.there) {
            events.push(Event::Begin(idle));
        }
        for (replica, reconcile) in world.reconciles.iter().enumerate() {
            let Some(reconcile) = reconcile else { continue };
            if reconcile.unread != 0 {
                events.push(Event::Read(replica));
            } else if reconcile.seen.is_none() {
                let looks = self.looks(world, reconcile).into_iter();
                events.extend(looks.map(|seen| Event::Look(replica, seen)));
            } else {
                events.push(Event::Write(replica));
            }
            if world.crashes < self.bounds.crashes {
                events.push(Event::Crash(replica));
            }
        }
        if world.late_write.is_some() {
            events.push(Event::Arrive);
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        self.happen(&mut next, event)?;
        // A reconcile whose write can only fail is over.
        for slot in &mut next.reconciles {
            *slot = slot.filter(|reconcile| reconcile.store.current || self.has(Mutant::BlindCounts));
        }
        next.reconciles.sort_unstable();
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONCE, |_, w: &World| w.store.base.iter().all(|count| *count <= 1)),
            Property::always(SHOWN, |_, w: &World| {
                w.tickets.iter().zip(w.store.shown).all(|(ticket, shown)| ticket.gone || shown <= 1)
            }),
            Property::always(COOKED, |_, w: &World| {
                let counts = w.store.base.into_iter().zip(w.store.shown);
                w.tickets.iter().zip(counts).all(|(ticket, (base, shown))| {
                    base + shown == 0 || (ticket.cooks() && ticket.store == w.store.uid)
                })
            }),
            Property::always(CHECKED, |_, w: &World| !w.halted),
            Property::always(ENDS, |model: &Self, w: &World| {
                let calm = w.reconciles.iter().all(Option::is_none) && w.late_write.is_none();
                !calm || model.settles(w).is_ok()
            }),
        ]
    }
}
