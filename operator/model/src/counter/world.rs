//! What there is in the model of counts: a store, its tickets, two replicas that count, and what may happen.

use fooddelivery_saga::phases::TicketStage;
use fooddelivery_saga::ticket;

use crate::snapshot::{ORDERS, Set, Snapshot, has};

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
    /// A ticket that leaves is kept as the cache has it.
    NoLiveRead,
    /// Counts are written without compare-and-set.
    BlindCounts,
    /// A ticket goes because it has not begun to cook, as an old copy has it.
    OldCopyOwesNothing,
    /// A ticket leaves the list because the cache does not have it.
    GoneFromCache,
    /// What is listed is live, too.
    ListedIsLive,
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
    /// How often each ticket is in what it shows.
    pub shown: [u8; ORDERS],
    /// How often each ticket is in what it keeps.
    pub base: [u8; ORDERS],
    /// Whose tickets may still be there.
    pub list: Set,
}

/// A ticket, and its order as far as that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ticket {
    /// How far the store is; `None` before there is a ticket.
    pub stage: Option<TicketStage>,
    /// The store that it was made for.
    pub store: u8,
    /// Whether it has been listed, so that any cache may show it.
    pub listed: bool,
    /// Whether its order is being deleted.
    pub deleting: bool,
    /// A replica has found that it may go, and is to delete it.
    pub drops: bool,
    /// Whether it is gone.
    pub gone: bool,
}

impl Ticket {
    pub(super) fn cooks(self) -> bool {
        self.stage.is_some_and(ticket::counts)
    }

    pub(super) fn has_ended(self) -> bool {
        matches!(self.stage, Some(TicketStage::Cooked | TicketStage::Cancelled))
    }

    pub(super) fn leaves(self) -> bool {
        self.cooks() && self.deleting && self.has_ended()
    }
}

/// What a reconcile sees of the tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seen {
    /// Tickets that count, by the cache.
    pub cached: Set,
    /// Tickets in the list that are gone.
    pub gone: Set,
}

/// A reconcile of the store's controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReconcileState {
    /// The store, as it was.
    pub store: Snapshot<Store>,
    /// Tickets that are still to be read.
    pub unread: Set,
    /// Tickets that were found to leave.
    pub leaving: Set,
    /// What else is seen; `None` until that was looked at.
    pub seen: Option<Seen>,
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
    /// Its order, which has ended, finds that it may go.
    Drop(usize),
    /// It is deleted.
    Dropped(usize),
    /// The store is deleted, or made anew.
    Store,
    /// An idle replica takes its copy of the store.
    Begin(usize),
    /// A replica reads the next ticket live.
    Read(usize),
    /// A replica looks at its cache, and at who may leave the list.
    Look(usize, Seen),
    /// A replica writes.
    Write(usize),
    /// A replica crashes, or hears no answer; what it was about to write may still arrive.
    Crash(usize),
    /// That arrives.
    Arrive,
}

impl ReconcileState {
    pub(super) fn of(store: Store, unread: Set) -> Self {
        Self { store: Snapshot::of(store), unread, leaving: 0, seen: None }
    }
}

/// The API server takes a write of the store: all other copies are old now.
pub(super) fn put(world: &mut World, store: Store) {
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
