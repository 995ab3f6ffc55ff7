//! The children of an order, as one decision sees them.

use std::sync::Arc;

use fooddelivery_api::{Delivery, Payment, Ticket};

/// The children that a decision was made on. Commands are carried out on exactly these copies: a newer one that came
/// into the cache meanwhile would carry a resourceVersion that nobody decided on.
pub(super) struct Children {
    pub(super) payment: Option<Arc<Payment>>,
    pub(super) ticket: Option<Arc<Ticket>>,
    pub(super) delivery: Option<Arc<Delivery>>,
}

impl Children {
    /// Whether none is left.
    pub(super) fn is_empty(&self) -> bool {
        let Self { payment, ticket, delivery } = self;
        payment.is_none() && ticket.is_none() && delivery.is_none()
    }
}
