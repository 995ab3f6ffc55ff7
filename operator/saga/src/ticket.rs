//! What the store's side of the operator does: put paid orders into the store's queue, accept on the store's behalf
//! where it wants that, and clear away tickets whose order is gone.

use std::convert::Infallible;

use crate::machine::{Next, StateMachine, Violation};
use crate::phases::{Acceptance, OrderPhase, TicketStage};
use crate::time::Timestamp;
use crate::view::{Child, PaymentSeen};

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

/// The store that a ticket is in the queue of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreSeen {
    /// It is there, and takes tickets so.
    Present(Acceptance),
    /// There is none under its name, or none that can be read.
    Absent,
    /// In the cache another one stands under its name; whether it does has not been read.
    Another,
    /// Another one was made under its name (read live).
    Replaced,
}

/// All that a decision about a ticket depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketView {
    /// Its order.
    pub order: OrderSeen,
    /// The order's payment.
    pub payment: Child<PaymentSeen>,
    /// The ticket's stage, when there is one.
    pub ticket: Child<TicketStage>,
    /// Its store.
    pub store: StoreSeen,
    /// Whether the ticket says that its store was replaced.
    pub store_replaced: bool,
    /// Whether its store's counts have to keep it before it may go.
    pub awaits_count: bool,
    /// Whether a person stopped the order.
    pub paused: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// What to do for a ticket. It has no status: its stage says where it stands.
pub type Decision = Next<Command, Infallible>;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Put the order into the store's queue.
    Create,
    /// Accept on the store's behalf.
    Accept,
    /// Find out whether another store was really made under the name of the ticket's.
    CheckStore,
    /// Take the ticket out of the hands of who acts for the name of its store: that is another store's now.
    Withhold,
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
    type Status = Infallible;

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
                if view.ticket.present().is_none_or(|stage| *stage != TicketStage::Pending) =>
            {
                Err(Violation::new("only a ticket in the queue is accepted", format!("{:?}", view.ticket)))
            }
            Decision::Act(Command::Withhold) if view.store != StoreSeen::Replaced => {
                Err(Violation::new("only a replaced store loses a ticket", format!("{:?}", view.store)))
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
    let stage = match &view.ticket {
        Child::Absent if may_create(view) => return Decision::Act(Command::Create),
        Child::Absent => return Decision::Wait(None),
        Child::Foreign | Child::Unreadable => return Decision::Skip,
        Child::Present(stage) => *stage,
    };
    match view.order {
        OrderSeen::Missing => Decision::Act(Command::CheckOrder),
        OrderSeen::Gone if !view.awaits_count => Decision::Act(Command::Delete),
        OrderSeen::Present { .. } if is_open(stage) && view.store == StoreSeen::Another => {
            Decision::Act(Command::CheckStore)
        }
        OrderSeen::Present { .. }
            if is_open(stage) && view.store == StoreSeen::Replaced && !view.store_replaced =>
        {
            Decision::Act(Command::Withhold)
        }
        OrderSeen::Present { cancel_wanted: false, .. }
            if view.store == StoreSeen::Present(Acceptance::Automatic) && stage == TicketStage::Pending =>
        {
            Decision::Act(Command::Accept)
        }
        OrderSeen::Gone | OrderSeen::Present { .. } => Decision::Wait(None),
    }
}

/// Whether a store would move it on.
fn is_open(stage: TicketStage) -> bool {
    matches!(stage, TicketStage::Pending | TicketStage::Accepted | TicketStage::Cooking)
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
            store: StoreSeen::Present(Acceptance::Manual),
            store_replaced: false,
            awaits_count: false,
            paused: false,
            deleting: false,
        }
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
        let ticket = Child::Present(TicketStage::Pending);
        let automatic = TicketView { ticket, store: StoreSeen::Present(Acceptance::Automatic), ..view() };
        assert_eq!(decide(&automatic), Decision::Act(Command::Accept));
        let order = OrderSeen::Present { phase: OrderPhase::AwaitingStore, cancel_wanted: true };
        assert_eq!(decide(&TicketView { order, ..automatic }), Decision::Wait(None));
    }

    #[test]
    fn a_ticket_is_withheld_from_a_namesake_of_its_store_once_and_after_a_live_look() {
        for stage in TicketStage::ALL.iter().copied() {
            let other = TicketView { ticket: Child::Present(stage), store: StoreSeen::Another, ..view() };
            let check =
                if is_open(stage) { Decision::Act(Command::CheckStore) } else { Decision::Wait(None) };
            assert_eq!(decide(&other), check, "{stage}");
            let replaced = TicketView { store: StoreSeen::Replaced, ..other };
            let withhold =
                if is_open(stage) { Decision::Act(Command::Withhold) } else { Decision::Wait(None) };
            assert_eq!(decide(&replaced), withhold, "{stage}");
            assert_eq!(
                decide(&TicketView { store_replaced: true, ..replaced }),
                Decision::Wait(None),
                "once"
            );
        }
        let gone =
            TicketView { ticket: Child::Present(TicketStage::Cooking), store: StoreSeen::Absent, ..view() };
        assert_eq!(
            decide(&gone),
            Decision::Wait(None),
            "who cooks for a store that is gone ends what they began"
        );
    }

    #[test]
    fn an_orphan_goes_only_after_a_live_look_and_when_its_count_keeps_it() {
        let ticket = Child::Present(TicketStage::Cooking);
        let missing = TicketView { ticket, order: OrderSeen::Missing, ..view() };
        assert_eq!(decide(&missing), Decision::Act(Command::CheckOrder));
        let gone = TicketView { order: OrderSeen::Gone, ..missing };
        assert_eq!(decide(&TicketView { awaits_count: true, ..gone.clone() }), Decision::Wait(None));
        assert_eq!(decide(&gone), Decision::Act(Command::Delete));
    }
}
