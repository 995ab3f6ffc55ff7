//! From the caches to what a decision about a delivery depends on. Reads only.

use std::sync::Arc;

use fooddelivery_api::{Delivery, Order, Payment, Ticket};
use fooddelivery_runtime::Key;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::delivery::DeliveryView;
use fooddelivery_saga::ticket::OrderSeen;
use fooddelivery_saga::view::Child;

use crate::context::Context;
use crate::shared::children::{Orphan, child, order_seen, seen};

/// What was gathered: the view, and the copies that a decision on it is carried out on.
pub(super) struct Gathered {
    pub(super) view: DeliveryView,
    pub(super) order: Option<Arc<Order>>,
    pub(super) delivery: Option<Arc<Delivery>>,
}

/// What the delivery's decision sees. `orphan` is what was found out about a child whose order is gone.
pub(super) fn gather(context: &Context, key: &Key, orphan: Option<&Orphan>) -> Gathered {
    let order = context.caches.orders.object(key);
    let delivery = context.caches.deliveries.object(key);
    let uid = order.as_deref().map(uid_of).unwrap_or_default();
    let whose = delivery.as_ref().map(|known| known.spec.order_ref.clone());
    let orphan = orphan.filter(|orphan| whose.as_ref() == Some(&orphan.whose));
    let view = DeliveryView {
        order: if orphan.is_some() { OrderSeen::Gone } else { order_seen(order.as_deref(), whose.as_ref()) },
        payment: seen(&child(&context.caches.payments, key, &uid), Payment::seen),
        ticket: seen(&child(&context.caches.tickets, key, &uid), Ticket::seen),
        delivery: match (&delivery, context.caches.deliveries.get(key)) {
            (Some(delivery), _) => Child::Present(delivery.spec.stage),
            (None, Some(_)) => Child::Unreadable,
            (None, None) => Child::Absent,
        },
        awaits_count: orphan.is_some_and(|orphan| orphan.awaits_count),
        paused: order.as_deref().is_some_and(Order::is_paused),
        deleting: delivery.as_ref().is_some_and(|d| d.metadata.deletion_timestamp.is_some()),
    };
    Gathered { view, order, delivery }
}
