//! What a decision about an order may ask for: one step at a time.

use super::status::OrderState;
use crate::machine::{self, Next};
use crate::payment::Intent;
use crate::phases::{DeliveryStage, TicketStage};
use crate::quote::Quote;
use crate::view::Reversal;

/// The answer of [`decide`](super::decide).
pub type Decision = Next<Command, OrderState>;

/// What remains when there is nothing to do: the status, written only when it differs.
pub type Rest = machine::Rest<OrderState>;

/// One step on the order or its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Put the operator's finalizer on the order; before anything else.
    AddFinalizer,
    /// Read store, menu and provider live, and price the order.
    ResolveReferences,
    /// Create the payment at this price, with the intent to charge where it can be charged at once.
    CreatePayment(Quote, Option<Intent>),
    /// Create the payment as a tombstone: it can never be charged, and no late create can get past it.
    CreatePaymentTombstone(Reversal),
    /// Hand the customer's new token to a payment that is deferred.
    ReplaceToken,
    /// Ask for the money back, or that it never be taken.
    ReturnMoney(Reversal),
    /// Create the ticket as a tombstone, born Cancelled.
    CreateTicketTombstone(String),
    /// Move the ticket to an operator-only stage; the API server arbitrates against the store.
    EndTicket {
        /// `Cancelled` or `Abandoned`.
        stage: TicketStage,
        /// Why, for the store to read.
        reason: String,
    },
    /// Create the delivery as a tombstone, born Cancelled.
    CreateDeliveryTombstone(String),
    /// Move the delivery to `Cancelled` or `Failed`.
    EndDelivery {
        /// `Cancelled` (unclaimed) or `Failed` (picked up, never delivered).
        stage: DeliveryStage,
        /// Why, for the rider to read.
        reason: String,
    },
    /// Take the claim from a rider who did not pick up.
    ReleaseClaim,
    /// Take the claim from a rider who carries as many as they can.
    RefuseClaim,
    /// Delete the order: it has been settled for as long as it is to be kept.
    DeleteOrder,
    /// Delete a child; the order has ended and its money is where it belongs.
    DeleteChild(ChildKind),
    /// Let the order go; only when no child is left (checked live).
    RemoveFinalizer,
}

/// The kinds of children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildKind {
    /// The delivery.
    Delivery,
    /// The ticket.
    Ticket,
    /// The payment.
    Payment,
}
