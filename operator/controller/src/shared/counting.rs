//! Counting, as the controllers of stores and riders do it: how many orders had each dish, and how many deliveries each
//! rider brought. What the objects that are there come to is kept beside their cache; what is kept of those that are gone
//! stands in the status. What follows from both is decided in `saga::counter`.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fooddelivery_api::{Delivery, Order, OrderRef, Rider, Store, Ticket};
use fooddelivery_runtime::api::{ApiError, Namespaced};
use fooddelivery_runtime::cache::{self, Aggregate, Index};
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Cache, Cached, Debounce, Key, Outcome};
use fooddelivery_saga::counter::{Count, CounterView, Deliveries, Dishes, OrderId, Tally, is_long, shown};
use fooddelivery_saga::{delivery, ticket};
use kube::ResourceExt;

use super::children::OfOrder;
use crate::context::{Context, Kind};

/// Maximum number of orders that are read live before one write.
const READ_PER_WRITE_MAX: usize = 50;

/// How long an order that leaves waits for others that leave, too, so that they need one write.
const DEPARTURE_LAG: Duration = Duration::from_millis(400);

/// What an order adds to the count of its `K`.
type Entry<K> = <<K as Counted>::Tally as Tally>::Entry;

/// Something that is counted, once.
pub(crate) trait Counted: Kind + Namespaced + OfOrder {
    /// What they add up to.
    type Tally: Tally<Entry: Send + Sync, Bounds: Send + Sync> + Send + Sync + 'static;
    /// Who counts them.
    type By: Kind + Namespaced;

    /// Whether it has come so far that it belongs into its count.
    fn counts(&self) -> bool;
    /// What it adds to its count.
    fn entry(&self) -> Entry<Self>;
    /// The name of who counts it.
    fn counted_by(&self) -> Option<&str>;
    /// What all that one of them counts have in common.
    fn group(&self) -> Option<&str>;
    /// What all that `by` counts have in common.
    fn group_of(by: &Self::By) -> String;
    /// The list of a count.
    fn departing(by: &Self::By) -> &[OrderRef];
}

impl Counted for Ticket {
    type Tally = Dishes;
    type By = Store;

    fn counts(&self) -> bool {
        ticket::counts(self.spec.stage)
    }

    fn entry(&self) -> Entry<Self> {
        self.spec.items.iter().map(|item| (item.menu_item.clone(), item.quantity)).collect()
    }

    fn counted_by(&self) -> Option<&str> {
        Some(&self.spec.store_ref.name)
    }

    /// A store that was made anew under its name is another one.
    fn group(&self) -> Option<&str> {
        Some(&self.spec.store_ref.uid)
    }

    fn group_of(store: &Store) -> String {
        uid_of(store)
    }

    fn departing(store: &Store) -> &[OrderRef] {
        store.status.as_ref().map_or(&[], |status| &status.departing)
    }
}

impl Counted for Delivery {
    type Tally = Deliveries;
    type By = Rider;

    fn counts(&self) -> bool {
        delivery::counts(self.spec.stage)
    }

    fn entry(&self) {}

    fn counted_by(&self) -> Option<&str> {
        self.spec.rider_ref.as_ref().map(|rider| &*rider.name)
    }

    /// Riders are known by their names alone.
    fn group(&self) -> Option<&str> {
        self.counted_by()
    }

    fn group_of(rider: &Rider) -> String {
        rider.name_any()
    }

    fn departing(rider: &Rider) -> &[OrderRef] {
        rider.status.as_ref().map_or(&[], |status| &status.departing)
    }
}

/// The group that an object counts in.
fn counting_group<K: Counted>(object: &K) -> Option<Cow<'_, str>> {
    object.group().filter(|_| object.counts()).map(Cow::Borrowed)
}

/// The key of who counts an object.
fn counter_key<K: Counted>(object: &K) -> Option<Key> {
    Some(Key::new(&object.namespace().unwrap_or_default(), object.counted_by()?))
}

/// Whether a list has an order.
pub(crate) fn lists(departing: &[OrderRef], order: &OrderRef) -> bool {
    departing.iter().any(|known| known.uid == order.uid)
}

/// The orders in the list of a count, which has a key in the same namespace.
pub(crate) fn listed<K: Counted>(count: &Key, by: Option<&K::By>) -> Vec<Key> {
    let departing = by.map_or(&[][..], K::departing);
    departing.iter().map(|order| Key::new(&count.namespace, &order.name)).collect()
}

/// Whether an object has to wait before it goes: it belongs into a count that does not keep it yet. Where its count may not
/// know it, it is read live, as an old copy may be from before it counted; and so is who counts. A store or rider that
/// is gone, or was made anew, holds nothing up, nor does one that this version cannot read.
pub(crate) async fn awaits_count<K: Counted>(
    context: &Context,
    key: &Key,
    object: &K,
) -> Result<bool, ApiError> {
    let (cache, counters) = (K::cache(&context.caches), K::By::cache(&context.caches));
    let is_kept = |by: &K::By, object: &K| {
        object.group() == Some(&*K::group_of(by)) && lists(K::departing(by), object.order_ref())
    };
    let known = counter_key(object).and_then(|by| counters.object(&by));
    if known.is_some_and(|by| is_kept(&by, object)) {
        return Ok(false);
    }
    let live = context.refresh(cache, key).await?;
    let Some(live) = live.filter(|live| live.uid() == object.uid() && live.counts()) else {
        return Ok(false);
    };
    let Some(by) = counter_key(&live) else { return Ok(false) };
    let by = who_counts(context, counters, &by).await?;
    Ok(by.is_some_and(|by| live.group() == Some(&*K::group_of(&by)) && !is_kept(&by, &live)))
}

/// Who would count, read live. One that this version cannot read counts nothing, and is waited for by nobody.
pub(crate) async fn who_counts<K: Namespaced>(
    context: &Context,
    cache: &Cache<K>,
    key: &Key,
) -> Result<Option<K>, ApiError> {
    match cache.get(key) {
        Some(Cached::Malformed(_)) => Ok(None),
        _ => context.refresh(cache, key).await,
    }
}

/// What the objects of one count that are there come to.
struct Live<K: Counted>(K::Tally);

impl<K: Counted> Default for Live<K> {
    fn default() -> Self {
        Self(K::Tally::default())
    }
}

impl<K: Counted> Clone for Live<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Counted> Aggregate<K> for Live<K> {
    fn add(&mut self, object: &K) {
        self.0.put_in(&object.entry());
    }

    fn remove(&mut self, object: &K) {
        self.0.take_out(&object.entry());
    }
}

/// What is known of all counts of a kind of objects beside what stands in them, and when each is to be written.
pub(crate) struct Counting<K: Counted> {
    live: cache::Tally<Live<K>>,
    members: Index,
    /// Counts of which an object may be about to go.
    departures: Mutex<HashSet<Key>>,
    departure_lag: Debounce,
    lag: Debounce,
}

impl<K: Counted> Counting<K> {
    /// Over the cache of these objects, as it is and will be.
    pub(crate) fn new(context: &Context) -> Arc<Self> {
        let lag = context.settings.count_lag();
        Arc::new(Self {
            live: K::cache(&context.caches).tally(counting_group),
            members: K::cache(&context.caches).index(counting_group),
            departures: Mutex::default(),
            departure_lag: Debounce::new(lag.min(DEPARTURE_LAG)),
            lag: Debounce::new(lag),
        })
    }

    fn departures(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.departures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counts that a change of an object under `key` concerns.
    pub(crate) fn concerned(&self, context: &Context, key: &Key, object: Option<&K>) -> Vec<Key> {
        let Some(object) = object.filter(|object| object.counts()) else { return Vec::new() };
        let Some(by) = counter_key(object) else { return Vec::new() };
        if leaves(context, key, object) {
            self.look_for_departures(&by);
        }
        vec![by]
    }

    /// The counts that a change of the order under `key` concerns: its object may be about to go.
    pub(crate) fn concerned_by_order(&self, context: &Context, key: &Key) -> Vec<Key> {
        let object = K::cache(&context.caches).object(key);
        let object = object.filter(|object| leaves(context, key, &**object));
        self.concerned(context, key, object.as_deref())
    }

    /// What a decision about a count depends on, when it is time to decide; if not, how the reconcile ends.
    pub(crate) async fn view(
        &self,
        context: &Context,
        key: &Key,
        by: &K::By,
        count: Count<K::Tally>,
        bounds: <K::Tally as Tally>::Bounds,
    ) -> Result<ControlFlow<Outcome, CounterView<K::Tally>>, ApiError> {
        let listing = Listing { context, key, departing: K::departing(by), group: K::group_of(by) };
        let differs = shown(&count.base, &self.live(&listing), &bounds) != count.shown;
        if let ControlFlow::Break(outcome) = self.is_due(key, listing.makes_room::<K>(), differs) {
            return Ok(ControlFlow::Break(outcome));
        }
        let candidates = self.leaving(&listing);
        let read: Vec<Key> = candidates.iter().take(READ_PER_WRITE_MAX).cloned().collect();
        let mut leaving = Vec::new();
        for key in &read {
            if let Some(object) = listing.leaving_live::<K>(key).await? {
                leaving.push((OrderId::from(object.order_ref()), object.entry()));
            }
        }
        let gone = listing.gone::<K>().await?;
        // Only now, so that what was read live is in it.
        let live = self.live(&listing);
        let (candidates, read) = (candidates.len(), read.len());
        Ok(ControlFlow::Continue(CounterView { count, live, candidates, read, leaving, gone, bounds }))
    }

    fn is_due(&self, key: &Key, makes_room: bool, differs: bool) -> ControlFlow<Outcome> {
        let departs = makes_room || self.departures().contains(key);
        if !departs && !differs {
            self.rested(key);
            return ControlFlow::Break(Outcome::Done);
        }
        let departure = departs.then(|| self.departure_lag.remaining(key));
        let difference = differs.then(|| self.lag.remaining(key));
        match (departure, difference) {
            (Some(None), _) | (_, Some(None)) => ControlFlow::Continue(()),
            (departure, difference) => {
                let left = departure.flatten().into_iter().chain(difference.flatten()).min();
                ControlFlow::Break(Outcome::After(left.unwrap_or_default()))
            }
        }
    }

    /// What the objects of a count that are there come to, but for those of orders in its list. An event that comes between
    /// the two looks has the count looked at again.
    fn live(&self, listing: &Listing<'_>) -> K::Tally {
        let Live(mut live) = self.live.of(&Key::new(&listing.key.namespace, &listing.group));
        for object in listing.departing.iter().filter_map(|order| listing.cached::<K>(order)) {
            if counting_group(&*object).is_some_and(|group| *group == listing.group) {
                live.take_out(&object.entry());
            }
        }
        live
    }

    /// The objects of a count that are about to go and are not in its list, by the caches. There are others to look for until
    /// there is none.
    fn leaving(&self, listing: &Listing<'_>) -> Vec<Key> {
        if !self.departures().remove(listing.key) {
            return Vec::new();
        }
        let cache = K::cache(&listing.context.caches);
        let mut leaving = self.members.keys_in(&listing.key.namespace, &listing.group);
        leaving.retain(|key| {
            let object = cache.object(key).filter(|object| leaves(listing.context, key, &**object));
            object.is_some_and(|object| !lists(listing.departing, object.order_ref()))
        });
        if !leaving.is_empty() {
            self.look_for_departures(listing.key);
        }
        leaving
    }

    /// Any object of a count may be about to go.
    pub(crate) fn look_for_departures(&self, key: &Key) {
        self.departures().insert(key.clone());
    }

    /// Who counts is not there, or is another replica's.
    pub(crate) fn gone(&self, key: &Key) {
        self.departures().remove(key);
        self.rested(key);
    }

    /// A count is as it should be, as far as it can be.
    pub(crate) fn rested(&self, key: &Key) {
        self.departure_lag.clear(key);
        self.lag.clear(key);
    }
}

/// Whether an object is about to go, by the caches: its order leaves, or is not there.
fn leaves<K: Counted>(context: &Context, key: &Key, object: &K) -> bool {
    let order = &object.order_ref();
    let known = context.caches.orders.object(&Key::new(&key.namespace, &order.name));
    known.filter(|known| uid_of(&**known) == order.uid).is_none_or(|known| known.is_leaving())
}

/// The list of one count, in the copy that is written over.
struct Listing<'a> {
    context: &'a Context,
    key: &'a Key,
    departing: &'a [OrderRef],
    group: String,
}

impl Listing<'_> {
    /// The object of an order in the list, as the cache has it.
    fn cached<K: Counted>(&self, order: &OrderRef) -> Option<Arc<K>> {
        let object = K::cache(&self.context.caches).object(&Key::new(&self.key.namespace, &order.name));
        object.filter(|object| object.order_ref().uid == order.uid)
    }

    /// Whether an order in the list seems to be gone: one that cannot be read is there.
    fn seems_gone<K: Counted>(&self, order: &OrderRef) -> bool {
        let key = Key::new(&self.key.namespace, &order.name);
        match K::cache(&self.context.caches).get(&key) {
            None => true,
            Some(Cached::Malformed(_)) => false,
            Some(Cached::Object(object)) => object.order_ref().uid != order.uid,
        }
    }

    /// Whether the list is long, and somebody may leave it.
    fn makes_room<K: Counted>(&self) -> bool {
        is_long(self.departing.len()) && self.departing.iter().any(|order| self.seems_gone::<K>(order))
    }

    /// The object under `key`, read live, if it is of this count and about to go. That its order is not there is believed only
    /// when it was read live.
    async fn leaving_live<K: Counted>(&self, key: &Key) -> Result<Option<K>, ApiError> {
        let live = self.context.refresh(K::cache(&self.context.caches), key).await?;
        let live = live.filter(|object| counting_group(object).is_some_and(|group| *group == self.group));
        let Some(object) = live else { return Ok(None) };
        let of = object.order_ref();
        let orders = &self.context.caches.orders;
        let order_key = Key::new(&key.namespace, &of.name);
        let is_it = |order: &Order| uid_of(order) == of.uid;
        if orders.object(&order_key).is_some_and(|order| is_it(&order) && order.is_leaving()) {
            return Ok(Some(object));
        }
        let order = self.context.refresh(orders, &order_key).await?.filter(is_it);
        Ok(order.is_none_or(|order| order.is_leaving()).then_some(object))
    }

    /// Who may leave the list: whose object the cache does not have, nor the API server. Looked for only when the list is
    /// long.
    async fn gone<K: Counted>(&self) -> Result<BTreeSet<String>, ApiError> {
        let mut gone = BTreeSet::new();
        if !is_long(self.departing.len()) {
            return Ok(gone);
        }
        for order in self.departing.iter().filter(|order| self.seems_gone::<K>(order)) {
            let key = Key::new(&self.key.namespace, &order.name);
            let live = self.context.refresh(K::cache(&self.context.caches), &key).await?;
            if live.is_none_or(|live: K| live.order_ref().uid != order.uid) {
                gone.insert(order.uid.clone());
            }
        }
        Ok(gone)
    }
}
