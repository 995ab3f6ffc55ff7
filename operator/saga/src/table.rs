//! One transition table per kind. Everything that must agree on the steps is generated from here: the CEL rules of
//! CRDs and policies, the diagram in the documentation, and the tests of the decisions.

use crate::phases::{DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase, TicketStage};

/// Who may take a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The store, on its tickets.
    Store,
    /// The rider, on a delivery.
    Rider,
    /// The operator alone.
    Operator,
    /// The rider, or the operator when a deadline has passed.
    RiderOrOperator,
}

/// One permitted step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<T> {
    /// Where it starts.
    pub from: T,
    /// Where it leads.
    pub to: T,
    /// Who takes it.
    pub by: Actor,
}

const fn step<T>(from: T, to: T, by: Actor) -> Step<T> {
    Step { from, to, by }
}

use Actor::{Operator, Rider, RiderOrOperator, Store};
use OrderPhase as O;
use PaymentPhase as P;

/// The order's phases. All steps are the operator's; several may be taken in one write, and the skipped phases are
/// then filled into the history.
pub const ORDER: &[Step<OrderPhase>] = &[
    step(O::AwaitingPayment, O::AwaitingStore, Operator),
    step(O::AwaitingPayment, O::PaymentDeferred, Operator),
    step(O::AwaitingPayment, O::PaymentFailed, Operator),
    step(O::AwaitingPayment, O::Cancelling, Operator),
    step(O::PaymentDeferred, O::AwaitingStore, Operator),
    step(O::PaymentDeferred, O::PaymentFailed, Operator),
    step(O::PaymentDeferred, O::Cancelling, Operator),
    step(O::AwaitingStore, O::Accepted, Operator),
    step(O::AwaitingStore, O::Rejected, Operator),
    step(O::AwaitingStore, O::Cancelling, Operator),
    step(O::Accepted, O::Cooking, Operator),
    step(O::Accepted, O::Cancelling, Operator),
    step(O::Cooking, O::AwaitingRider, Operator),
    step(O::Cooking, O::Cancelling, Operator),
    step(O::AwaitingRider, O::RiderAssigned, Operator),
    step(O::AwaitingRider, O::Cancelling, Operator),
    step(O::RiderAssigned, O::PickedUp, Operator),
    step(O::RiderAssigned, O::AwaitingRider, Operator),
    step(O::RiderAssigned, O::Cancelling, Operator),
    step(O::PickedUp, O::Delivered, Operator),
    step(O::PickedUp, O::Cancelling, Operator),
    step(O::Delivered, O::Completed, Operator),
    step(O::Cancelling, O::Cancelled, Operator),
];

/// The payment's phases, all the operator's.
pub const PAYMENT: &[Step<PaymentPhase>] = &[
    step(P::Pending, P::Captured, Operator),
    step(P::Pending, P::Deferred, Operator),
    step(P::Pending, P::Declined, Operator),
    step(P::Pending, P::Voiding, Operator),
    step(P::Pending, P::Voided, Operator),
    step(P::Pending, P::NeedsReview, Operator),
    step(P::Deferred, P::Pending, Operator),
    step(P::Deferred, P::NeedsReview, Operator),
    step(P::Deferred, P::Voiding, Operator),
    step(P::Deferred, P::Voided, Operator),
    step(P::Captured, P::Refunding, Operator),
    step(P::Refunding, P::Refunded, Operator),
    step(P::Refunding, P::NeedsReview, Operator),
    step(P::Voiding, P::Voided, Operator),
    step(P::Voiding, P::Refunding, Operator),
    step(P::Voiding, P::NeedsReview, Operator),
    // By a person's word.
    step(P::NeedsReview, P::Pending, Operator),
    step(P::NeedsReview, P::Captured, Operator),
    step(P::NeedsReview, P::Declined, Operator),
    step(P::NeedsReview, P::Voiding, Operator),
    step(P::NeedsReview, P::Voided, Operator),
    step(P::NeedsReview, P::Refunding, Operator),
    step(P::NeedsReview, P::Refunded, Operator),
];

/// What an order may want of its payment: one way.
pub const DESIRED: &[Step<PaymentDesired>] =
    &[step(PaymentDesired::Captured, PaymentDesired::Refunded, Operator)];

/// The ticket's stages.
pub const TICKET: &[Step<TicketStage>] = &[
    step(TicketStage::Pending, TicketStage::Accepted, Store),
    step(TicketStage::Pending, TicketStage::Rejected, Store),
    step(TicketStage::Pending, TicketStage::Cancelled, Operator),
    step(TicketStage::Accepted, TicketStage::Cooking, Store),
    step(TicketStage::Accepted, TicketStage::Cancelled, Operator),
    step(TicketStage::Cooking, TicketStage::Cooked, Store),
    step(TicketStage::Cooking, TicketStage::Abandoned, Operator),
];

/// The delivery's stages.
pub const DELIVERY: &[Step<DeliveryStage>] = &[
    step(DeliveryStage::Waiting, DeliveryStage::PickedUp, Rider),
    step(DeliveryStage::Waiting, DeliveryStage::Cancelled, Operator),
    step(DeliveryStage::PickedUp, DeliveryStage::Delivered, Rider),
    step(DeliveryStage::PickedUp, DeliveryStage::Failed, RiderOrOperator),
];

/// Whether `table` has the step from one word to the other.
pub fn allows<T: Copy + PartialEq>(table: &[Step<T>], from: T, to: T) -> bool {
    table.iter().any(|s| s.from == from && s.to == to)
}

/// The words that `table` leads to from `from` in one step.
pub fn next<T: Copy + PartialEq>(table: &[Step<T>], from: T) -> Vec<T> {
    table.iter().filter(|s| s.from == from).map(|s| s.to).collect()
}

/// The stages that only the operator may set.
pub fn operator_only<T: Copy + PartialEq>(table: &[Step<T>]) -> Vec<T> {
    let mut found: Vec<T> = Vec::new();
    for s in table {
        let others = table.iter().any(|o| o.to == s.to && o.by != Operator);
        if !others && !found.contains(&s.to) {
            found.push(s.to);
        }
    }
    found
}

/// The shortest way from `from` to `to`, without `from`; `None` when there is none. Empty when they are equal.
pub fn path<T: Copy + PartialEq>(table: &[Step<T>], from: T, to: T) -> Option<Vec<T>> {
    if from == to {
        return Some(Vec::new());
    }
    let mut ways: Vec<Vec<T>> = vec![vec![from]];
    let mut seen = vec![from];
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let Some(last) = way.last().copied() else { continue };
            for word in next(table, last) {
                if seen.contains(&word) {
                    continue;
                }
                seen.push(word);
                let mut further = way.clone();
                further.push(word);
                if word == to {
                    further.remove(0);
                    return Some(further);
                }
                longer.push(further);
            }
        }
        ways = longer;
    }
    None
}

/// Every word that can be reached from `from`, by one step or several.
pub fn reachable<T: Copy + PartialEq>(table: &[Step<T>], all: &[T], from: T) -> Vec<T> {
    all.iter().copied().filter(|to| *to != from && path(table, from, *to).is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_order_phases_lead_nowhere_and_all_others_somewhere() {
        for phase in OrderPhase::ALL {
            assert_eq!(next(ORDER, *phase).is_empty(), phase.is_terminal(), "{phase}");
        }
    }

    #[test]
    fn every_order_phase_can_reach_an_end() {
        for phase in OrderPhase::ALL.iter().filter(|p| !p.is_terminal()) {
            let ends = reachable(ORDER, OrderPhase::ALL, *phase);
            assert!(ends.iter().any(|p| p.is_terminal()), "{phase} has no exit");
        }
    }

    #[test]
    fn the_way_over_skipped_phases_is_the_happy_one() {
        assert_eq!(
            path(ORDER, O::AwaitingStore, O::AwaitingRider),
            Some(vec![O::Accepted, O::Cooking, O::AwaitingRider])
        );
    }

    #[test]
    fn operator_only_stages_are_those_that_no_actor_may_set() {
        assert_eq!(operator_only(TICKET), vec![TicketStage::Cancelled, TicketStage::Abandoned]);
        assert_eq!(operator_only(DELIVERY), vec![DeliveryStage::Cancelled]);
    }

    #[test]
    fn nothing_leads_from_cooking_to_cancelled() {
        assert!(path(TICKET, TicketStage::Cooking, TicketStage::Cancelled).is_none());
    }
}
