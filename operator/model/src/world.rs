//! A state of the model: what the API server has, what each replica believes and is about to do, and the money. And how
//! the API server arbitrates writes and caches follow: compare-and-set, transition rules, stale copies, own-write memory.
//!
//! It knows nothing of what the writes mean.

use std::fmt::Debug;
use std::hash::Hash;

use fooddelivery_saga::phases::{DeliveryStage, OrderPhase};
use fooddelivery_saga::table;

use crate::bank::Bank;
use crate::flight::{DeliveryFlight, OrderFlight, PaymentFlight, TicketFlight};
use crate::objects::{Delivery, Order, Payment, Ticket};
use crate::versions::{Cache, Chain, WriteError};

/// Everything that is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The order's versions.
    pub orders: Chain<Order>,
    /// The payment's versions.
    pub payments: Chain<Payment>,
    /// The ticket's versions.
    pub tickets: Chain<Ticket>,
    /// The delivery's versions.
    pub deliveries: Chain<Delivery>,
    /// The operator's replicas.
    pub replicas: Vec<Replica>,
    /// The provider.
    pub bank: Bank,
    /// Time: every deadline that began in an earlier epoch has passed.
    pub epoch: u8,
    /// Whether a watch brings every version, or may skip to the newest.
    pub every_version: bool,
    /// How much of the bounds is used up.
    pub spent: Spent,
    /// How many were created: payments, tickets, deliveries.
    pub created: [u8; 3],
    /// Whether a ticket was put into the store's queue.
    pub queued: bool,
    /// The rules that were broken on the way here.
    pub violations: Violations,
    /// The phase in which the order ended, once it has.
    pub ended_as: Option<OrderPhase>,
}

/// How much of the bounds is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Spent {
    /// Calls to the provider that went wrong.
    pub faults: u8,
    /// Replicas that crashed.
    pub crashes: u8,
    /// Claims by riders.
    pub claims: u8,
}

/// Events that must never happen, recorded when they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Violations {
    /// A CEL rule refused what was decided on fresh data.
    pub illegal_step: bool,
    /// A ticket was put into the store's queue without money for it.
    pub unpaid_ticket: bool,
    /// A ticket was put into the store's queue for an order that had one before.
    pub second_ticket: bool,
    /// The order was let go with a child left, or with money that is not where it belongs.
    pub left_behind: bool,
    /// A payment was let go with money that is on its way.
    pub payment_lost: bool,
    /// A terminal phase or a verdict changed.
    pub end_changed: bool,
    /// A decision broke a rule of its machine, and was not carried out.
    pub halted: bool,
}

/// One replica of the operator. Its caches are shared by its controllers; each controller has at most one step that is
/// decided and not carried out yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Replica {
    /// Its copy of the order.
    pub orders: Cache,
    /// Its copy of the payment.
    pub payments: Cache,
    /// Its copy of the ticket.
    pub tickets: Cache,
    /// Its copy of the delivery.
    pub deliveries: Cache,
    /// The epoch since which it has been watching.
    pub since: u8,
    /// The version of the payment that it has just created with an intent, and has not looked at yet: it has sent nothing.
    pub created: Option<u8>,
    /// What its order controller is about to do.
    pub order: Option<OrderFlight>,
    /// What its payment controller is about to do.
    pub payment: Option<PaymentFlight>,
    /// What its ticket controller is about to do.
    pub ticket: Option<TicketFlight>,
    /// What its delivery controller is about to do.
    pub delivery: Option<DeliveryFlight>,
}

impl Replica {
    /// How many of its steps are decided and not carried out.
    pub fn in_flight(&self) -> usize {
        let Self { order, payment, ticket, delivery, .. } = self;
        usize::from(order.is_some())
            + usize::from(payment.is_some())
            + usize::from(ticket.is_some())
            + usize::from(delivery.is_some())
    }
}

impl World {
    /// An order that was just applied and that every replica has seen.
    pub fn new(replicas: usize, every_version: bool) -> Self {
        let seen = Replica { orders: Cache { held: Some(0), watched: 0 }, ..Replica::default() };
        Self {
            orders: Chain(vec![Some(Order::new())]),
            payments: Chain(vec![None]),
            tickets: Chain(vec![None]),
            deliveries: Chain(vec![None]),
            replicas: vec![seen; replicas],
            bank: Bank::default(),
            epoch: 0,
            every_version,
            spent: Spent::default(),
            created: [0; 3],
            queued: false,
            violations: Violations::default(),
            ended_as: None,
        }
    }

    /// How many steps are decided and not carried out, over all replicas.
    pub fn in_flight(&self) -> usize {
        self.replicas.iter().map(Replica::in_flight).sum()
    }

    /// Whether every cache shows what is.
    pub fn is_seen(&self) -> bool {
        (0..self.replicas.len()).all(|r| {
            !self.lags::<Order>(r)
                && !self.lags::<Payment>(r)
                && !self.lags::<Ticket>(r)
                && !self.lags::<Delivery>(r)
        })
    }

    /// Whether the order is gone, or has ended and is being deleted.
    pub fn is_leaving(&self) -> bool {
        self.live::<Order>().is_none_or(|order| order.phase.is_terminal() && order.deleting)
    }

    /// A replica starts anew: it lists what is there, and knows nothing else.
    pub fn restart(&mut self, replica: usize) {
        if let Some(slot) = self.replicas.get_mut(replica) {
            *slot = Replica { since: self.epoch, ..Replica::default() };
        }
        self.list::<Order>(replica);
        self.list::<Payment>(replica);
        self.list::<Ticket>(replica);
        self.list::<Delivery>(replica);
    }

    fn list<K: Kind>(&mut self, replica: usize) {
        self.refresh::<K>(replica);
        let last = K::chain(self).last().0;
        if let Some(slot) = self.replicas.get_mut(replica) {
            K::cache_mut(slot).watched = last;
        }
    }

    /// Brings the state into the one form that stands for all that behave alike.
    #[must_use]
    pub fn canonical(mut self) -> Self {
        if let Some(order) = self.live::<Order>()
            && order.phase.is_terminal()
        {
            if self.ended_as.is_some_and(|ended| ended != order.phase) {
                self.violations.end_changed = true;
            }
            self.ended_as = Some(order.phase);
        }
        self.tidy::<Order>();
        self.tidy::<Payment>();
        self.tidy::<Ticket>();
        self.tidy::<Delivery>();
        self
    }
}

/// A kind of object.
pub trait Kind: Copy + Debug + Eq + Hash + 'static {
    /// Its versions.
    fn chain(world: &World) -> &Chain<Self>;
    /// Its versions, to be written.
    fn chain_mut(world: &mut World) -> &mut Chain<Self>;
    /// A replica's copy.
    fn cache(replica: &Replica) -> &Cache;
    /// A replica's copy, to be changed.
    fn cache_mut(replica: &mut Replica) -> &mut Cache;
    /// Hands every version that a replica's unfinished steps refer to to `visit`.
    fn referenced(replica: &mut Replica, visit: &mut dyn FnMut(&mut u8));
    /// Whether the CEL rules allow the change.
    fn allows(old: &Self, new: &Self) -> bool;
}

macro_rules! fields {
    ($chain:ident, $cache:ident) => {
        fn chain(world: &World) -> &Chain<Self> {
            &world.$chain
        }
        fn chain_mut(world: &mut World) -> &mut Chain<Self> {
            &mut world.$chain
        }
        fn cache(replica: &Replica) -> &Cache {
            &replica.$cache
        }
        fn cache_mut(replica: &mut Replica) -> &mut Cache {
            &mut replica.$cache
        }
    };
}

impl Kind for Order {
    fields!(orders, orders);

    fn referenced(replica: &mut Replica, visit: &mut dyn FnMut(&mut u8)) {
        if let Some(flight) = &mut replica.order {
            visit(&mut flight.version);
        }
        if let Some(TicketFlight::Create(version)) = &mut replica.ticket {
            visit(version);
        }
        if let Some(DeliveryFlight::Create(version)) = &mut replica.delivery {
            visit(version);
        }
    }

    fn allows(old: &Self, new: &Self) -> bool {
        let way = old.phase == new.phase
            || table::reachable(table::ORDER, OrderPhase::ALL, old.phase).contains(&new.phase);
        let verdict = old.verdict.is_none() || old.verdict == new.verdict;
        let received = !new.confirmed
            || old.confirmed
            || matches!(new.phase, OrderPhase::Delivered | OrderPhase::Completed);
        way && verdict && received && (!old.cancel || new.cancel) && (!old.confirmed || new.confirmed)
    }
}

impl Kind for Payment {
    fields!(payments, payments);

    fn referenced(replica: &mut Replica, visit: &mut dyn FnMut(&mut u8)) {
        if let Some(made) = &mut replica.payment {
            visit(&mut made.version);
        }
        if let Some(child) = replica.order.as_mut().and_then(|f| f.payment.as_mut()) {
            visit(child);
        }
    }

    fn allows(old: &Self, new: &Self) -> bool {
        let desired = old.desired == new.desired || table::allows(table::DESIRED, old.desired, new.desired);
        let phase = old.phase == new.phase || table::allows(table::PAYMENT, old.phase, new.phase);
        let reversal = old.reversal.is_none() || old.reversal == new.reversal;
        desired && phase && reversal && (!new.refunded || new.captured)
    }
}

impl Kind for Ticket {
    fields!(tickets, tickets);

    fn referenced(replica: &mut Replica, visit: &mut dyn FnMut(&mut u8)) {
        if let Some(child) = replica.order.as_mut().and_then(|f| f.ticket.as_mut()) {
            visit(child);
        }
    }

    fn allows(old: &Self, new: &Self) -> bool {
        old.stage == new.stage || table::allows(table::TICKET, old.stage, new.stage)
    }
}

impl Kind for Delivery {
    fields!(deliveries, deliveries);

    fn referenced(replica: &mut Replica, visit: &mut dyn FnMut(&mut u8)) {
        if let Some(child) = replica.order.as_mut().and_then(|f| f.delivery.as_mut()) {
            visit(child);
        }
    }

    fn allows(old: &Self, new: &Self) -> bool {
        use DeliveryStage as D;
        let stage = old.stage == new.stage || table::allows(table::DELIVERY, old.stage, new.stage);
        let claim = old.claimed == new.claimed || (old.stage == D::Waiting && new.stage == D::Waiting);
        let carried = !matches!(new.stage, D::PickedUp | D::Delivered | D::Failed) || new.claimed;
        let unclaimed = new.stage != D::Cancelled || !new.claimed;
        stage && claim && carried && unclaimed
    }
}

impl World {
    /// What the API server has.
    pub fn live<K: Kind>(&self) -> Option<K> {
        K::chain(self).last().1
    }

    /// What a replica's cache has, and its version.
    pub fn held<K: Kind>(&self, replica: usize) -> Option<(u8, K)> {
        let number = K::cache(self.replicas.get(replica)?).held?;
        Some((number, K::chain(self).at(number)?))
    }

    /// A new version, unless nothing would change.
    pub fn put<K: Kind>(&mut self, object: Option<K>) {
        let chain = K::chain_mut(self);
        if chain.last().1 != object {
            chain.0.push(object);
        }
    }

    /// A compare-and-set by the operator. A rule that refuses what the operator decided on fresh data is a flaw.
    ///
    /// # Errors
    /// As the API server answers.
    pub fn swap<K: Kind>(
        &mut self,
        version: u8,
        change: impl FnOnce(&K) -> Option<K>,
    ) -> Result<(), WriteError> {
        let (number, live) = K::chain(self).last();
        let live = live.ok_or(WriteError::NotFound)?;
        if number != version {
            return Err(WriteError::Conflict);
        }
        let new = change(&live);
        if new.is_some_and(|new| !K::allows(&live, &new)) {
            self.violations.illegal_step = true;
            return Err(WriteError::Invalid);
        }
        self.put(new);
        Ok(())
    }

    /// Puts what the API server has now into the cache, as after a write or a live read.
    pub fn refresh<K: Kind>(&mut self, replica: usize) -> Option<K> {
        let (number, live) = K::chain(self).last();
        if let Some(replica) = self.replicas.get_mut(replica) {
            K::cache_mut(replica).held = live.map(|_| number);
        }
        live
    }

    /// Whether the watch has something that the cache does not show yet.
    pub fn lags<K: Kind>(&self, replica: usize) -> bool {
        let (number, live) = K::chain(self).last();
        let Some(cache) = self.replicas.get(replica).map(K::cache) else { return false };
        cache.held != live.map(|_| number) || (self.every_version && cache.watched != number)
    }

    /// The watch brings the next version, or, where versions may be skipped, the newest.
    pub fn watch<K: Kind>(&mut self, replica: usize) {
        if !self.every_version {
            self.refresh::<K>(replica);
            return;
        }
        let last = K::chain(self).last().0;
        let Some(cache) = self.replicas.get(replica).map(K::cache).copied() else { return };
        let next = cache.watched.saturating_add(1).min(last);
        let there = K::chain(self).at(next).is_some();
        let newer = cache.held.is_some_and(|held| held > next);
        let held = if newer { cache.held } else { there.then_some(next) };
        if let Some(replica) = self.replicas.get_mut(replica) {
            *K::cache_mut(replica) = Cache { held, watched: next };
        }
    }

    /// Forgets the versions that nobody can meet any more, and numbers the others anew.
    pub fn tidy<K: Kind>(&mut self) {
        let every = self.every_version;
        let last = K::chain(self).last().0;
        let mut used = vec![false; usize::from(last) + 1];
        let mut oldest = last;
        let mut mark = |number: u8| {
            if let Some(slot) = used.get_mut(usize::from(number)) {
                *slot = true;
            }
        };
        mark(last);
        for replica in &mut self.replicas {
            let cache = K::cache_mut(replica);
            if !every {
                cache.watched = 0;
            }
            oldest = oldest.min(cache.watched);
            cache.held.into_iter().for_each(&mut mark);
            K::referenced(replica, &mut |number| mark(*number));
        }
        if every {
            (oldest..=last).for_each(&mut mark);
        }
        if used.iter().all(|kept| *kept) {
            return;
        }
        let mut names = Vec::with_capacity(used.len());
        let mut next = 0_u8;
        for kept in &used {
            names.push(next);
            next += u8::from(*kept);
        }
        let rename = |number: &mut u8| {
            if let Some(name) = names.get(usize::from(*number)) {
                *number = *name;
            }
        };
        for replica in &mut self.replicas {
            K::referenced(replica, &mut |number| rename(number));
            let cache = K::cache_mut(replica);
            cache.held.iter_mut().for_each(rename);
            rename(&mut cache.watched);
        }
        let mut kept = used.into_iter();
        K::chain_mut(self).0.retain(|_| kept.next().unwrap_or(true));
    }

    /// The uid of the next payment (0), ticket (1) or delivery (2).
    pub fn count(&mut self, kind: usize) -> u8 {
        let Some(created) = self.created.get_mut(kind) else { return 0 };
        *created = created.saturating_add(1);
        *created
    }
}
