//! Children of an order: how they are found, and how they and their order see each other.

use std::sync::Arc;

use fooddelivery_api::common::{OrderRef, StoreRef};
use fooddelivery_api::delivery::DeliveryDeadlines;
use fooddelivery_api::{Delivery, DeliverySpec, Order, Payment, Ticket};
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Cache, Cached, Key};
use fooddelivery_saga::phases::DeliveryStage;
use fooddelivery_saga::ticket::OrderSeen;
use fooddelivery_saga::view::Child;
use kube::ResourceExt;

use crate::context::Context;

/// A child of an order.
pub(crate) trait OfOrder {
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

/// The key of a child's order: the child's own where the child is not known.
pub(crate) fn order_key<K: OfOrder>(key: &Key, child: Option<&K>) -> Key {
    child.map_or_else(|| key.clone(), |child| Key::new(&key.namespace, &child.order_ref().name))
}

/// The child of the order with `order_uid` under `key`.
pub(crate) fn child<K: OfOrder + ResourceExt>(cache: &Cache<K>, key: &Key, order_uid: &str) -> Child<Arc<K>> {
    match cache.get(key) {
        None => Child::Absent,
        Some(Cached::Malformed(_)) => Child::Unreadable,
        Some(Cached::Object(object)) if object.order_ref().uid != order_uid => Child::Foreign,
        Some(Cached::Object(object)) => Child::Present(object),
    }
}

/// Turns a child object into what a decision sees of it.
pub(crate) fn seen<K, S>(child: &Child<Arc<K>>, view: impl Fn(&K) -> S) -> Child<S> {
    match child {
        Child::Absent => Child::Absent,
        Child::Foreign => Child::Foreign,
        Child::Unreadable => Child::Unreadable,
        Child::Present(object) => Child::Present(view(object)),
    }
}

/// The order behind a child, from the cache: `whose` is the child's reference, when there is a child.
pub(crate) fn order_seen(order: Option<&Order>, whose: Option<&OrderRef>) -> OrderSeen {
    match order {
        Some(order) if whose.is_none_or(|reference| reference.uid == uid_of(order)) => {
            OrderSeen::Present { phase: order.state().phase, cancel_wanted: order.cancel_wanted() }
        }
        _ => OrderSeen::Missing,
    }
}

/// What was found out about a child whose order, and its payment, are gone.
pub(crate) struct Orphan {
    /// Whose it was.
    pub(crate) whose: OrderRef,
    /// Whether its count has to keep it before it may go.
    pub(crate) awaits_count: bool,
}

/// Whether the order behind a child is really gone, read live, and its payment too: the payment still needs to know
/// whether the store had begun.
pub(crate) async fn is_orphan(context: &Context, key: &Key, whose: &OrderRef) -> Result<bool, ApiError> {
    let order = context.api.read::<Order>(&Key::new(&key.namespace, &whose.name)).await?;
    if order.is_some_and(|o| uid_of(&o) == whose.uid) {
        return Ok(false);
    }
    let payment = context.api.read::<Payment>(key).await?;
    Ok(payment.is_none_or(|p| p.spec.order_ref.uid != whose.uid))
}

/// A delivery for an order, waiting for its rider.
pub(crate) fn delivery_spec(
    order: &Order,
    pickup: StoreRef,
    deadlines: Option<DeliveryDeadlines>,
) -> DeliverySpec {
    DeliverySpec {
        order_ref: order.order_ref(),
        pickup,
        dropoff: order.spec.delivery.clone(),
        rider_ref: None,
        stage: DeliveryStage::Waiting,
        reason: None,
        deadlines,
    }
}
