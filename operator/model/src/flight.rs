//! Steps that are decided and not carried out yet: what each controller of a replica is about to do, and what that rests on.
//!
//! Data only. Between a decision and its effect everything else may happen, so these are a part of the state.

use fooddelivery_saga::payment::OrderStanding;
use fooddelivery_saga::phases::{DeliveryStage, TicketStage};

use crate::objects::{Label, Order, Payment};

/// A step of the order controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderStep {
    /// Nothing to do; whether it wants to look again at some time.
    Rest {
        /// It has a deadline.
        wakes: bool,
    },
    /// The decision breaks a rule of its machine: nothing is done, and a property fails.
    Halt,
    /// Write this status.
    Write(Order),
    /// Create the payment; as a tombstone when a reason is given.
    CreatePayment(Option<Label>),
    /// Ask for the money back.
    ReturnMoney(Label),
    /// Create the ticket as a tombstone.
    TicketTombstone(Label),
    /// Move the ticket to an operator-only stage.
    EndTicket(TicketStage, Label),
    /// Create the delivery as a tombstone.
    DeliveryTombstone(Label),
    /// Move the delivery to its end.
    EndDelivery(DeliveryStage, Label),
    /// Take the claim from the rider.
    ReleaseClaim,
    /// Delete the delivery.
    DeleteDelivery,
    /// Delete the ticket.
    DeleteTicket,
    /// Delete the payment.
    DeletePayment,
    /// Look live whether any child is left.
    LookForChildren,
    /// Let the order go.
    RemoveFinalizer,
}

/// A step of the order controller that is decided and not carried out yet, and the versions that it was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrderFlight {
    /// What is about to be done.
    pub step: OrderStep,
    /// The order.
    pub version: u8,
    /// The payment, where the step patches or deletes it.
    pub payment: Option<u8>,
    /// The ticket, where the step patches or deletes it.
    pub ticket: Option<u8>,
    /// The delivery, where the step patches or deletes it.
    pub delivery: Option<u8>,
}

/// The result of a call, as far as decisions tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallResult {
    /// The payment is prepared and may be charged.
    Open,
    /// It can never be charged.
    Voided,
    /// It was charged, and cannot be voided.
    TooLate,
    /// The money was taken; whether it was given back too.
    Captured(bool),
    /// A final no.
    Declined,
    /// Nothing was found.
    NotFound,
    /// Nothing was sent.
    NotSent,
    /// Nothing is known.
    Unknown,
}

/// What one reconcile of the payment controller has read and been answered so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CallResults {
    /// The order, read live.
    pub order: Option<OrderStanding>,
    /// Whether provider and token were read live, and the provider can be called.
    pub access: bool,
    /// Whether the intent to charge was recorded by this reconcile.
    pub intent_is_fresh: bool,
    /// Result of preparing.
    pub prepare: Option<CallResult>,
    /// Result of the look-up.
    pub look_up: Option<CallResult>,
    /// Result of the charge.
    pub charge: Option<CallResult>,
    /// Result of voiding.
    pub void: Option<CallResult>,
    /// Result of the refund.
    pub refund: Option<CallResult>,
}

/// A step of the payment controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentStep {
    /// Nothing to do now.
    Rest,
    /// The decision breaks a rule of its machine: nothing is done, and a property fails.
    Halt,
    /// Retry later: the outcome of a call is not known.
    Retry,
    /// Read the order live.
    CheckOrder,
    /// Read the provider live.
    CheckAccess,
    /// Make a payment at the provider that can be charged.
    Prepare,
    /// Look the payment up at the provider.
    LookUp,
    /// Charge.
    Charge,
    /// See to it that it can never be charged.
    Void,
    /// Refund.
    Refund,
    /// Write this status.
    Write(Payment),
    /// The order is gone: the money is to go back.
    WantMoneyBack,
    /// Delete the payment.
    Delete,
    /// Remove the finalizer of the payment.
    RemoveFinalizer,
}

/// A reconcile of the payment controller between two steps: what is about to be done, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PaymentFlight {
    /// What is about to be done.
    pub step: PaymentStep,
    /// Version of the payment that the step was decided on.
    pub version: u8,
    /// Whether that version was read live, or written, by this reconcile.
    pub read: bool,
    /// What was read and answered.
    pub results: CallResults,
    /// Of a mutant: the intent exists in memory only.
    pub unwritten: bool,
}

/// What the ticket controller is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TicketFlight {
    /// Put the order into the store's queue, if it is still at this version.
    Create(u8),
    /// The same, after the order was read live; only where a replica may stop in between.
    Make,
    /// Delete the ticket with this uid: its order is gone.
    Delete(u8),
}

/// What the delivery controller is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryFlight {
    /// Offer the food to riders, if the order is still at this version.
    Create(u8),
    /// The same, after the order was read live; only where a replica may stop in between.
    Make,
    /// Delete the delivery with this uid: its order is gone.
    Delete(u8),
}
