//! How caches keep what they hold. They do not hold annotations that nobody here knows, when they are large; nor, of the kinds
//! of which there are as many objects as there ever were orders, what only others read of them. A step on an object is a
//! patch of what changes, so nothing of this is ever taken from the object itself. What has come to rest, and what is asked
//! for once an order or less, is packed.

use fooddelivery_api::common::StoreRef;
use fooddelivery_api::order::Destination;
use fooddelivery_api::{CouponUse, Customer, Delivery, Order, PAUSED_ANNOTATION, Payment, Ticket};
use fooddelivery_runtime::cache::{Keeping, trim_annotations};
use fooddelivery_saga::order::ConditionKind;
use fooddelivery_saga::phases::{DeliveryStage, PaymentPhase, TicketStage};
use kube::ResourceExt;

/// The annotations that the operator reads.
const KNOWN_ANNOTATIONS: [&str; 1] = [PAUSED_ANNOTATION];

/// Of any kind.
pub(crate) fn any<K: ResourceExt>() -> Keeping<K> {
    Keeping::trimmed(trim)
}

/// Orders.
pub(crate) fn orders() -> Keeping<Order> {
    Keeping::packed(trim_order, has_ended)
}

/// Payments. While its order goes on, one whose money is in is read at each of its steps.
pub(crate) fn payments() -> Keeping<Payment> {
    Keeping::packed(trim_payment, |payment| {
        payment.phase() == PaymentPhase::Captured || payment.phase().is_over()
    })
}

/// Tickets.
pub(crate) fn tickets() -> Keeping<Ticket> {
    use TicketStage::{Abandoned, Cancelled, Cooked, Rejected};
    Keeping::packed(trim, |ticket| matches!(ticket.spec.stage, Cooked | Rejected | Cancelled | Abandoned))
}

/// Deliveries.
pub(crate) fn deliveries() -> Keeping<Delivery> {
    use DeliveryStage::{Cancelled, Delivered, Failed};
    Keeping::packed(trim_delivery, |delivery| matches!(delivery.spec.stage, Delivered | Failed | Cancelled))
}

/// Customers.
pub(crate) fn customers() -> Keeping<Customer> {
    Keeping::packed(trim, |_| true)
}

/// Customers' counts of coupons.
pub(crate) fn coupon_uses() -> Keeping<CouponUse> {
    Keeping::packed(trim, |own| {
        own.status.as_ref().is_none_or(|status| status.reserved.is_empty() && status.releasing.is_empty())
    })
}

fn trim<K: ResourceExt>(object: &mut K) {
    trim_annotations(object.meta_mut(), &KNOWN_ANNOTATIONS);
}

/// Whether an order has ended and its money is where it belongs. No child of it is made any more, not even as a tombstone.
fn has_ended(order: &Order) -> bool {
    order.phase().is_terminal() && order.state().holds(ConditionKind::Settled)
}

/// Nobody asks what was ordered and where to, once the order has ended.
fn trim_order(order: &mut Order) {
    trim(order);
    if has_ended(order) {
        order.spec.items = Vec::new();
        order.spec.delivery = Destination::default();
    }
}

/// Without the lines of its quote, which are for people, and without its first intent once the status has it.
fn trim_payment(payment: &mut Payment) {
    trim(payment);
    payment.spec.quote.lines = Vec::new();
    if !payment.is_as_created() {
        payment.spec.intent = None;
    }
}

/// Without from where to where: that is for its rider.
fn trim_delivery(delivery: &mut Delivery) {
    trim(delivery);
    delivery.spec.pickup = StoreRef::default();
    delivery.spec.dropoff = Destination::default();
}
