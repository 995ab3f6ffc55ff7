//! The payment controller: a reconcile reads the payment, asks `saga::payment::decide` step by step, calls the provider,
//! and writes what came of it. Between any decision and its effect everything else may happen.
//!
//! What is decided is not transcribed: the machine of `saga` decides here. Transcribed is the loop around it, because a
//! reconcile that calls a provider is a state in which others act, and must be a value that can be compared and hashed:
//! when the payment is read live, and what each request does.

use std::cell::RefCell;
use std::collections::HashMap;

use fooddelivery_saga::payment::{
    Access, Command, Decision, OrderStanding, PaymentState, PaymentView, ProviderCall, ProviderSession,
    Responses, decide,
};
use fooddelivery_saga::phases::{OrderPhase, PaymentDesired};
use fooddelivery_saga::provider::{PrepareOutcome, ProviderStatus, VoidOutcome};
use fooddelivery_saga::time::{Millis, Timestamp};

use crate::bank::{Charged, ProviderFault};
use crate::bounds::{Bounds, Mutant, TOTAL};
use crate::calls::{charge, charged, failure, found, look_up, provider_payment, refund, returned, void};
use crate::flight::{CallResult, CallResults, PaymentFlight, PaymentStep};
use crate::objects::{Order, Payment, Ticket, intern};
use crate::versions::WriteError;
use crate::views::ticket_seen;
use crate::world::{Kind, World};

/// Maximum number of decisions in a reconcile, as in the controller: more than any payment needs.
const DECISIONS_PER_RECONCILE_MAX: usize = 24;

type Seen = (Payment, bool, CallResults, bool);

thread_local! {
    /// `decide` is pure: what it said of a view once, it says again.
    static KNOWN: RefCell<HashMap<Seen, PaymentStep>> = RefCell::new(HashMap::new());
}

fn ask(payment: &Payment, order_in_cache: bool, results: CallResults, prepares: bool) -> PaymentStep {
    let seen: Seen = (*payment, order_in_cache, results, prepares);
    KNOWN.with_borrow_mut(|known| *known.entry(seen).or_insert_with(|| decided(&seen)))
}

/// Whether a replica's payment controller would do anything now.
pub fn rests(world: &World, bounds: &Bounds, replica: usize) -> bool {
    let Some((_, payment)) = world.held::<Payment>(replica) else { return true };
    let mut results = CallResults::default();
    for _ in 0..DECISIONS_PER_RECONCILE_MAX {
        match ask(&payment, world.held::<Order>(replica).is_some(), results, bounds.prepares) {
            PaymentStep::CheckOrder => results.order = Some(standing(world)),
            PaymentStep::CheckAccess => results.access = true,
            step => return step == PaymentStep::Rest,
        }
    }
    false
}

/// Begins a reconcile.
pub fn reconcile(world: &mut World, bounds: &Bounds, replica: usize) {
    let created = world.replicas.get_mut(replica).and_then(|slot| slot.created.take());
    let Some((version, _)) = world.held::<Payment>(replica) else { return };
    let read = created == Some(version);
    let results = CallResults { intent_is_fresh: read, ..CallResults::default() };
    let flight = PaymentFlight { step: PaymentStep::Rest, version, read, results, unwritten: false };
    go_on(world, bounds, replica, flight);
}

/// Decides until something has to be done that others can meet, or there is nothing to do.
fn go_on(world: &mut World, bounds: &Bounds, replica: usize, mut flight: PaymentFlight) {
    let mutant = bounds.carrying.mutant;
    for _ in 0..DECISIONS_PER_RECONCILE_MAX {
        let Some(mut payment) = Payment::chain(world).at(flight.version) else { return };
        if flight.unwritten {
            payment.attempt = 1;
            payment.as_created = false;
            payment.known |= mutant == Some(Mutant::ChargeBeforeId);
        }
        let in_cache = world.held::<Order>(replica).is_some();
        let mut step = ask(&payment, in_cache, flight.results, bounds.prepares);
        if mutant == Some(Mutant::DropBeforeRefund) && payment.deleting {
            step = PaymentStep::RemoveFinalizer;
        }
        match step {
            PaymentStep::Rest | PaymentStep::Retry => return,
            PaymentStep::Halt => {
                world.violations.halted = true;
                return;
            }
            PaymentStep::CheckOrder => flight.results.order = Some(standing(world)),
            PaymentStep::CheckAccess => flight.results.access = true,
            PaymentStep::Write(new)
                if mutant == Some(Mutant::ChargeBeforeIntent) && payment.attempt == 0 && new.attempt == 1 =>
            {
                flight.unwritten = true;
                flight.results.intent_is_fresh = true;
            }
            PaymentStep::Write(new)
                if mutant == Some(Mutant::ChargeBeforeId) && !payment.known && new.known && !new.captured =>
            {
                flight.unwritten = true;
                flight.results.intent_is_fresh = true;
            }
            PaymentStep::Write(new)
                if mutant == Some(Mutant::ChargeOthersIntent)
                    && payment.as_created
                    && new.attempt == 1
                    && new.phase == payment.phase =>
            {
                flight.unwritten = true;
            }
            PaymentStep::Prepare
            | PaymentStep::LookUp
            | PaymentStep::Charge
            | PaymentStep::Void
            | PaymentStep::Refund
                if !flight.read =>
            {
                let Some(_) = world.refresh::<Payment>(replica) else { return };
                let live = Payment::chain(world).last().0;
                flight.read = true;
                if live != flight.version {
                    flight.version = live;
                    flight.results = CallResults::default();
                    flight.unwritten = false;
                }
            }
            step => {
                flight.step = step;
                if let Some(slot) = world.replicas.get_mut(replica) {
                    slot.payment = Some(flight);
                }
                return;
            }
        }
    }
}

/// Carries out what was decided; a call meets `fault`.
pub fn carry_out(world: &mut World, bounds: &Bounds, replica: usize, fault: ProviderFault) {
    let Some(slot) = world.replicas.get_mut(replica) else { return };
    let Some(mut flight) = slot.payment.take() else { return };
    let Some(payment) = Payment::chain(world).at(flight.version) else { return };
    match flight.step {
        PaymentStep::Prepare => {
            let result = if fault == ProviderFault::None { CallResult::Open } else { CallResult::Unknown };
            flight.results.prepare = Some(result);
            go_on(world, bounds, replica, flight);
        }
        PaymentStep::Void => {
            flight.results.void = Some(void(world, payment.uid, fault));
            go_on(world, bounds, replica, flight);
        }
        PaymentStep::LookUp => {
            flight.results.look_up = Some(look_up(world, bounds, payment.uid, fault));
            go_on(world, bounds, replica, flight);
        }
        PaymentStep::Charge => {
            flight.results.charge = Some(charge(world, bounds, payment.uid, fault));
            go_on(world, bounds, replica, flight);
        }
        PaymentStep::Refund => {
            flight.results.refund = Some(refund(world, payment.uid, fault));
            go_on(world, bounds, replica, flight);
        }
        PaymentStep::Write(new) => write(world, bounds, replica, flight, &payment, &new),
        PaymentStep::WantMoneyBack => {
            let change = |p: &Payment| Some(Payment { desired: PaymentDesired::Refunded, ..*p });
            if world.swap::<Payment>(flight.version, change).is_ok() {
                world.refresh::<Payment>(replica);
                let version = Payment::chain(world).last().0;
                go_on(world, bounds, replica, PaymentFlight { version, ..flight });
            }
        }
        PaymentStep::Delete => {
            if let Some(live) = world.live::<Payment>().filter(|live| live.uid == payment.uid) {
                world.put(Some(Payment { deleting: true, ..live }));
            }
            world.refresh::<Payment>(replica);
        }
        PaymentStep::RemoveFinalizer => {
            let removed = world.swap::<Payment>(flight.version, |p| (!p.deleting).then_some(*p));
            if removed.is_ok() && world.live::<Payment>().is_none() {
                lost(world, &payment);
            }
            let here = world.held::<Payment>(replica).map(|(number, _)| number);
            if matches!(removed, Ok(()) | Err(WriteError::NotFound))
                && here == Some(flight.version)
                && let Some(slot) = world.replicas.get_mut(replica)
            {
                slot.payments.held = None;
            }
        }
        PaymentStep::Rest
        | PaymentStep::Halt
        | PaymentStep::Retry
        | PaymentStep::CheckOrder
        | PaymentStep::CheckAccess => {}
    }
}

/// A payment that goes must leave no money on its way: captured and kept by an order that completed, or none.
fn lost(world: &mut World, payment: &Payment) {
    let kept =
        world.bank.charge(payment.uid) == Some(Charged::Captured) && !world.bank.was_returned(payment.uid);
    let completed = world.ended_as == Some(OrderPhase::Completed);
    world.violations.payment_lost |= kept && !completed;
}

fn write(
    world: &mut World,
    bounds: &Bounds,
    replica: usize,
    flight: PaymentFlight,
    old: &Payment,
    new: &Payment,
) {
    let blind = bounds.carrying.mutant == Some(Mutant::BlindPaymentStatus);
    let version = if blind { Payment::chain(world).last().0 } else { flight.version };
    let status = |live: &Payment| {
        let Payment { uid, deleting, tombstone, desired, reversal, .. } = *live;
        Some(Payment { uid, deleting, tombstone, desired, reversal, ..*new })
    };
    match world.swap::<Payment>(version, status) {
        Ok(()) => {
            world.refresh::<Payment>(replica);
            let kept = responses(flight.results, bounds.prepares).after_write(&state(old), &state(new));
            let results = CallResults {
                order: kept.order,
                access: kept.access.is_some(),
                intent_is_fresh: kept.intent_is_fresh,
                ..CallResults::default()
            };
            let version = Payment::chain(world).last().0;
            go_on(
                world,
                bounds,
                replica,
                PaymentFlight { version, read: true, results, unwritten: false, ..flight },
            );
        }
        Err(WriteError::Conflict) => {
            if world.refresh::<Payment>(replica).is_some() {
                let version = Payment::chain(world).last().0;
                let results = CallResults::default();
                go_on(
                    world,
                    bounds,
                    replica,
                    PaymentFlight { version, read: true, results, unwritten: false, ..flight },
                );
            }
        }
        Err(WriteError::NotFound | WriteError::Invalid) => {}
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

/// What was read and answered, as `saga` has it.
fn responses(results: CallResults, prepares: bool) -> Responses {
    let session = || ProviderSession {
        provider_uid: "p".into(),
        credential: "c".into(),
        prepares,
        retention: Millis(1),
        token_lifetime: Some(Millis::seconds(900)),
        no_token: None,
        open_until: None,
    };
    Responses {
        order: results.order,
        access: results.access.then(|| Access::Ready(session())),
        unresolved_attempts: 0,
        intent_is_fresh: results.intent_is_fresh,
        prepare: results.prepare.map(|result| match result {
            CallResult::Open => PrepareOutcome::Prepared(provider_payment(ProviderStatus::Open, false)),
            _ => PrepareOutcome::CallFailure(failure(result)),
        }),
        look_up: results.look_up.map(found),
        charge: results.charge.map(charged),
        void: results.void.map(|result| match result {
            CallResult::Voided => VoidOutcome::Voided,
            CallResult::TooLate => VoidOutcome::TooLate,
            _ => VoidOutcome::CallFailure(failure(result)),
        }),
        refund: results.refund.map(returned),
    }
}

/// The payment's status, as `saga` has it.
fn state(payment: &Payment) -> PaymentState {
    let amount = |moved: bool| if moved { TOTAL } else { 0 };
    PaymentState {
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
    }
}

/// Asks `saga`. The pause of a deferred payment is over at any time.
fn decided(seen: &Seen) -> PaymentStep {
    let (payment, order_in_cache, results, prepares) = seen;
    let view = PaymentView {
        has_finalizer: true,
        deleting: payment.deleting,
        paused: false,
        desired: payment.desired,
        resolution: None,
        total: if payment.tombstone { 0 } else { TOTAL },
        currency: "KRW".into(),
        order_id: "o1".into(),
        state: state(payment),
        as_created: payment.as_created,
        order_in_cache: *order_in_cache,
        spread: 0,
        responses: responses(*results, *prepares),
    };
    match decide(&view, Timestamp(0)) {
        // A payment's machine writes its status step by step, and not at rest.
        Decision::Halt(_) | Decision::Rest(_) => PaymentStep::Halt,
        Decision::Skip | Decision::Wait(_) => PaymentStep::Rest,
        Decision::Retry(_) => PaymentStep::Retry,
        Decision::Write(state) => PaymentStep::Write(status(payment, &state)),
        Decision::Act(command) => match command {
            Command::CheckOrder => PaymentStep::CheckOrder,
            Command::CheckAccess => PaymentStep::CheckAccess,
            Command::Call(call) => match call {
                ProviderCall::Prepare { .. } => PaymentStep::Prepare,
                ProviderCall::LookUp { .. } => PaymentStep::LookUp,
                ProviderCall::Charge { .. } => PaymentStep::Charge,
                ProviderCall::Void { .. } => PaymentStep::Void,
                ProviderCall::Refund { .. } => PaymentStep::Refund,
            },
            Command::WantMoneyBack => PaymentStep::WantMoneyBack,
            Command::Delete => PaymentStep::Delete,
            Command::RemoveFinalizer => PaymentStep::RemoveFinalizer,
            // The finalizer is there from birth, and nothing needs a person.
            Command::AddFinalizer | Command::ClearResolution => PaymentStep::Rest,
        },
    }
}

fn status(old: &Payment, new: &PaymentState) -> Payment {
    Payment {
        phase: new.phase,
        reason: intern(&new.reason),
        attempt: u8::try_from(new.attempt).unwrap_or(u8::MAX),
        as_created: false,
        deferred: new.deferrals > 0,
        known: new.payment_id.is_some(),
        captured: new.captured > 0,
        refunded: new.refunded > 0,
        ..*old
    }
}
