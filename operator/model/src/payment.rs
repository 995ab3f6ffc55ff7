//! The payment controller: a visit reads the payment, asks `saga::payment::decide` step by step, calls the provider,
//! and writes what came of it. Between any decision and its effect everything else may happen.

use std::cell::RefCell;
use std::collections::HashMap;

use fooddelivery_saga::payment::{
    Access, Command, Decision, OrderStanding, PaymentState, PaymentView, ProviderSession, Responses, decide,
};
use fooddelivery_saga::phases::{OrderPhase, PaymentDesired, PaymentPhase};
use fooddelivery_saga::provider::{PrepareOutcome, ProviderStatus, VoidOutcome};
use fooddelivery_saga::time::{Millis, Timestamp};

use crate::bank::{Charged, Weather};
use crate::bounds::{Bounds, Mistake};
use crate::calls::{
    Told, charge, charged, found, look_up, provider_payment, refund, returned, trouble, void,
};
use crate::cluster::{Kind, Refused};
use crate::objects::{Order, Payment, Ticket, intern};
use crate::order::{TOTAL, ticket_seen};
use crate::world::World;

/// More steps than any payment needs in one go, as in the controller.
const ROUNDS: usize = 24;

/// What has been learnt in a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Learnt {
    /// The order, read live.
    pub order: Option<OrderStanding>,
    /// The provider can be called.
    pub access: bool,
    /// What a charge is made under was recorded by this visit.
    pub intent_is_fresh: bool,
    /// What preparing told.
    pub prepare: Option<Told>,
    /// What the look-up told.
    pub look_up: Option<Told>,
    /// What the charge told.
    pub charge: Option<Told>,
    /// What voiding told.
    pub void: Option<Told>,
    /// What the refund told.
    pub refund: Option<Told>,
}

/// A step of the payment controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing to do, or nothing until asked again.
    Rest,
    /// Ask again later: the provider has not told.
    AskAgain,
    /// Read the order live.
    CheckOrder,
    /// Read the provider live.
    CheckAccess,
    /// Make a payment at the provider that can be charged.
    Prepare,
    /// Ask the provider what became of it.
    LookUp,
    /// Charge.
    Charge,
    /// See to it that it can never be charged.
    Void,
    /// Refund.
    Refund,
    /// Write this status.
    Write(Payment),
    /// The order is gone: the money is to go back.
    WantMoneyBack,
    /// Delete the payment.
    Delete,
    /// Let the payment go.
    RemoveFinalizer,
}

/// A visit in the middle: what is about to be done, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Visit {
    /// What is about to be done.
    pub step: Step,
    /// The payment's version in hand.
    pub hand: u8,
    /// Whether that version was read live, or written, by this visit.
    pub read: bool,
    /// What was learnt.
    pub learnt: Learnt,
    /// Planted mistake: the intent exists in memory only.
    pub unwritten: bool,
}

type Seen = (Payment, bool, Learnt, bool);

thread_local! {
    /// `decide` is pure: what it said of a view once, it says again.
    static KNOWN: RefCell<HashMap<Seen, Step>> = RefCell::new(HashMap::new());
}

fn ask(payment: &Payment, order_in_cache: bool, learnt: Learnt, prepares: bool) -> Step {
    let seen: Seen = (*payment, order_in_cache, learnt, prepares);
    KNOWN.with_borrow_mut(|known| *known.entry(seen).or_insert_with(|| decided(&seen)))
}

/// Whether a replica's payment controller would do anything now.
pub fn rests(world: &World, bounds: &Bounds, replica: usize) -> bool {
    let Some((_, payment)) = world.held::<Payment>(replica) else { return true };
    let mut learnt = Learnt::default();
    for _ in 0..ROUNDS {
        match ask(&payment, world.held::<Order>(replica).is_some(), learnt, bounds.prepares) {
            Step::CheckOrder => learnt.order = Some(standing(world)),
            Step::CheckAccess => learnt.access = true,
            step => return step == Step::Rest,
        }
    }
    false
}

/// Begins a visit.
pub fn reconcile(world: &mut World, bounds: &Bounds, replica: usize) {
    let Some((hand, _)) = world.held::<Payment>(replica) else { return };
    let visit = Visit { step: Step::Rest, hand, read: false, learnt: Learnt::default(), unwritten: false };
    go_on(world, bounds, replica, visit);
}

/// Decides until something has to be done that others can meet, or there is nothing to do.
fn go_on(world: &mut World, bounds: &Bounds, replica: usize, mut visit: Visit) {
    let mistake = bounds.carrying.mistake;
    for _ in 0..ROUNDS {
        let Some(mut payment) = Payment::chain(world).at(visit.hand) else { return };
        if visit.unwritten {
            payment.attempt = 1;
            payment.known |= mistake == Some(Mistake::ChargeBeforeId);
        }
        let in_cache = world.held::<Order>(replica).is_some();
        let mut step = ask(&payment, in_cache, visit.learnt, bounds.prepares);
        if mistake == Some(Mistake::DropBeforeRefund) && payment.deleting {
            step = Step::RemoveFinalizer;
        }
        match step {
            Step::Rest | Step::AskAgain => return,
            Step::CheckOrder => visit.learnt.order = Some(standing(world)),
            Step::CheckAccess => visit.learnt.access = true,
            Step::Write(new)
                if mistake == Some(Mistake::ChargeBeforeIntent)
                    && payment.attempt == 0
                    && new.attempt == 1 =>
            {
                visit.unwritten = true;
                visit.learnt.intent_is_fresh = true;
            }
            Step::Write(new)
                if mistake == Some(Mistake::ChargeBeforeId)
                    && !payment.known
                    && new.known
                    && !new.captured =>
            {
                visit.unwritten = true;
                visit.learnt.intent_is_fresh = true;
            }
            Step::Prepare | Step::LookUp | Step::Charge | Step::Void | Step::Refund if !visit.read => {
                let Some(_) = world.refresh::<Payment>(replica) else { return };
                let live = Payment::chain(world).last().0;
                visit.read = true;
                if live != visit.hand {
                    visit.hand = live;
                    visit.learnt = Learnt::default();
                    visit.unwritten = false;
                }
            }
            step => {
                visit.step = step;
                if let Some(slot) = world.replicas.get_mut(replica) {
                    slot.payment = Some(visit);
                }
                return;
            }
        }
    }
}

/// Carries out what was decided; a call meets `weather`.
pub fn carry_out(world: &mut World, bounds: &Bounds, replica: usize, weather: Weather) {
    let Some(slot) = world.replicas.get_mut(replica) else { return };
    let Some(mut visit) = slot.payment.take() else { return };
    let Some(payment) = Payment::chain(world).at(visit.hand) else { return };
    match visit.step {
        Step::Prepare => {
            let told = if weather == Weather::Fair { Told::Open } else { Told::Unknown };
            visit.learnt.prepare = Some(told);
            go_on(world, bounds, replica, visit);
        }
        Step::Void => {
            visit.learnt.void = Some(void(world, payment.uid, weather));
            go_on(world, bounds, replica, visit);
        }
        Step::LookUp => {
            visit.learnt.look_up = Some(look_up(world, bounds, payment.uid, weather));
            go_on(world, bounds, replica, visit);
        }
        Step::Charge => {
            visit.learnt.charge = Some(charge(world, bounds, payment.uid, weather));
            go_on(world, bounds, replica, visit);
        }
        Step::Refund => {
            visit.learnt.refund = Some(refund(world, payment.uid, weather));
            go_on(world, bounds, replica, visit);
        }
        Step::Write(new) => write(world, bounds, replica, visit, &payment, &new),
        Step::WantMoneyBack => {
            let change = |p: &Payment| Some(Payment { desired: PaymentDesired::Refunded, ..*p });
            if world.swap::<Payment>(visit.hand, change).is_ok() {
                world.refresh::<Payment>(replica);
                let hand = Payment::chain(world).last().0;
                go_on(world, bounds, replica, Visit { hand, ..visit });
            }
        }
        Step::Delete => {
            if let Some(live) = world.live::<Payment>().filter(|live| live.uid == payment.uid) {
                world.put(Some(Payment { deleting: true, ..live }));
            }
            world.refresh::<Payment>(replica);
        }
        Step::RemoveFinalizer => {
            let removed = world.swap::<Payment>(visit.hand, |p| (!p.deleting).then_some(*p));
            if removed.is_ok() && world.live::<Payment>().is_none() {
                lost(world, &payment);
            }
            let here = world.held::<Payment>(replica).map(|(number, _)| number);
            if matches!(removed, Ok(()) | Err(Refused::NotFound))
                && here == Some(visit.hand)
                && let Some(slot) = world.replicas.get_mut(replica)
            {
                slot.payments.held = None;
            }
        }
        Step::Rest | Step::AskAgain | Step::CheckOrder | Step::CheckAccess => {}
    }
}

/// A payment that goes must leave no money on its way: captured and kept by an order that completed, or none.
fn lost(world: &mut World, payment: &Payment) {
    let kept =
        world.bank.charge(payment.uid) == Some(Charged::Captured) && !world.bank.was_returned(payment.uid);
    let completed = world.ended_as == Some(OrderPhase::Completed);
    world.flaws.payment_lost |= kept && !completed;
}

fn write(world: &mut World, bounds: &Bounds, replica: usize, visit: Visit, old: &Payment, new: &Payment) {
    let blind = bounds.carrying.mistake == Some(Mistake::BlindPaymentStatus);
    let hand = if blind { Payment::chain(world).last().0 } else { visit.hand };
    let status = |live: &Payment| {
        let Payment { uid, deleting, tombstone, desired, reversal, .. } = *live;
        Some(Payment { uid, deleting, tombstone, desired, reversal, ..*new })
    };
    match world.swap::<Payment>(hand, status) {
        Ok(()) => {
            world.refresh::<Payment>(replica);
            let recorded =
                if bounds.prepares { !old.known && new.known } else { old.attempt == 0 && new.attempt > 0 };
            let fresh = new.phase == PaymentPhase::Pending && recorded;
            let learnt = Learnt {
                order: visit.learnt.order,
                access: visit.learnt.access,
                intent_is_fresh: fresh,
                ..Learnt::default()
            };
            let hand = Payment::chain(world).last().0;
            go_on(world, bounds, replica, Visit { hand, read: true, learnt, unwritten: false, ..visit });
        }
        Err(Refused::Conflict) => {
            if world.refresh::<Payment>(replica).is_some() {
                let hand = Payment::chain(world).last().0;
                let learnt = Learnt::default();
                go_on(world, bounds, replica, Visit { hand, read: true, learnt, unwritten: false, ..visit });
            }
        }
        Err(Refused::NotFound | Refused::Invalid) => {}
    }
}

/// As the controller's `standing`: the order, read live.
pub fn standing(world: &World) -> OrderStanding {
    let Some(order) = world.live::<Order>() else {
        let begun = world.live::<Ticket>().is_some_and(|t| ticket_seen(&t).has_begun());
        return OrderStanding::Gone { store_has_begun: begun };
    };
    OrderStanding::of(order.phase, order.verdict, order.cancel_wanted())
}

fn answers(learnt: Learnt, prepares: bool) -> Responses {
    let way = || ProviderSession {
        provider_uid: "p".into(),
        credential: "c".into(),
        prepares,
        retention: Millis(1),
        token_lifetime: Some(Millis::seconds(900)),
        no_token: None,
        open_until: None,
    };
    Responses {
        order: learnt.order,
        access: learnt.access.then(|| Access::Ready(way())),
        unresolved_attempts: 0,
        intent_is_fresh: learnt.intent_is_fresh,
        prepare: learnt.prepare.map(|told| match told {
            Told::Open => PrepareOutcome::Prepared(provider_payment(ProviderStatus::Open, false)),
            _ => PrepareOutcome::CallFailure(trouble(told)),
        }),
        look_up: learnt.look_up.map(found),
        charge: learnt.charge.map(charged),
        void: learnt.void.map(|told| match told {
            Told::Voided => VoidOutcome::Voided,
            Told::TooLate => VoidOutcome::TooLate,
            _ => VoidOutcome::CallFailure(trouble(told)),
        }),
        refund: learnt.refund.map(returned),
    }
}

/// Asks `saga`. The pause of a deferred payment is over at any time.
fn decided(seen: &Seen) -> Step {
    let (payment, order_in_cache, learnt, prepares) = seen;
    let amount = |moved: bool| if moved { TOTAL } else { 0 };
    let state = PaymentState {
        phase: payment.phase,
        reason: payment.reason.into(),
        attempt: i64::from(payment.attempt),
        deferrals: i64::from(payment.deferred),
        payment_id: payment.known.then(|| "pk".into()),
        provider_uid: (payment.attempt > 0).then(|| "p".into()),
        credential: (payment.attempt > 0).then(|| "c".into()),
        first_attempt_at: (payment.attempt > 0).then_some(Timestamp(0)),
        captured: amount(payment.captured),
        refunded: amount(payment.refunded),
        ..PaymentState::default()
    };
    let view = PaymentView {
        has_finalizer: true,
        deleting: payment.deleting,
        paused: false,
        desired: payment.desired,
        resolution: None,
        total: if payment.tombstone { 0 } else { TOTAL },
        currency: "KRW".into(),
        order_id: "o1".into(),
        state,
        order_in_cache: *order_in_cache,
        spread: 0,
        responses: answers(*learnt, *prepares),
    };
    match decide(&view, Timestamp(0)) {
        Decision::Skip | Decision::Wait(_) => Step::Rest,
        Decision::AskAgain(_) => Step::AskAgain,
        Decision::Write(state) => Step::Write(status(payment, &state)),
        Decision::Act(command) => match command {
            Command::CheckOrder => Step::CheckOrder,
            Command::CheckAccess => Step::CheckAccess,
            Command::Prepare => Step::Prepare,
            Command::LookUp => Step::LookUp,
            Command::Charge => Step::Charge,
            Command::Void => Step::Void,
            Command::Refund(_) => Step::Refund,
            Command::WantMoneyBack => Step::WantMoneyBack,
            Command::Delete => Step::Delete,
            Command::RemoveFinalizer => Step::RemoveFinalizer,
            // The finalizer is there from birth, and nothing needs a person.
            Command::AddFinalizer | Command::ClearResolution => Step::Rest,
        },
    }
}

fn status(old: &Payment, new: &PaymentState) -> Payment {
    Payment {
        phase: new.phase,
        reason: intern(&new.reason),
        attempt: u8::try_from(new.attempt).unwrap_or(u8::MAX),
        deferred: new.deferrals > 0,
        known: new.payment_id.is_some(),
        captured: new.captured > 0,
        refunded: new.refunded > 0,
        ..*old
    }
}
