//! Who may be waiting for whom: the orders and payments that are looked at when something that they wait for changes. From
//! the caches and their indexes alone, and rather too many than too few.

use fooddelivery_api::{MessageProvider, Order, Payment, convert};
use fooddelivery_runtime::Key;
use fooddelivery_saga::phases::{DeliveryStage, PaymentPhase};
use kube::ResourceExt;

use super::resolve::store_of;
use crate::context::Context;

/// The coupon that an order names.
pub(crate) fn coupon_of(key: &Key, order: Option<&Order>) -> Option<Key> {
    Some(Key::new(&key.namespace, &order?.coupon_name()?))
}

/// Orders that may be waiting for a store.
pub(crate) fn orders_of_store(context: &Context, store: &Key) -> Vec<Key> {
    let mut keys = context.indexes.orders.of_store(store);
    keys.retain(|key| {
        let order = context.caches.orders.object(key);
        let payment = context.caches.payments.object(key);
        let goes_to = order.and_then(|order| store_of(context, key, &order, payment.as_deref()));
        goes_to.as_deref() == Some(&*store.name)
    });
    keys
}

/// Orders that may still have something to tell a message provider that came, went or changed: those with a step since it
/// has been there that it was not told of, and those whose status says that messages wait.
pub(crate) fn orders_to_tell(context: &Context, provider: Option<&MessageProvider>) -> Vec<Key> {
    let mut keys = context.indexes.orders.notification_pending();
    let Some(provider) = provider else { return keys };
    let since = convert::created_at(&provider.metadata);
    let mut untold = context.indexes.orders.with_a_step_since(since);
    let name = provider.name_any();
    untold.retain(|key| context.caches.orders.object(key).is_some_and(|order| !is_told(&order, &name)));
    keys.extend(untold);
    keys
}

/// Whether its status says that a provider was told of all steps of an order.
fn is_told(order: &Order, provider: &str) -> bool {
    let Some(status) = &order.status else { return false };
    let steps =
        i64::try_from(status.history.len()).unwrap_or(i64::MAX).saturating_add(status.history_dropped);
    status.messages.iter().any(|told| told.provider == provider && told.steps >= steps)
}

/// Deliveries that a rider has taken and not picked up.
pub(crate) fn claimed_by(context: &Context, namespace: &str, rider: &str) -> Vec<Key> {
    let mut keys = context.indexes.deliveries.open_of_rider(namespace, rider);
    keys.retain(|key| {
        let delivery = context.caches.deliveries.object(key);
        delivery.is_some_and(|delivery| delivery.spec.stage == DeliveryStage::Waiting)
    });
    keys
}

/// Deliveries whose claims compete with that of an order's own for what their rider can carry.
pub(crate) fn rivals_of(context: &Context, order: &Key) -> Vec<Key> {
    let delivery = context.caches.deliveries.object(order);
    let rider = delivery.as_ref().and_then(|delivery| delivery.spec.rider_ref.as_ref());
    rider.map(|rider| claimed_by(context, &order.namespace, &rider.name)).unwrap_or_default()
}

/// Orders and payments that may be waiting for a provider.
pub(crate) fn orders_of_provider(context: &Context, provider: &str) -> Vec<Key> {
    let mut keys = context.indexes.orders.of_provider(provider);
    let payments = context.caches.payments.objects(&context.indexes.payments.unsettled_at(provider));
    // One that was put off has a time of its own.
    let waits = |payment: &Payment| payment.phase() != PaymentPhase::Deferred;
    keys.extend(payments.into_iter().filter(|(_, payment)| waits(payment)).map(|(key, _)| key));
    keys
}
