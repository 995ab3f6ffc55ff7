//! The world of `world.rs`: what the API server, the provider and the actors would do, in memory.
// Each test file uses a part of the world.
#![allow(missing_docs, unreachable_pub, dead_code)]

mod money;
mod operator;
mod repeated;
pub mod size;

use fooddelivery_saga::order::{self, OrderState, OrderView};
use fooddelivery_saga::payment::PaymentState;
use fooddelivery_saga::phases::{
    CancellationVerdict, DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase, Resolution, TicketStage,
    WhenUnavailable,
};
use fooddelivery_saga::table;
use fooddelivery_saga::time::{Deadlines, Millis, Timestamp};
use fooddelivery_saga::view::{
    Child, ControllerAvailability, DeliverySeen, PaymentSeen, RelatedState, Reversal, TicketSeen,
};

const TOTAL: i64 = 10_000;

/// Something that happens to the world.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    ReconcileOrder,
    /// With how the provider behaves this time.
    ReconcilePayment(u8),
    ReconcileTicket,
    ReconcileDelivery,
    Cancel,
    Delete,
    StoreMoves(usize),
    RiderMoves(usize),
    RiderClaims,
    RiderGivesBack,
    Confirm,
    TimePasses(i64),
    NamespaceGoes,
    OperatorRestarts,
    /// The store closes, or opens.
    StoreTurns,
    /// A person stops the order where it is, or lets it go on.
    PauseTurns,
    /// The controller of tickets goes away, or comes back.
    TicketsTurn,
    /// The whole operator was away for so long.
    OperatorAway(i64),
}

#[derive(Debug)]
struct Payment {
    finalizer: bool,
    resolution: Option<Resolution>,
    desired: PaymentDesired,
    reversal: Option<Reversal>,
    total: i64,
    state: PaymentState,
    /// Its status was not written yet, and it was made with an intent.
    as_created: bool,
    deleting: bool,
}

/// The world.
pub struct World {
    now: Timestamp,
    watching_since: Timestamp,
    order: Option<OrderState>,
    finalizer: bool,
    deleting: bool,
    terminating: bool,
    cancel: bool,
    confirmed: bool,
    when_unavailable: WhenUnavailable,
    store_open: bool,
    pub accepts_by_itself: bool,
    paused: bool,
    availability: ControllerAvailability,
    payment: Option<Payment>,
    ticket: Option<TicketSeen>,
    delivery: Option<DeliverySeen>,
    another_token: bool,
    /// Payments are created with the intent to charge.
    intends: bool,
    /// The replica that created the payment has not looked at it yet, and remembers that it has sent nothing.
    just_created: bool,
    surplus: bool,
    time_to_live: Option<Millis>,
    bank: money::Bank,
    paid_before_ticket: bool,
    ended_as: Option<OrderPhase>,
    pub captures: u32,
    pub captured: i64,
    pub refunded: i64,
    pub order_status_writes: u32,
    pub payment_status_writes: u32,
}

impl World {
    pub fn new(defers: bool) -> Self {
        Self {
            now: Timestamp(1_000_000),
            watching_since: Timestamp(0),
            order: Some(OrderState::default()),
            finalizer: true,
            deleting: false,
            terminating: false,
            cancel: false,
            confirmed: false,
            when_unavailable: if defers { WhenUnavailable::Defer } else { WhenUnavailable::Fail },
            store_open: true,
            accepts_by_itself: false,
            paused: false,
            availability: ControllerAvailability::of_all(Timestamp(0)),
            payment: None,
            ticket: None,
            delivery: None,
            another_token: false,
            intends: false,
            just_created: false,
            surplus: false,
            time_to_live: None,
            bank: money::Bank::default(),
            paid_before_ticket: true,
            ended_as: None,
            captures: 0,
            captured: 0,
            refunded: 0,
            order_status_writes: 0,
            payment_status_writes: 0,
        }
    }

    /// The same world with a provider whose payments are prepared before they are charged.
    #[must_use]
    pub fn preparing(mut self) -> Self {
        self.bank.prepares = true;
        self
    }

    /// The same world, with a provider that is known before the order is placed.
    #[must_use]
    pub fn intending(mut self) -> Self {
        self.intends = true;
        self
    }

    /// Brings the order `steps` steps along the happy path, so that random events meet every phase.
    pub fn go_far(&mut self, steps: usize) {
        let way: [&dyn Fn(&mut Self); 8] = [
            &|_| {},
            &|w| w.store_moves_to(TicketStage::Accepted),
            &|w| w.store_moves_to(TicketStage::Cooking),
            &|w| w.store_moves_to(TicketStage::Cooked),
            &|w| w.happen(Event::RiderClaims),
            &|w| w.happen(Event::RiderMoves(0)),
            &|w| w.happen(Event::RiderMoves(0)),
            &|w| w.happen(Event::Confirm),
        ];
        for step in way.iter().take(steps) {
            step(self);
            self.operate();
        }
    }

    pub fn phase(&self) -> OrderPhase {
        self.order.as_ref().map_or(OrderPhase::Unknown, |o| o.phase)
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn deadline(&self) -> Option<Timestamp> {
        self.order.as_ref()?.deadline
    }

    pub fn reason(&self) -> String {
        self.order.as_ref().map(|o| o.reason.clone()).unwrap_or_default()
    }

    pub fn verdict(&self) -> Option<&'static str> {
        self.order.as_ref()?.cancellation.map(CancellationVerdict::as_str)
    }

    pub fn ticket_stage(&self) -> Option<TicketStage> {
        self.ticket.as_ref().map(|t| t.stage)
    }

    pub fn payment_desired(&self) -> Option<PaymentDesired> {
        self.payment.as_ref().map(|p| p.desired)
    }

    pub fn is_gone(&self) -> bool {
        self.order.is_none() && self.payment.is_none() && self.ticket.is_none() && self.delivery.is_none()
    }

    pub fn happen(&mut self, event: Event) {
        match event {
            Event::ReconcileOrder => self.reconcile_order(),
            Event::ReconcilePayment(weather) => self.reconcile_payment(weather),
            Event::ReconcileTicket => self.reconcile_ticket(),
            Event::ReconcileDelivery => self.reconcile_delivery(),
            Event::Cancel => self.cancel = true,
            Event::Delete => self.deleting = true,
            Event::StoreMoves(n) => {
                if let Some(stage) = TicketStage::ALL.get(n).copied() {
                    self.store_moves_to(stage);
                }
            }
            Event::RiderMoves(n) => self.rider_moves(n),
            Event::RiderClaims => self.claim(Some("r1".into())),
            Event::RiderGivesBack => self.claim(None),
            Event::Confirm => self.confirmed |= self.phase() == OrderPhase::Delivered,
            Event::TimePasses(ms) => self.now = self.now + Millis(ms),
            Event::NamespaceGoes => {
                self.terminating = true;
                self.deleting = true;
                self.ticket = None;
                self.delivery = None;
            }
            Event::OperatorRestarts => {
                self.watching_since = self.now;
                self.forget();
            }
            Event::StoreTurns => self.store_open = !self.store_open,
            Event::PauseTurns => self.paused = !self.paused,
            Event::TicketsTurn => {
                let gone = self.availability.ticket.is_none();
                self.availability.ticket = gone.then_some(self.now);
            }
            Event::OperatorAway(ms) => {
                self.now = self.now + Millis(ms);
                self.watching_since = self.now;
                self.availability = ControllerAvailability::of_all(self.now);
            }
        }
    }

    /// Whether somebody could act on the order now, as far as its phase waits for anybody.
    pub fn somebody_can_act(&self) -> bool {
        let there = match self.phase() {
            OrderPhase::AwaitingStore => self.ticket.is_some() && self.store_open,
            OrderPhase::Accepted => self.store_open,
            OrderPhase::AwaitingRider => self.delivery.is_some(),
            _ => true,
        };
        let on_tickets =
            matches!(self.phase(), OrderPhase::AwaitingStore | OrderPhase::Accepted | OrderPhase::Cooking);
        there && !self.paused && (!on_tickets || self.availability.ticket.is_some())
    }

    pub fn store_moves_to(&mut self, stage: TicketStage) {
        let operator_only = table::operator_only(table::TICKET).contains(&stage);
        if let Some(ticket) = &mut self.ticket
            && table::allows(table::TICKET, ticket.stage, stage)
            && !operator_only
        {
            ticket.stage = stage;
        }
    }

    fn rider_moves(&mut self, n: usize) {
        let Some(delivery) = &mut self.delivery else { return };
        let steps: Vec<DeliveryStage> = table::next(table::DELIVERY, delivery.stage)
            .into_iter()
            .filter(|s| !table::operator_only(table::DELIVERY).contains(s))
            .collect();
        if let Some(stage) = steps.get(n % steps.len().max(1))
            && delivery.rider.is_some()
        {
            delivery.stage = *stage;
        }
    }

    fn claim(&mut self, rider: Option<String>) {
        if let Some(delivery) = &mut self.delivery
            && delivery.stage == DeliveryStage::Waiting
            && (delivery.rider.is_none() || rider.is_none())
        {
            delivery.rider = rider;
        }
    }

    fn payment_seen(&self) -> Child<PaymentSeen> {
        self.payment.as_ref().map_or(Child::Absent, |p| {
            Child::Present(PaymentSeen {
                desired: p.desired,
                phase: p.state.phase,
                total: p.total,
                discount: None,
                reason: p.state.reason.clone(),
                message: p.state.message.clone(),
                reversal: p.reversal.clone(),
                deleting: p.deleting,
            })
        })
    }

    pub fn order_view(&self, state: OrderState) -> OrderView {
        OrderView {
            created_at: Timestamp(1_000_000),
            has_finalizer: self.finalizer,
            deleting: self.deleting,
            namespace_terminating: self.terminating,
            paused: self.paused,
            cancellation: self.cancel.then(|| "changed my mind".into()),
            receipt_confirmed: self.confirmed,
            when_unavailable: self.when_unavailable,
            token_replaced: self.another_token,
            state,
            payment: self.payment_seen(),
            ticket: self.ticket.clone().map_or(Child::Absent, Child::Present),
            delivery: self.delivery.clone().map_or(Child::Absent, Child::Present),
            quote: None,
            session: self.intends.then(|| self.way(0)),
            store_open: self.store_open,
            accepts_by_itself: self.accepts_by_itself,
            availability: self.availability,
            deadlines: Deadlines::default(),
            watching_since: self.watching_since,
            related: RelatedState {
                claim_is_surplus: self.surplus,
                deleting_since: self.deleting.then_some(self.now),
                time_to_live: self.time_to_live,
                ..RelatedState::default()
            },
        }
    }

    /// The operator works in fair weather until nothing changes any more.
    pub fn operate(&mut self) {
        for _ in 0..40 {
            self.operate_once();
        }
    }

    /// The order's controller alone: until its payment is made.
    pub fn price(&mut self) {
        self.reconcile_order();
    }

    /// The operator has crashed: it remembers nothing of what it has not sent.
    pub fn forget(&mut self) {
        self.just_created = false;
    }

    pub fn operate_once(&mut self) {
        self.reconcile_order();
        self.reconcile_payment(0);
        self.reconcile_ticket();
        self.reconcile_delivery();
    }

    /// Fair weather, everybody there, and enough time for every deadline.
    pub fn settle(&mut self) {
        (self.paused, self.store_open) = (false, true);
        self.availability = ControllerAvailability::of_all(self.now);
        for _ in 0..16 {
            self.operate();
            self.now = self.now + Millis(25 * 3_600_000);
        }
        self.operate();
    }

    /// What must hold at every moment.
    pub fn check(&mut self) {
        assert!(self.captures <= 1, "at most one capture");
        assert!(self.refunded <= self.captured, "refunds never above captures");
        assert!(self.paid_before_ticket, "no ticket before the money is in");
        if self.phase() == OrderPhase::Cancelled {
            assert_eq!(self.refunded, self.captured, "cancelled means that the money is back");
        }
        if let Some(ended) = self.ended_as.filter(|_| self.order.is_some()) {
            assert_eq!(self.phase(), ended, "terminal means terminal");
        }
        if self.phase().is_terminal() {
            self.ended_as = Some(self.phase());
        }
        if self.phase() == OrderPhase::Completed {
            assert_eq!((self.captures, self.refunded), (1, 0), "a completed order is paid");
        }
    }

    /// What must hold when everything has come to rest.
    pub fn check_end(&self) {
        let Some(order) = &self.order else {
            assert!(self.is_gone(), "an order that is gone leaves nothing behind");
            return;
        };
        assert!(order.phase.is_terminal(), "everything comes to an end: {order:?}");
        assert!(!self.deleting, "a deleted order goes in the end: {order:?}");
        assert!(order.holds(order::ConditionKind::Ended) && order.holds(order::ConditionKind::Settled));
        let due_back = order.phase != OrderPhase::Completed;
        assert_eq!(self.refunded, if due_back { self.captured } else { 0 });
        assert!(self.payment.as_ref().is_none_or(|p| p.state.phase != PaymentPhase::NeedsReview));
    }
}
