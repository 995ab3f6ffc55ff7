//! Which changes of an order and its children concern whom. Each compares what a decision looks at, no less; what changes
//! beside it has nobody look again. Whatever a controller reads live rather than from the cache counts with all that leads to
//! it.

use fooddelivery_api::order::OrderStatus;
use fooddelivery_api::{Order, Payment};
use fooddelivery_saga::payment::OrderStanding;
use fooddelivery_saga::phases::OrderPhase;
use kube::ResourceExt;

/// Whether an order was made anew, stopped or let go on, or is wanted to be undone, or not any more.
fn is_meant_otherwise(old: &Order, new: &Order) -> bool {
    old.uid() != new.uid() || old.is_paused() != new.is_paused() || old.cancel_wanted() != new.cancel_wanted()
}

fn enters_or_leaves(old: &Order, new: &Order, phase: OrderPhase) -> bool {
    (old.phase() == phase) != (new.phase() == phase)
}

/// An order, for its payment: whether money may be taken for it, or is the store's. How it stands is read live, and the cache
/// may show the same again by the time that it shows anything: so the generation, which only grows, and the verdict, which
/// stays, count, too.
pub(crate) fn order_concerns_payment(old: &Order, new: &Order) -> bool {
    let standing = |order: &Order| {
        let verdict = order.status.as_ref().and_then(|status| status.cancellation);
        (OrderStanding::of(order.phase(), verdict, order.cancel_wanted()), verdict)
    };
    is_meant_otherwise(old, new)
        || old.metadata.generation != new.metadata.generation
        || standing(old) != standing(new)
}

/// An order, for its ticket: whether one may be made.
pub(crate) fn order_concerns_ticket(old: &Order, new: &Order) -> bool {
    is_meant_otherwise(old, new) || enters_or_leaves(old, new, OrderPhase::AwaitingStore)
}

/// An order, for its delivery: whether one may be made.
pub(crate) fn order_concerns_delivery(old: &Order, new: &Order) -> bool {
    is_meant_otherwise(old, new) || enters_or_leaves(old, new, OrderPhase::AwaitingRider)
}

/// An order, for who is notified of it: its steps, what its status says of messages, and whether it ends or goes.
pub(crate) fn order_concerns_notification(old: &Order, new: &Order) -> bool {
    let steps = |order: &Order| {
        let status = order.status.as_ref();
        status.map_or((0, 0), |status| (status.history.len(), status.history_dropped))
    };
    let messages = |order: &Order| order.status.as_ref().map(|status| status.messages.clone());
    let is_pending = |order: &Order| order.status.as_ref().is_some_and(OrderStatus::is_notification_pending);
    old.uid() != new.uid()
        || steps(old) != steps(new)
        || messages(old) != messages(new)
        || is_pending(old) != is_pending(new)
        || old.phase().is_terminal() != new.phase().is_terminal()
        || old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
}

/// A payment, for the store's and the riders' side: whether the money is in.
pub(crate) fn payment_concerns_children(old: &Payment, new: &Payment) -> bool {
    old.spec.order_ref != new.spec.order_ref || old.seen() != new.seen()
}

/// A payment, for its order: how it stands, which token it has, and what it says of a coupon, which an order that leaves may
/// have to wait for. That an intent was recorded, when it is tried again, and under which keys, is its own affair.
pub(crate) fn payment_concerns_order(old: &Payment, new: &Payment) -> bool {
    let attempt = |payment: &Payment| payment.state().attempt;
    payment_concerns_children(old, new)
        || old.uid() != new.uid()
        || old.spec.token != new.spec.token
        || old.spec.token_secret_ref != new.spec.token_secret_ref
        || old.spec.coupon != new.spec.coupon
        || (new.spec.coupon.is_some() && attempt(old) != attempt(new))
}
