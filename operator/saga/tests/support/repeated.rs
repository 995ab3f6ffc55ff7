//! Carrying one command out by itself, more than once: as replicas do that stop before they have seen an answer.

use fooddelivery_saga::order::{self, ChildKind, Command};
use fooddelivery_saga::payment;
use fooddelivery_saga::phases::{DeliveryStage, Resolution, TicketStage};
use fooddelivery_saga::quote::Quote;
use fooddelivery_saga::table;
use fooddelivery_saga::time::Millis;
use fooddelivery_saga::view::TicketSeen;

use super::{TOTAL, World};

impl World {
    /// Lets everybody work until the order's next command is one of these, which is not carried out.
    pub fn next_of_order(&mut self, is_it: impl Fn(&Command) -> bool) -> Option<Command> {
        for _ in 0..100 {
            let state = self.order.clone()?;
            let mut view = self.order_view(state.clone());
            let mut decision = order::decide(&view, self.now);
            if decision == order::Decision::Act(Command::ResolveReferences)
                && !is_it(&Command::ResolveReferences)
            {
                view.quote = Some(Ok(Quote { total: TOTAL, ..Quote::nothing() }));
                decision = order::decide(&view, self.now);
            }
            match decision {
                order::Decision::Act(command) if is_it(&command) => return Some(command),
                order::Decision::Rest(rest) if rest.state == state => {
                    self.reconcile_payment(0);
                    self.reconcile_ticket();
                    self.reconcile_delivery();
                }
                _ => self.reconcile_order(),
            }
        }
        None
    }

    /// Reconciles the payment until its next command is one of these, which is not carried out.
    pub fn next_of_payment(&mut self, is_it: impl Fn(&payment::Command) -> bool) -> Option<payment::Command> {
        let mut view = self.payment_view()?;
        for _ in 0..32 {
            match payment::decide(&view, self.now) {
                payment::Decision::Act(command) if is_it(&command) => return Some(command),
                payment::Decision::Act(command) => self.answer(&mut view, command, 0)?,
                payment::Decision::Write(state) => self.write_payment(&mut view, *state),
                _ => return None,
            }
        }
        None
    }

    /// Carries a command of the order out, whatever became of it before: the API server refuses what is no longer so.
    pub fn repeat(&mut self, command: &Command) {
        match command.clone() {
            Command::CreatePayment(quote, intent) if self.payment.is_none() => {
                self.create_payment(quote.total, None, intent.as_ref());
            }
            Command::CreatePaymentTombstone(why) if self.payment.is_none() => {
                self.create_payment(0, Some(why), None);
            }
            Command::CreateTicketTombstone(reason) if self.ticket.is_none() => {
                let (stage, created_at) = (TicketStage::Cancelled, self.now);
                self.ticket = Some(TicketSeen { stage, reason, created_at, deleting: false });
            }
            Command::CreateDeliveryTombstone(_) if self.delivery.is_none() => {
                self.create_delivery(DeliveryStage::Cancelled);
            }
            // What is read changes nothing; of the others there is one of this name already.
            Command::ResolveReferences
            | Command::CreatePayment(..)
            | Command::CreatePaymentTombstone(_)
            | Command::CreateTicketTombstone(_)
            | Command::CreateDeliveryTombstone(_) => {}
            Command::EndTicket { stage, reason } => {
                if let Some(ticket) = &mut self.ticket
                    && table::allows(table::TICKET, ticket.stage, stage)
                {
                    (ticket.stage, ticket.reason) = (stage, reason);
                }
            }
            Command::EndDelivery { stage, .. } => {
                if let Some(delivery) = &mut self.delivery
                    && table::allows(table::DELIVERY, delivery.stage, stage)
                {
                    delivery.stage = stage;
                }
            }
            command @ (Command::AddFinalizer
            | Command::ReplaceToken
            | Command::ReturnMoney(_)
            | Command::ReleaseClaim
            | Command::RefuseClaim
            | Command::DeleteOrder
            | Command::DeleteChild(ChildKind::Delivery | ChildKind::Ticket | ChildKind::Payment)
            | Command::RemoveFinalizer) => self.act(command),
        }
    }

    /// Carries a command of the payment out on what is there, and forgets the answer.
    pub fn repeat_of_payment(&mut self, command: &payment::Command) {
        if let Some(mut view) = self.payment_view() {
            let _ = self.answer(&mut view, command.clone(), 0);
        }
    }

    /// All that is left in the end, but for times and sentences: which of two replicas came to it, and when, is no matter.
    pub fn end(&self) -> String {
        let order = self.order.as_ref().map(|order| {
            let phases: Vec<&str> = order.history.iter().map(|entry| entry.phase.as_str()).collect();
            let mut conditions: Vec<(&str, bool, &str)> =
                order.conditions.iter().map(|c| (c.kind.as_str(), c.holds, c.reason.as_str())).collect();
            conditions.sort_unstable();
            (order.phase, &order.reason, order.cancellation, order.total, phases, conditions)
        });
        let payment = self.payment.as_ref().map(|payment| {
            let state = &payment.state;
            let money = (state.attempt, state.captured, state.refunded, state.refund_attempt);
            (payment.desired, state.phase, &state.reason, &payment.reversal, payment.resolution, money)
        });
        let ticket = self.ticket.as_ref().map(|ticket| (ticket.stage, &ticket.reason));
        let delivery = self.delivery.as_ref().map(|delivery| (delivery.stage, &delivery.rider));
        let money = (self.captures, self.captured, self.refunded);
        format!("{order:?} {payment:?} {ticket:?} {delivery:?} {money:?}")
    }

    #[must_use]
    pub fn without_finalizer(mut self) -> Self {
        self.finalizer = false;
        self
    }

    #[must_use]
    pub fn with_bare_payment(mut self) -> Self {
        if let Some(payment) = &mut self.payment {
            payment.finalizer = false;
        }
        self
    }

    #[must_use]
    pub fn with_payment_leaving(mut self) -> Self {
        if let Some(payment) = &mut self.payment {
            payment.deleting = true;
        }
        self
    }

    #[must_use]
    pub fn resolved(mut self, resolution: Resolution) -> Self {
        if let Some(payment) = &mut self.payment {
            payment.resolution = Some(resolution);
        }
        self
    }

    #[must_use]
    pub fn with_another_token(mut self) -> Self {
        self.another_token = true;
        self
    }

    #[must_use]
    pub fn with_surplus_claims(mut self) -> Self {
        self.surplus = true;
        self
    }

    #[must_use]
    pub fn living_for(mut self, time_to_live: Millis) -> Self {
        self.time_to_live = Some(time_to_live);
        self
    }

    #[must_use]
    pub fn without_delivery(mut self) -> Self {
        self.delivery = None;
        self
    }

    #[must_use]
    pub fn without_order(mut self) -> Self {
        self.order = None;
        self
    }
}
