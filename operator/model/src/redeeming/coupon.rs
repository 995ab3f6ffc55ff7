//! The coupon controller: it takes its copies of the counts, reads the orders, settles them in the customers' counts and
//! in the coupon's, and has the payments say what was given back. Between any two of these everything else may happen.

use std::cell::RefCell;
use std::collections::HashMap;

use fooddelivery_saga::counter::{LIST_LIMIT, OrderId};
use fooddelivery_saga::coupon::{RedemptionState, Redemptions};

use super::world::{CUSTOMERS, Counts, Stage, Stray, Visit, World, customer};
use super::{Bounds, Mistake};
use crate::hand::{Hand, ORDERS, Set, all, bit, has};

type Copies = (Hand<Counts>, [Hand<Counts>; CUSTOMERS]);
type Asked = (Counts, usize, RedemptionState, Option<i64>, bool);

thread_local! {
    /// `settle` is pure: what it made of something once, it makes again.
    static KNOWN: RefCell<HashMap<Asked, (Counts, bool)>> = RefCell::new(HashMap::new());
}

fn id(name: String) -> OrderId {
    OrderId { uid: format!("uid of {name}"), name }
}

/// Asks `saga`. Where lists are to be long, so many others stand in them that no write is spared.
fn settle(
    bounds: &Bounds,
    counts: Counts,
    order: usize,
    holder: RedemptionState,
    limit: Option<i64>,
) -> (Counts, bool) {
    if bounds.mistake == Some(Mistake::NoList) && holder == RedemptionState::Releasing {
        let counted = i8::from(!has(counts.kept, order));
        let redeemed = counts.redeemed - counted;
        return (Counts { redeemed, kept: counts.kept & !bit(order), ..counts }, true);
    }
    let asked = (counts, order, holder, limit, bounds.long);
    KNOWN.with_borrow_mut(|known| *known.entry(asked).or_insert_with(|| settled(&asked)))
}

fn settled(asked: &Asked) -> (Counts, bool) {
    let (counts, order, holder, limit, long) = *asked;
    let listed = |set: Set| -> Vec<OrderId> { all(set).map(|o| id(o.to_string())).collect() };
    let others = if long { LIST_LIMIT / 2 } else { 0 };
    let mut redemptions = Redemptions {
        redeemed: counts.redeemed.into(),
        reserved: listed(counts.kept),
        releasing: listed(counts.releasing),
    };
    redemptions.releasing.extend((0..others).map(|n| id(format!("other {n}"))));
    let worth_it = redemptions.settle(&id(order.to_string()), holder, limit);
    let set = |list: &[OrderId]| -> Set {
        (0..ORDERS).filter(|o| list.contains(&id(o.to_string()))).map(bit).sum()
    };
    let redeemed = i8::try_from(redemptions.redeemed).unwrap_or(i8::MIN);
    let kept = set(&redemptions.reserved);
    (Counts { redeemed, kept, releasing: set(&redemptions.releasing) }, worth_it)
}

/// Which orders a visit would settle now: those that would change some counts, or whose payment is to be marked. Of
/// `believed` it is believed that they hold the coupon, or in a planted mistake that they gave it back.
fn cases(world: &World, bounds: &Bounds, believed: Set, copies: Copies) -> Set {
    let (mut counts, mut own) = (copies.0.value, copies.1.map(|own| own.value));
    let mut found = 0;
    for order in 0..bounds.orders {
        let holder = believed_or_live(world, bounds, order, believed);
        let gone = world.orders.get(order).is_some_and(|o| o.standing == super::world::Standing::Gone);
        let listed = has(counts.kept, order)
            || own.get(customer(order)).is_some_and(|own| has(own.kept, order))
            || (bounds.mistake != Some(Mistake::GoneStayListed)
                && (has(counts.releasing, order)
                    || own.get(customer(order)).is_some_and(|own| has(own.releasing, order))));
        if gone && !listed && !has(believed, order) {
            continue;
        }
        let mut changes = holder == RedemptionState::Releasing;
        if let (Some(limit), Some(own)) = (bounds.per_customer, own.get_mut(customer(order))) {
            let (after, worth_it) = settle(bounds, *own, order, holder, Some(limit));
            *own = after;
            if holder == RedemptionState::Requested && !has(own.kept, order) {
                continue;
            }
            changes |= worth_it;
        }
        let (after, worth_it) = settle(bounds, counts, order, holder, bounds.limit);
        counts = after;
        if changes | worth_it {
            found |= bit(order);
        }
    }
    found
}

fn believed_or_live(world: &World, bounds: &Bounds, order: usize, believed: Set) -> RedemptionState {
    match bounds.mistake {
        Some(Mistake::NoLiveRead) if has(believed, order) => RedemptionState::Releasing,
        _ if has(believed, order) => RedemptionState::Redeemed,
        _ => world.holder(bounds, order),
    }
}

/// Of which orders a replica may believe, by its caches, what is not so any more.
pub fn believable(world: &World, bounds: &Bounds) -> Set {
    let wrongly = bounds.mistake == Some(Mistake::NoLiveRead);
    let may = |order: usize| {
        let Some(state) = world.orders.get(order) else { return false };
        let listed = has(world.coupon.kept, order)
            || world.own.get(customer(order)).is_some_and(|own| has(own.kept, order));
        let was = if wrongly { state.gave } else { state.held && listed };
        was && (wrongly || world.holder(bounds, order) != RedemptionState::Redeemed)
    };
    (0..bounds.orders).filter(|order| may(*order)).map(bit).sum()
}

/// Where a coupon is limited per customer, a visit may begin with one of its copies, and take the other later: one cache
/// may lag more than the other.
pub fn begin_with(world: &World, own: bool) -> Visit {
    Visit {
        stage: Stage::Take(own),
        coupon: if own { Hand::default() } else { Hand::of(world.coupon) },
        own: if own { world.own.map(Hand::of) } else { Default::default() },
        holders: [None; ORDERS],
        unread: 0,
        fresh: 0,
    }
}

/// A visit begins: the copies are taken, but for those that it has. `None` when there is nothing to do.
pub fn begin(world: &World, bounds: &Bounds, believed: Set, before: Option<Visit>) -> Option<Visit> {
    let mut copies = (Hand::of(world.coupon), world.own.map(Hand::of));
    match before {
        Some(Visit { stage: Stage::Take(true), own, .. }) => copies.1 = own,
        Some(Visit { coupon, .. }) => copies.0 = coupon,
        None => {}
    }
    let found = cases(world, bounds, believed, copies);
    if found == 0 {
        return None;
    }
    let mut holders = [None; ORDERS];
    let mut unread = 0;
    for order in all(found) {
        let holder = believed_or_live(world, bounds, order, believed);
        let is_believed = holder == RedemptionState::Redeemed || has(believed, order);
        if let Some(slot) = holders.get_mut(order).filter(|_| is_believed) {
            *slot = Some(holder);
        } else {
            unread |= bit(order);
        }
    }
    let mut visit = Visit {
        stage: Stage::Read(0),
        coupon: copies.0,
        own: copies.1,
        holders,
        unread,
        fresh: all(found).map(bit).sum(),
    };
    visit.stage = skip(bounds, &visit, after_reads(bounds, &visit));
    (!is_over(visit.stage)).then_some(visit)
}

fn after_reads(bounds: &Bounds, visit: &Visit) -> Stage {
    let writes = if bounds.per_customer.is_some() { Stage::Own(0) } else { Stage::Coupon };
    let writes = if bounds.mistake == Some(Mistake::MarkFirst) { Stage::Mark(0) } else { writes };
    all(visit.unread).next().and_then(|order| u8::try_from(order).ok()).map_or(writes, Stage::Read)
}

fn after_coupon(bounds: &Bounds) -> Option<Stage> {
    (bounds.mistake != Some(Mistake::MarkFirst)).then_some(Stage::Mark(0))
}

/// What a visit makes of some counts, whether it is worth a write, and how often the orders are in them then.
fn outcome(bounds: &Bounds, visit: &Visit, of: Option<usize>) -> (Counts, bool, [i8; ORDERS]) {
    let own = of.and_then(|customer| visit.own.get(customer));
    let mut counts = own.unwrap_or(&visit.coupon).value;
    let limit = if of.is_some() { bounds.per_customer } else { bounds.limit };
    let (mut worth_it, mut change) = (false, [0; ORDERS]);
    for (order, change) in change.iter_mut().enumerate() {
        let Some(Some(holder)) = visit.holders.get(order).copied() else { continue };
        if of.is_some_and(|of| of != customer(order)) {
            continue;
        }
        let kept_by_own = visit.own.get(customer(order)).is_none_or(|own| has(own.value.kept, order));
        let refused = of.is_none() && bounds.per_customer.is_some() && !kept_by_own;
        let holder = if holder == RedemptionState::Requested && refused {
            RedemptionState::Undetermined
        } else {
            holder
        };
        let before = counts.redeemed;
        let (after, says) = settle(bounds, counts, order, holder, limit);
        counts = after;
        worth_it |= says;
        *change = if of.is_none() { counts.redeemed - before } else { 0 };
    }
    if worth_it { (counts, true, change) } else { (own.unwrap_or(&visit.coupon).value, false, [0; ORDERS]) }
}

/// The next step of a visit is carried out; `false` when it is over.
pub fn go_on(world: &mut World, bounds: &Bounds, visit: &mut Visit) -> bool {
    let next = match visit.stage {
        Stage::Take(_) => None,
        Stage::Read(order) => {
            let order = usize::from(order);
            visit.unread &= !bit(order);
            visit.fresh |= bit(order);
            if let Some(slot) = visit.holders.get_mut(order) {
                *slot = Some(world.holder(bounds, order));
            }
            Some(after_reads(bounds, visit))
        }
        Stage::Own(number) => {
            let of = usize::from(number);
            let next = if of + 1 < CUSTOMERS { Stage::Own(number + 1) } else { Stage::Coupon };
            write(world, bounds, visit, Some(of)).then_some(next)
        }
        Stage::Coupon => write(world, bounds, visit, None).then(|| after_coupon(bounds)).flatten(),
        Stage::Mark(order) => mark(world, bounds, visit, usize::from(order)),
    };
    let Some(stage) = next else { return false };
    visit.stage = skip(bounds, visit, stage);
    !is_over(visit.stage)
}

fn is_over(stage: Stage) -> bool {
    matches!(stage, Stage::Mark(order) if usize::from(order) >= ORDERS)
}

/// Passes over what needs no request: writes that change nothing, and payments that need no mark.
fn skip(bounds: &Bounds, visit: &Visit, mut stage: Stage) -> Stage {
    loop {
        stage = match stage {
            Stage::Own(of) if !outcome(bounds, visit, Some(usize::from(of))).1 => {
                if usize::from(of) + 1 < CUSTOMERS { Stage::Own(of + 1) } else { Stage::Coupon }
            }
            Stage::Coupon if !outcome(bounds, visit, None).1 => {
                after_coupon(bounds).unwrap_or(Stage::Mark(u8::MAX))
            }
            Stage::Mark(order) if usize::from(order) < ORDERS && !marks(bounds, visit, order.into()) => {
                Stage::Mark(order + 1)
            }
            Stage::Mark(order)
                if usize::from(order) == ORDERS && bounds.mistake == Some(Mistake::MarkFirst) =>
            {
                Stage::Coupon
            }
            stage => return stage,
        };
    }
}

fn marks(bounds: &Bounds, visit: &Visit, order: usize) -> bool {
    let own = visit.own.get(customer(order)).is_none_or(|own| has(own.value.releasing, order));
    let out = has(visit.coupon.value.releasing, order) && (bounds.per_customer.is_none() || own);
    let out = out || matches!(bounds.mistake, Some(Mistake::MarkFirst | Mistake::NoList));
    out && visit.holders.get(order) == Some(&Some(RedemptionState::Releasing))
}

fn mark(world: &mut World, bounds: &Bounds, visit: &Visit, order: usize) -> Option<Stage> {
    let slot = world.payments.get_mut(order)?;
    if let Some(payment) = slot.filter(|_| has(visit.fresh, order)) {
        *slot = Some(super::world::Payment { returned: true, ..payment });
        for other in world.visits.iter_mut().flatten() {
            other.fresh &= !bit(order);
        }
    }
    let next = u8::try_from(order + 1).unwrap_or(u8::MAX);
    Some(skip(bounds, visit, Stage::Mark(next)))
}

/// Writes some counts, where that is worth it; `false` when somebody was quicker.
fn write(world: &mut World, bounds: &Bounds, visit: &mut Visit, of: Option<usize>) -> bool {
    let (counts, worth_it, change) = outcome(bounds, visit, of);
    if !worth_it {
        return true;
    }
    let hand = of.and_then(|of| visit.own.get_mut(of)).unwrap_or(&mut visit.coupon);
    let goes_through = hand.current || bounds.mistake == Some(Mistake::BlindCounts);
    *hand = Hand::of(counts);
    if goes_through {
        put(world, of, counts, change);
    }
    goes_through
}

/// The API server takes a write of counts: all other copies are old now.
fn put(world: &mut World, of: Option<usize>, counts: Counts, change: [i8; ORDERS]) {
    let slot = of.and_then(|of| world.own.get_mut(of)).unwrap_or(&mut world.coupon);
    *slot = counts;
    for (order, change) in world.orders.iter_mut().zip(change) {
        order.counted += change;
    }
    for visit in world.visits.iter_mut().flatten() {
        let hand = of.and_then(|of| visit.own.get_mut(of)).unwrap_or(&mut visit.coupon);
        hand.current = false;
    }
    let concerned = of.and_then(|of| u8::try_from(of).ok());
    if let Some(stray) = world.stray.as_mut().filter(|stray| stray.customer == concerned) {
        stray.current = false;
    }
}

/// A replica crashes, or hears no answer: what it was about to write is on its way.
pub fn lose(world: &mut World, bounds: &Bounds, visit: &Visit) {
    let of = match visit.stage {
        Stage::Own(of) => Some(of),
        Stage::Coupon => None,
        Stage::Take(_) | Stage::Read(_) | Stage::Mark(_) => return,
    };
    let (counts, worth_it, change) = outcome(bounds, visit, of.map(usize::from));
    let hand = of.and_then(|of| visit.own.get(usize::from(of))).unwrap_or(&visit.coupon);
    if worth_it && hand.current {
        world.stray = Some(Stray { customer: of, current: true, counts, change });
    }
}

/// What was on its way arrives.
pub fn arrive(world: &mut World) {
    if let Some(stray) = world.stray.take().filter(|stray| stray.current) {
        put(world, stray.customer.map(usize::from), stray.counts, stray.change);
    }
}
