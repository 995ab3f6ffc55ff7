//! What the order's decisions look at: a snapshot, gathered before any of them is asked.

use super::status::OrderState;
use crate::payment::ProviderSession;
use crate::phases::{
    CancellationVerdict, DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase, TicketStage,
    WhenUnavailable,
};
use crate::quote::{Blocker, Quote};
use crate::time::{Deadlines, Timestamp};
use crate::view::{Child, ControllerAvailability, DeliverySeen, PaymentSeen, RelatedState, TicketSeen};

/// All that a decision about an order depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderView {
    /// When the order was created.
    pub created_at: Timestamp,
    /// Whether the operator's finalizer is on it.
    pub has_finalizer: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether its namespace is being deleted: nothing can be created there any more.
    pub namespace_terminating: bool,
    /// Whether a person stopped it where it is.
    pub paused: bool,
    /// The customer's reason, when `spec.cancellation` is set.
    pub cancellation: Option<String>,
    /// `spec.receiptConfirmed`.
    pub receipt_confirmed: bool,
    /// What to do when the provider is out of reach.
    pub when_unavailable: WhenUnavailable,
    /// Whether the customer has put another token in than its payment carries.
    pub token_replaced: bool,
    /// The status as it stands.
    pub state: OrderState,
    /// Its payment.
    pub payment: Child<PaymentSeen>,
    /// Its ticket.
    pub ticket: Child<TicketSeen>,
    /// Its delivery.
    pub delivery: Child<DeliverySeen>,
    /// What came of resolving its references; `None` until [`Command::ResolveReferences`](super::Command::ResolveReferences) was carried out.
    pub quote: Option<Result<Quote, Blocker>>,
    /// The way to its payment provider, as far as it is known without asking anybody; `None`: it is not.
    pub session: Option<ProviderSession>,
    /// Whether its store takes part now: `false` while it is closed, so that nobody could act.
    pub store_open: bool,
    /// Whether its store has the operator accept its tickets, so that nobody else is waited for.
    pub accepts_by_itself: bool,
    /// How long each phase may wait.
    pub deadlines: Deadlines,
    /// Since when the operator's controllers have been at work in the order's namespace, in whichever process.
    pub availability: ControllerAvailability,
    /// Since when this process has been watching.
    pub watching_since: Timestamp,
    /// What the rest of the marketplace has to do with it.
    pub related: RelatedState,
}

impl OrderView {
    pub(super) fn speaks_of_another_version(&self) -> bool {
        let payment = self.payment.present();
        matches!(self.payment, Child::Unreadable)
            || matches!(self.ticket, Child::Unreadable)
            || matches!(self.delivery, Child::Unreadable)
            || self.state.phase == OrderPhase::Unknown
            || self.when_unavailable == WhenUnavailable::Unknown
            || self.state.cancellation == Some(CancellationVerdict::Unknown)
            || payment
                .is_some_and(|p| p.phase == PaymentPhase::Unknown || p.desired == PaymentDesired::Unknown)
            || self.ticket.present().is_some_and(|t| t.stage == TicketStage::Unknown)
            || self.delivery.present().is_some_and(|d| d.stage == DeliveryStage::Unknown)
    }

    pub(super) fn has_foreign_child(&self) -> bool {
        matches!(self.payment, Child::Foreign)
            || matches!(self.ticket, Child::Foreign)
            || matches!(self.delivery, Child::Foreign)
    }

    /// Whether somebody wants the order undone and has had no answer yet.
    pub(super) fn cancel_is_open(&self) -> bool {
        (self.cancellation.is_some() || self.deleting) && self.state.cancellation.is_none()
    }

    /// Whether the money is where it belongs, given that the order is being undone.
    pub(super) fn money_is_back(&self) -> bool {
        match &self.payment {
            Child::Absent => true,
            Child::Present(payment) => payment.phase.is_over(),
            Child::Foreign | Child::Unreadable => false,
        }
    }
}
