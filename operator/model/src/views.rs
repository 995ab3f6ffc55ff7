//! The model's objects as the views of `saga` show them: what a gatherer of the controllers makes of the real ones.

use fooddelivery_saga::time::Timestamp;
use fooddelivery_saga::view::{Child, DeliverySeen, PaymentSeen, Reversal, TicketSeen};

use crate::bounds::TOTAL;
use crate::objects::{Delivery, Payment, Ticket};

/// Length of an epoch in milliseconds: longer than every deadline.
pub const EPOCH_MS: i64 = 10_000_000_000;

/// When an epoch begins.
pub fn at(epoch: u8) -> Timestamp {
    Timestamp(i64::from(epoch) * EPOCH_MS)
}

/// A payment in the views of orders, tickets and deliveries.
pub fn payment_seen(payment: &Payment) -> PaymentSeen {
    PaymentSeen {
        desired: payment.desired,
        phase: payment.phase,
        total: if payment.tombstone { 0 } else { TOTAL },
        discount: None,
        reason: payment.reason.into(),
        message: String::new(),
        reversal: payment.reversal.map(|why| Reversal { reason: why.into(), message: String::new() }),
        deleting: payment.deleting,
    }
}

/// A ticket in the views.
pub fn ticket_seen(ticket: &Ticket) -> TicketSeen {
    TicketSeen {
        stage: ticket.stage,
        reason: ticket.reason.into(),
        created_at: at(ticket.created),
        deleting: false,
    }
}

/// A delivery in the views of orders.
pub fn delivery_seen(delivery: &Delivery) -> DeliverySeen {
    DeliverySeen {
        stage: delivery.stage,
        rider: delivery.claimed.then(|| "rider".into()),
        reason: delivery.reason.into(),
        deleting: false,
    }
}

/// A child in the views: present, or absent.
pub fn child<K, S>(object: Option<&K>, seen: impl Fn(&K) -> S) -> Child<S> {
    object.map_or(Child::Absent, |object| Child::Present(seen(object)))
}
