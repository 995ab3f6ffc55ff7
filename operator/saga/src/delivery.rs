//! What the riders' side of the operator does: offer cooked orders, mirror the stage into status, and clear away
//! deliveries whose order is gone.

use crate::ticket::OrderSeen;
use crate::view::{Child, PaymentSeen, TicketSeen};
use crate::words::{DeliveryStage, OrderPhase, TicketStage};

/// All that a decision about a delivery depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryView {
    /// Its order.
    pub order: OrderSeen,
    /// The order's payment.
    pub payment: Child<PaymentSeen>,
    /// The order's ticket.
    pub ticket: Child<TicketSeen>,
    /// The delivery's stage and the stage that its status shows, when there is one.
    pub delivery: Child<(DeliveryStage, DeliveryStage)>,
    /// Whether a person stopped the order.
    pub paused: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// What to do for a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Rest,
    /// Offer the food to riders.
    Create,
    /// Show this stage in status. It may lag, so that steps that pass quickly need one write.
    Mirror(DeliveryStage),
    /// Find out whether the order is really gone.
    CheckOrder,
    /// Clear the delivery away.
    Delete,
}

/// Names the next step for a delivery.
pub fn decide(view: &DeliveryView) -> Decision {
    if view.paused || view.deleting {
        return Decision::Rest;
    }
    let (stage, shown) = match &view.delivery {
        Child::Absent => return if may_create(view) { Decision::Create } else { Decision::Rest },
        Child::Foreign | Child::Unreadable => return Decision::Rest,
        Child::Present(stages) => *stages,
    };
    match view.order {
        OrderSeen::Missing => return Decision::CheckOrder,
        OrderSeen::Gone => return Decision::Delete,
        OrderSeen::Present { .. } => {}
    }
    if stage != shown && stage != DeliveryStage::Unknown {
        return Decision::Mirror(stage);
    }
    Decision::Rest
}

/// Only cooked and paid food is offered, once its order waits for a rider.
fn may_create(view: &DeliveryView) -> bool {
    let waiting = matches!(view.order, OrderSeen::Present { phase: OrderPhase::AwaitingRider, .. });
    let cooked = view.ticket.present().is_some_and(|t| t.stage == TicketStage::Cooked);
    waiting && cooked && view.payment.present().is_some_and(PaymentSeen::is_captured)
}
