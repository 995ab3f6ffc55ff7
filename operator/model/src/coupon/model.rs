//! The model for the checker: what can happen, what must hold, and how fair weather goes on.

use fooddelivery_saga::coupon::RedemptionState;
use stateright::{Model, Property};

use super::order::{self, OTHERS, OWN, Step};
use super::world::{CUSTOMERS, ReconcileState, Stage, Standing, World, customer};
use super::{Bounds, Mutant, controller};
use crate::snapshot::{ORDERS, Set, all};

/// No more than the limit.
pub const LIMIT: &str = "no more are kept and redeemed than the limit";
/// The orders themselves say so.
pub const HOLDERS: &str = "no more orders hold the coupon than the limit";
/// Once.
pub const ONCE: &str = "no order is in the count twice, or taken off it without having been in it";
/// Never below nothing.
pub const NEGATIVE: &str = "the count is never negative";
/// The discount is for those for whom it was kept.
pub const KEPT: &str = "no payment begins with a discount that is not kept for its order";
/// Postconditions hold.
pub const CHECKED: &str = "no decision about a coupon breaks a rule of its machine";
/// In the end.
pub const ENDS: &str =
    "in fair weather the count comes to what orders hold, and all that want to go are gone";

/// Maximum rounds of fair weather; more means that something goes round in circles.
const ROUNDS_MAX: usize = 60;

/// The model within its bounds.
#[derive(Debug, Clone)]
pub struct CouponModel {
    /// The bounds.
    pub bounds: Bounds,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// To an order or its payment.
    Order(usize, Step),
    /// An idle replica takes its copies of the counts, or those that it has not taken yet, and believes this
    /// of these orders.
    Begin(usize, Set),
    /// An idle replica takes one of its copies: of the customers' counts, or of the coupon's.
    BeginWith(usize, bool),
    /// A replica takes its next step.
    GoOn(usize),
    /// A replica crashes, or hears no answer; what it was about to write may still arrive.
    Crash(usize),
    /// That arrives.
    Arrive,
}

impl CouponModel {
    fn happen(&self, world: &mut World, event: Event) -> Option<()> {
        let bounds = &self.bounds;
        match event {
            Event::Order(order, step) => order::take(world, order, step),
            Event::Begin(replica, believed) => {
                let slot = world.reconciles.get(replica)?;
                let reconcile = controller::begin(world, bounds, believed, *slot);
                if reconcile == *slot {
                    return None;
                }
                *world.reconciles.get_mut(replica)? = reconcile;
            }
            Event::BeginWith(replica, own) => {
                *world.reconciles.get_mut(replica)? = Some(controller::begin_with(world, own));
            }
            Event::GoOn(replica) => {
                let mut reconcile = world.reconciles.get_mut(replica)?.take()?;
                if controller::go_on(world, bounds, &mut reconcile) {
                    *world.reconciles.get_mut(replica)? = Some(reconcile);
                }
            }
            Event::Crash(replica) => {
                let reconcile = world.reconciles.get_mut(replica)?.take()?;
                world.crashes += 1;
                controller::lose(world, bounds, reconcile);
            }
            Event::Arrive => controller::arrive(world),
        }
        remember(world, bounds);
        Some(())
    }

    /// Plays fair weather: nothing else arrives, nobody acts, and every step comes to its end.
    ///
    /// # Errors
    /// What is not as it should be at the end.
    pub fn settles(&self, world: &World) -> Result<(), &'static str> {
        let bounds = &self.bounds;
        let mut world = world.clone();
        forget_requests(&mut world);
        for _ in 0..ROUNDS_MAX {
            let before = world.clone();
            for order in 0..bounds.orders {
                for step in OWN {
                    if order::may(&world, bounds, order, *step) {
                        order::take(&mut world, order, *step);
                    }
                }
                forget_requests(&mut world);
            }
            if let Some(mut reconcile) = controller::begin(&world, bounds, 0, None) {
                while controller::go_on(&mut world, bounds, &mut reconcile) {}
            }
            if world.halted {
                return Err(CHECKED);
            }
            if world == before {
                return self.is_right(&world);
            }
        }
        Err("the operator goes round in circles")
    }

    fn is_right(&self, world: &World) -> Result<(), &'static str> {
        let bounds = &self.bounds;
        let orders = world.orders.iter().zip(&world.payments).take(bounds.orders);
        for (order, payment) in orders {
            if order.standing == Standing::Open {
                return Err("an order does not come to its end");
            }
            if order.deleting && (order.standing != Standing::Gone || payment.is_some()) {
                return Err("an order that is deleted does not go");
            }
        }
        let holding = |of: Option<usize>| {
            let is_its = |order: &usize| of.is_none_or(|of| customer(*order) == of);
            let done = |order: &usize| world.orders.get(*order).is_some_and(|o| o.completed);
            let count = (0..bounds.orders).filter(is_its).filter(done).count();
            i8::try_from(count).unwrap_or(i8::MAX)
        };
        let own = (0..CUSTOMERS).zip(&world.own).filter(|_| bounds.per_customer.is_some());
        let counts = std::iter::once((None, &world.coupon)).chain(own.map(|(c, own)| (Some(c), own)));
        for (of, counts) in counts {
            if counts.redeemed != holding(of) {
                return Err("the count is not what orders hold");
            }
            if counts.kept != 0 || (bounds.long && counts.releasing != 0) {
                return Err("a list is not drained");
            }
        }
        Ok(())
    }
}

/// In fair weather nothing comes late.
fn forget_requests(world: &mut World) {
    for order in &mut world.orders {
        (order.sent, order.sent_tombstone, order.made) = (false, false, 0);
    }
}

/// What caches may still show later.
fn remember(world: &mut World, bounds: &Bounds) {
    for order in 0..ORDERS {
        let holder = world.holder(bounds, order);
        if let Some(state) = world.orders.get_mut(order) {
            state.held |= holder == RedemptionState::Redeemed;
            state.gave |= holder == RedemptionState::Releasing && bounds.mutant == Some(Mutant::NoLiveRead);
        }
    }
}

impl Model for CouponModel {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World::default()]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        let bounds = &self.bounds;
        for order in 0..bounds.orders {
            let steps = OWN.iter().chain(OTHERS).filter(|step| order::may(world, bounds, order, **step));
            events.extend(steps.map(|step| Event::Order(order, *step)));
        }
        let believable = controller::believable(world, bounds);
        let believe = |events: &mut Vec<Event>, replica: usize| {
            let sets = (0..=believable).filter(|set| set & believable == *set);
            events.extend(sets.map(|believed| Event::Begin(replica, believed)));
        };
        // Replicas are symmetric: the first idle one stands for both.
        if let Some(idle) = world.reconciles.iter().position(Option::is_none) {
            believe(events, idle);
            if bounds.per_customer.is_some() {
                events.extend([Event::BeginWith(idle, false), Event::BeginWith(idle, true)]);
            }
        }
        for (replica, reconcile) in world.reconciles.iter().enumerate() {
            match reconcile {
                Some(ReconcileState { stage: Stage::Take(_), .. }) => believe(events, replica),
                Some(_) => events.push(Event::GoOn(replica)),
                None => continue,
            }
            if world.crashes < bounds.crashes {
                events.push(Event::Crash(replica));
            }
        }
        if world.late_write.is_some() {
            events.push(Event::Arrive);
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        self.happen(&mut next, event)?;
        let next = next.canonical(&self.bounds);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(LIMIT, |model: &Self, w: &World| {
                let bounds = &model.bounds;
                let own = w.own.iter().all(|own| bounds.per_customer.is_none_or(|l| own.taken() <= l));
                own && bounds.limit.is_none_or(|limit| w.coupon.taken() <= limit)
            }),
            Property::always(HOLDERS, |model: &Self, w: &World| within(model, w)),
            Property::always(ONCE, |_, w: &World| w.orders.iter().all(|o| matches!(o.counted, 0 | 1))),
            Property::always(NEGATIVE, |_, w: &World| {
                w.coupon.redeemed >= 0 && w.own.iter().all(|own| own.redeemed >= 0)
            }),
            Property::always(KEPT, |_, w: &World| !w.unkept),
            Property::always(CHECKED, |_, w: &World| !w.halted),
            Property::always(ENDS, |model: &Self, w: &World| {
                let calm = w.reconciles.iter().all(Option::is_none) && w.late_write.is_none();
                !calm || model.settles(w).is_ok()
            }),
        ]
    }
}

/// How many orders hold the coupon, by what they are themselves.
fn within(model: &CouponModel, world: &World) -> bool {
    let bounds = &model.bounds;
    let holds = |order: &usize| {
        let gone = world.orders.get(*order).is_some_and(|o| o.completed);
        gone || world.holder(bounds, *order) == RedemptionState::Redeemed
    };
    let every = (1 << bounds.orders) - 1;
    let holding: Vec<usize> = all(every).filter(holds).collect();
    let most = |limit: Option<i64>, count: usize| {
        limit.is_none_or(|limit| i64::try_from(count).is_ok_and(|count| count <= limit))
    };
    let of = |c: usize| holding.iter().filter(|order| customer(**order) == c).count();
    most(bounds.limit, holding.len()) && (0..CUSTOMERS).all(|c| most(bounds.per_customer, of(c)))
}
