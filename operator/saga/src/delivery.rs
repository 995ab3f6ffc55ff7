//! What the riders' side of the operator does: offer cooked orders, and clear away deliveries whose order is gone.

use std::convert::Infallible;

use crate::machine::{Next, StateMachine, Violation};
use crate::phases::{DeliveryStage, OrderPhase, TicketStage};
use crate::ticket::OrderSeen;
use crate::time::Timestamp;
use crate::view::{Child, PaymentSeen, TicketSeen};

/// All that a decision about a delivery depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryView {
    /// Its order.
    pub order: OrderSeen,
    /// The order's payment.
    pub payment: Child<PaymentSeen>,
    /// The order's ticket.
    pub ticket: Child<TicketSeen>,
    /// The delivery's stage, when there is one.
    pub delivery: Child<DeliveryStage>,
    /// Whether its rider's count has to keep it before it may go.
    pub awaits_count: bool,
    /// Whether a person stopped the order.
    pub paused: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// What to do for a delivery. It has no status: its stage says where it stands.
pub type Decision = Next<Command, Infallible>;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Offer the food to riders.
    Create,
    /// Find out whether the order is really gone.
    CheckOrder,
    /// Clear the delivery away.
    Delete,
}

/// The delivery's decisions. They depend on no time.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryMachine;

impl StateMachine for DeliveryMachine {
    type View = DeliveryView;
    type Command = Command;
    type Status = Infallible;

    fn decide(view: &DeliveryView, _: Timestamp) -> Decision {
        next(view)
    }

    fn check(view: &DeliveryView, next: &Decision) -> Result<(), Violation> {
        let cooked = view.ticket.present().is_some_and(|ticket| ticket.stage == TicketStage::Cooked);
        match next {
            Decision::Act(Command::Create) if !cooked || !view.delivery.is_absent() => {
                Err(Violation::new("food is offered once, when it is cooked", format!("{:?}", view.ticket)))
            }
            Decision::Act(Command::Delete) if view.order != OrderSeen::Gone || view.awaits_count => {
                Err(Violation::new("only a counted orphan is cleared away", format!("{:?}", view.order)))
            }
            Decision::Skip
            | Decision::Halt(_)
            | Decision::Act(_)
            | Decision::Write(_)
            | Decision::Rest(_)
            | Decision::Wait(_)
            | Decision::Retry(_) => Ok(()),
        }
    }
}

/// Whether a delivery belongs into its rider's count: when it has arrived.
pub fn counts(stage: DeliveryStage) -> bool {
    stage == DeliveryStage::Delivered
}

/// A delivery that a rider has and has not finished, as far as capacity goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// What is picked up comes first, then what the order knows of, since when; what is new comes last.
    pub standing: ClaimStanding,
    /// The order's uid.
    pub order_uid: String,
}

/// How firmly a rider has a delivery; the firmest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClaimStanding {
    /// The food is with the rider.
    PickedUp,
    /// The order knows of the claim since then.
    Known(Timestamp),
    /// It was just made.
    New,
}

/// Whether the claim of `order_uid` is one too many for a rider who carries `capacity` at once.
pub fn is_surplus(claims: &[Claim], order_uid: &str, capacity: i64) -> bool {
    let Some(own) = claims.iter().find(|claim| claim.order_uid == order_uid) else { return false };
    let before = claims.iter().filter(|claim| *claim < own).count();
    own.standing != ClaimStanding::PickedUp && i64::try_from(before).unwrap_or(i64::MAX) >= capacity
}

/// Names the next step for a delivery.
pub fn decide(view: &DeliveryView) -> Decision {
    DeliveryMachine::step(view, Timestamp(0))
}

fn next(view: &DeliveryView) -> Decision {
    if view.paused || view.deleting {
        return Decision::Skip;
    }
    match &view.delivery {
        Child::Absent if may_create(view) => return Decision::Act(Command::Create),
        Child::Absent => return Decision::Wait(None),
        Child::Foreign | Child::Unreadable => return Decision::Skip,
        Child::Present(_) => {}
    }
    match view.order {
        OrderSeen::Missing => Decision::Act(Command::CheckOrder),
        OrderSeen::Gone if !view.awaits_count => Decision::Act(Command::Delete),
        OrderSeen::Gone | OrderSeen::Present { .. } => Decision::Wait(None),
    }
}

/// Only cooked and paid food is offered, once its order waits for a rider.
fn may_create(view: &DeliveryView) -> bool {
    let waiting = matches!(view.order, OrderSeen::Present { phase: OrderPhase::AwaitingRider, .. });
    let cooked = view.ticket.present().is_some_and(|t| t.stage == TicketStage::Cooked);
    waiting && cooked && view.payment.present().is_some_and(PaymentSeen::is_captured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClaimStanding::{Known, New, PickedUp};

    fn claims(standings: &[ClaimStanding]) -> Vec<Claim> {
        let claim = |(n, standing): (usize, &ClaimStanding)| Claim {
            standing: *standing,
            order_uid: format!("u{n}"),
        };
        standings.iter().enumerate().map(claim).collect()
    }

    fn surplus(standings: &[ClaimStanding], capacity: i64) -> Vec<bool> {
        let claims = claims(standings);
        (0..standings.len()).map(|n| is_surplus(&claims, &format!("u{n}"), capacity)).collect()
    }

    #[test]
    fn a_rider_keeps_what_they_had_first() {
        assert_eq!(surplus(&[New, Known(Timestamp(5)), Known(Timestamp(9))], 1), [true, false, true]);
        assert_eq!(surplus(&[New, Known(Timestamp(5)), Known(Timestamp(9))], 2), [true, false, false]);
        assert_eq!(surplus(&[New, New], 1), [false, true], "of two at once exactly one is kept");
    }

    #[test]
    fn what_is_picked_up_is_never_taken_away() {
        assert_eq!(surplus(&[PickedUp, PickedUp, New], 1), [false, false, true]);
    }
}
