//! What a cache does not hold of an object: annotations that nobody here knows, when they are large; and of the kinds of
//! which there are as many objects as there ever were orders, room that their lists do not need, and what others read of them.
//! A step on an object is a patch of what changes, so nothing of this is ever taken from the object itself.

use fooddelivery_api::common::{Item, StoreRef};
use fooddelivery_api::order::Destination;
use fooddelivery_api::{Delivery, Order, PAUSED_ANNOTATION, Payment, Ticket};
use fooddelivery_runtime::cache::trim_annotations;
use fooddelivery_saga::order::ConditionKind;
use kube::ResourceExt;

/// The annotations that the operator reads.
const KNOWN_ANNOTATIONS: [&str; 1] = [PAUSED_ANNOTATION];

/// An object of any kind.
pub(crate) fn any<K: ResourceExt>(object: &mut K) {
    trim_annotations(object.meta_mut(), &KNOWN_ANNOTATIONS);
}

/// The lines of an order or a ticket.
fn shrink(items: &mut Vec<Item>) {
    items.shrink_to_fit();
    for item in items {
        item.options.shrink_to_fit();
    }
}

/// An order. Of one that has ended and whose money is where it belongs no child is made any more, not even as a tombstone, so
/// that nobody asks for what was ordered and where to.
pub(crate) fn order(order: &mut Order) {
    any(order);
    if order.phase().is_terminal() && order.state().holds(ConditionKind::Settled) {
        order.spec.items = Vec::new();
        order.spec.delivery = Destination::default();
    }
    shrink(&mut order.spec.items);
    if let Some(status) = &mut order.status {
        status.history.shrink_to_fit();
        status.conditions.shrink_to_fit();
        status.messages.shrink_to_fit();
    }
}

/// A payment, without the lines of its quote, which are for people, and without its first intent once the status has it.
pub(crate) fn payment(payment: &mut Payment) {
    any(payment);
    payment.spec.quote.lines = Vec::new();
    if !payment.is_as_created() {
        payment.spec.intent = None;
    }
}

/// A ticket; its dishes are counted.
pub(crate) fn ticket(ticket: &mut Ticket) {
    any(ticket);
    shrink(&mut ticket.spec.items);
}

/// A delivery, without from where to where: that is for its rider.
pub(crate) fn delivery(delivery: &mut Delivery) {
    any(delivery);
    delivery.spec.pickup = StoreRef::default();
    delivery.spec.dropoff = Destination::default();
}
