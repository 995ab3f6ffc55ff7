//! What the store's side of the operator does: put paid orders into the store's queue, accept on the store's behalf
//! where it wants that, mirror the stage into status, and clear away tickets whose order is gone.

use crate::machine::{Next, Rest, StateMachine, Violation};
use crate::phases::{Acceptance, OrderPhase, TicketStage};
use crate::time::Timestamp;
use crate::view::{Child, Mirror, PaymentSeen};

/// The order behind a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderSeen {
    /// It is there.
    Present {
        /// Where it stands.
        phase: OrderPhase,
        /// Whether somebody wants it undone and has not been refused.
        cancel_wanted: bool,
    },
    /// It is not in the cache; whether it is really gone has not been read.
    Missing,
    /// It is gone (read live), and no payment of it is left.
    Gone,
}

/// All that a decision about a ticket depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketView {
    /// Its order.
    pub order: OrderSeen,
    /// The order's payment.
    pub payment: Child<PaymentSeen>,
    /// The ticket's stage and the stage that its status shows, when there is one.
    pub ticket: Child<(TicketStage, TicketStage)>,
    /// How the store takes tickets; `None` when there is no such store.
    pub acceptance: Option<Acceptance>,
    /// Whether the store's count has it.
    pub counted: bool,
    /// Whether its status says so.
    pub is_marked: bool,
    /// Whether the list of those that are counted, and do not say so, is long.
    pub list_is_long: bool,
    /// Whether a person stopped the order.
    pub paused: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// What to do for a ticket. The status that is to stand there may lag, so that steps that pass quickly need one write.
pub type Decision = Next<Command, Mirror<TicketStage>>;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Put the order into the store's queue.
    Create,
    /// Accept on the store's behalf.
    Accept,
    /// Find out whether the order is really gone.
    CheckOrder,
    /// Clear the ticket away.
    Delete,
}

/// The ticket's decisions. They depend on no time.
#[derive(Debug, Clone, Copy)]
pub struct TicketMachine;

impl StateMachine for TicketMachine {
    type View = TicketView;
    type Command = Command;
    type Status = Mirror<TicketStage>;

    fn decide(view: &TicketView, _: Timestamp) -> Decision {
        next(view)
    }

    fn check(view: &TicketView, next: &Decision) -> Result<(), Violation> {
        let paid = view.payment.present().is_some_and(PaymentSeen::is_captured);
        match next {
            Decision::Act(Command::Create) if !paid || !view.ticket.is_absent() => Err(Violation::new(
                "a ticket is made once, for captured money",
                format!("{:?}", view.payment),
            )),
            Decision::Act(Command::Accept)
                if view.ticket.present().is_none_or(|(stage, _)| *stage != TicketStage::Pending) =>
            {
                Err(Violation::new("only a ticket in the queue is accepted", format!("{:?}", view.ticket)))
            }
            Decision::Act(Command::Delete) if view.order != OrderSeen::Gone => {
                Err(Violation::new("only an orphan is cleared away", format!("{:?}", view.order)))
            }
            Decision::Rest(rest) if rest.state.stage == TicketStage::Unknown => {
                Err(Violation::new("a stage of another version is never written", "Unknown"))
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

/// Whether a ticket belongs into its store's counts: from when the store has begun to cook it. Whenever it is looked at,
/// the answer is the same, as what is cooking can no longer be cancelled.
pub fn counts(stage: TicketStage) -> bool {
    matches!(stage, TicketStage::Cooking | TicketStage::Cooked | TicketStage::Abandoned)
}

/// Names the next step for a ticket.
pub fn decide(view: &TicketView) -> Decision {
    TicketMachine::step(view, Timestamp(0))
}

fn next(view: &TicketView) -> Decision {
    if view.paused || view.deleting {
        return Decision::Skip;
    }
    let (stage, shown) = match &view.ticket {
        Child::Absent if may_create(view) => return Decision::Act(Command::Create),
        Child::Absent => return Decision::Wait(None),
        Child::Foreign | Child::Unreadable => return Decision::Skip,
        Child::Present(stages) => *stages,
    };
    match view.order {
        OrderSeen::Missing => return Decision::Act(Command::CheckOrder),
        OrderSeen::Gone => return Decision::Act(Command::Delete),
        OrderSeen::Present { cancel_wanted, .. } => {
            let automatic = view.acceptance == Some(Acceptance::Automatic);
            if automatic && stage == TicketStage::Pending && !cancel_wanted {
                return Decision::Act(Command::Accept);
            }
        }
    }
    // That it is counted is said with the next mirror, and on its own only when none will follow, or when others wait
    // for its place in the list.
    let is_last = matches!(stage, TicketStage::Cooked | TicketStage::Abandoned);
    let says_less = view.counted && !view.is_marked && (is_last || view.list_is_long);
    if (stage != shown || says_less) && stage != TicketStage::Unknown {
        let mirror = Mirror { stage, counted: view.counted || view.is_marked };
        return Decision::Rest(Rest { state: mirror, notes: Vec::new(), wake_at: None });
    }
    Decision::Wait(None)
}

/// No ticket before the money is in; none for an order that somebody wants undone.
fn may_create(view: &TicketView) -> bool {
    let wanted =
        matches!(view.order, OrderSeen::Present { phase: OrderPhase::AwaitingStore, cancel_wanted: false });
    wanted && view.payment.present().is_some_and(PaymentSeen::is_captured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phases::{PaymentDesired, PaymentPhase};

    fn paid() -> PaymentSeen {
        PaymentSeen {
            desired: PaymentDesired::Captured,
            phase: PaymentPhase::Captured,
            total: 1,
            discount: None,
            reason: String::new(),
            message: String::new(),
            reversal: None,
            deleting: false,
        }
    }

    fn view() -> TicketView {
        TicketView {
            order: OrderSeen::Present { phase: OrderPhase::AwaitingStore, cancel_wanted: false },
            payment: Child::Present(paid()),
            ticket: Child::Absent,
            acceptance: Some(Acceptance::Manual),
            counted: false,
            is_marked: false,
            list_is_long: false,
            paused: false,
            deleting: false,
        }
    }

    fn mirrored(stage: TicketStage) -> Decision {
        let mirror = Mirror { stage, counted: true };
        Decision::Rest(Rest { state: mirror, notes: Vec::new(), wake_at: None })
    }

    #[test]
    fn a_paid_order_gets_a_ticket_and_no_other_does() {
        assert_eq!(decide(&view()), Decision::Act(Command::Create));
        for phase in OrderPhase::ALL.iter().filter(|p| **p != OrderPhase::AwaitingStore) {
            let order = OrderSeen::Present { phase: *phase, cancel_wanted: false };
            assert_eq!(decide(&TicketView { order, ..view() }), Decision::Wait(None), "{phase}");
        }
        for phase in PaymentPhase::ALL.iter().filter(|p| **p != PaymentPhase::Captured) {
            let payment = Child::Present(PaymentSeen { phase: *phase, ..paid() });
            assert_eq!(decide(&TicketView { payment, ..view() }), Decision::Wait(None), "{phase}");
        }
        let going_back = Child::Present(PaymentSeen { desired: PaymentDesired::Refunded, ..paid() });
        assert_eq!(decide(&TicketView { payment: going_back, ..view() }), Decision::Wait(None));
    }

    #[test]
    fn an_order_that_is_to_be_cancelled_gets_none() {
        let order = OrderSeen::Present { phase: OrderPhase::AwaitingStore, cancel_wanted: true };
        assert_eq!(decide(&TicketView { order, ..view() }), Decision::Wait(None));
    }

    #[test]
    fn a_store_that_accepts_by_itself_has_it_done_unless_the_customer_wants_out() {
        let ticket = Child::Present((TicketStage::Pending, TicketStage::Pending));
        let automatic = TicketView { ticket, acceptance: Some(Acceptance::Automatic), ..view() };
        assert_eq!(decide(&automatic), Decision::Act(Command::Accept));
        let order = OrderSeen::Present { phase: OrderPhase::AwaitingStore, cancel_wanted: true };
        assert_eq!(decide(&TicketView { order, ..automatic }), Decision::Wait(None));
    }

    #[test]
    fn that_it_is_counted_is_said_on_its_own_when_no_other_mirror_follows_or_the_list_is_long() {
        let counted = |stage, shown| {
            let ticket = Child::Present((stage, shown));
            decide(&TicketView { ticket, counted: true, ..view() })
        };
        assert_eq!(counted(TicketStage::Cooking, TicketStage::Cooking), Decision::Wait(None));
        let cooking = Child::Present((TicketStage::Cooking, TicketStage::Cooking));
        let crowded = TicketView { ticket: cooking, counted: true, list_is_long: true, ..view() };
        assert_eq!(decide(&crowded), mirrored(TicketStage::Cooking));
        let cooked = TicketStage::Cooked;
        assert_eq!(counted(cooked, cooked), mirrored(cooked));
        let said =
            TicketView { ticket: Child::Present((cooked, cooked)), counted: true, is_marked: true, ..view() };
        assert_eq!(decide(&said), Decision::Wait(None));
    }

    #[test]
    fn an_orphan_goes_only_after_a_live_look() {
        let ticket = Child::Present((TicketStage::Cooking, TicketStage::Cooking));
        let missing = TicketView { ticket, order: OrderSeen::Missing, ..view() };
        assert_eq!(decide(&missing), Decision::Act(Command::CheckOrder));
        assert_eq!(decide(&TicketView { order: OrderSeen::Gone, ..missing }), Decision::Act(Command::Delete));
    }
}
