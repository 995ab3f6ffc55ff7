//! What must hold in every state.

use fooddelivery_saga::phases::{
    CancellationVerdict, DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase, TicketStage,
};
use stateright::Property;

use crate::liveness;
use crate::objects::{Delivery, Order, Payment, Ticket};
use crate::saga::Saga;
use crate::world::World;

/// At most one capture an order.
pub const ONE_CAPTURE: &str = "money is captured at most once";
/// Refunds never above captures.
pub const REFUNDS: &str = "refunds are never above captures";
/// Cancelled means that the money is back.
pub const CANCELLED: &str = "a cancelled order's money is back";
/// Settled means that the money is where it belongs.
pub const SETTLED: &str = "a settled order's money is where it belongs";
/// Completed means paid.
pub const COMPLETED: &str = "a completed order is paid, and stays so";
/// No ticket without money.
pub const NO_UNPAID_TICKET: &str = "no ticket comes into the store's queue without money";
/// One ticket an order.
pub const ONE_TICKET: &str = "an order comes into the store's queue once";
/// The ticket's fence stands before the money is asked back.
pub const FENCE: &str = "no money is asked back while the store may work on the ticket";
/// Cooked food is paid for.
pub const COOKED: &str = "food that was cooked in time is paid for unless its delivery failed";
/// Delivered food is paid for.
pub const DELIVERED: &str = "food that was delivered is paid for";
/// Deadlines are for those who did not act.
pub const IN_TIME: &str = "no deadline undoes what was done before it";
/// A verdict holds.
pub const VERDICT: &str = "a refused cancel never comes back to life";
/// Terminal means terminal.
pub const TERMINAL: &str = "a terminal phase never changes";
/// Rules are met.
pub const LEGAL: &str = "no rule refuses what is decided on fresh data";
/// Postconditions hold.
pub const CHECKED: &str = "no decision breaks a rule of its machine, however old what it was made on";
/// Nothing is left behind.
pub const NOTHING_LEFT: &str = "no order goes before its children, and none with money on its way";
/// Nothing needs a person.
pub const NO_REVIEW: &str = "no payment needs a person";
/// Everything gets to an end.
pub const ENDS: &str = "in fair weather everything comes to the right end";
/// A quiet state waits for somebody.
pub const WAITS: &str = "an order at rest has ended or has a deadline";

/// All of them.
pub fn all() -> Vec<Property<Saga>> {
    vec![
        Property::always(ONE_CAPTURE, |_, w: &World| w.bank.captures <= 1),
        Property::always(REFUNDS, |_, w: &World| w.bank.refunds <= w.bank.captures),
        Property::always(CANCELLED, |_, w: &World| {
            w.live::<Order>().is_none_or(|o| o.phase != OrderPhase::Cancelled) || !w.bank.has_money()
        }),
        Property::always(SETTLED, |_, w: &World| {
            w.live::<Order>().filter(|o| o.conditions.settled == Some(true)).is_none_or(|o| {
                o.phase.is_terminal() && (o.phase == OrderPhase::Completed) == w.bank.has_money()
            })
        }),
        Property::always(COMPLETED, |_, w: &World| {
            let completed = w.live::<Order>().is_some_and(|o| o.phase == OrderPhase::Completed);
            // One that a frozen replica makes late is voided before anything was charged.
            let asked = w
                .live::<Payment>()
                .is_some_and(|p| p.desired == PaymentDesired::Refunded && p.attempt > 0 && !p.as_created);
            !completed || (w.bank.has_money() && !asked)
        }),
        Property::always(NO_UNPAID_TICKET, |_, w: &World| !w.violations.unpaid_ticket),
        Property::always(ONE_TICKET, |_, w: &World| !w.violations.second_ticket),
        Property::always(FENCE, |saga: &Saga, w: &World| {
            let open = w.live::<Ticket>().is_some_and(|t| {
                matches!(t.stage, TicketStage::Pending | TicketStage::Accepted | TicketStage::Cooking)
            });
            let late = saga.bounds.freezes && w.is_leaving();
            !open || late || w.live::<Payment>().is_none_or(|p| p.desired == PaymentDesired::Captured)
        }),
        Property::always(COOKED, |_, w: &World| {
            let cooked = w.live::<Ticket>().is_some_and(|t| t.stage == TicketStage::Cooked);
            let stays = w.live::<Payment>().is_none_or(|p| p.desired == PaymentDesired::Captured);
            let failed = w
                .live::<Delivery>()
                .is_some_and(|d| matches!(d.stage, DeliveryStage::Failed | DeliveryStage::Cancelled));
            // A deleted order takes its delivery away before its ticket.
            !cooked || failed || w.is_leaving() || (stays && w.bank.has_money())
        }),
        Property::always(DELIVERED, |_, w: &World| {
            let delivered = w.live::<Delivery>().is_some_and(|d| d.stage == DeliveryStage::Delivered);
            !delivered || (w.bank.has_money() && asked_nothing_back(w))
        }),
        Property::always(IN_TIME, |_, w: &World| !was_in_time(w)),
        Property::always(VERDICT, |_, w: &World| {
            w.live::<Order>().filter(|o| o.verdict == Some(CancellationVerdict::Refused)).is_none_or(|o| {
                !matches!(o.phase, OrderPhase::Cancelling | OrderPhase::Cancelled)
                    || !matches!(o.reason, "CancelledByCustomer" | "OrderDeleted")
            })
        }),
        Property::always(TERMINAL, |_, w: &World| !w.violations.end_changed),
        Property::always(LEGAL, |_, w: &World| !w.violations.illegal_step),
        Property::always(CHECKED, |_, w: &World| !w.violations.halted),
        Property::always(NOTHING_LEFT, |_, w: &World| {
            !w.violations.left_behind && !w.violations.payment_lost
        }),
        Property::always(NO_REVIEW, |_, w: &World| {
            w.live::<Payment>().is_none_or(|p| p.phase != PaymentPhase::NeedsReview)
        }),
        Property::always(ENDS, |saga: &Saga, w: &World| !liveness::is_calm(w) || saga.settles(w).is_ok()),
        Property::always(WAITS, |saga: &Saga, w: &World| {
            !liveness::is_quiet(w, &saga.bounds) || waits_rightly(saga, w)
        }),
    ]
}

/// Whether the money is asked back for want of a step that had been taken.
fn was_in_time(w: &World) -> bool {
    let ticket = w.live::<Ticket>().map(|t| t.stage);
    let delivery = w.live::<Delivery>().map(|d| d.stage);
    match w.live::<Payment>().and_then(|p| p.reversal) {
        Some("StoreDidNotAnswer") => {
            matches!(ticket, Some(TicketStage::Cooking | TicketStage::Cooked | TicketStage::Abandoned))
        }
        Some("CookingTimedOut") => ticket == Some(TicketStage::Cooked),
        Some("NoRider") => {
            matches!(
                delivery,
                Some(DeliveryStage::PickedUp | DeliveryStage::Delivered | DeliveryStage::Failed)
            )
        }
        Some("DeliveryTimedOut") => delivery == Some(DeliveryStage::Delivered),
        _ => false,
    }
}

fn asked_nothing_back(w: &World) -> bool {
    w.live::<Payment>().is_none_or(|p| p.desired == PaymentDesired::Captured)
}

fn waits_rightly(saga: &Saga, w: &World) -> bool {
    let Some(order) = w.live::<Order>() else {
        return w.live::<Payment>().is_none()
            && w.live::<Ticket>().is_none()
            && w.live::<Delivery>().is_none();
    };
    let ended = order.phase.is_terminal() && order.conditions.settled == Some(true) && !order.deleting;
    let wakes =
        crate::order::next(w, &saga.bounds, 0) == Some(crate::flight::OrderStep::Rest { wakes: true });
    ended || wakes
}
