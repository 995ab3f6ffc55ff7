//! What holds of every decision about an order, whatever its view: the postconditions.

use super::command::{Command, Decision};
use super::status::OrderState;
use super::view::OrderView;
use crate::machine::Violation;
use crate::phases::{DeliveryStage, OrderPhase, TicketStage};
use crate::table;

/// Holds a decision against the rules.
pub(super) fn check(view: &OrderView, next: &Decision) -> Result<(), Violation> {
    match next {
        Decision::Act(command) => of_command(view, command),
        Decision::Write(state) => of_status(&view.state, state),
        Decision::Rest(rest) => of_status(&view.state, &rest.state),
        Decision::Skip | Decision::Halt(_) | Decision::Wait(_) | Decision::Retry(_) => Ok(()),
    }
}

fn of_status(was: &OrderState, is: &OrderState) -> Result<(), Violation> {
    let broken = |rule, detail: String| Err(Violation::new(rule, detail));
    if table::path(table::ORDER, was.phase, is.phase).is_none() {
        return broken("an order moves along the table", format!("{} to {}", was.phase, is.phase));
    }
    if is.phase == OrderPhase::Unknown {
        return broken("a phase of another version is never written", is.phase.to_string());
    }
    if was.cancellation.is_some() && is.cancellation != was.cancellation {
        let detail = format!("{:?} to {:?}", was.cancellation, is.cancellation);
        return broken("a verdict never changes", detail);
    }
    if was.phase != is.phase && is.history.last().is_none_or(|entry| entry.phase != is.phase.as_str()) {
        return broken("every phase that is entered stands in the history", is.phase.to_string());
    }
    if is.dropped < was.dropped {
        return broken("the numbers of the steps never fall", format!("{} to {}", was.dropped, is.dropped));
    }
    Ok(())
}

fn of_command(view: &OrderView, command: &Command) -> Result<(), Violation> {
    let broken = |rule, detail: String| Err(Violation::new(rule, detail));
    let completed = view.state.phase == OrderPhase::Completed;
    match command {
        Command::EndTicket { stage, .. } => match view.ticket.present() {
            Some(ticket) if table::allows(table::TICKET, ticket.stage, *stage) => Ok(()),
            Some(ticket) => broken("a ticket moves along the table", format!("{} to {stage}", ticket.stage)),
            None => broken("only a ticket that is there is ended", stage.to_string()),
        },
        Command::EndDelivery { stage, .. } => match view.delivery.present() {
            Some(delivery) if table::allows(table::DELIVERY, delivery.stage, *stage) => Ok(()),
            Some(delivery) => {
                broken("a delivery moves along the table", format!("{} to {stage}", delivery.stage))
            }
            None => broken("only a delivery that is there is ended", stage.to_string()),
        },
        Command::ReturnMoney(why) if completed => {
            broken("the money of a completed order stays", why.reason.clone())
        }
        Command::CreatePayment(..) | Command::CreatePaymentTombstone(_) if !view.payment.is_absent() => {
            broken("an order has one payment", format!("{:?}", view.payment))
        }
        Command::CreateTicketTombstone(_) if !view.ticket.is_absent() => {
            broken("an order has one ticket", TicketStage::Cancelled.to_string())
        }
        Command::CreateDeliveryTombstone(_) if !view.delivery.is_absent() => {
            broken("an order has one delivery", DeliveryStage::Cancelled.to_string())
        }
        Command::RemoveFinalizer | Command::DeleteChild(_) | Command::DeleteOrder
            if !view.state.phase.is_terminal() =>
        {
            broken("an order goes only once it has ended", view.state.phase.to_string())
        }
        Command::AddFinalizer
        | Command::ResolveReferences
        | Command::CreatePayment(..)
        | Command::CreatePaymentTombstone(_)
        | Command::ReplaceToken
        | Command::ReturnMoney(_)
        | Command::CreateTicketTombstone(_)
        | Command::CreateDeliveryTombstone(_)
        | Command::ReleaseClaim
        | Command::RefuseClaim
        | Command::DeleteOrder
        | Command::DeleteChild(_)
        | Command::RemoveFinalizer => Ok(()),
    }
}
