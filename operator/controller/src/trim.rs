//! What a cache does not hold of an object: annotations that nobody here knows, when they are large; and of the kinds of
//! which there are as many objects as there ever were orders, room that their lists do not need.

use fooddelivery_api::{Order, PAUSED_ANNOTATION, Payment, Ticket};
use fooddelivery_runtime::cache::trim_annotations;
use kube::ResourceExt;

/// The annotations that the operator reads.
const KNOWN_ANNOTATIONS: [&str; 1] = [PAUSED_ANNOTATION];

/// An object of any kind.
pub(crate) fn any<K: ResourceExt>(object: &mut K) {
    trim_annotations(object.meta_mut(), &KNOWN_ANNOTATIONS);
}

/// An order.
pub(crate) fn order(order: &mut Order) {
    any(order);
    order.spec.items.shrink_to_fit();
    if let Some(status) = &mut order.status {
        status.history.shrink_to_fit();
        status.conditions.shrink_to_fit();
        status.messages.shrink_to_fit();
    }
}

/// A payment.
pub(crate) fn payment(payment: &mut Payment) {
    any(payment);
    payment.spec.quote.lines.shrink_to_fit();
}

/// A ticket.
pub(crate) fn ticket(ticket: &mut Ticket) {
    any(ticket);
    ticket.spec.items.shrink_to_fit();
}
