//! The names of the controllers, one row each. Everything that has to know all controllers derives it from here: what
//! `--controllers` takes and its default, and (by an exhaustive match in `controllers`) that each is registered.

use std::fmt;

use clap::ValueEnum;

/// The controllers, each of which can run alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum ControllerName {
    /// Orders: pricing, phases, cancellation, deletion.
    Order,
    /// Payments: charging, voiding, refunding.
    Payment,
    /// Tickets: the store's side.
    Ticket,
    /// Deliveries: the riders' side.
    Delivery,
    /// Payment providers: whether they can be called.
    #[value(alias = "provider")]
    PaymentProvider,
    /// Coupons: who may redeem one, and who gave it back.
    Coupon,
    /// Stores: the counts of what was ordered.
    Store,
    /// Riders: the counts of what they brought.
    Rider,
    /// Notifications: messages about the steps of orders.
    #[value(alias = "message")]
    Notification,
    /// Customers: their message log.
    Customer,
    /// Message providers: whether they can be called.
    MessageProvider,
}

impl ControllerName {
    /// As in `--controllers`, in metrics, and in the names of Leases.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Payment => "payment",
            Self::Ticket => "ticket",
            Self::Delivery => "delivery",
            Self::PaymentProvider => "payment-provider",
            Self::Coupon => "coupon",
            Self::Store => "store",
            Self::Rider => "rider",
            Self::Notification => "notification",
            Self::Customer => "customer",
            Self::MessageProvider => "message-provider",
        }
    }
}

impl fmt::Display for ControllerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
