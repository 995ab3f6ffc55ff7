//! Which change of which object has which controller look again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use fooddelivery_api::kinds::{self, Scope};
use fooddelivery_api::{
    Coupon, CouponStatus, CouponUse, Customer, Delivery, MessageProvider, Order, OrderRef, Payment,
    PaymentProvider, Rider, Store, Ticket,
};
use fooddelivery_saga::order::Note;
use fooddelivery_saga::phases::{DeliveryStage, OrderPhase, PaymentPhase};
use fooddelivery_saga::reason::Reason;
use kube::Resource;
use kube::api::Api;
use kube::core::DeserializeGuard;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use crate::api::Namespaced;
use crate::context::{Context, OfOrder};
use crate::counts::{Counted, is_of_rider};
use crate::engine::cache::Malformed;
use crate::engine::watch::{Change, Feed, run};
use crate::engine::{Cache, Dice, Key, Queue};
use crate::events::reference;
use crate::health::Health;
use crate::order::{phase_of, store_of};
use crate::settings::{ControllerName, Settings};

/// One queue per controller that runs here.
#[derive(Clone)]
pub struct Queues {
    queues: Arc<HashMap<&'static str, Arc<Queue>>>,
}

impl Queues {
    /// Queues for the controllers that run here.
    pub fn new(settings: &Settings) -> Self {
        let queues = settings.controllers.iter().map(|name| (name.word(), Arc::default())).collect();
        Self { queues: Arc::new(queues) }
    }

    /// The queue of a controller, if it runs here.
    pub fn of(&self, name: ControllerName) -> Option<Arc<Queue>> {
        self.queues.get(name.word()).cloned()
    }

    /// Has a controller look at `key` at `at`, or earlier if it is due earlier; nothing when it does not run here.
    pub fn push_at(&self, name: ControllerName, key: Key, at: Instant) {
        if let Some(queue) = self.queues.get(name.word()) {
            queue.push_at(key, at);
        }
    }

    /// The coupon that an order names.
    fn push_coupon(&self, key: &Key, order: Option<&Order>) {
        if let Some(name) = order.and_then(Order::coupon_name) {
            self.push(&[ToCoupon], &Key::new(&key.namespace, &name));
        }
    }

    fn push_all(&self, names: &[ControllerName], keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            self.push(names, &key);
        }
    }

    fn push(&self, names: &[ControllerName], key: &Key) {
        for name in names {
            if let Some(queue) = self.queues.get(name.word()) {
                queue.push(key.clone());
            }
        }
    }
}

use ControllerName::Ticket as ToTicket;
use ControllerName::{
    Coupon as ToCoupon, Customer as ToCustomer, Delivery as ToDelivery, Message as ToMessage,
    MessageProvider as ToMessageProvider, Order as ToOrder, Payment as ToPayment, Provider as ToProvider,
    Rider as ToRider, Store as ToStore,
};

/// An object's uid, and which spec it has.
type Edition = (Option<String>, Option<i64>);

/// What was last heard of objects, but for their status.
struct News<K> {
    cache: Arc<Cache<K>>,
    heard: Mutex<HashMap<Key, Edition>>,
}

impl<K: kube::ResourceExt> News<K> {
    fn of(cache: &Arc<Cache<K>>) -> Self {
        Self { cache: cache.clone(), heard: Mutex::default() }
    }

    /// Whether an object came, went, was made anew or has another spec. Also when it has long been there, and the list that
    /// came first was an old one.
    fn has(&self, key: &Key) -> bool {
        let now = self.cache.object(key).map(|object| (object.uid(), object.meta().generation));
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(now) = now else {
            heard.remove(key);
            return true;
        };
        heard.insert(key.clone(), now.clone()) != Some(now)
    }
}

/// The watches that feed the caches and the queues.
pub struct Watches {
    context: Arc<Context>,
    queues: Queues,
    dice: Arc<Dice>,
    /// `None` stands for all namespaces.
    scopes: Vec<Option<String>>,
}

/// Kinds that are watched per namespace.
const NAMESPACED_KINDS: usize = kinds::count(Scope::Namespaced);
/// Kinds that are not.
const CLUSTER_KINDS: usize = kinds::count(Scope::Cluster);

impl Watches {
    /// Over the namespaces of the settings, or all.
    pub fn new(context: Arc<Context>, queues: Queues, dice: Arc<Dice>, settings: &Settings) -> Self {
        let mut scopes: Vec<Option<String>> = settings.namespaces.iter().cloned().map(Some).collect();
        if scopes.is_empty() {
            scopes.push(None);
        }
        Self { context, queues, dice, scopes }
    }

    /// How many first lists have to be complete before anything is decided.
    pub fn count(&self) -> usize {
        self.scopes.len() * NAMESPACED_KINDS + CLUSTER_KINDS
    }

    /// Starts them all.
    pub fn start(&self, tasks: &mut JoinSet<()>, health: &Arc<Health>, stop: &watch::Receiver<bool>) {
        let context = &self.context;
        for scope in self.scopes.iter().map(Option::as_deref) {
            self.watch_orders(tasks, scope, health, stop);
            let queues = self.queues.clone();
            self.spawn_in::<Payment>(tasks, scope, &context.payments, health, stop, move |key, payment| {
                queues.push(&[ToPayment], key);
                queues.push(&[ToOrder, ToTicket, ToDelivery], &order_key(key, payment));
                if let Some(coupon) = payment.and_then(|payment| payment.spec.coupon.as_ref()) {
                    queues.push(&[ToCoupon], &Key::new(&key.namespace, &coupon.name));
                }
            });
            let (queues, shared) = (self.queues.clone(), context.clone());
            self.spawn_in::<Ticket>(tasks, scope, &context.tickets, health, stop, move |key, ticket| {
                queues.push(&[ToTicket], key);
                queues.push(&[ToOrder, ToDelivery], &order_key(key, ticket));
                if let Some(ticket) = ticket.filter(|ticket| ticket.concerns_its_count(&shared)) {
                    queues.push(&[ToStore], &Key::new(&key.namespace, &ticket.spec.store_ref.name));
                }
            });
            let (queues, shared) = (self.queues.clone(), context.clone());
            self.spawn_in::<Delivery>(
                tasks,
                scope,
                &context.deliveries,
                health,
                stop,
                move |key, delivery| {
                    queues.push(&[ToDelivery], key);
                    queues.push(&[ToOrder], &order_key(key, delivery));
                    let Some(delivery) = delivery else { return };
                    let Some(rider) = &delivery.spec.rider_ref else { return };
                    if delivery.concerns_its_count(&shared) {
                        queues.push(&[ToRider], &Key::new(&key.namespace, &rider.name));
                    }
                    queues.push_all(&[ToOrder], claimed_by(&shared, &key.namespace, &rider.name));
                },
            );
            let (queues, shared) = (self.queues.clone(), context.clone());
            let news = News::of(&context.stores);
            self.spawn_in::<Store>(tasks, scope, &context.stores, health, stop, move |key, store| {
                queues.push(&[ToStore], key);
                // Its counts are nothing that an order waits for.
                let waiting = if news.has(key) { orders_of_store(&shared, key) } else { Vec::new() };
                for waiting in waiting {
                    queues.push(&[ToOrder, ToTicket], &waiting);
                    queues.push_coupon(&waiting, shared.orders.object(&waiting).as_deref());
                }
                let status = store.and_then(|store| store.status.as_ref());
                queues.push_all(&[ToTicket], listed(key, status.map(|status| &*status.recently_counted)));
                queues.push_all(&[ToOrder], leaving(&shared, &key.namespace));
            });
            self.watch_people(tasks, scope, health, stop);
            self.watch_coupons(tasks, scope, health, stop);
        }
        self.watch_providers(tasks, health, stop);
    }

    fn watch_providers(&self, tasks: &mut JoinSet<()>, health: &Arc<Health>, stop: &watch::Receiver<bool>) {
        let context = &self.context;
        let (queues, shared) = (self.queues.clone(), context.clone());
        let route = move |key: &Key, _: Option<&PaymentProvider>| {
            queues.push(&[ToProvider], key);
            queues.push_all(&[ToOrder, ToPayment], orders_of_provider(&shared, &key.name));
        };
        let api = Api::all(context.api.client());
        self.spawn::<PaymentProvider>(tasks, api, None, &context.providers, health, stop, route, || {});
        let (queues, shared) = (self.queues.clone(), context.clone());
        let news = News::of(&context.message_providers);
        let route = move |key: &Key, _: Option<&MessageProvider>| {
            queues.push(&[ToMessageProvider], key);
            // What it says of itself changes nothing for those who are to be told.
            if news.has(key) {
                queues.push_all(&[ToMessage, ToOrder], shared.orders.keys_where(|_| true));
            }
        };
        let (api, cache) = (Api::all(context.api.client()), &context.message_providers);
        self.spawn::<MessageProvider>(tasks, api, None, cache, health, stop, route, || {});
    }

    fn watch_orders(
        &self,
        tasks: &mut JoinSet<()>,
        scope: Option<&str>,
        health: &Arc<Health>,
        stop: &watch::Receiver<bool>,
    ) {
        let context = &self.context;
        let queues = self.queues.clone();
        let route = move |key: &Key, order: Option<&Order>| {
            queues.push(&[ToOrder, ToPayment, ToTicket, ToDelivery, ToMessage], key);
            queues.push_coupon(key, order);
        };
        // Of an order that vanished while no watch ran, or made room for a namesake, nobody says which coupon it named.
        let (queues, shared) = (self.queues.clone(), context.clone());
        let relisted = move || queues.push_all(&[ToCoupon], coupons_kept(&shared));
        let api = self.api_in(scope);
        self.spawn(tasks, api, scope, &context.orders, health, stop, route, relisted);
    }

    fn watch_people(
        &self,
        tasks: &mut JoinSet<()>,
        scope: Option<&str>,
        health: &Arc<Health>,
        stop: &watch::Receiver<bool>,
    ) {
        let context = &self.context;
        let (queues, shared) = (self.queues.clone(), context.clone());
        let news = News::of(&context.customers);
        self.spawn_in::<Customer>(tasks, scope, &context.customers, health, stop, move |key, _| {
            queues.push(&[ToCustomer], key);
            // Their log is nothing that anybody waits for.
            if !news.has(key) {
                return;
            }
            let is_theirs = |order: &Order| order.spec.customer_ref.name == *key.name;
            for (key, order) in shared.orders.objects_in(&key.namespace, is_theirs) {
                queues.push(&[ToMessage], &key);
                if phase_of(&order) == OrderPhase::AwaitingPayment && order.spec.store_ref.is_none() {
                    queues.push(&[ToOrder], &key);
                    queues.push_coupon(&key, Some(&order));
                }
            }
        });
        let (queues, shared) = (self.queues.clone(), context.clone());
        self.spawn_in::<Rider>(tasks, scope, &context.riders, health, stop, move |key, rider| {
            queues.push(&[ToRider], key);
            // Who carries less than was thought has taken too many.
            queues.push_all(&[ToOrder], claimed_by(&shared, &key.namespace, &key.name));
            let status = rider.and_then(|rider| rider.status.as_ref());
            queues.push_all(&[ToDelivery], listed(key, status.map(|status| &*status.recently_counted)));
            queues.push_all(&[ToOrder], leaving(&shared, &key.namespace));
        });
    }

    fn watch_coupons(
        &self,
        tasks: &mut JoinSet<()>,
        scope: Option<&str>,
        health: &Arc<Health>,
        stop: &watch::Receiver<bool>,
    ) {
        let context = &self.context;
        let (queues, shared) = (self.queues.clone(), context.clone());
        self.spawn_in::<Coupon>(tasks, scope, &context.coupons, health, stop, move |key, _| {
            queues.push(&[ToCoupon], key);
            queues.push_all(&[ToOrder], orders_of_coupon(&shared, key));
        });
        let (queues, shared) = (self.queues.clone(), context.clone());
        self.spawn_in::<CouponUse>(tasks, scope, &context.coupon_uses, health, stop, move |key, own| {
            let Some(own) = own else { return };
            let coupon = Key::new(&key.namespace, &own.spec.coupon_ref.name);
            queues.push(&[ToCoupon], &coupon);
            queues.push_all(&[ToOrder], orders_of_coupon(&shared, &coupon));
        });
    }

    fn spawn_in<K: Namespaced + Send + Sync + 'static>(
        &self,
        tasks: &mut JoinSet<()>,
        scope: Option<&str>,
        cache: &Arc<Cache<K>>,
        health: &Arc<Health>,
        stop: &watch::Receiver<bool>,
        route: impl Fn(&Key, Option<&K>) + Send + 'static,
    ) {
        self.spawn(tasks, self.api_in(scope), scope, cache, health, stop, route, || {});
    }

    fn api_in<K: Namespaced>(&self, scope: Option<&str>) -> Api<DeserializeGuard<K>> {
        let client = self.context.api.client();
        match scope {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call site per kind, each with its own route")]
    fn spawn<K>(
        &self,
        tasks: &mut JoinSet<()>,
        api: Api<DeserializeGuard<K>>,
        scope: Option<&str>,
        cache: &Arc<Cache<K>>,
        health: &Arc<Health>,
        stop: &watch::Receiver<bool>,
        route: impl Fn(&Key, Option<&K>) + Send + 'static,
        relisted: impl Fn() + Send + 'static,
    ) where
        K: Resource<DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let (context, health, dice) = (self.context.clone(), health.clone(), self.dice.clone());
        let told = move |change: Change<'_, K>| match change {
            Change::Object(key, object) => route(key, object),
            Change::Malformed(key, malformed) => {
                say_malformed::<K>(&context, key, malformed);
                route(key, None);
            }
        };
        let done = std::sync::Once::new();
        let synced = move || {
            done.call_once(|| health.synced());
            relisted();
        };
        let pulse = self.context.pulses.begin(format!("the watch of {}", K::kind(&())));
        let scope = scope.map(str::to_owned);
        let feed = Feed { api, scope, cache: cache.clone() };
        tasks.spawn(run(feed, told, synced, dice, pulse, stop.clone()));
    }
}

fn order_key<K: OfOrder>(key: &Key, child: Option<&K>) -> Key {
    child.map_or_else(|| key.clone(), |child| Key::new(&key.namespace, &child.order_ref().name))
}

/// One malformed object harms nothing but itself, and says so where people look.
fn say_malformed<K: Resource<DynamicType = ()>>(context: &Arc<Context>, key: &Key, malformed: &Malformed) {
    warn!(kind = %K::kind(&()), order = %key, error = %malformed.error, "malformed: nothing is done with it");
    let message =
        format!("this version of the operator cannot read it, and leaves it alone: {}", malformed.error);
    let (context, regarding) = (context.clone(), reference::<K>(&malformed.metadata));
    tokio::spawn(async move {
        context.events.tell_about(regarding, &Note::warning(Reason::Malformed, message)).await;
    });
}

/// Orders that may be waiting for a store.
fn orders_of_store(context: &Context, store: &Key) -> Vec<Key> {
    let waits = |order: &Order| {
        let rests_on_it = matches!(
            phase_of(order),
            OrderPhase::AwaitingPayment | OrderPhase::AwaitingStore | OrderPhase::Accepted
        );
        rests_on_it && {
            let key = Key::of(order);
            let payment = context.payments.object(&key);
            store_of(context, &key, order, payment.as_deref()).as_deref() == Some(&*store.name)
        }
    };
    context.orders.keys_in(&store.namespace, waits)
}

/// Orders that may be waiting for a coupon: to be kept for them, or to hear that they are gone.
fn orders_of_coupon(context: &Context, coupon: &Key) -> Vec<Key> {
    context.orders.keys_in(&coupon.namespace, |order| {
        (phase_of(order) == OrderPhase::AwaitingPayment || is_leaving(order))
            && order.coupon_name().as_deref() == Some(&*coupon.name)
    })
}

/// Coupons that are kept for orders.
fn coupons_kept(context: &Context) -> BTreeSet<Key> {
    let lists = |status: Option<&CouponStatus>| status.is_some_and(|status| !status.reserved.is_empty());
    let coupons = context.coupons.keys_where(|coupon| lists(coupon.status.as_ref()));
    let uses = context.coupon_uses.keys_where(|own| lists(own.status.as_ref()));
    let of_use = |key: &Key| {
        let own = context.coupon_uses.object(key)?;
        Some(Key::new(&key.namespace, &own.spec.coupon_ref.name))
    };
    coupons.into_iter().chain(uses.iter().filter_map(of_use)).collect()
}

/// Whether an order has ended and is being deleted.
fn is_leaving(order: &Order) -> bool {
    order.metadata.deletion_timestamp.is_some() && phase_of(order).is_terminal()
}

/// Orders that leave: somebody may have been waited for who is gone now.
fn leaving(context: &Context, namespace: &str) -> Vec<Key> {
    context.orders.keys_in(namespace, is_leaving)
}

/// What stands in the list of a count, which has a key in the same namespace.
fn listed(count: &Key, recently_counted: Option<&[OrderRef]>) -> Vec<Key> {
    recently_counted.iter().copied().flatten().map(|order| Key::new(&count.namespace, &order.name)).collect()
}

/// Deliveries that a rider has taken and not picked up.
fn claimed_by(context: &Context, namespace: &str, rider: &str) -> Vec<Key> {
    context.deliveries.keys_in(namespace, |delivery| {
        delivery.spec.stage == DeliveryStage::Waiting && is_of_rider(delivery, rider)
    })
}

/// Orders and payments that may be waiting for a provider.
fn orders_of_provider(context: &Context, provider: &str) -> Vec<Key> {
    let mut keys = context.orders.keys_where(|order| {
        order.spec.payment.provider_ref.name == provider && phase_of(order) == OrderPhase::AwaitingPayment
    });
    keys.extend(context.payments.keys_where(|payment| {
        payment.spec.provider_ref.name == provider
            && matches!(
                payment.state().phase,
                PaymentPhase::Pending | PaymentPhase::Voiding | PaymentPhase::Refunding
            )
    }));
    keys
}
