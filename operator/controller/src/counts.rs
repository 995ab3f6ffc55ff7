//! Counts: how many orders had each dish, and how many deliveries each rider brought. Each is folded once: see
//! `saga::tally`. A ticket or delivery says so in its own status, with its next mirror.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::{Delivery, OrderRef, Rider, RiderStatus, Store, StoreStatus, Ticket, convert};
use fooddelivery_saga::tally::{OrderId, fold, is_long};
use fooddelivery_saga::{delivery, ticket};
use kube::ResourceExt;
use tracing::info;

use crate::api::{ApiError, Namespaced};
use crate::context::{Context, OfOrder};
use crate::engine::{Cache, Key, Outcome, ReconcileError, Reconciler};
use crate::events::uid_of;
use crate::lag::Lag;
use crate::planted::{self, Bug};

/// So many are read live for one write.
const BATCH: usize = 50;

/// Something that is counted, once.
pub(crate) trait Counted: Namespaced + OfOrder {
    /// Whether it belongs into a count.
    fn is_owed(&self) -> bool;
    /// Whether it says that it is counted.
    fn says_counted(&self) -> bool;
}

impl Counted for Ticket {
    fn is_owed(&self) -> bool {
        ticket::counts(self.spec.stage) && !self.says_counted()
    }

    fn says_counted(&self) -> bool {
        self.status.as_ref().is_some_and(|s| s.counted)
    }
}

impl Counted for Delivery {
    fn is_owed(&self) -> bool {
        delivery::counts(self.spec.stage) && !self.says_counted()
    }

    fn says_counted(&self) -> bool {
        self.status.as_ref().is_some_and(|s| s.counted)
    }
}

/// Whether an order is in a count, and its object may not say so yet.
pub(crate) fn lists(counting: &[OrderRef], order: &OrderRef) -> bool {
    counting.iter().any(|known| known.uid == order.uid)
}

/// The list of a count.
fn listed(counting: &[OrderRef]) -> Vec<OrderId> {
    if planted::has(Bug::CountOnEvent) { Vec::new() } else { convert::ids(counting) }
}

fn id(order: &OrderRef) -> OrderId {
    OrderId { name: order.name.clone(), uid: order.uid.clone() }
}

/// What is owed and not listed: by the caches.
fn owed<K: Counted>(
    cache: &Cache<K>,
    namespace: &str,
    counting: &[OrderRef],
    is_its_own: impl Fn(&K) -> bool,
) -> Vec<Key> {
    cache.keys_where(|object| {
        object.namespace().as_deref() == Some(namespace)
            && is_its_own(object)
            && object.is_owed()
            && (planted::has(Bug::CountOnEvent) || !lists(counting, object.order_ref()))
    })
}

/// The same, read live, after the copy of the count that is written over was taken.
async fn owed_live<K: Counted>(
    context: &Context,
    cache: &Cache<K>,
    keys: &[Key],
    is_its_own: impl Fn(&K) -> bool,
) -> Result<Vec<K>, ApiError> {
    let mut found = Vec::new();
    for key in keys.iter().take(BATCH) {
        let live = context.refresh(cache, key).await?;
        found.extend(live.filter(|object| is_its_own(object) && object.is_owed()));
    }
    Ok(found)
}

/// Who may leave the list: whose object says that it is counted. (That it is not owed is not enough: a copy may be older
/// than what it was counted for.) One that is gone is looked for live, and only when the list is long.
async fn settled<K: Counted>(
    context: &Context,
    cache: &Cache<K>,
    namespace: &str,
    counting: &[OrderRef],
) -> Result<BTreeSet<String>, ApiError> {
    let mut settled = BTreeSet::new();
    for order in counting {
        let key = Key::new(namespace, &order.name);
        let is_of = |object: &K| object.order_ref().uid == order.uid;
        let mut object = cache.object(&key).filter(|object| is_of(object));
        if object.is_none() && is_long(counting.len()) {
            object = context.refresh(cache, &key).await?.filter(is_of).map(Arc::new);
            if object.is_none() {
                settled.insert(order.uid.clone());
            }
        }
        if object.is_some_and(|object| object.says_counted()) {
            settled.insert(order.uid.clone());
        }
    }
    Ok(settled)
}

/// Whether a ticket has its store count: it is owed; or it says that it is counted, and others may wait for its place in
/// the list.
pub(crate) fn concerns_store(context: &Context, key: &Key, ticket: &Ticket) -> bool {
    let store = || context.stores.object(&Key::new(&key.namespace, &ticket.spec.store_ref.name));
    let is_crowded = || store().is_some_and(|s| s.status.as_ref().is_some_and(|s| is_long(s.counting.len())));
    ticket.is_owed() || (ticket::counts(ticket.spec.stage) && is_crowded())
}

/// The same for a delivery and its rider.
pub(crate) fn concerns_rider(context: &Context, key: &Key, delivery: &Delivery) -> bool {
    let Some(name) = delivery.spec.rider_ref.as_ref().map(|r| &r.name) else { return false };
    let rider = || context.riders.object(&Key::new(&key.namespace, name));
    let is_crowded = || rider().is_some_and(|r| r.status.as_ref().is_some_and(|s| is_long(s.counting.len())));
    delivery.is_owed() || (delivery::counts(delivery.spec.stage) && is_crowded())
}

/// Half of the mirrors' lag: so that the mirror that follows says that it is counted.
fn lag(context: &Context) -> Lag {
    Lag::new(context.mirror_lag / 2)
}

/// The store controller.
pub struct Stores {
    context: Arc<Context>,
    lag: Lag,
}

impl Stores {
    /// Over the shared context.
    pub fn new(context: Arc<Context>) -> Self {
        let lag = lag(&context);
        Self { context, lag }
    }

    /// Says whether it came further with `keys`; if not, the list is full, and has room when tickets say that they are
    /// counted.
    async fn count(&self, key: &Key, store: &Store, keys: &[Key]) -> Result<bool, ApiError> {
        let context = &self.context;
        let uid = uid_of(store);
        let is_its_own = |ticket: &Ticket| ticket.spec.store_ref.uid == uid;
        let old = store.status.clone().unwrap_or_default();
        let live = owed_live(context, &context.tickets, keys, is_its_own).await?;
        let lines = |ticket: &Ticket| {
            let items = ticket.spec.items.iter();
            items.map(|item| (item.menu_item.clone(), item.quantity)).collect::<Vec<_>>()
        };
        let owed = live.iter().map(|ticket| (id(&ticket.spec.order_ref), lines(ticket))).collect();
        let settled = settled(context, &context.tickets, &key.namespace, &old.counting).await?;
        let Some(fold) = fold(&listed(&old.counting), owed, &settled) else {
            return Ok(live.len() < keys.len().min(BATCH));
        };
        let mut dishes = old.to_dishes();
        for lines in &fold.added {
            dishes.add(lines);
        }
        dishes.retire(&store.spec.menu.iter().map(|dish| dish.name.clone()).collect());
        let new = StoreStatus::from_dishes(&dishes, &fold.list);
        context.write_status(&context.stores, store, &old, &new).await?;
        info!(orders = fold.added.len(), "orders counted");
        Ok(true)
    }
}

impl Reconciler for Stores {
    fn name(&self) -> &'static str {
        "store"
    }

    fn is_of_orders(&self) -> bool {
        false
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &self.context;
        let Some(store) = context.stores.object(&key) else { return Ok(Outcome::Done) };
        let uid = uid_of(&*store);
        let counting = store.status.as_ref().map(|s| s.counting.clone()).unwrap_or_default();
        let keys = owed(&context.tickets, &key.namespace, &counting, |t| t.spec.store_ref.uid == uid);
        if keys.is_empty() {
            self.lag.settled(&key);
            return Ok(Outcome::Done);
        }
        if let Some(left) = self.lag.left(&key) {
            return Ok(Outcome::After(left));
        }
        let came_further = self.count(&key, &store, &keys).await?;
        self.lag.settled(&key);
        Ok(if came_further && keys.len() > BATCH { Outcome::After(Duration::ZERO) } else { Outcome::Done })
    }
}

/// The rider controller.
pub struct Riders {
    context: Arc<Context>,
    lag: Lag,
}

impl Riders {
    /// Over the shared context.
    pub fn new(context: Arc<Context>) -> Self {
        let lag = lag(&context);
        Self { context, lag }
    }

    /// As [`Stores::count`].
    async fn count(&self, key: &Key, rider: &Rider, keys: &[Key]) -> Result<bool, ApiError> {
        let context = &self.context;
        let old = rider.status.clone().unwrap_or_default();
        let live = owed_live(context, &context.deliveries, keys, |d| brought_by(d, &key.name)).await?;
        let owed = live.iter().map(|delivery| (id(&delivery.spec.order_ref), ())).collect();
        let settled = settled(context, &context.deliveries, &key.namespace, &old.counting).await?;
        let Some(fold) = fold(&listed(&old.counting), owed, &settled) else {
            return Ok(live.len() < keys.len().min(BATCH));
        };
        let added = i64::try_from(fold.added.len()).unwrap_or(i64::MAX);
        let new = RiderStatus {
            deliveries: old.deliveries.saturating_add(added),
            counting: convert::references(&fold.list),
        };
        context.write_status(&context.riders, rider, &old, &new).await?;
        info!(deliveries = new.deliveries, "deliveries counted");
        Ok(true)
    }
}

fn brought_by(delivery: &Delivery, rider: &str) -> bool {
    delivery.spec.rider_ref.as_ref().is_some_and(|r| r.name == rider)
}

impl Reconciler for Riders {
    fn name(&self) -> &'static str {
        "rider"
    }

    fn is_of_orders(&self) -> bool {
        false
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &self.context;
        let Some(rider) = context.riders.object(&key) else { return Ok(Outcome::Done) };
        let counting = rider.status.as_ref().map(|s| s.counting.clone()).unwrap_or_default();
        let keys = owed(&context.deliveries, &key.namespace, &counting, |d| brought_by(d, &key.name));
        if keys.is_empty() {
            self.lag.settled(&key);
            return Ok(Outcome::Done);
        }
        if let Some(left) = self.lag.left(&key) {
            return Ok(Outcome::After(left));
        }
        let came_further = self.count(&key, &rider, &keys).await?;
        self.lag.settled(&key);
        Ok(if came_further && keys.len() > BATCH { Outcome::After(Duration::ZERO) } else { Outcome::Done })
    }
}
