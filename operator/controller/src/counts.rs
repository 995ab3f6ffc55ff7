//! Counts: how many orders had each dish, and how many deliveries each rider brought. Each is folded once: see
//! `saga::counter`. A ticket or delivery says so in its own status, with its next mirror.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::{Delivery, OrderRef, RiderStatus, StoreStatus, Ticket, convert};
use fooddelivery_saga::counter::{Batch, OrderId, batch, is_long};
use fooddelivery_saga::{delivery, ticket};
use kube::ResourceExt;
use tracing::info;

use crate::api::{ApiError, Namespaced};
use crate::context::{Context, OfOrder};
use crate::engine::{Cache, Key, Outcome, ReconcileError, Reconciler};
use crate::events::uid_of;
use crate::lag::Lag;
use crate::planted::{self, Bug};
use crate::settings::ControllerName;

/// So many are read live for one write.
const BATCH: usize = 50;

/// Something that is counted, once.
pub(crate) trait Counted: Namespaced + OfOrder {
    /// Whether it has come so far that it belongs into its count.
    fn counts(&self) -> bool;

    /// Whether it says that it is counted.
    fn is_marked(&self) -> bool;

    /// What `look` sees in the list of its count, as the cache has it; nothing where there is no such count.
    fn in_list<T>(&self, context: &Context, look: impl FnOnce(&[OrderRef]) -> T) -> T;

    /// Whether it belongs into its count and does not say that it is there.
    fn is_owed(&self) -> bool {
        self.counts() && !self.is_marked()
    }

    /// Whether its count has it, and it may not say so yet.
    fn is_listed(&self, context: &Context) -> bool {
        self.in_list(context, |list| lists(list, self.order_ref()))
    }

    /// Whether others may wait for a place in the list.
    fn list_is_long(&self, context: &Context) -> bool {
        self.in_list(context, |list| is_long(list.len()))
    }

    /// Whether those who count are to look: it is owed; or it says that it is counted, and others may wait for its place.
    fn concerns_its_count(&self, context: &Context) -> bool {
        self.is_owed() || (self.counts() && self.list_is_long(context))
    }
}

impl Counted for Ticket {
    fn counts(&self) -> bool {
        ticket::counts(self.spec.stage)
    }

    fn is_marked(&self) -> bool {
        self.status.as_ref().is_some_and(|s| s.counted)
    }

    fn in_list<T>(&self, context: &Context, look: impl FnOnce(&[OrderRef]) -> T) -> T {
        let reference = &self.spec.store_ref;
        let key = Key::new(&self.namespace().unwrap_or_default(), &reference.name);
        let store = context.stores.object(&key).filter(|store| uid_of(&**store) == reference.uid);
        look(store.as_ref().and_then(|s| s.status.as_ref()).map_or(&[], |status| &status.recently_counted))
    }
}

impl Counted for Delivery {
    fn counts(&self) -> bool {
        delivery::counts(self.spec.stage)
    }

    fn is_marked(&self) -> bool {
        self.status.as_ref().is_some_and(|s| s.counted)
    }

    fn in_list<T>(&self, context: &Context, look: impl FnOnce(&[OrderRef]) -> T) -> T {
        let namespace = self.namespace().unwrap_or_default();
        let reference = self.spec.rider_ref.as_ref();
        let rider = reference.and_then(|rider| context.riders.object(&Key::new(&namespace, &rider.name)));
        look(rider.as_ref().and_then(|r| r.status.as_ref()).map_or(&[], |status| &status.recently_counted))
    }
}

/// Whether a list has an order.
pub(crate) fn lists(recently_counted: &[OrderRef], order: &OrderRef) -> bool {
    recently_counted.iter().any(|known| known.uid == order.uid)
}

/// The dishes of a ticket, and how many of each, line by line.
pub(crate) fn lines(ticket: &Ticket) -> Vec<(String, i64)> {
    ticket.spec.items.iter().map(|item| (item.menu_item.clone(), item.quantity)).collect()
}

/// Whether a rider took a delivery.
pub(crate) fn is_of_rider(delivery: &Delivery, rider: &str) -> bool {
    delivery.spec.rider_ref.as_ref().is_some_and(|r| r.name == rider)
}

/// What a count has to look at: of its own, and in which list of its own.
struct Tally<'a, K> {
    context: &'a Context,
    cache: &'a Cache<K>,
    namespace: &'a str,
    recently_counted: &'a [OrderRef],
}

/// What comes of a look at a count.
struct Turn<T> {
    /// What is to be written, if anything is.
    batch: Option<Batch<T>>,
    /// Whether the next look will see less; if not, the list is full, and has room when those in it say that they are
    /// counted.
    came_further: bool,
}

impl<K: Counted> Tally<'_, K> {
    /// What is owed and not listed: by the caches.
    fn owed(&self, is_its_own: impl Fn(&K) -> bool) -> Vec<Key> {
        self.cache.keys_in(self.namespace, |object| {
            let is_new = planted::has(Bug::CountOnEvent) || !lists(self.recently_counted, object.order_ref());
            is_its_own(object) && object.is_owed() && is_new
        })
    }

    /// What is to be written of `keys`, which are read live: after the copy of the count that is written over was taken.
    async fn batch<T>(
        &self,
        keys: &[Key],
        is_its_own: impl Fn(&K) -> bool,
        what: impl Fn(&K) -> T,
    ) -> Result<Turn<T>, ApiError> {
        let keys = &keys[..keys.len().min(BATCH)];
        let mut owed = Vec::new();
        for key in keys {
            let live = self.context.refresh(self.cache, key).await?;
            let live = live.filter(|object| is_its_own(object) && object.is_owed());
            owed.extend(live.map(|object| (OrderId::from(object.order_ref()), what(&object))));
        }
        let some_are_settled = owed.len() < keys.len();
        let settled = self.settled().await?;
        let list =
            if planted::has(Bug::CountOnEvent) { Vec::new() } else { convert::ids(self.recently_counted) };
        let batch = batch(&list, owed, &settled);
        Ok(Turn { came_further: batch.is_some() || some_are_settled, batch })
    }

    /// Who may leave the list: whose object says that it is counted. (That it is not owed is not enough: a copy may be
    /// older than what it was counted for.) One that is gone is looked for live, and only when the list is long.
    async fn settled(&self) -> Result<BTreeSet<String>, ApiError> {
        let mut settled = BTreeSet::new();
        for order in self.recently_counted {
            let key = Key::new(self.namespace, &order.name);
            let is_of = |object: &K| object.order_ref().uid == order.uid;
            let mut object = self.cache.object(&key).filter(|object| is_of(object));
            if object.is_none() && is_long(self.recently_counted.len()) {
                object = self.context.refresh(self.cache, &key).await?.filter(is_of).map(Arc::new);
                if object.is_none() {
                    settled.insert(order.uid.clone());
                }
            }
            if object.is_some_and(|object| object.is_marked()) {
                settled.insert(order.uid.clone());
            }
        }
        Ok(settled)
    }
}

/// When to count.
struct RetryAfter(Lag);

impl RetryAfter {
    /// Half of the mirrors' lag: so that the mirror that follows says that it is counted.
    fn new(context: &Context) -> Self {
        Self(Lag::new(context.mirror_lag / 2))
    }

    /// Counts `keys` when it is time to; `count` says whether it came further.
    async fn keep(
        &self,
        key: &Key,
        keys: &[Key],
        count: impl Future<Output = Result<bool, ApiError>>,
    ) -> Result<Outcome, ReconcileError> {
        if keys.is_empty() {
            self.0.settled(key);
            return Ok(Outcome::Done);
        }
        if let Some(left) = self.0.left(key) {
            return Ok(Outcome::After(left));
        }
        let came_further = count.await?;
        self.0.settled(key);
        Ok(if came_further && keys.len() > BATCH { Outcome::After(Duration::ZERO) } else { Outcome::Done })
    }
}

/// The store controller.
pub struct Stores {
    context: Arc<Context>,
    pace: RetryAfter,
}

impl Stores {
    /// Over the shared context.
    pub fn new(context: Arc<Context>) -> Self {
        let pace = RetryAfter::new(&context);
        Self { context, pace }
    }
}

impl Reconciler for Stores {
    fn name(&self) -> &'static str {
        ControllerName::Store.word()
    }

    fn is_mine(&self, key: &Key) -> bool {
        self.context.has(ControllerName::Store, &self.context.stores, key)
    }

    fn is_of_orders(&self) -> bool {
        false
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &*self.context;
        let Some(store) = context.stores.object(&key) else { return Ok(Outcome::Done) };
        let old = store.status.clone().unwrap_or_default();
        let uid = uid_of(&*store);
        let is_its_own = |ticket: &Ticket| ticket.spec.store_ref.uid == uid;
        let (cache, namespace, recently_counted) =
            (&*context.tickets, &*key.namespace, &*old.recently_counted);
        let tally = Tally { context, cache, namespace, recently_counted };
        let keys = tally.owed(is_its_own);
        let count = async {
            let turn = tally.batch(&keys, is_its_own, lines).await?;
            if let Some(batch) = turn.batch {
                let mut dishes = old.to_dishes();
                for lines in &batch.added {
                    dishes.add(lines);
                }
                dishes.retire(&store.spec.menu.iter().map(|dish| dish.name.clone()).collect());
                let new = StoreStatus::from_dishes(&dishes, &batch.list);
                context.write_status(&context.stores, &*store, &old, &new).await?;
                info!(orders = batch.added.len(), "orders counted");
            }
            Ok(turn.came_further)
        };
        self.pace.keep(&key, &keys, count).await
    }
}

/// The rider controller.
pub struct Riders {
    context: Arc<Context>,
    pace: RetryAfter,
}

impl Riders {
    /// Over the shared context.
    pub fn new(context: Arc<Context>) -> Self {
        let pace = RetryAfter::new(&context);
        Self { context, pace }
    }
}

impl Reconciler for Riders {
    fn name(&self) -> &'static str {
        ControllerName::Rider.word()
    }

    fn is_mine(&self, key: &Key) -> bool {
        self.context.has(ControllerName::Rider, &self.context.riders, key)
    }

    fn is_of_orders(&self) -> bool {
        false
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &*self.context;
        let Some(rider) = context.riders.object(&key) else { return Ok(Outcome::Done) };
        let old = rider.status.clone().unwrap_or_default();
        let is_its_own = |delivery: &Delivery| is_of_rider(delivery, &key.name);
        let (cache, namespace, recently_counted) =
            (&*context.deliveries, &*key.namespace, &*old.recently_counted);
        let tally = Tally { context, cache, namespace, recently_counted };
        let keys = tally.owed(is_its_own);
        let count = async {
            let turn = tally.batch(&keys, is_its_own, |_| ()).await?;
            if let Some(batch) = turn.batch {
                let added = i64::try_from(batch.added.len()).unwrap_or(i64::MAX);
                let new = RiderStatus {
                    deliveries: old.deliveries.saturating_add(added),
                    recently_counted: convert::references(&batch.list),
                };
                context.write_status(&context.riders, &*rider, &old, &new).await?;
                info!(deliveries = new.deliveries, "deliveries counted");
            }
            Ok(turn.came_further)
        };
        self.pace.keep(&key, &keys, count).await
    }
}
