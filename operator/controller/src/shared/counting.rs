//! Counting, as the controllers of stores and riders do it: how many orders had each dish, and how many deliveries each
//! rider brought. Each is counted once; what follows from what is read here is decided in `saga::counter`. A ticket or
//! delivery says that it is counted in its own status, with its next mirror.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Delivery, OrderRef, Ticket, convert};
use fooddelivery_runtime::api::{ApiError, Namespaced};
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Cache, Debounce, Key, Outcome};
use fooddelivery_saga::counter::{CounterView, OrderId, Tally, is_long};
use fooddelivery_saga::{delivery, ticket};
use kube::ResourceExt;

use super::children::OfOrder;
use crate::context::Context;

/// Maximum live reads per status write.
const LIVE_READS_PER_WRITE_MAX: usize = 50;

/// Something that is counted, once.
pub(crate) trait Counted: Namespaced + OfOrder {
    /// Whether it has come so far that it belongs into its count.
    fn counts(&self) -> bool;

    /// Whether it says that it is counted.
    fn is_marked(&self) -> bool;

    /// What `look` sees in the list of its count, as the cache has it; nothing where there is no such count.
    fn in_list<T>(&self, context: &Context, look: impl FnOnce(&[OrderRef]) -> T) -> T;

    /// Whether it belongs into its count and does not say that it is there.
    fn is_uncounted(&self) -> bool {
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

    /// Whether those who count are to look: it is uncounted; or it says that it is counted, and others may wait for its place.
    fn concerns_its_count(&self, context: &Context) -> bool {
        self.is_uncounted() || (self.counts() && self.list_is_long(context))
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
        let store = context.caches.stores.object(&key).filter(|store| uid_of(&**store) == reference.uid);
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
        let rider =
            reference.and_then(|rider| context.caches.riders.object(&Key::new(&namespace, &rider.name)));
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

/// What one count is made of: the objects of its kind, and the list of those that it counted recently.
pub(crate) struct CountSource<'a, K> {
    /// The shared context.
    pub(crate) context: &'a Context,
    /// The objects that are counted.
    pub(crate) cache: &'a Cache<K>,
    /// Where they are.
    pub(crate) namespace: &'a str,
    /// Those that the count has and that may not say so yet.
    pub(crate) recently_counted: &'a [OrderRef],
}

impl<K: Counted> CountSource<'_, K> {
    /// What is not counted and not listed: by the caches.
    pub(crate) fn uncounted(&self, is_its_own: impl Fn(&K) -> bool) -> Vec<Key> {
        let found = self.cache.walk(|key, object| {
            let is_new = !lists(self.recently_counted, object.order_ref());
            *key.namespace == *self.namespace && is_its_own(object) && object.is_uncounted() && is_new
        });
        found.into_iter().map(|(key, _)| key).collect()
    }

    /// What a decision about `tally` depends on: of `keys`, as many as go into one write are read live, after the copy of
    /// the count that is written over was taken.
    pub(crate) async fn view<C: Tally>(
        &self,
        tally: C,
        keys: &[Key],
        is_its_own: impl Fn(&K) -> bool,
        entry: impl Fn(&K) -> C::Entry,
    ) -> Result<CounterView<C>, ApiError> {
        let candidates = keys.len();
        let keys = &keys[..candidates.min(LIVE_READS_PER_WRITE_MAX)];
        let mut owed = Vec::new();
        for key in keys {
            let live = self.context.refresh(self.cache, key).await?;
            let live = live.filter(|object| is_its_own(object) && object.is_uncounted());
            owed.extend(live.map(|object| (OrderId::from(object.order_ref()), entry(&object))));
        }
        let list = convert::ids(self.recently_counted);
        Ok(CounterView { tally, list, candidates, read: keys.len(), owed, settled: self.settled().await? })
    }

    /// Who may leave the list: whose object says that it is counted. (That it is not uncounted is not enough: a copy may be
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
pub(crate) struct CountSchedule(Debounce);

impl CountSchedule {
    /// Half of the mirrors' delay: so that the mirror that follows says that it is counted.
    pub(crate) fn new(context: &Context) -> Self {
        Self(Debounce::new(context.settings.mirror_lag() / 2))
    }

    /// Whether it is time to count `keys`; if not, how the reconcile ends.
    pub(crate) fn is_due(&self, key: &Key, keys: &[Key]) -> ControlFlow<Outcome> {
        if keys.is_empty() {
            self.clear(key);
            return ControlFlow::Break(Outcome::Done);
        }
        self.0
            .remaining(key)
            .map_or(ControlFlow::Continue(()), |left| ControlFlow::Break(Outcome::After(left)))
    }

    /// It is counted, as far as it can be.
    pub(crate) fn clear(&self, key: &Key) {
        self.0.clear(key);
    }
}
