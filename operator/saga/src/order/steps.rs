//! The saga on one page: a row for each phase of an order, which says what proves the phase, who acts in it and for how
//! long, whether a cancel is still taken, and what undoes it.
//!
//! Going forward, deadlines and compensation read it, and so do the controller (which absence it believes), the model
//! and the diagram in the documentation. Which phase may follow which stands in [`crate::table`].

use std::fmt::Write as _;

use super::command::ChildKind;
use crate::phases::{DeliveryStage, OrderPhase, PaymentPhase, TicketStage};
use crate::reason::Reason;
use crate::table;
use crate::time::{Deadlines, Millis};

/// What is true of an order in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The phase.
    pub phase: OrderPhase,
    /// What in the children, or else, shows that it is reached.
    pub proofs: &'static [Proof],
    /// Who moves the order on.
    pub actor: Actor,
    /// How long they have.
    pub deadline: Option<Span>,
    /// What happens when that is over.
    pub when_late: Late,
    /// The controller that must be available for the deadline to run, beside that of orders.
    pub needs: Controller,
    /// Whether the deadline stands still while the store is closed.
    pub rests_while_closed: bool,
    /// The child that the actor acts on; until it is made there is nothing to wait for.
    pub acts_on: Option<ChildKind>,
    /// Children that must exist: their absence is believed only when it is read live, and a ticket or a delivery that
    /// is absent nevertheless is lost.
    pub has: &'static [ChildKind],
    /// Whether somebody waits for the order to show the phase: the operator with its next step, the customer, or whoever
    /// waits for an end. Else the status may lag a moment, and is not written at all when the next phase follows at once.
    pub shown_at_once: bool,
    /// What becomes of a request to cancel, where no ticket tells.
    pub cancel: Cancel,
    /// The fence that keeps the actor from going on with an order that is undone; the money goes back after it.
    pub fence: Fence,
}

/// What shows that a phase is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The order is there.
    Created,
    /// The payment is in this phase, and still wanted.
    Payment(PaymentPhase),
    /// The ticket is at this stage.
    Ticket(TicketStage),
    /// The delivery is at this stage; whether a rider has claimed it, where that matters.
    Delivery(DeliveryStage, Option<bool>),
    /// The customer confirmed the receipt, or had long enough to.
    Receipt,
    /// The order is undone, and every fence stands.
    Fences,
    /// The same, and the money is back.
    MoneyBack,
    /// The same, and no money was taken.
    NotPaid,
}

/// Who moves an order on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The payment provider.
    Provider,
    /// The store.
    Store,
    /// A rider.
    Rider,
    /// The customer.
    Customer,
    /// Nobody: the order has ended, or is another version's.
    Nobody,
}

/// Which of the [`Deadlines`] applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// [`Deadlines::payment`].
    Payment,
    /// [`Deadlines::deferral`].
    Deferral,
    /// [`Deadlines::acceptance`].
    Acceptance,
    /// [`Deadlines::cooking`].
    Cooking,
    /// [`Deadlines::rider`].
    Rider,
    /// [`Deadlines::pickup`].
    Pickup,
    /// [`Deadlines::delivery`].
    Delivery,
    /// [`Deadlines::confirmation`].
    Confirmation,
}

/// What happens when a phase has lasted too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The order is undone, with this reason and sentence.
    Undo(Reason, &'static str),
    /// The rider loses the claim, and another may take the delivery.
    ReleaseClaim,
    /// The order completes.
    Complete,
    /// Nothing: there is no deadline.
    Never,
}

/// A controller of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// Of orders; needed in every phase.
    Order,
    /// Of payments; before there is one, of coupons where the order names one.
    Payment,
    /// Of tickets.
    Ticket,
    /// Of deliveries.
    Delivery,
}

/// What becomes of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// It is taken, and the order undone.
    Taken,
    /// It is refused: the store has begun to cook.
    Refused,
    /// There is nothing to decide: the order is being undone, or has ended.
    Settled,
}

/// What keeps an actor from going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// The payment is taken back, or made as one that can never be charged.
    Payment,
    /// The ticket is moved to this stage.
    Ticket(TicketStage),
    /// The claim is taken from the rider.
    Claim,
    /// The delivery is moved to this stage.
    Delivery(DeliveryStage),
    /// None: there is nothing to keep anybody from.
    Nothing,
}

impl Span {
    /// How long it is.
    pub fn of(self, deadlines: &Deadlines) -> Millis {
        match self {
            Self::Payment => deadlines.payment,
            Self::Deferral => deadlines.deferral,
            Self::Acceptance => deadlines.acceptance,
            Self::Cooking => deadlines.cooking,
            Self::Rider => deadlines.rider,
            Self::Pickup => deadlines.pickup,
            Self::Delivery => deadlines.delivery,
            Self::Confirmation => deadlines.confirmation,
        }
    }
}

use ChildKind as C;
use DeliveryStage as D;
use OrderPhase as O;
use TicketStage as T;

/// A phase in which nobody is waited for.
const fn at_rest(phase: O, proofs: &'static [Proof]) -> Step {
    Step {
        phase,
        proofs,
        actor: Actor::Nobody,
        deadline: None,
        when_late: Late::Never,
        needs: Controller::Order,
        rests_while_closed: false,
        acts_on: None,
        has: &[C::Payment],
        shown_at_once: true,
        cancel: Cancel::Settled,
        fence: Fence::Nothing,
    }
}

/// The row of a phase.
#[expect(clippy::too_many_lines, reason = "a table: one row for each phase")]
pub const fn step(phase: O) -> Step {
    match phase {
        O::AwaitingPayment => Step {
            actor: Actor::Provider,
            deadline: Some(Span::Payment),
            when_late: Late::Undo(Reason::PaymentTimedOut, "it could not be paid in time"),
            needs: Controller::Payment,
            has: &[],
            cancel: Cancel::Taken,
            fence: Fence::Payment,
            ..at_rest(phase, &[Proof::Created])
        },
        O::PaymentDeferred => Step {
            actor: Actor::Provider,
            deadline: Some(Span::Deferral),
            when_late: Late::Undo(Reason::PaymentTimedOut, "the payment provider stayed out of reach"),
            needs: Controller::Payment,
            cancel: Cancel::Taken,
            fence: Fence::Payment,
            ..at_rest(phase, &[Proof::Payment(PaymentPhase::Deferred)])
        },
        O::AwaitingStore => Step {
            actor: Actor::Store,
            deadline: Some(Span::Acceptance),
            when_late: Late::Undo(Reason::StoreDidNotAnswer, "the store did not answer in time"),
            needs: Controller::Ticket,
            rests_while_closed: true,
            acts_on: Some(C::Ticket),
            cancel: Cancel::Taken,
            fence: Fence::Ticket(T::Cancelled),
            ..at_rest(phase, &[Proof::Payment(PaymentPhase::Captured), Proof::Ticket(T::Pending)])
        },
        O::Accepted => Step {
            actor: Actor::Store,
            deadline: Some(Span::Cooking),
            when_late: Late::Undo(Reason::CookingTimedOut, "cooking did not begin in time"),
            needs: Controller::Ticket,
            rests_while_closed: true,
            has: &[C::Payment, C::Ticket],
            shown_at_once: false,
            cancel: Cancel::Taken,
            fence: Fence::Ticket(T::Cancelled),
            ..at_rest(phase, &[Proof::Ticket(T::Accepted)])
        },
        O::Cooking => Step {
            actor: Actor::Store,
            deadline: Some(Span::Cooking),
            when_late: Late::Undo(Reason::CookingTimedOut, "cooking did not end in time"),
            needs: Controller::Ticket,
            has: &[C::Payment, C::Ticket],
            shown_at_once: false,
            cancel: Cancel::Refused,
            fence: Fence::Ticket(T::Abandoned),
            ..at_rest(phase, &[Proof::Ticket(T::Cooking)])
        },
        O::AwaitingRider => Step {
            actor: Actor::Rider,
            deadline: Some(Span::Rider),
            when_late: Late::Undo(Reason::NoRider, "no rider took the delivery in time"),
            needs: Controller::Delivery,
            acts_on: Some(C::Delivery),
            cancel: Cancel::Refused,
            fence: Fence::Delivery(D::Cancelled),
            ..at_rest(phase, &[Proof::Ticket(T::Cooked), Proof::Delivery(D::Waiting, Some(false))])
        },
        O::RiderAssigned => Step {
            actor: Actor::Rider,
            deadline: Some(Span::Pickup),
            when_late: Late::ReleaseClaim,
            needs: Controller::Delivery,
            has: &[C::Payment, C::Delivery],
            shown_at_once: false,
            cancel: Cancel::Refused,
            fence: Fence::Claim,
            ..at_rest(phase, &[Proof::Delivery(D::Waiting, Some(true))])
        },
        O::PickedUp => Step {
            actor: Actor::Rider,
            deadline: Some(Span::Delivery),
            when_late: Late::Undo(Reason::DeliveryTimedOut, "the food did not arrive in time"),
            needs: Controller::Delivery,
            has: &[C::Payment, C::Delivery],
            shown_at_once: false,
            cancel: Cancel::Refused,
            fence: Fence::Delivery(D::Failed),
            ..at_rest(phase, &[Proof::Delivery(D::PickedUp, None)])
        },
        O::Delivered => Step {
            actor: Actor::Customer,
            deadline: Some(Span::Confirmation),
            when_late: Late::Complete,
            cancel: Cancel::Refused,
            ..at_rest(phase, &[Proof::Delivery(D::Delivered, None)])
        },
        O::Completed => at_rest(phase, &[Proof::Receipt]),
        O::Cancelling => at_rest(phase, &[Proof::Fences]),
        O::Cancelled => at_rest(phase, &[Proof::MoneyBack]),
        O::Rejected => at_rest(phase, &[Proof::Ticket(T::Rejected)]),
        O::PaymentFailed => at_rest(phase, &[Proof::NotPaid]),
        O::Unknown => at_rest(phase, &[]),
    }
}

/// All rows, in the order of the happy path.
pub fn all() -> impl Iterator<Item = Step> {
    O::ALL.iter().map(|phase| step(*phase))
}

/// The row that `proof` is one for.
pub fn proved_by(proof: Proof) -> Option<Step> {
    all().find(|step| step.proofs.contains(&proof))
}

/// The row that a delivery proves.
pub fn proved_by_delivery(stage: DeliveryStage, claimed: bool) -> Option<Step> {
    proved_by(Proof::Delivery(stage, None)).or_else(|| proved_by(Proof::Delivery(stage, Some(claimed))))
}

/// Whether children of this kind must exist in `phase`.
pub fn has(phase: OrderPhase, child: ChildKind) -> bool {
    step(phase).has.contains(&child)
}

/// The phases in which the customer may confirm the receipt: the food is with them.
pub fn receipt_phases() -> impl Iterator<Item = OrderPhase> {
    let arrived = |step: &Step| step.when_late == Late::Complete || step.proofs.contains(&Proof::Receipt);
    all().filter(arrived).map(|step| step.phase)
}

/// The phases in which the customer may replace the payment token: none is on its way to the provider.
pub fn token_phases() -> impl Iterator<Item = OrderPhase> {
    let deferred = |step: &Step| step.proofs.contains(&Proof::Payment(PaymentPhase::Deferred));
    all().filter(deferred).map(|step| step.phase)
}

/// The phases and the steps between them, as a state diagram in the notation of Mermaid. A phase says who moves the order
/// on; a step says what undoes the order, where it does.
pub fn diagram() -> String {
    let mut text = String::from("stateDiagram-v2\n    [*] --> AwaitingPayment\n");
    for step in all() {
        let phase = step.phase;
        let who = match step.actor {
            Actor::Provider => "the payment provider",
            Actor::Store => "the store",
            Actor::Rider => "a rider",
            Actor::Customer => "the customer",
            Actor::Nobody => continue,
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    {phase}: {phase}<br/>waits for {who}");
    }
    for row in table::ORDER {
        let late = match step(row.from).when_late {
            Late::Undo(reason, _) if row.to == O::Cancelling => format!(": {reason}, or cancelled in time"),
            Late::ReleaseClaim if row.to == O::AwaitingRider => ": not picked up in time".to_owned(),
            Late::Complete if row.to == O::Completed => ": receipt confirmed, or time".to_owned(),
            Late::Undo(..) | Late::ReleaseClaim | Late::Complete | Late::Never => String::new(),
        };
        let late = match step(row.from).cancel {
            Cancel::Taken => late,
            Cancel::Refused | Cancel::Settled => late.replace(", or cancelled in time", ""),
        };
        let _ = writeln!(text, "    {} --> {}{late}", row.from, row.to);
    }
    for end in O::ALL.iter().filter(|phase| phase.is_terminal()) {
        let _ = writeln!(text, "    {end} --> [*]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proof_stands_for_two_phases() {
        let proofs: Vec<Proof> = all().flat_map(|step| step.proofs.iter().copied()).collect();
        for (n, proof) in proofs.iter().enumerate() {
            assert!(!proofs[..n].contains(proof), "{proof:?}");
        }
    }

    #[test]
    fn every_stage_that_an_actor_reaches_is_a_proof() {
        for stage in T::ALL.iter().filter(|s| !table::operator_only(table::TICKET).contains(s)) {
            assert!(proved_by(Proof::Ticket(*stage)).is_some(), "{stage}");
        }
        for stage in [D::Waiting, D::PickedUp, D::Delivered] {
            assert!(proved_by_delivery(stage, false).is_some(), "{stage}");
            assert!(proved_by_delivery(stage, true).is_some(), "{stage}");
        }
    }

    #[test]
    fn a_phase_has_a_deadline_as_long_as_somebody_is_waited_for_and_no_longer() {
        for step in all() {
            assert_eq!(step.deadline.is_some(), step.actor != Actor::Nobody, "{}", step.phase);
            assert_eq!(step.deadline.is_some(), step.when_late != Late::Never, "{}", step.phase);
        }
    }

    #[test]
    fn every_fence_is_a_step_that_the_operator_may_take() {
        for step in all() {
            for proof in step.proofs {
                match (proof, step.fence) {
                    (Proof::Ticket(from), Fence::Ticket(to)) => {
                        assert!(table::allows(table::TICKET, *from, to), "{from} to {to}");
                    }
                    (Proof::Delivery(from, _), Fence::Delivery(to)) => {
                        assert!(table::allows(table::DELIVERY, *from, to), "{from} to {to}");
                    }
                    (_, fence) => assert!(
                        matches!(fence, Fence::Payment | Fence::Claim | Fence::Nothing)
                            || !matches!(proof, Proof::Ticket(_) | Proof::Delivery(..))
                            || matches!(proof, Proof::Ticket(T::Cooked)),
                        "{proof:?} has {fence:?}"
                    ),
                }
            }
        }
    }

    #[test]
    fn what_time_undoes_can_be_undone() {
        for step in all() {
            if let Late::Undo(..) = step.when_late {
                assert!(table::allows(table::ORDER, step.phase, O::Cancelling), "{}", step.phase);
                assert_ne!(step.fence, Fence::Nothing, "{}", step.phase);
            }
        }
    }

    #[test]
    fn the_diagram_has_every_step_of_the_table() {
        let diagram = diagram();
        for row in table::ORDER {
            assert!(diagram.contains(&format!("    {} --> {}", row.from, row.to)));
        }
    }
}
