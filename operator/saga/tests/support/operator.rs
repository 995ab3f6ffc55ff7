//! The operator's side of the world, but for the money: one decision of each controller, and its effect.

use fooddelivery_saga::delivery;
use fooddelivery_saga::order::{self, Command};
use fooddelivery_saga::payment::{Intent, PaymentState};
use fooddelivery_saga::phases::{Acceptance, DeliveryStage, PaymentDesired, TicketStage};
use fooddelivery_saga::quote::Quote;
use fooddelivery_saga::table;
use fooddelivery_saga::ticket::{self, OrderSeen, StoreSeen, TicketView};
use fooddelivery_saga::view::{Child, DeliverySeen, Reversal, TicketSeen};

use super::{Payment, TOTAL, World};

impl World {
    /// One decision and its effect: the operator may stop after any of them.
    pub(super) fn reconcile_order(&mut self) {
        let Some(state) = self.order.clone() else { return };
        let mut view = self.order_view(state.clone());
        let mut decision = order::decide(&view, self.now);
        if decision == order::Decision::Act(Command::ResolveReferences) {
            view.quote = Some(Ok(Quote { total: TOTAL, ..Quote::nothing() }));
            decision = order::decide(&view, self.now);
        }
        match decision {
            order::Decision::Skip | order::Decision::Wait(_) => {}
            order::Decision::Act(command) => self.act(command),
            order::Decision::Rest(rest) => {
                if rest.state != state {
                    self.order_status_writes += 1;
                    self.order = Some(rest.state);
                }
            }
            other => panic!("an order's next step, not {other:?}"),
        }
    }

    pub(super) fn act(&mut self, command: Command) {
        match command {
            Command::AddFinalizer => self.finalizer = true,
            Command::ReplaceToken => self.another_token = false,
            Command::ResolveReferences => unreachable!("answered above"),
            Command::CreatePayment(quote, intent) => self.create_payment(quote.total, None, intent.as_ref()),
            Command::CreatePaymentTombstone(why) => self.create_payment(0, Some(why), None),
            Command::ReturnMoney(why) => {
                if let Some(p) = &mut self.payment {
                    p.reversal = Some(why);
                    p.desired = PaymentDesired::Refunded;
                }
            }
            Command::CreateTicketTombstone(reason) => {
                assert!(self.ticket.is_none() && !self.terminating);
                self.ticket = Some(TicketSeen {
                    stage: TicketStage::Cancelled,
                    reason,
                    created_at: self.now,
                    deleting: false,
                });
            }
            Command::EndTicket { stage, reason } => {
                if let Some(t) = &mut self.ticket {
                    assert!(table::allows(table::TICKET, t.stage, stage), "{} to {stage}", t.stage);
                    t.stage = stage;
                    t.reason = reason;
                }
            }
            Command::CreateDeliveryTombstone(_) => self.create_delivery(DeliveryStage::Cancelled),
            Command::EndDelivery { stage, .. } => {
                if let Some(d) = &mut self.delivery {
                    assert!(table::allows(table::DELIVERY, d.stage, stage), "{} to {stage}", d.stage);
                    d.stage = stage;
                }
            }
            Command::ReleaseClaim | Command::RefuseClaim => self.claim(None),
            Command::DeleteOrder => self.deleting = true,
            Command::DeleteChild(order::ChildKind::Delivery) => self.delivery = None,
            Command::DeleteChild(order::ChildKind::Ticket) => self.ticket = None,
            Command::DeleteChild(order::ChildKind::Payment) => {
                if let Some(p) = &mut self.payment {
                    p.deleting = true;
                }
            }
            Command::RemoveFinalizer => {
                assert!(self.payment.is_none(), "an order never leaves its payment behind");
                self.order = None;
            }
        }
    }

    pub(super) fn create_payment(&mut self, total: i64, reversal: Option<Reversal>, intent: Option<&Intent>) {
        assert!(self.payment.is_none() && !self.terminating);
        let desired = if reversal.is_some() { PaymentDesired::Refunded } else { PaymentDesired::Captured };
        self.payment = Some(Payment {
            finalizer: true,
            resolution: None,
            desired,
            reversal,
            total,
            state: intent.map(PaymentState::intended).unwrap_or_default(),
            as_created: intent.is_some(),
            deleting: false,
        });
        self.just_created = intent.is_some();
    }

    pub(super) fn create_delivery(&mut self, stage: DeliveryStage) {
        assert!(self.delivery.is_none());
        self.delivery = Some(DeliverySeen { stage, rider: None, reason: String::new(), deleting: false });
    }

    pub(super) fn order_seen(&self) -> OrderSeen {
        match &self.order {
            None => OrderSeen::Gone,
            Some(state) => OrderSeen::Present {
                phase: state.phase,
                cancel_wanted: (self.cancel || self.deleting) && state.cancellation.is_none(),
            },
        }
    }

    pub(super) fn reconcile_ticket(&mut self) {
        if self.availability.ticket.is_none() {
            return;
        }
        let view = TicketView {
            order: self.order_seen(),
            payment: self.payment_seen(),
            ticket: self.ticket.as_ref().map_or(Child::Absent, |t| Child::Present(t.stage)),
            store: StoreSeen::Present(Acceptance::Manual),
            store_replaced: false,
            awaits_count: false,
            paused: self.paused,
            deleting: false,
        };
        match ticket::decide(&view) {
            ticket::Decision::Act(ticket::Command::Create) if !self.terminating => {
                self.paid_before_ticket &= self.captures == 1 && self.refunded == 0;
                self.ticket = Some(TicketSeen {
                    stage: TicketStage::Pending,
                    reason: String::new(),
                    created_at: self.now,
                    deleting: false,
                });
            }
            ticket::Decision::Act(ticket::Command::Delete) => self.ticket = None,
            ticket::Decision::Halt(violation) => panic!("{violation}"),
            _ => {}
        }
    }

    pub(super) fn reconcile_delivery(&mut self) {
        let view = delivery::DeliveryView {
            order: self.order_seen(),
            payment: self.payment_seen(),
            ticket: self.ticket.clone().map_or(Child::Absent, Child::Present),
            delivery: self.delivery.as_ref().map_or(Child::Absent, |d| Child::Present(d.stage)),
            awaits_count: false,
            paused: self.paused,
            deleting: false,
        };
        match delivery::decide(&view) {
            delivery::Decision::Act(delivery::Command::Create) if !self.terminating => {
                self.create_delivery(DeliveryStage::Waiting);
            }
            delivery::Decision::Act(delivery::Command::Delete) => self.delivery = None,
            delivery::Decision::Halt(violation) => panic!("{violation}"),
            _ => {}
        }
    }
}
