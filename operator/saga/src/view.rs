//! What one controller sees of another's object, and of the others' being there: as little as its decisions need.

use crate::phases::{DeliveryStage, PaymentDesired, PaymentPhase, TicketStage};
use crate::time::{Millis, Timestamp};

/// A child of an order, found under the order's name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Child<T> {
    /// There is none.
    #[default]
    Absent,
    /// One exists under this name, but belongs to an earlier order: it is waited for, never adopted.
    Foreign,
    /// It cannot be read (a malformed object, or a word from a newer version): hands off.
    Unreadable,
    /// It is this order's own.
    Present(T),
}

impl<T> Child<T> {
    /// The child, if it is there and this order's own.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(child) => Some(child),
            Self::Absent | Self::Foreign | Self::Unreadable => None,
        }
    }

    /// Whether nothing at all stands under the name.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// Since when each controller of the operator has been at work without a gap, in whichever process; `None` while it is
/// not. For one namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ControllerAvailability {
    /// The controller of orders.
    pub order: Option<Timestamp>,
    /// Of payments.
    pub payment: Option<Timestamp>,
    /// Of tickets.
    pub ticket: Option<Timestamp>,
    /// Of deliveries.
    pub delivery: Option<Timestamp>,
    /// Of coupons.
    pub coupon: Option<Timestamp>,
}

impl ControllerAvailability {
    /// Every controller since the same moment.
    pub const fn of_all(since: Timestamp) -> Self {
        let since = Some(since);
        Self { order: since, payment: since, ticket: since, delivery: since, coupon: since }
    }
}

/// A payment, as the order sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentSeen {
    /// What the order asked for.
    pub desired: PaymentDesired,
    /// Where the money stands.
    pub phase: PaymentPhase,
    /// The frozen total, in the currency's smallest unit.
    pub total: i64,
    /// What the order's coupon takes off; `None` without a coupon.
    pub discount: Option<i64>,
    /// Why it stands there, in one word; empty when all is well.
    pub reason: String,
    /// The same as a sentence.
    pub message: String,
    /// Why the order wants its money back, recorded when it said so.
    pub reversal: Option<Reversal>,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// Why an order is undone. It is kept with the payment, so that a crash between the fences and the order's status
/// does not lose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reversal {
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// What the rest of the marketplace has to do with an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelatedState {
    /// The store that it goes to, as far as is known.
    pub store: Option<String>,
    /// Whether it names a coupon, which has to be kept for it before its payment is made.
    pub names_coupon: bool,
    /// Whether the rider who took its delivery carries as many already as they can.
    pub claim_is_surplus: bool,
    /// What an order that is being deleted is still needed for.
    pub deletion_blockers: Vec<DeletionBlocker>,
    /// Since when it is being deleted.
    pub deleting_since: Option<Timestamp>,
    /// After this time it is removed once it has ended and is settled; `None`: never.
    pub time_to_live: Option<Millis>,
}

/// What an order, or a child of it, is still needed for when it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeletionBlocker {
    /// The rider's count does not keep the delivery yet.
    DeliveryCount,
    /// The store's counts do not keep the ticket yet.
    TicketCount,
    /// The coupon does not know yet that it was redeemed, or given back.
    Coupon,
    /// The customer has not been told everything yet.
    Messages,
}

impl PaymentSeen {
    /// Whether the money is in and meant to stay.
    pub fn is_captured(&self) -> bool {
        self.phase == PaymentPhase::Captured && self.desired == PaymentDesired::Captured
    }
}

/// A ticket, as the order sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketSeen {
    /// How far the store is.
    pub stage: TicketStage,
    /// The store's or the operator's reason for ending it; empty when there is none.
    pub reason: String,
    /// When it came into the store's queue.
    pub created_at: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
}

impl TicketSeen {
    /// Whether the store has begun to cook: from here on a cancel is refused.
    pub fn has_begun(&self) -> bool {
        matches!(self.stage, TicketStage::Cooking | TicketStage::Cooked)
    }
}

/// A delivery, as the order sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverySeen {
    /// How far it is.
    pub stage: DeliveryStage,
    /// The rider who took it.
    pub rider: Option<String>,
    /// The rider's or the operator's reason for its failing; empty when there is none.
    pub reason: String,
    /// Whether it is being deleted.
    pub deleting: bool,
}
