//! A model of its own: tickets that are counted by their store, and two replicas of the store's controller.
//! The machine of `saga::counter` decides here as it does in the operator, with its postconditions, and `saga::ticket` says
//! what counts. Transcribed is what the model varies: when a copy of the store is taken, which tickets are read live after
//! it, and that a write may be overtaken, lost or late.
//!
//! Caches are not kept: whatever is read from one may be as it was at any time before, so far as that makes a difference.

use fooddelivery_saga::counter::{CounterMachine, CounterView, LIST_LIMIT, OrderId, Tally};
use fooddelivery_saga::machine::{Next, StateMachine, Violation};
use fooddelivery_saga::phases::TicketStage;
use fooddelivery_saga::ticket;
use fooddelivery_saga::time::Timestamp;
use stateright::{Model, Property};

use crate::snapshot::{ORDERS, Set, Snapshot, all, bit, has};

/// The bounds of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Tickets.
    pub tickets: usize,
    /// How often the store may be deleted and made anew.
    pub stores: u8,
    /// Crashes, or answers to writes that never come: what was sent may still arrive.
    pub crashes: u8,
    /// Whether the list is long, so that tickets that are gone leave it.
    pub long: bool,
    /// The mutant under test, if any.
    pub mutant: Option<Mutant>,
}

/// A mutant of how decisions are carried out; each must be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A ticket is counted as the cache has it.
    NoLiveRead,
    /// Counts are written without compare-and-set.
    BlindCounts,
    /// A ticket says that it is counted before it is.
    MarkFirst,
    /// A ticket leaves the list because it has not begun to cook, as an old copy has it.
    OldCopySettles,
    /// A ticket goes because it has not begun to cook, as an old copy has it.
    OldCopyOwesNothing,
    /// No list is kept.
    NoList,
}

/// The store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Store {
    /// Tells it from those that were of the same name before.
    pub uid: u8,
    /// Whether it is there.
    pub there: bool,
    /// How often each ticket is in the counts.
    pub counts: [u8; ORDERS],
    /// Who was counted last.
    pub list: Set,
}

/// A ticket, and its order as far as that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ticket {
    /// How far the store is; `None` before there is a ticket.
    pub stage: Option<TicketStage>,
    /// The store that it was made for.
    pub store: u8,
    /// Whether its status says that it is counted.
    pub marked: bool,
    /// Whether it has been listed, so that any cache may show it.
    pub listed: bool,
    /// Whether its order is being deleted.
    pub deleting: bool,
    /// A replica has found that nothing is owed, and is to delete it.
    pub drops: bool,
    /// Whether it is gone.
    pub gone: bool,
}

impl Ticket {
    fn cooks(self) -> bool {
        self.stage.is_some_and(ticket::counts)
    }

    fn is_owed(self) -> bool {
        !self.gone && self.cooks() && !self.marked
    }

    fn has_ended(self) -> bool {
        matches!(self.stage, Some(TicketStage::Cooked | TicketStage::Cancelled))
    }
}

/// A reconcile of the store's controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReconcileState {
    /// The store, as it was.
    pub store: Snapshot<Store>,
    /// Tickets that are still to be read.
    pub unread: Set,
    /// Tickets that are owed.
    pub owed: Set,
    /// Tickets that may leave the list; `None` until that was looked at.
    pub settled: Option<Set>,
}

/// Everything that is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The store.
    pub store: Store,
    /// Its tickets.
    pub tickets: [Ticket; ORDERS],
    /// The reconciles of the two replicas.
    pub reconciles: [Option<ReconcileState>; 2],
    /// A write by a replica that has crashed since, still in transit.
    pub late_write: Option<Snapshot<Store>>,
    /// Number of crashes so far.
    pub crashes: u8,
    /// A decision broke a rule of its machine, and was not carried out.
    pub halted: bool,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A ticket comes into the store's queue.
    Queue(usize),
    /// The store, or the operator, moves it.
    Move(usize, TicketStage),
    /// Its order is deleted.
    Delete(usize),
    /// A mirror says that it is counted.
    Mark(usize),
    /// Its order, which has ended, finds that nothing is owed.
    Drop(usize),
    /// It is deleted.
    Dropped(usize),
    /// The store is deleted, or made anew.
    Store,
    /// An idle replica takes its copy of the store.
    Begin(usize),
    /// A replica reads the next ticket live.
    Read(usize),
    /// A replica looks at who may leave the list.
    Settle(usize, Set),
    /// A replica writes.
    Write(usize),
    /// A replica crashes, or hears no answer; what it was about to write may still arrive.
    Crash(usize),
    /// That arrives.
    Arrive,
}

/// Once at most.
pub const ONCE: &str = "no ticket is in the counts twice";
/// Only what was cooked.
pub const COOKED: &str = "no ticket is in the counts that the store has not begun to cook";
/// Postconditions hold.
pub const CHECKED: &str = "no decision about a count breaks a rule of its machine";
/// In the end.
pub const ENDS: &str =
    "in fair weather each cooked ticket is in the counts, and all that want to go are gone";

/// Maximum rounds of fair weather; more means that something goes round in circles.
const ROUNDS_MAX: usize = 40;

/// The model within its bounds.
#[derive(Debug, Clone)]
pub struct CounterModel {
    /// The bounds.
    pub bounds: Bounds,
}

/// How often each ticket is in the counts.
#[derive(Debug, Clone)]
struct Counts([u8; ORDERS]);

impl Tally for Counts {
    type Entry = usize;

    fn put_in(&mut self, entries: Vec<usize>) {
        for order in entries {
            if let Some(count) = self.0.get_mut(order) {
                *count += 1;
            }
        }
    }
}

fn id(name: String) -> OrderId {
    OrderId { uid: format!("uid of {name}"), name }
}

impl CounterModel {
    fn has(&self, mutant: Mutant) -> bool {
        self.bounds.mutant == Some(mutant)
    }

    /// What a reconcile's write would be. Where the list is to be long, others stand in it.
    ///
    /// # Errors
    /// The rule that the decision breaks.
    fn folded(&self, reconcile: &ReconcileState) -> Result<Option<Store>, Violation> {
        let named = |set: Set| all(set).map(|order| id(order.to_string()));
        let others = if self.bounds.long { LIST_LIMIT / 2 + 1 } else { 0 };
        let mut list: Vec<OrderId> = named(reconcile.store.value.list).collect();
        list.extend((0..others).map(|n| id(format!("other {n}"))));
        let owed: Vec<(OrderId, usize)> =
            all(reconcile.owed).map(|order| (id(order.to_string()), order)).collect();
        let settled = named(reconcile.settled.unwrap_or(0)).map(|id| id.uid).collect();
        let (tally, candidates) = (Counts(reconcile.store.value.counts), owed.len());
        let view = CounterView { tally, list, candidates, read: candidates, owed, settled };
        let count = match CounterMachine::step(&view, Timestamp(0)) {
            Next::Rest(rest) => rest.state,
            Next::Halt(violation) => return Err(violation),
            Next::Act(never) => match never {},
            Next::Skip | Next::Write(_) | Next::Wait(_) | Next::Retry(_) => return Ok(None),
        };
        let mut store = Store { counts: count.tally.0, ..reconcile.store.value };
        store.list = (0..ORDERS).filter(|o| count.list.contains(&id(o.to_string()))).map(bit).sum();
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

    /// Tickets that are owed and not listed. By the cache it may be any that was ever owed; as all are read live, only
    /// those that are owed now make a difference, but for a mutant. In fair weather caches show what is.
    fn keys(&self, world: &World, fair: bool) -> Set {
        let believed = self.has(Mutant::NoLiveRead) && !fair;
        let owed = |order: &usize| {
            let Some(ticket) = world.tickets.get(*order).copied() else { return false };
            let is = ticket.is_owed() || (believed && ticket.cooks());
            is && Self::is_its_own(ticket, world.store) && !has(world.store.list, *order)
        };
        (0..self.bounds.tickets).filter(owed).map(bit).sum()
    }

    /// Who may leave the list, by what caches may show.
    fn may_leave(&self, world: &World, list: Set) -> Set {
        let may = |order: &usize| {
            let Some(ticket) = world.tickets.get(*order).copied() else { return false };
            let looked_for = self.bounds.long && ticket.gone;
            ticket.marked || looked_for || self.has(Mutant::OldCopySettles)
        };
        all(list).filter(may).map(bit).sum()
    }

    /// Whether an order's ticket has to stay: as the controller's `owes_store`.
    fn owes(&self, world: &World, ticket: Ticket) -> bool {
        // An old copy shows a ticket that has only been accepted.
        let old = self.has(Mutant::OldCopyOwesNothing);
        !old && ticket.is_owed() && !ticket.listed && Self::is_its_own(ticket, world.store)
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
        let first = self.has(Mutant::MarkFirst) && ticket.cooks();
        if (ticket.listed || first) && !ticket.marked {
            events.push(Event::Mark(order));
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
            Event::Mark(order) => world.tickets.get_mut(order)?.marked = true,
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
                let unread = self.keys(world, false);
                let (owed, store) = (0, Snapshot::of(world.store));
                *world.reconciles.get_mut(replica)? =
                    Some(ReconcileState { store, unread, owed, settled: None });
            }
            Event::Read(replica) => {
                let reconcile = world.reconciles.get_mut(replica)?.as_mut()?;
                let order = all(reconcile.unread).next()?;
                let ticket = world.tickets.get(order)?;
                let owed = ticket.is_owed() || self.has(Mutant::NoLiveRead);
                reconcile.owed |= if owed { bit(order) } else { 0 };
                reconcile.unread &= !bit(order);
            }
            Event::Settle(replica, settled) => {
                world.reconciles.get_mut(replica)?.as_mut()?.settled = Some(settled);
            }
            Event::Write(replica) => {
                let reconcile = world.reconciles.get_mut(replica)?.take()?;
                self.write(world, &reconcile);
            }
            Event::Crash(replica) => {
                let reconcile = world.reconciles.get_mut(replica)?.take()?;
                world.crashes += 1;
                if reconcile.settled.is_some() && reconcile.store.current {
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

    /// Plays fair weather: nothing else arrives, the store cooks on, and nobody is deleted who was not.
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
            let unread = self.keys(&world, true);
            if unread != 0 {
                let store = Snapshot::of(world.store);
                world.reconciles = [Some(ReconcileState { store, unread, owed: 0, settled: None }), None];
                while world.reconciles.iter().flatten().any(|reconcile| reconcile.unread != 0) {
                    self.happen(&mut world, Event::Read(0));
                }
                let settled = self.may_leave(&world, world.store.list);
                self.happen(&mut world, Event::Settle(0, settled));
                self.happen(&mut world, Event::Write(0));
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

    fn play(&self, world: &mut World, order: usize) {
        let mut events = Vec::new();
        if let Some(ticket) = world.tickets.get(order).copied() {
            self.ticket_events(world, order, ticket, &mut events);
        }
        let cooked = |world: &World| world.tickets.get(order).is_some_and(|ticket| ticket.has_ended());
        for event in events {
            // A mirror of its own comes only when no other will follow.
            let happens = match event {
                Event::Mark(_) => cooked(world),
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
        for (ticket, count) in world.tickets.into_iter().zip(world.store.counts) {
            if !ticket.gone && ticket.deleting {
                return Err("an order that is deleted does not go");
            }
            if Self::is_its_own(ticket, world.store) && count != u8::from(ticket.cooks()) {
                return Err("a cooked ticket is not in the counts");
            }
        }
        Ok(())
    }
}

/// The API server takes a write of the store: all other copies are old now.
fn put(world: &mut World, store: Store) {
    for (order, ticket) in world.tickets.iter_mut().enumerate() {
        ticket.listed |= has(store.list, order) && store.there;
    }
    for reconcile in world.reconciles.iter_mut().flatten() {
        reconcile.store.current = false;
    }
    if let Some(late_write) = &mut world.late_write {
        late_write.current = false;
    }
    world.store = store;
}

impl Model for CounterModel {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let store = Store { there: true, ..Store::default() };
        let (tickets, reconciles) = ([Ticket::default(); ORDERS], [None; 2]);
        vec![World { store, tickets, reconciles, late_write: None, crashes: 0, halted: false }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        for (order, ticket) in world.tickets.iter().enumerate().take(self.bounds.tickets) {
            self.ticket_events(world, order, *ticket, events);
        }
        if world.store.uid < self.bounds.stores {
            events.push(Event::Store);
        }
        // Replicas are symmetric: the first idle one stands for both.
        if let Some(idle) =
            world.reconciles.iter().position(Option::is_none).filter(|_| self.keys(world, false) != 0)
        {
            events.push(Event::Begin(idle));
        }
        for (replica, reconcile) in world.reconciles.iter().enumerate() {
            let Some(reconcile) = reconcile else { continue };
            if reconcile.unread != 0 {
                events.push(Event::Read(replica));
            } else if reconcile.settled.is_none() {
                let may = self.may_leave(world, reconcile.store.value.list);
                let sets = (0..=may).filter(|set| set & may == *set);
                events.extend(sets.map(|set| Event::Settle(replica, set)));
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
            Property::always(ONCE, |_, w: &World| w.store.counts.iter().all(|count| *count <= 1)),
            Property::always(COOKED, |_, w: &World| {
                w.tickets
                    .iter()
                    .zip(w.store.counts)
                    .all(|(ticket, count)| count == 0 || (ticket.cooks() && ticket.store == w.store.uid))
            }),
            Property::always(CHECKED, |_, w: &World| !w.halted),
            Property::always(ENDS, |model: &Self, w: &World| {
                let calm = w.reconciles.iter().all(Option::is_none) && w.late_write.is_none();
                !calm || model.settles(w).is_ok()
            }),
        ]
    }
}
