//! A folder a controller, each with the same file names: `mod.rs` registers and wires it, `gather.rs` reads what its
//! decision depends on, `apply.rs` carries out what was decided, where that is more than a status. What is decided stands
//! in `saga`. A controller imports `shared`, `context` and what is below them, and no other controller.

mod coupon;
mod customer;
mod delivery;
mod message_provider;
mod notification;
mod order;
mod payment;
mod payment_provider;
mod rider;
mod store;
mod ticket;

use crate::names::ControllerName;
use crate::registry::Controller;

/// The declaration of a controller. Exhaustive: a name without a folder does not compile.
pub(crate) fn controller(name: ControllerName) -> &'static Controller {
    match name {
        ControllerName::Order => &order::CONTROLLER,
        ControllerName::Payment => &payment::CONTROLLER,
        ControllerName::Ticket => &ticket::CONTROLLER,
        ControllerName::Delivery => &delivery::CONTROLLER,
        ControllerName::PaymentProvider => &payment_provider::CONTROLLER,
        ControllerName::Coupon => &coupon::CONTROLLER,
        ControllerName::Store => &store::CONTROLLER,
        ControllerName::Rider => &rider::CONTROLLER,
        ControllerName::Notification => &notification::CONTROLLER,
        ControllerName::Customer => &customer::CONTROLLER,
        ControllerName::MessageProvider => &message_provider::CONTROLLER,
    }
}
