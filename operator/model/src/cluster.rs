//! The API server and the caches: versions of objects, compare-and-set, stale copies, own-write memory. It knows how
//! writes are arbitrated, and nothing of what they mean.

use std::fmt::Debug;
use std::hash::Hash;

use fooddelivery_saga::phases::OrderPhase;
use fooddelivery_saga::table;

use crate::children::{DeliveryFlight, TicketFlight};
use crate::objects::{Delivery, Order, Payment, Ticket};
use crate::world::{Replica, World};

/// The versions of an object that somebody may still hold, oldest first; the last one is what the API server has.
/// Where there is `None` the object did not exist, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chain<K>(pub Vec<Option<K>>);

impl<K: Copy> Chain<K> {
    /// The version that the API server has, and its number.
    pub fn last(&self) -> (u8, Option<K>) {
        let number = self.0.len().saturating_sub(1);
        (u8::try_from(number).unwrap_or(u8::MAX), self.0.last().copied().flatten())
    }

    /// A version.
    pub fn at(&self, number: u8) -> Option<K> {
        self.0.get(usize::from(number)).copied().flatten()
    }
}

/// What a replica has of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Cache {
    /// The version in the cache, `None` when there is no object in it.
    pub held: Option<u8>,
    /// How far the watch has come. Only kept where the watch brings every version.
    pub watched: u8,
}

/// Why a write was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Somebody wrote first.
    Conflict,
    /// There is no such object.
    NotFound,
    /// A CEL rule refuses the step.
    Invalid,
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
    fn in_hand(replica: &mut Replica, visit: &mut dyn FnMut(&mut u8));
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

    fn in_hand(replica: &mut Replica, visit: &mut dyn FnMut(&mut u8)) {
        if let Some(flight) = &mut replica.order {
            visit(&mut flight.hand);
        }
        if let Some(TicketFlight::Create(hand)) = &mut replica.ticket {
            visit(hand);
        }
        if let Some(DeliveryFlight::Create(hand)) = &mut replica.delivery {
            visit(hand);
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

    fn in_hand(replica: &mut Replica, visit: &mut dyn FnMut(&mut u8)) {
        if let Some(made) = &mut replica.payment {
            visit(&mut made.hand);
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

    fn in_hand(replica: &mut Replica, visit: &mut dyn FnMut(&mut u8)) {
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

    fn in_hand(replica: &mut Replica, visit: &mut dyn FnMut(&mut u8)) {
        if let Some(child) = replica.order.as_mut().and_then(|f| f.delivery.as_mut()) {
            visit(child);
        }
    }

    fn allows(old: &Self, new: &Self) -> bool {
        use fooddelivery_saga::phases::DeliveryStage as D;
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
    pub fn swap<K: Kind>(&mut self, hand: u8, change: impl FnOnce(&K) -> Option<K>) -> Result<(), Refused> {
        let (number, live) = K::chain(self).last();
        let live = live.ok_or(Refused::NotFound)?;
        if number != hand {
            return Err(Refused::Conflict);
        }
        let new = change(&live);
        if new.is_some_and(|new| !K::allows(&live, &new)) {
            self.flaws.illegal_step = true;
            return Err(Refused::Invalid);
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
            K::in_hand(replica, &mut |number| mark(*number));
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
            K::in_hand(replica, &mut |number| rename(number));
            let cache = K::cache_mut(replica);
            cache.held.iter_mut().for_each(rename);
            rename(&mut cache.watched);
        }
        let mut kept = used.into_iter();
        K::chain_mut(self).0.retain(|_| kept.next().unwrap_or(true));
    }
}
