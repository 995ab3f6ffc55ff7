//! The payment's side of the world: whole reconciles, and a provider of either kind. One takes a checkout's token and
//! keeps its first answer under the key. The other prepares payments, each of which can be charged once however many
//! keys are used, and keeps its own errors under a key as well.

use std::collections::{HashMap, HashSet};

use fooddelivery_saga::payment::{
    self, Access, OrderStanding, PaymentState, PaymentView, ProviderCall, ProviderSession,
};
use fooddelivery_saga::phases::PaymentDesired;
use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, ProviderPayment, ProviderStatus,
    RefundOutcome, Refusal, VoidOutcome,
};
use fooddelivery_saga::table;
use fooddelivery_saga::time::Millis;
use fooddelivery_saga::view::TicketSeen;

use super::{TOTAL, World};

/// The provider.
#[derive(Default)]
pub struct Bank {
    pub prepares: bool,
    /// Prepared payments, by attempt; where none are prepared, the checkout alone.
    payments: HashMap<i64, Standing>,
    /// The answer that is kept under the key of each attempt to charge.
    responses: HashMap<i64, ChargeOutcome>,
    /// Keys under which an error of the provider's own is kept.
    spent: HashSet<(&'static str, i64)>,
    rotations: u32,
}

impl Bank {
    /// A stored 5xx: an error the first time, and never anything else under this key.
    fn error(&mut self, operation: &'static str, attempt: i64) -> CallFailure {
        if self.spent.insert((operation, attempt)) {
            CallFailure::Errored("500".into())
        } else {
            CallFailure::IdempotencyKeyConsumed("a stored 500".into())
        }
    }

    fn is_spent(&self, operation: &'static str, attempt: i64) -> bool {
        self.spent.contains(&(operation, attempt))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Standing {
    Open,
    Captured,
    Voided,
}

fn unknown(why: &str) -> CallFailure {
    CallFailure::OutcomeUnknown(why.into())
}

fn refused() -> ChargeOutcome {
    ChargeOutcome::Refused(Refusal { code: "REJECT".into(), message: "no".into() })
}

impl World {
    /// A whole reconcile of the payment, in which the provider behaves as `weather` says; it may be cut short.
    pub(super) fn reconcile_payment(&mut self, weather: u8) {
        let Some(mut view) = self.payment_view() else { return };
        if std::mem::take(&mut self.just_created) {
            view.responses = payment::Responses::of_created();
        }
        // Only a prepared payment can be found again wherever the credential went.
        self.bank.rotations += u32::from(weather == 12 && self.bank.prepares);
        for _ in 0..16 {
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
                payment::Decision::Skip | payment::Decision::Wait(_) | payment::Decision::Retry(_) => return,
                other => panic!("a payment's next step, not {other:?}"),
            }
        }
        panic!("the payment's decisions do not come to rest: {view:?}");
    }

    pub(super) fn payment_view(&self) -> Option<PaymentView> {
        let payment = self.payment.as_ref()?;
        Some(PaymentView {
            has_finalizer: payment.finalizer,
            deleting: payment.deleting,
            paused: false,
            desired: payment.desired,
            resolution: payment.resolution,
            total: payment.total,
            currency: "KRW".into(),
            order_id: "o1".into(),
            state: payment.state.clone(),
            as_created: payment.as_created,
            order_in_cache: self.order.is_some(),
            spread: 500,
            responses: payment::Responses::default(),
        })
    }

    pub(super) fn write_payment(&mut self, view: &mut PaymentView, state: PaymentState) {
        let from = view.state.phase;
        assert!(
            from == state.phase || table::allows(table::PAYMENT, from, state.phase),
            "{from} to {}",
            state.phase
        );
        self.payment_status_writes += 1;
        let prepared = state.payment_id.is_some() && view.state.payment_id.is_none();
        let fresh = if self.bank.prepares { prepared } else { view.state.attempt == 0 && state.attempt == 1 };
        if let Some(p) = &mut self.payment {
            p.state = state.clone();
            p.as_created = false;
        }
        view.state = state;
        view.as_created = false;
        view.responses =
            payment::Responses { order: view.responses.order, intent_is_fresh: fresh, ..Default::default() };
    }

    pub(super) fn answer(
        &mut self,
        view: &mut PaymentView,
        command: payment::Command,
        weather: u8,
    ) -> Option<()> {
        match command {
            payment::Command::AddFinalizer => {
                self.payment.as_mut()?.finalizer = true;
                return None;
            }
            payment::Command::ClearResolution => {
                self.payment.as_mut()?.resolution = None;
                return None;
            }
            payment::Command::CheckOrder => view.responses.order = Some(self.standing()),
            payment::Command::CheckAccess => view.responses.access = Some(Access::Ready(self.way(weather))),
            payment::Command::Call(call) => self.call(view, &call, weather),
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

    fn call(&mut self, view: &mut PaymentView, call: &ProviderCall, weather: u8) {
        let attempt = view.state.attempt;
        match call {
            ProviderCall::Prepare { .. } => view.responses.prepare = Some(self.prepare(attempt, weather)),
            ProviderCall::LookUp { .. } => view.responses.look_up = Some(self.look_up(attempt, weather)),
            ProviderCall::Charge { payment_id, .. } => {
                let id = if self.bank.prepares { attempt } else { 0 };
                assert!(!self.bank.prepares || payment_id.is_some(), "only a stored id is charged");
                view.responses.charge = Some(self.charge(id, attempt, weather));
            }
            ProviderCall::Void { .. } => view.responses.void = Some(self.void(attempt, weather)),
            ProviderCall::Refund { amount, .. } => {
                let key = view.state.refund_attempt;
                view.responses.refund = Some(self.refund(*amount, key, weather));
            }
        }
    }

    pub(super) fn way(&self, weather: u8) -> ProviderSession {
        ProviderSession {
            provider_uid: "p".into(),
            credential: format!("c{}", self.bank.rotations),
            prepares: self.bank.prepares,
            retention: Millis::seconds(100 * 24 * 3600),
            token_lifetime: Some(Millis::seconds(900)),
            no_token: None,
            open_until: (weather == 7).then_some(self.now + Millis(5_000)),
        }
    }

    fn standing(&self) -> OrderStanding {
        match &self.order {
            None => OrderStanding::Gone {
                store_has_begun: self.ticket.as_ref().is_some_and(TicketSeen::has_begun),
            },
            Some(o) => {
                let undo_wanted = (self.cancel || self.deleting) && o.cancellation.is_none();
                OrderStanding::of(o.phase, o.cancellation, undo_wanted)
            }
        }
    }

    fn provider_payment(&self, id: i64) -> ProviderPayment {
        ProviderPayment {
            payment_id: format!("pk{id}"),
            order_id: "o1".into(),
            amount: TOTAL,
            refunded: self.refunded,
            currency: "KRW".into(),
            status: match self.bank.payments.get(&id) {
                Some(Standing::Captured) => ProviderStatus::Captured,
                Some(Standing::Voided) => ProviderStatus::Failed,
                _ => ProviderStatus::Open,
            },
        }
    }

    fn prepare(&mut self, attempt: i64, weather: u8) -> PrepareOutcome {
        match weather {
            1 => return PrepareOutcome::CallFailure(CallFailure::NotSent("connection refused".into())),
            2 => return PrepareOutcome::CallFailure(unknown("time-out")),
            _ if weather == 10 || self.bank.is_spent("prepare", attempt) => {
                return PrepareOutcome::CallFailure(self.bank.error("prepare", attempt));
            }
            _ => {}
        }
        self.bank.payments.entry(attempt).or_insert(Standing::Open);
        if weather == 4 {
            return PrepareOutcome::CallFailure(unknown("connection dropped"));
        }
        PrepareOutcome::Prepared(ProviderPayment {
            status: ProviderStatus::Open,
            ..self.provider_payment(attempt)
        })
    }

    fn look_up(&self, attempt: i64, weather: u8) -> LookUpOutcome {
        let id = if self.bank.prepares { attempt } else { 0 };
        match weather {
            1 | 4 => LookUpOutcome::CallFailure(unknown("time-out")),
            _ if self.bank.payments.contains_key(&id) => LookUpOutcome::Found(self.provider_payment(id)),
            _ => LookUpOutcome::NotFound,
        }
    }

    fn charge(&mut self, id: i64, attempt: i64, weather: u8) -> ChargeOutcome {
        match weather {
            1 => return ChargeOutcome::CallFailure(CallFailure::NotSent("connection refused".into())),
            2 => return ChargeOutcome::CallFailure(unknown("time-out before the money moved")),
            // A provider without prepared payments is not known to keep its own errors.
            _ if self.bank.is_spent("charge", attempt) => {
                return ChargeOutcome::CallFailure(self.bank.error("charge", attempt));
            }
            10 if self.bank.prepares && !self.bank.responses.contains_key(&attempt) => {
                return ChargeOutcome::CallFailure(self.bank.error("charge", attempt));
            }
            _ => {}
        }
        if !self.bank.responses.contains_key(&attempt) {
            let answer = self.first_answer(id, attempt, weather);
            self.bank.responses.insert(attempt, answer);
        }
        match (weather, self.bank.responses.get(&attempt)) {
            (4 | 5, _) => ChargeOutcome::CallFailure(unknown("connection dropped after the money moved")),
            (6, _) | (_, None) => ChargeOutcome::CallFailure(CallFailure::InProgress),
            (_, Some(answer)) => answer.clone(),
        }
    }

    /// What is kept under a key that was not used before.
    fn first_answer(&mut self, id: i64, attempt: i64, weather: u8) -> ChargeOutcome {
        match (weather, self.bank.payments.get(&id)) {
            (_, Some(Standing::Captured)) => return ChargeOutcome::AlreadyProcessed,
            (_, Some(Standing::Voided)) | (3, _) => return refused(),
            _ => {}
        }
        self.bank.payments.insert(id, Standing::Captured);
        self.captures += 1;
        self.captured += TOTAL;
        if weather == 11 {
            return ChargeOutcome::CallFailure(self.bank.error("charge", attempt));
        }
        ChargeOutcome::Captured(self.provider_payment(id))
    }

    fn void(&mut self, attempt: i64, weather: u8) -> VoidOutcome {
        if matches!(weather, 1 | 2) {
            return VoidOutcome::CallFailure(unknown("time-out"));
        }
        match self.bank.payments.get_mut(&attempt) {
            Some(Standing::Captured) => return VoidOutcome::TooLate,
            Some(standing) => *standing = Standing::Voided,
            None => {}
        }
        if weather == 4 {
            VoidOutcome::CallFailure(unknown("connection dropped"))
        } else {
            VoidOutcome::Voided
        }
    }

    fn refund(&mut self, amount: i64, key: i64, weather: u8) -> RefundOutcome {
        match weather {
            1 => return RefundOutcome::CallFailure(CallFailure::NotSent("connection refused".into())),
            2 => return RefundOutcome::CallFailure(unknown("time-out")),
            _ if weather == 10 || self.bank.is_spent("refund", key) => {
                return RefundOutcome::CallFailure(self.bank.error("refund", key));
            }
            _ => {}
        }
        if self.refunded == 0 {
            self.refunded += amount;
        } else if weather == 5 {
            return RefundOutcome::AlreadyRefunded;
        }
        match weather {
            4 => RefundOutcome::CallFailure(unknown("connection dropped after the money moved")),
            11 => RefundOutcome::CallFailure(self.bank.error("refund", key)),
            _ => {
                let captured =
                    |(id, standing): (&i64, &Standing)| (*standing == Standing::Captured).then_some(*id);
                let id = self.bank.payments.iter().find_map(captured).unwrap_or_default();
                RefundOutcome::Refunded(self.provider_payment(id))
            }
        }
    }
}
