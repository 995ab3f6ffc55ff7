//! What all controllers share: the API server, the caches, the clock's start and the settings.

use std::sync::Arc;

use fooddelivery_api::{
    Coupon, CouponUse, Customer, Delivery, MessageProvider, Order, OrderRef, Payment, PaymentProvider, Rider,
    Store, Ticket,
};
use fooddelivery_saga::time::{Deadlines, Millis, Timestamp};
use fooddelivery_saga::view::Child;
use kube::ResourceExt;
use serde::Serialize;

use crate::api::{ApiError, ApiServer, Namespaced};
use crate::attendance::Attendance;
use crate::clock::Clock;
use crate::engine::{Cache, Cached, Key, Pulses};
use crate::events::Events;
use crate::gateway::Gateways;
use crate::message::{Notices, Ways};
use crate::metrics::Metrics;
use crate::routes::Queues;
use crate::shards::Shards;

/// Shared by all controllers.
pub struct Context {
    /// The API server.
    pub api: ApiServer,
    /// For people.
    pub events: Events,
    /// For machines.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Arc<Clock>,
    /// Orders.
    pub orders: Arc<Cache<Order>>,
    /// Payments.
    pub payments: Arc<Cache<Payment>>,
    /// Tickets.
    pub tickets: Arc<Cache<Ticket>>,
    /// Deliveries.
    pub deliveries: Arc<Cache<Delivery>>,
    /// Stores.
    pub stores: Arc<Cache<Store>>,
    /// Customers.
    pub customers: Arc<Cache<Customer>>,
    /// Riders.
    pub riders: Arc<Cache<Rider>>,
    /// Coupons.
    pub coupons: Arc<Cache<Coupon>>,
    /// What single customers made of coupons.
    pub coupon_uses: Arc<Cache<CouponUse>>,
    /// Payment providers.
    pub providers: Arc<Cache<PaymentProvider>>,
    /// Message providers.
    pub message_providers: Arc<Cache<MessageProvider>>,
    /// Ways to the message providers.
    pub ways: Ways,
    /// What was told of orders, ahead of their status.
    pub told: Notices,
    /// How far a customer's message log may lag.
    pub message_log_lag: std::time::Duration,
    /// Ways to the payment providers.
    pub gateways: Gateways,
    /// What is to be looked at.
    pub queues: Queues,
    /// This replica's name.
    pub replica: Arc<str>,
    /// Deadlines where a Store names none.
    pub deadlines: Deadlines,
    /// How long settled orders are kept; `None`: for ever.
    pub time_to_live: Option<Millis>,
    /// How far mirrored status may lag.
    pub mirror_lag: std::time::Duration,
    /// Which controllers are at work.
    pub attendance: Arc<Attendance>,
    /// Whether the loops turn.
    pub pulses: Arc<Pulses>,
    /// What of it all is this replica's.
    pub shards: Arc<Shards>,
    /// Since when this process has been watching.
    pub watching_since: Timestamp,
}

/// A child of an order.
pub trait OfOrder {
    /// Whose it is.
    fn order_ref(&self) -> &OrderRef;
}

impl OfOrder for Payment {
    fn order_ref(&self) -> &OrderRef {
        &self.spec.order_ref
    }
}

impl OfOrder for Ticket {
    fn order_ref(&self) -> &OrderRef {
        &self.spec.order_ref
    }
}

impl OfOrder for Delivery {
    fn order_ref(&self) -> &OrderRef {
        &self.spec.order_ref
    }
}

/// The child of the order with `order_uid` under `key`.
pub fn child<K: OfOrder + ResourceExt>(cache: &Cache<K>, key: &Key, order_uid: &str) -> Child<Arc<K>> {
    match cache.get(key) {
        None => Child::Absent,
        Some(Cached::Malformed(_)) => Child::Unreadable,
        Some(Cached::Object(object)) if object.order_ref().uid != order_uid => Child::Foreign,
        Some(Cached::Object(object)) => Child::Present(object),
    }
}

/// Turns a child object into what a decision sees of it.
pub fn seen<K, S>(child: &Child<Arc<K>>, view: impl Fn(&K) -> S) -> Child<S> {
    match child {
        Child::Absent => Child::Absent,
        Child::Foreign => Child::Foreign,
        Child::Unreadable => Child::Unreadable,
        Child::Present(object) => Child::Present(view(object)),
    }
}

impl Context {
    /// Reads an object live and puts what was found into the cache.
    ///
    /// # Errors
    /// As [`ApiServer::read`].
    pub async fn refresh<K: Namespaced>(&self, cache: &Cache<K>, key: &Key) -> Result<Option<K>, ApiError> {
        let before = cache.object(key);
        let found = self.api.read::<K>(key).await?;
        match &found {
            Some(object) => cache.remember(object.clone()),
            None => cache.forget(key, before.as_deref()),
        }
        Ok(found)
    }

    /// Writes a status and puts what was written into the cache. When somebody wrote first, what they wrote is read: until
    /// the watch brings it, every further try would be in vain.
    ///
    /// # Errors
    /// As [`ApiServer::write_status`].
    pub async fn write_status<K: Namespaced>(
        &self,
        cache: &Cache<K>,
        object: &K,
        old: &impl Serialize,
        new: &impl Serialize,
    ) -> Result<(), ApiError> {
        match self.api.write_status(object, old, new).await {
            Ok(written) => {
                cache.remember(written);
                Ok(())
            }
            Err(error @ (ApiError::Conflict | ApiError::NotFound)) => {
                self.refresh(cache, &Key::of(object)).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Creates a child, and says whether it was this call that did. When one of its name is there already (a
    /// tombstone, another replica's, a namesake's), that one is read.
    ///
    /// # Errors
    /// As [`ApiServer::create`], but for the name being taken.
    pub async fn create<K: Namespaced>(
        &self,
        cache: &Cache<K>,
        key: &Key,
        object: &K,
    ) -> Result<bool, ApiError> {
        match self.api.create(&key.namespace, object).await {
            Ok(created) => {
                cache.remember(created);
                Ok(true)
            }
            Err(ApiError::AlreadyExists) => self.refresh(cache, key).await.map(|_| false),
            Err(error) => Err(error),
        }
    }
}
