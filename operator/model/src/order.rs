//! The order controller: from the caches to `saga::order::decide`, and from its commands to writes, one at a time.

use std::cell::RefCell;
use std::collections::HashMap;

use fooddelivery_saga::order::{
    ChildKind, Command, Condition, ConditionKind, Decision, OrderState, OrderView, PhaseEntry, decide,
};
use fooddelivery_saga::phases::{DeliveryStage, OrderPhase, PaymentDesired, TicketStage, WhenUnavailable};
use fooddelivery_saga::quote::Quote;
use fooddelivery_saga::time::{Deadlines, Millis, Timestamp};
use fooddelivery_saga::view::{
    Child, ControllerAvailability, DeliverySeen, PaymentSeen, RelatedState, Reversal, TicketSeen,
};

use crate::bounds::{Bounds, Mistake};
use crate::cluster::{Kind, Refused};
use crate::objects::{Conditions, Delivery, Order, Payment, Ticket, Word, intern};
use crate::world::World;

/// What an order costs here, in the currency's smallest unit.
pub const TOTAL: i64 = 10_000;
/// An epoch in milliseconds: longer than every deadline.
const EPOCH_MS: i64 = 10_000_000_000;

/// A step of the order controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing to do; whether it wants to look again at some time.
    Rest {
        /// It has a deadline.
        wakes: bool,
    },
    /// Write this status.
    Write(Order),
    /// Create the payment; as a tombstone when a reason is given.
    CreatePayment(Option<Word>),
    /// Ask for the money back.
    ReturnMoney(Word),
    /// Create the ticket as a tombstone.
    TicketTombstone(Word),
    /// Move the ticket to an operator-only stage.
    EndTicket(TicketStage, Word),
    /// Create the delivery as a tombstone.
    DeliveryTombstone(Word),
    /// Move the delivery to its end.
    EndDelivery(DeliveryStage, Word),
    /// Take the claim from the rider.
    ReleaseClaim,
    /// Delete the delivery.
    DeleteDelivery,
    /// Delete the ticket.
    DeleteTicket,
    /// Delete the payment.
    DeletePayment,
    /// Look live whether any child is left.
    LookForChildren,
    /// Let the order go.
    RemoveFinalizer,
}

/// A step that is decided and not carried out yet, and the versions that it was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrderFlight {
    /// What is about to be done.
    pub step: Step,
    /// The order.
    pub hand: u8,
    /// The payment, where the step patches or deletes it.
    pub payment: Option<u8>,
    /// The ticket, where the step patches or deletes it.
    pub ticket: Option<u8>,
    /// The delivery, where the step patches or deletes it.
    pub delivery: Option<u8>,
}

type Seen = (Order, Option<Payment>, Option<Ticket>, Option<Delivery>, u8, u8, WhenUnavailable);

thread_local! {
    /// `decide` is pure: what it said of a view once, it says again.
    static KNOWN: RefCell<HashMap<Seen, Step>> = RefCell::new(HashMap::new());
}

/// What a replica's order controller would do now. Reads of caches only.
pub fn next(world: &World, bounds: &Bounds, replica: usize) -> Option<Step> {
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
    let Some((hand, order)) = world.held::<Order>(replica) else { return };
    look_for_the_missing(world, &order, replica);
    let Some(mut step) = next(world, bounds, replica) else { return };
    if let Some(mistake) = bounds.carrying.mistake {
        step = mistaken(world, mistake, &order, replica, step);
    }
    if matches!(step, Step::Rest { .. }) {
        return;
    }
    let irreversible = !matches!(step, Step::Write(_) | Step::LookForChildren);
    if irreversible && bounds.carrying.order_is_live && Order::chain(world).last().0 != hand {
        world.refresh::<Order>(replica);
        return;
    }
    let decided = bounds.carrying.decided_version;
    let version = |held: Option<u8>| held.filter(|_| decided);
    let (payment, ticket, delivery) = match step {
        Step::ReturnMoney(_) | Step::DeletePayment => {
            (version(world.held::<Payment>(replica).map(|h| h.0)), None, None)
        }
        Step::EndTicket(..) | Step::DeleteTicket => {
            (None, version(world.held::<Ticket>(replica).map(|h| h.0)), None)
        }
        Step::EndDelivery(..) | Step::ReleaseClaim | Step::DeleteDelivery => {
            (None, None, version(world.held::<Delivery>(replica).map(|h| h.0)))
        }
        _ => (None, None, None),
    };
    if let Some(slot) = world.replicas.get_mut(replica) {
        slot.order = Some(OrderFlight { step, hand, payment, ticket, delivery });
    }
}

/// As the controller's `observe`: an absence that is unexpected is believed only after a live read.
fn look_for_the_missing(world: &mut World, order: &Order, replica: usize) {
    let phase = order.phase;
    let paying = phase == OrderPhase::AwaitingPayment || phase.is_terminal();
    if !paying && world.held::<Payment>(replica).is_none() {
        world.refresh::<Payment>(replica);
    }
    let cooking = matches!(phase, OrderPhase::Accepted | OrderPhase::Cooking);
    if cooking && world.held::<Ticket>(replica).is_none() {
        world.refresh::<Ticket>(replica);
    }
    let riding = matches!(phase, OrderPhase::RiderAssigned | OrderPhase::PickedUp);
    if riding && world.held::<Delivery>(replica).is_none() {
        world.refresh::<Delivery>(replica);
    }
}

fn mistaken(world: &World, mistake: Mistake, order: &Order, replica: usize, step: Step) -> Step {
    let payment = world.held::<Payment>(replica).map(|(_, p)| p);
    let unasked = payment.is_some_and(|p| p.desired == PaymentDesired::Captured);
    match (mistake, step) {
        (Mistake::MoneyBeforeTicket, Step::EndTicket(_, why) | Step::TicketTombstone(why)) if unasked => {
            Step::ReturnMoney(why)
        }
        (Mistake::NoTombstone, Step::TicketTombstone(why)) if unasked => Step::ReturnMoney(why),
        (Mistake::DropBeforeRefund, Step::Rest { .. } | Step::Write(_))
            if order.phase.is_terminal() && order.deleting && payment.is_some_and(|p| !p.deleting) =>
        {
            Step::DeletePayment
        }
        _ => step,
    }
}

/// Carries out what was decided.
pub fn carry_out(world: &mut World, bounds: &Bounds, replica: usize) {
    let Some(slot) = world.replicas.get_mut(replica) else { return };
    let Some(flight) = slot.order.take() else { return };
    match flight.step {
        Step::Rest { .. } => {}
        Step::Write(new) => write_status(world, bounds, replica, flight.hand, &new),
        Step::CreatePayment(reversal) => create_payment(world, replica, reversal),
        Step::ReturnMoney(why) => patch::<Payment>(world, replica, flight.payment, |p| Payment {
            desired: PaymentDesired::Refunded,
            reversal: Some(why),
            ..*p
        }),
        Step::TicketTombstone(reason) => {
            if world.live::<Ticket>().is_none() {
                let uid = world.count(1);
                let created = world.epoch;
                world.put(Some(Ticket { uid, stage: TicketStage::Cancelled, reason, created }));
            }
            world.refresh::<Ticket>(replica);
        }
        Step::EndTicket(stage, reason) => {
            patch::<Ticket>(world, replica, flight.ticket, |t| Ticket { stage, reason, ..*t });
        }
        Step::DeliveryTombstone(reason) => {
            if world.live::<Delivery>().is_none() {
                let uid = world.count(2);
                let stage = DeliveryStage::Cancelled;
                world.put(Some(Delivery { uid, stage, reason, claimed: false }));
            }
            world.refresh::<Delivery>(replica);
        }
        Step::EndDelivery(stage, reason) => {
            patch::<Delivery>(world, replica, flight.delivery, |d| Delivery { stage, reason, ..*d });
        }
        Step::ReleaseClaim => {
            patch::<Delivery>(world, replica, flight.delivery, |d| Delivery { claimed: false, ..*d });
        }
        Step::DeleteDelivery => {
            delete::<Delivery>(world, replica, flight.delivery, |a, b| a.uid == b.uid, |_| None);
        }
        Step::DeleteTicket => {
            delete::<Ticket>(world, replica, flight.ticket, |a, b| a.uid == b.uid, |_| None);
        }
        Step::DeletePayment => delete::<Payment>(
            world,
            replica,
            flight.payment,
            |a, b| a.uid == b.uid,
            |p| Some(Payment { deleting: true, ..*p }),
        ),
        Step::LookForChildren => {
            let payment = world.refresh::<Payment>(replica).is_some();
            let ticket = world.refresh::<Ticket>(replica).is_some();
            let delivery = world.refresh::<Delivery>(replica).is_some();
            if !payment && !ticket && !delivery {
                let step = Step::RemoveFinalizer;
                let flight = OrderFlight { step, ..flight };
                if let Some(slot) = world.replicas.get_mut(replica) {
                    slot.order = Some(flight);
                }
            }
        }
        Step::RemoveFinalizer => let_go(world, replica, flight.hand),
    }
}

fn write_status(world: &mut World, bounds: &Bounds, replica: usize, hand: u8, new: &Order) {
    let status = |live: &Order| {
        let Order { cancel, confirmed, deleting, .. } = *live;
        Some(Order { cancel, confirmed, deleting, ..*new })
    };
    let blind = bounds.carrying.mistake == Some(Mistake::BlindOrderStatus);
    let hand = if blind { Order::chain(world).last().0 } else { hand };
    if world.swap(hand, status).is_ok() {
        world.refresh::<Order>(replica);
    }
}

fn create_payment(world: &mut World, replica: usize, reversal: Option<Word>) {
    if world.live::<Payment>().is_none() {
        let uid = world.count(0);
        world.put(Some(Payment::new(uid, reversal)));
    }
    world.refresh::<Payment>(replica);
}

/// `decided` is the version that was decided on; without one it is the version that the cache has by now.
fn patch<K: Kind>(world: &mut World, replica: usize, decided: Option<u8>, change: impl FnOnce(&K) -> K) {
    let held = world.held::<K>(replica).map(|(number, _)| number);
    let Some(hand) = decided.or(held) else { return };
    let _ = world.swap::<K>(hand, |live| Some(change(live)));
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

fn let_go(world: &mut World, replica: usize, hand: u8) {
    let before = world.live::<Order>();
    let removed = world.swap::<Order>(hand, |order| (!order.deleting).then_some(*order));
    if removed.is_ok()
        && let Some(order) = before
        && world.live::<Order>().is_none()
    {
        // A payment that a stalled replica makes in the last moment was never charged, and clears itself away.
        let begun = world.live::<Payment>().is_some_and(|p| p.attempt > 0);
        let kept = order.phase != OrderPhase::Completed && world.bank.has_money();
        world.flaws.left_behind |= begun || kept;
    }
    if matches!(removed, Ok(()) | Err(Refused::NotFound)) {
        world.refresh::<Order>(replica);
    }
}

impl World {
    /// The uid of the next payment (0), ticket (1) or delivery (2).
    pub fn count(&mut self, kind: usize) -> u8 {
        let Some(created) = self.created.get_mut(kind) else { return 0 };
        *created = created.saturating_add(1);
        *created
    }
}

fn at(epoch: u8) -> Timestamp {
    Timestamp(i64::from(epoch) * EPOCH_MS)
}

/// How long a phase may wait, once somebody can act.
fn span(phase: OrderPhase) -> Millis {
    let spans = Deadlines::default();
    match phase {
        OrderPhase::AwaitingPayment => spans.payment,
        OrderPhase::PaymentDeferred => spans.deferral,
        OrderPhase::AwaitingStore => spans.acceptance,
        OrderPhase::Accepted | OrderPhase::Cooking => spans.cooking,
        OrderPhase::AwaitingRider => spans.rider,
        OrderPhase::RiderAssigned => spans.pickup,
        OrderPhase::PickedUp => spans.delivery,
        OrderPhase::Delivered => spans.confirmation,
        _ => Millis(0),
    }
}

/// Asks `saga`. References always resolve here.
fn decided(seen: &Seen) -> Step {
    let (order, _, _, _, epoch, ..) = seen;
    let mut view = view(seen);
    let mut decision = decide(&view, at(*epoch));
    if decision == Decision::Act(Command::ResolveReferences) {
        view.quote = Some(Ok(Quote { total: TOTAL, ..Quote::nothing() }));
        decision = decide(&view, at(*epoch));
    }
    match decision {
        Decision::Skip => Step::Rest { wakes: false },
        Decision::Act(command) => step(command),
        Decision::Rest(rest) => {
            let new = status(order, &rest.state, *epoch);
            if new == *order { Step::Rest { wakes: rest.wake_at.is_some() } } else { Step::Write(new) }
        }
    }
}

fn step(command: Command) -> Step {
    match command {
        Command::CreatePayment(_) => Step::CreatePayment(None),
        Command::CreatePaymentTombstone(why) => Step::CreatePayment(Some(intern(&why.reason))),
        Command::ReturnMoney(why) => Step::ReturnMoney(intern(&why.reason)),
        Command::CreateTicketTombstone(reason) => Step::TicketTombstone(intern(&reason)),
        Command::EndTicket { stage, reason } => Step::EndTicket(stage, intern(&reason)),
        Command::CreateDeliveryTombstone(reason) => Step::DeliveryTombstone(intern(&reason)),
        Command::EndDelivery { stage, reason } => Step::EndDelivery(stage, intern(&reason)),
        Command::ReleaseClaim | Command::RefuseClaim => Step::ReleaseClaim,
        Command::DeleteChild(ChildKind::Delivery) => Step::DeleteDelivery,
        Command::DeleteChild(ChildKind::Ticket) => Step::DeleteTicket,
        Command::DeleteChild(ChildKind::Payment) => Step::DeletePayment,
        Command::RemoveFinalizer => Step::LookForChildren,
        // The finalizer is there from birth, no token is replaced, references were resolved above, and orders are kept.
        Command::AddFinalizer | Command::ReplaceToken | Command::ResolveReferences | Command::DeleteOrder => {
            Step::Rest { wakes: false }
        }
    }
}

/// What the order's and the ticket's and the delivery's decisions see of a payment.
pub fn payment_seen(payment: &Payment) -> PaymentSeen {
    PaymentSeen {
        desired: payment.desired,
        phase: payment.phase,
        total: if payment.tombstone { 0 } else { TOTAL },
        discount: None,
        reason: payment.reason.into(),
        message: String::new(),
        reversal: payment.reversal.map(|why| Reversal { reason: why.into(), message: String::new() }),
        deleting: payment.deleting,
    }
}

/// What decisions see of a ticket.
pub fn ticket_seen(ticket: &Ticket) -> TicketSeen {
    TicketSeen {
        stage: ticket.stage,
        reason: ticket.reason.into(),
        created_at: at(ticket.created),
        deleting: false,
    }
}

fn delivery_seen(delivery: &Delivery) -> DeliverySeen {
    DeliverySeen {
        stage: delivery.stage,
        rider: delivery.claimed.then(|| "rider".into()),
        reason: delivery.reason.into(),
        deleting: false,
    }
}

/// A child that is there, or none.
pub fn child<K, S>(object: Option<&K>, seen: impl Fn(&K) -> S) -> Child<S> {
    object.map_or(Child::Absent, |object| Child::Present(seen(object)))
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
    let condition = |(kind, holds, reason): (ConditionKind, Option<bool>, Word)| {
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
