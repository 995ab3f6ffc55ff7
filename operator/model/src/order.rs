//! The order controller: from the caches to `saga::order::decide`, and from its commands to writes, one at a time.
//!
//! What is decided is not transcribed: the machine of `saga` decides here. Transcribed is what the model varies, and what
//! the controller does with an API server and async I/O that no state can hold: which copies a replica reads, of any age;
//! that a command is carried out later than it was decided, so that everything else may happen in between; and what its
//! request does to the objects. A command that is not carried out does not compile.

use std::cell::RefCell;
use std::collections::HashMap;

use fooddelivery_saga::order::{
    ChildKind, Command, Condition, ConditionKind, Decision, OrderState, OrderView, PhaseEntry, decide, steps,
};
use fooddelivery_saga::phases::{DeliveryStage, OrderPhase, PaymentDesired, TicketStage, WhenUnavailable};
use fooddelivery_saga::quote::Quote;
use fooddelivery_saga::time::{Deadlines, Millis};
use fooddelivery_saga::view::{ControllerAvailability, RelatedState};

use crate::bounds::{Bounds, Mutant, TOTAL};
use crate::flight::{OrderFlight, OrderStep};
use crate::objects::{Conditions, Delivery, Label, Order, Payment, Ticket, intern};
use crate::versions::WriteError;
use crate::views::{EPOCH_MS, at, child, delivery_seen, payment_seen, ticket_seen};
use crate::world::{Kind, World};

type Seen = (Order, Option<Payment>, Option<Ticket>, Option<Delivery>, u8, u8, WhenUnavailable);

thread_local! {
    /// `decide` is pure: what it said of a view once, it says again.
    static KNOWN: RefCell<HashMap<Seen, OrderStep>> = RefCell::new(HashMap::new());
}

/// What a replica's order controller would do now. Reads of caches only.
pub fn next(world: &World, bounds: &Bounds, replica: usize) -> Option<OrderStep> {
    let (_, order) = world.held::<Order>(replica)?;
    let since = world.replicas.get(replica)?.since;
    let seen: Seen = (
        order,
        world.held::<Payment>(replica).map(|(_, p)| p),
        world.held::<Ticket>(replica).map(|(_, t)| t),
        world.held::<Delivery>(replica).map(|(_, d)| d),
        world.epoch,
        since,
        bounds.when_unavailable,
    );
    Some(KNOWN.with_borrow_mut(|known| *known.entry(seen).or_insert_with(|| decided(&seen))))
}

/// One round: unexpected absences are looked at live, then one decision is made.
pub fn reconcile(world: &mut World, bounds: &Bounds, replica: usize) {
    let Some((version, order)) = world.held::<Order>(replica) else { return };
    look_for_the_missing(world, &order, replica);
    let Some(mut step) = next(world, bounds, replica) else { return };
    if let Some(mutant) = bounds.carrying.mutant {
        step = mutated(world, mutant, &order, replica, step);
    }
    match step {
        OrderStep::Rest { .. } => return,
        OrderStep::Halt => {
            world.violations.halted = true;
            return;
        }
        _ => {}
    }
    let irreversible = !matches!(step, OrderStep::Write(_) | OrderStep::LookForChildren);
    if irreversible && bounds.carrying.order_is_live && Order::chain(world).last().0 != version {
        world.refresh::<Order>(replica);
        return;
    }
    let decided = bounds.carrying.decided_version;
    let decided_on = |held: Option<u8>| held.filter(|_| decided);
    let (payment, ticket, delivery) = match step {
        OrderStep::ReturnMoney(_) | OrderStep::DeletePayment => {
            (decided_on(world.held::<Payment>(replica).map(|h| h.0)), None, None)
        }
        OrderStep::EndTicket(..) | OrderStep::DeleteTicket => {
            (None, decided_on(world.held::<Ticket>(replica).map(|h| h.0)), None)
        }
        OrderStep::EndDelivery(..) | OrderStep::ReleaseClaim | OrderStep::DeleteDelivery => {
            (None, None, decided_on(world.held::<Delivery>(replica).map(|h| h.0)))
        }
        _ => (None, None, None),
    };
    if let Some(slot) = world.replicas.get_mut(replica) {
        slot.order = Some(OrderFlight { step, version, payment, ticket, delivery });
    }
}

/// As the controller's `observe`: an absence that is unexpected is believed only after a live read.
fn look_for_the_missing(world: &mut World, order: &Order, replica: usize) {
    let has = |child| steps::has(order.phase, child);
    if has(ChildKind::Payment) && !order.phase.is_terminal() && world.held::<Payment>(replica).is_none() {
        world.refresh::<Payment>(replica);
    }
    if has(ChildKind::Ticket) && world.held::<Ticket>(replica).is_none() {
        world.refresh::<Ticket>(replica);
    }
    if has(ChildKind::Delivery) && world.held::<Delivery>(replica).is_none() {
        world.refresh::<Delivery>(replica);
    }
}

fn mutated(world: &World, mutant: Mutant, order: &Order, replica: usize, step: OrderStep) -> OrderStep {
    let payment = world.held::<Payment>(replica).map(|(_, p)| p);
    let unasked = payment.is_some_and(|p| p.desired == PaymentDesired::Captured);
    match (mutant, step) {
        (Mutant::MoneyBeforeTicket, OrderStep::EndTicket(_, why) | OrderStep::TicketTombstone(why))
            if unasked =>
        {
            OrderStep::ReturnMoney(why)
        }
        (Mutant::NoTombstone, OrderStep::TicketTombstone(why)) if unasked => OrderStep::ReturnMoney(why),
        (Mutant::DropBeforeRefund, OrderStep::Rest { .. } | OrderStep::Write(_))
            if order.phase.is_terminal() && order.deleting && payment.is_some_and(|p| !p.deleting) =>
        {
            OrderStep::DeletePayment
        }
        _ => step,
    }
}

/// Carries out what was decided.
pub fn carry_out(world: &mut World, bounds: &Bounds, replica: usize) {
    let Some(slot) = world.replicas.get_mut(replica) else { return };
    let Some(flight) = slot.order.take() else { return };
    match flight.step {
        OrderStep::Rest { .. } | OrderStep::Halt => {}
        OrderStep::Write(new) => write_status(world, bounds, replica, flight.version, &new),
        OrderStep::CreatePayment(reversal) => create_payment(world, bounds, replica, reversal),
        OrderStep::ReturnMoney(why) => patch::<Payment>(world, replica, flight.payment, |p| Payment {
            desired: PaymentDesired::Refunded,
            reversal: Some(why),
            ..*p
        }),
        OrderStep::TicketTombstone(reason) => {
            if world.live::<Ticket>().is_none() {
                let uid = world.count(1);
                let created = world.epoch;
                world.put(Some(Ticket { uid, stage: TicketStage::Cancelled, reason, created }));
            }
            world.refresh::<Ticket>(replica);
        }
        OrderStep::EndTicket(stage, reason) => {
            patch::<Ticket>(world, replica, flight.ticket, |t| Ticket { stage, reason, ..*t });
        }
        OrderStep::DeliveryTombstone(reason) => {
            if world.live::<Delivery>().is_none() {
                let uid = world.count(2);
                let stage = DeliveryStage::Cancelled;
                world.put(Some(Delivery { uid, stage, reason, claimed: false }));
            }
            world.refresh::<Delivery>(replica);
        }
        OrderStep::EndDelivery(stage, reason) => {
            patch::<Delivery>(world, replica, flight.delivery, |d| Delivery { stage, reason, ..*d });
        }
        OrderStep::ReleaseClaim => {
            patch::<Delivery>(world, replica, flight.delivery, |d| Delivery { claimed: false, ..*d });
        }
        OrderStep::DeleteDelivery => {
            delete::<Delivery>(world, replica, flight.delivery, |a, b| a.uid == b.uid, |_| None);
        }
        OrderStep::DeleteTicket => {
            delete::<Ticket>(world, replica, flight.ticket, |a, b| a.uid == b.uid, |_| None);
        }
        OrderStep::DeletePayment => delete::<Payment>(
            world,
            replica,
            flight.payment,
            |a, b| a.uid == b.uid,
            |p| Some(Payment { deleting: true, ..*p }),
        ),
        OrderStep::LookForChildren => {
            let payment = world.refresh::<Payment>(replica).is_some();
            let ticket = world.refresh::<Ticket>(replica).is_some();
            let delivery = world.refresh::<Delivery>(replica).is_some();
            if !payment && !ticket && !delivery {
                let step = OrderStep::RemoveFinalizer;
                let flight = OrderFlight { step, ..flight };
                if let Some(slot) = world.replicas.get_mut(replica) {
                    slot.order = Some(flight);
                }
            }
        }
        OrderStep::RemoveFinalizer => let_go(world, replica, flight.version),
    }
}

fn write_status(world: &mut World, bounds: &Bounds, replica: usize, version: u8, new: &Order) {
    let status = |live: &Order| {
        let Order { cancel, confirmed, deleting, .. } = *live;
        Some(Order { cancel, confirmed, deleting, ..*new })
    };
    let blind = bounds.carrying.mutant == Some(Mutant::BlindOrderStatus);
    let version = if blind { Order::chain(world).last().0 } else { version };
    if world.swap(version, status).is_ok() {
        world.refresh::<Order>(replica);
    }
}

fn create_payment(world: &mut World, bounds: &Bounds, replica: usize, reversal: Option<Label>) {
    if world.live::<Payment>().is_none() {
        let (uid, intent) = (world.count(0), bounds.intends && reversal.is_none());
        world.put(Some(Payment::new(uid, reversal, intent)));
        let version = Payment::chain(world).last().0;
        if let Some(slot) = world.replicas.get_mut(replica) {
            slot.created = intent.then_some(version);
        }
    }
    world.refresh::<Payment>(replica);
}

/// `decided` is the version that was decided on; without one it is the version that the cache has by now.
fn patch<K: Kind>(world: &mut World, replica: usize, decided: Option<u8>, change: impl FnOnce(&K) -> K) {
    let held = world.held::<K>(replica).map(|(number, _)| number);
    let Some(version) = decided.or(held) else { return };
    let _ = world.swap::<K>(version, |live| Some(change(live)));
    world.refresh::<K>(replica);
}

fn delete<K: Kind>(
    world: &mut World,
    replica: usize,
    decided: Option<u8>,
    same: impl Fn(&K, &K) -> bool,
    gone: impl Fn(&K) -> Option<K>,
) {
    let decided = decided.and_then(|number| K::chain(world).at(number));
    if let Some(copy) = decided.or(world.held::<K>(replica).map(|(_, held)| held))
        && let Some(live) = world.live::<K>()
    {
        if !same(&copy, &live) {
            return;
        }
        world.put(gone(&live));
    }
    world.refresh::<K>(replica);
}

fn let_go(world: &mut World, replica: usize, version: u8) {
    let before = world.live::<Order>();
    let removed = world.swap::<Order>(version, |order| (!order.deleting).then_some(*order));
    if removed.is_ok()
        && let Some(order) = before
        && world.live::<Order>().is_none()
    {
        // A payment that a stalled replica makes in the last moment was never charged, and clears itself away.
        let begun = world.live::<Payment>().is_some_and(|p| p.attempt > 0 && !p.as_created);
        let kept = order.phase != OrderPhase::Completed && world.bank.has_money();
        world.violations.left_behind |= begun || kept;
    }
    if matches!(removed, Ok(()) | Err(WriteError::NotFound)) {
        world.refresh::<Order>(replica);
    }
}

/// How long a phase may wait, once somebody can act.
fn span(phase: OrderPhase) -> Millis {
    steps::step(phase).deadline.map_or(Millis(0), |span| span.of(&Deadlines::default()))
}

/// Asks `saga`. References always resolve here.
fn decided(seen: &Seen) -> OrderStep {
    let (order, _, _, _, epoch, ..) = seen;
    let mut view = view(seen);
    let mut decision = decide(&view, at(*epoch));
    if decision == Decision::Act(Command::ResolveReferences) {
        view.quote = Some(Ok(Quote { total: TOTAL, ..Quote::nothing() }));
        decision = decide(&view, at(*epoch));
    }
    match decision {
        // An order's machine writes its status at rest only, and never waits without saying so in it.
        Decision::Halt(_) | Decision::Wait(_) | Decision::Write(_) | Decision::Retry(_) => OrderStep::Halt,
        Decision::Skip => OrderStep::Rest { wakes: false },
        Decision::Act(command) => step(command),
        Decision::Rest(rest) => {
            let new = status(order, &rest.state, *epoch);
            if new == *order {
                OrderStep::Rest { wakes: rest.wake_at.is_some() }
            } else {
                OrderStep::Write(new)
            }
        }
    }
}

fn step(command: Command) -> OrderStep {
    match command {
        Command::CreatePayment(..) => OrderStep::CreatePayment(None),
        Command::CreatePaymentTombstone(why) => OrderStep::CreatePayment(Some(intern(&why.reason))),
        Command::ReturnMoney(why) => OrderStep::ReturnMoney(intern(&why.reason)),
        Command::CreateTicketTombstone(reason) => OrderStep::TicketTombstone(intern(&reason)),
        Command::EndTicket { stage, reason } => OrderStep::EndTicket(stage, intern(&reason)),
        Command::CreateDeliveryTombstone(reason) => OrderStep::DeliveryTombstone(intern(&reason)),
        Command::EndDelivery { stage, reason } => OrderStep::EndDelivery(stage, intern(&reason)),
        Command::ReleaseClaim | Command::RefuseClaim => OrderStep::ReleaseClaim,
        Command::DeleteChild(ChildKind::Delivery) => OrderStep::DeleteDelivery,
        Command::DeleteChild(ChildKind::Ticket) => OrderStep::DeleteTicket,
        Command::DeleteChild(ChildKind::Payment) => OrderStep::DeletePayment,
        Command::RemoveFinalizer => OrderStep::LookForChildren,
        // The finalizer is there from birth, no token is replaced, references were resolved above, and orders are kept.
        Command::AddFinalizer | Command::ReplaceToken | Command::ResolveReferences | Command::DeleteOrder => {
            OrderStep::Rest { wakes: false }
        }
    }
}

fn view(seen: &Seen) -> OrderView {
    let (order, payment, ticket, delivery, _, since, when_unavailable) = seen;
    OrderView {
        created_at: at(0),
        has_finalizer: true,
        deleting: order.deleting,
        namespace_terminating: false,
        paused: false,
        cancellation: order.cancel.then(|| "changed my mind".into()),
        receipt_confirmed: order.confirmed,
        when_unavailable: *when_unavailable,
        token_replaced: false,
        state: state(order),
        payment: child(payment.as_ref(), payment_seen),
        ticket: child(ticket.as_ref(), ticket_seen),
        delivery: child(delivery.as_ref(), delivery_seen),
        quote: None,
        session: None,
        store_open: true,
        accepts_by_itself: false,
        deadlines: Deadlines::default(),
        availability: ControllerAvailability::of_all(at(0)),
        watching_since: at(*since),
        related: RelatedState::default(),
    }
}

fn state(order: &Order) -> OrderState {
    let Conditions { paid, settled, settled_why, completed, ended } = order.conditions;
    let told = [
        (ConditionKind::Paid, paid, ""),
        (ConditionKind::Settled, settled, settled_why),
        (ConditionKind::Completed, completed, ""),
        (ConditionKind::Ended, ended, ""),
    ];
    let condition = |(kind, holds, reason): (ConditionKind, Option<bool>, Label)| {
        Some(Condition {
            kind: kind.as_str().into(),
            holds: holds?,
            reason: reason.into(),
            message: String::new(),
            since: at(0),
        })
    };
    OrderState {
        phase: order.phase,
        reason: order.reason.into(),
        message: String::new(),
        store: None,
        total: order.priced.then_some(TOTAL),
        discount: None,
        first_total: None,
        cancellation: order.verdict,
        history: vec![PhaseEntry { phase: order.phase.as_str().into(), at: at(order.entered) }],
        dropped: 0,
        deadline: order.deadline.map(|began| at(began) + span(order.phase)),
        conditions: told.into_iter().filter_map(condition).collect(),
    }
}

fn status(old: &Order, new: &OrderState, epoch: u8) -> Order {
    let condition = |kind: ConditionKind| new.conditions.iter().find(|c| c.kind == kind.as_str());
    let holds = |kind: ConditionKind| condition(kind).map(|c| c.holds);
    Order {
        phase: new.phase,
        reason: intern(&new.reason),
        verdict: new.cancellation,
        priced: new.total.is_some(),
        entered: if new.phase == old.phase { old.entered } else { epoch },
        // Every span is shorter than an epoch.
        deadline: new.deadline.and_then(|at| u8::try_from(at.0 / EPOCH_MS).ok()),
        conditions: Conditions {
            paid: holds(ConditionKind::Paid),
            settled: holds(ConditionKind::Settled),
            settled_why: condition(ConditionKind::Settled).map_or("", |c| intern(&c.reason)),
            completed: holds(ConditionKind::Completed),
            ended: holds(ConditionKind::Ended),
        },
        ..*old
    }
}
