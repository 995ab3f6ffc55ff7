//! Who may be waiting for whom: the orders and payments that are looked at when something that they wait for changes. From
//! the caches alone, and rather too many than too few.

use fooddelivery_api::{Delivery, Order, OrderRef};
use fooddelivery_runtime::Key;
use fooddelivery_saga::phases::{DeliveryStage, OrderPhase, PaymentPhase};

use super::resolve::store_of;
use crate::context::Context;

/// The coupon that an order names.
pub(crate) fn coupon_of(key: &Key, order: Option<&Order>) -> Option<Key> {
    Some(Key::new(&key.namespace, &order?.coupon_name()?))
}

/// Orders that may be waiting for a store.
pub(crate) fn orders_of_store(context: &Context, store: &Key) -> Vec<Key> {
    let waits = |order: &Order| {
        let rests_on_it = matches!(
            order.phase(),
            OrderPhase::AwaitingPayment | OrderPhase::AwaitingStore | OrderPhase::Accepted
        );
        rests_on_it && {
            let key = Key::of(order);
            let payment = context.caches.payments.object(&key);
            store_of(context, &key, order, payment.as_deref()).as_deref() == Some(&*store.name)
        }
    };
    context.caches.orders.keys_in(&store.namespace, waits)
}

/// Orders of a customer who may have to say which store they go to.
pub(crate) fn orders_without_store(context: &Context, customer: &Key) -> Vec<Key> {
    context.caches.orders.keys_in(&customer.namespace, |order| {
        order.spec.customer_ref.name == *customer.name
            && order.phase() == OrderPhase::AwaitingPayment
            && order.spec.store_ref.is_none()
    })
}

/// All orders of a customer.
pub(crate) fn orders_of_customer(context: &Context, customer: &Key) -> Vec<Key> {
    let is_theirs = |order: &Order| order.spec.customer_ref.name == *customer.name;
    context.caches.orders.keys_in(&customer.namespace, is_theirs)
}

/// Orders that may be waiting for a coupon: to be reserved for them, or to hear that they are gone.
pub(crate) fn orders_of_coupon(context: &Context, coupon: &Key) -> Vec<Key> {
    context.caches.orders.keys_in(&coupon.namespace, |order| {
        (order.phase() == OrderPhase::AwaitingPayment || order.is_leaving())
            && order.coupon_name().as_deref() == Some(&*coupon.name)
    })
}

/// Orders that leave: somebody may have been waited for who is gone now.
pub(crate) fn leaving_orders(context: &Context, namespace: &str) -> Vec<Key> {
    context.caches.orders.keys_in(namespace, Order::is_leaving)
}

/// The orders in the list of a count, which has a key in the same namespace.
pub(crate) fn listed(count: &Key, recently_counted: Option<&[OrderRef]>) -> Vec<Key> {
    recently_counted.iter().copied().flatten().map(|order| Key::new(&count.namespace, &order.name)).collect()
}

/// Deliveries that a rider has taken and not picked up.
pub(crate) fn claimed_by(context: &Context, namespace: &str, rider: &str) -> Vec<Key> {
    context.caches.deliveries.keys_in(namespace, |delivery| {
        delivery.spec.stage == DeliveryStage::Waiting && is_of_rider(delivery, rider)
    })
}

/// Deliveries whose claims compete with that of an order's own for what their rider can carry.
pub(crate) fn rivals_of(context: &Context, order: &Key) -> Vec<Key> {
    let delivery = context.caches.deliveries.object(order);
    let rider = delivery.as_ref().and_then(|delivery| delivery.spec.rider_ref.as_ref());
    rider.map(|rider| claimed_by(context, &order.namespace, &rider.name)).unwrap_or_default()
}

/// Whether a rider took a delivery.
pub(crate) fn is_of_rider(delivery: &Delivery, rider: &str) -> bool {
    delivery.spec.rider_ref.as_ref().is_some_and(|r| r.name == rider)
}

/// Orders and payments that may be waiting for a provider.
pub(crate) fn orders_of_provider(context: &Context, provider: &str) -> Vec<Key> {
    let mut keys = context.caches.orders.keys_where(|order| {
        order.spec.payment.provider_ref.name == provider && order.phase() == OrderPhase::AwaitingPayment
    });
    keys.extend(context.caches.payments.keys_where(|payment| {
        payment.spec.provider_ref.name == provider
            && matches!(
                payment.state().phase,
                PaymentPhase::Pending | PaymentPhase::Voiding | PaymentPhase::Refunding
            )
    }));
    keys
}
