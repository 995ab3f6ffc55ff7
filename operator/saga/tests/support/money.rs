//! The payment's side of the world: whole reconciles, and a provider that keeps its first answer under the key.

use fooddelivery_saga::payment::{self, Access, OrderStanding, PaymentState, PaymentView};
use fooddelivery_saga::provider::{
    ChargeOutcome, LookUpOutcome, ProviderPayment, ProviderStatus, RefundOutcome, Refusal,
};
use fooddelivery_saga::table;
use fooddelivery_saga::view::TicketSeen;
use fooddelivery_saga::words::{OrderPhase, PaymentDesired};

use super::{TOTAL, World};

impl World {
    /// A whole reconcile of the payment, in which the provider behaves as `weather` says; it may be cut short.
    pub(super) fn reconcile_payment(&mut self, weather: u8) {
        let Some(payment) = &self.payment else { return };
        let mut view = PaymentView {
            has_finalizer: true,
            deleting: payment.deleting,
            paused: false,
            desired: payment.desired,
            total: payment.total,
            currency: "KRW".into(),
            order_id: "o1".into(),
            state: payment.state.clone(),
            order_in_cache: self.order.is_some(),
            answers: payment::Answers::default(),
        };
        for _ in 0..12 {
            match payment::decide(&view, self.now) {
                payment::Decision::Write(state) => {
                    self.write_payment(&mut view, *state);
                    if weather == 9 {
                        return; // crashed right after the write
                    }
                }
                payment::Decision::Act(command) => {
                    if self.answer(&mut view, command, weather).is_none() {
                        return;
                    }
                    if weather == 8 {
                        return; // crashed right after the call
                    }
                }
                _ => return,
            }
        }
        panic!("the payment's decisions do not come to rest: {view:?}");
    }

    fn write_payment(&mut self, view: &mut PaymentView, state: PaymentState) {
        let from = view.state.phase;
        assert!(
            from == state.phase || table::allows(table::PAYMENT, from, state.phase),
            "{from} to {}",
            state.phase
        );
        self.payment_status_writes += 1;
        let fresh = view.state.attempt == 0 && state.attempt == 1;
        if let Some(p) = &mut self.payment {
            p.state = state.clone();
        }
        view.state = state;
        view.answers =
            payment::Answers { order: view.answers.order, intent_is_fresh: fresh, ..Default::default() };
    }

    fn answer(&mut self, view: &mut PaymentView, command: payment::Command, weather: u8) -> Option<()> {
        match command {
            payment::Command::AddFinalizer => return None,
            payment::Command::CheckOrder => view.answers.order = Some(self.standing()),
            payment::Command::CheckAccess => {
                view.answers.access =
                    Some(Access::Ready { provider_uid: "p".into(), credential: "c".into() });
            }
            payment::Command::LookUp => view.answers.look_up = Some(self.look_up(weather)),
            payment::Command::Charge => view.answers.charge = Some(self.charge(weather)),
            payment::Command::Refund(amount) => view.answers.refund = Some(self.refund(amount, weather)),
            payment::Command::WantMoneyBack => {
                self.payment.as_mut()?.desired = PaymentDesired::Refunded;
                return None;
            }
            payment::Command::Delete => {
                self.payment.as_mut()?.deleting = true;
                return None;
            }
            payment::Command::RemoveFinalizer => {
                self.payment = None;
                return None;
            }
        }
        Some(())
    }

    fn standing(&self) -> OrderStanding {
        match &self.order {
            None => OrderStanding::Gone {
                store_has_begun: self.ticket.as_ref().is_some_and(TicketSeen::has_begun),
            },
            Some(o) if o.phase.is_terminal() => OrderStanding::Ended,
            Some(o) if o.phase == OrderPhase::Cancelling => OrderStanding::Undoing,
            Some(o) if (self.cancel || self.deleting) && o.cancellation.is_none() => OrderStanding::Undoing,
            Some(_) => OrderStanding::Wants,
        }
    }

    fn provider_payment(&self) -> ProviderPayment {
        ProviderPayment {
            payment_id: "pk".into(),
            order_id: "o1".into(),
            amount: TOTAL,
            refunded: self.refunded,
            currency: "KRW".into(),
            status: if self.captures > 0 { ProviderStatus::Captured } else { ProviderStatus::Open },
        }
    }

    fn look_up(&self, weather: u8) -> LookUpOutcome {
        match weather {
            1 | 4 => LookUpOutcome::Failed("time-out".into()),
            _ if self.captures == 0 => LookUpOutcome::NotFound,
            _ => LookUpOutcome::Found(self.provider_payment()),
        }
    }

    /// The provider keeps its first final answer under the key, as providers do.
    fn charge(&mut self, weather: u8) -> ChargeOutcome {
        if weather == 1 {
            return ChargeOutcome::NotSent("connection refused".into());
        }
        if weather == 2 {
            return ChargeOutcome::Unknown("time-out before the money moved".into());
        }
        if self.first_answer.is_none() {
            self.first_answer = Some(if weather == 3 {
                ChargeOutcome::Refused(Refusal { code: "REJECT".into(), message: "no".into() })
            } else {
                self.captures += 1;
                self.captured += TOTAL;
                ChargeOutcome::Captured(self.provider_payment())
            });
        }
        match (weather, self.first_answer.clone()) {
            (4 | 5, _) => ChargeOutcome::Unknown("connection dropped after the money moved".into()),
            (6, _) | (_, None) => ChargeOutcome::InProgress,
            (_, Some(answer)) => answer,
        }
    }

    fn refund(&mut self, amount: i64, weather: u8) -> RefundOutcome {
        match weather {
            1 => return RefundOutcome::NotSent("connection refused".into()),
            2 => return RefundOutcome::Unknown("time-out".into()),
            _ => {}
        }
        if self.refunded == 0 {
            self.refunded += amount;
        } else if weather == 7 {
            return RefundOutcome::AlreadyRefunded;
        }
        if weather == 4 {
            return RefundOutcome::Unknown("connection dropped after the money moved".into());
        }
        RefundOutcome::Refunded(self.provider_payment())
    }
}
