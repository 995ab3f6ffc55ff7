//! Which store an order goes to.

use fooddelivery_api::{Order, Payment};
use fooddelivery_runtime::Key;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::phases::OrderPhase;

use crate::context::Context;

/// The name of the store that an order goes to, as far as is known: as it was priced; as the order says; as the customer
/// prefers.
pub(crate) fn store_of(
    context: &Context,
    key: &Key,
    order: &Order,
    payment: Option<&Payment>,
) -> Option<String> {
    let priced = payment
        .filter(|payment| payment.spec.order_ref.uid == uid_of(order))
        .map(|payment| payment.spec.quote.store_name.clone())
        .filter(|name| !name.is_empty());
    let named = || order.spec.store_ref.as_ref().map(|store| store.name.clone());
    let known = || order.status.as_ref()?.store_ref.as_ref().map(|store| store.name.clone());
    let preferred = || {
        let customer = Key::new(&key.namespace, &order.spec.customer_ref.name);
        let customer = context.caches.customers.object(&customer)?;
        customer.spec.preferred_store_ref.as_ref().map(|store| store.name.clone())
    };
    let is_open = order.phase() == OrderPhase::AwaitingPayment;
    priced.or_else(named).or_else(|| if is_open { preferred() } else { known() })
}
