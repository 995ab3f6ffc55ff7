//! The coupon controller: it takes its copies of the counts, reads the orders, settles them in the customers' counts and
//! in the coupon's, and has the payments say what was given back. Between any two of these everything else may happen.
//!
//! What an order does to some counts is decided by `saga`. Transcribed is what the model varies: which copies a pass takes
//! when, what it reads live, and that each write is a request that others may overtake or a crash may cut off.

use std::cell::RefCell;
use std::collections::HashMap;

use fooddelivery_saga::counter::{LIST_LIMIT, OrderId};
use fooddelivery_saga::coupon::{RedemptionState, Redemptions};

use super::world::{CUSTOMERS, Counts, LateWrite, ReconcileState, Stage, World, customer};
use super::{Bounds, Mutant};
use crate::snapshot::{ORDERS, Set, Snapshot, all, bit, has};

type Copies = (Snapshot<Counts>, [Snapshot<Counts>; CUSTOMERS]);
type Asked = (Counts, usize, RedemptionState, Option<i64>, bool);

thread_local! {
    /// `settle` is pure: what it made of something once, it makes again.
    static KNOWN: RefCell<HashMap<Asked, (Counts, bool)>> = RefCell::new(HashMap::new());
}

fn id(name: String) -> OrderId {
    OrderId { uid: format!("uid of {name}"), name }
}

/// Asks `saga`. Where lists are to be long, enough others stand in them that no write is spared.
fn settle(
    bounds: &Bounds,
    counts: Counts,
    order: usize,
    holder: RedemptionState,
    limit: Option<i64>,
) -> (Counts, bool) {
    if bounds.mutant == Some(Mutant::NoList) && holder == RedemptionState::Releasing {
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

/// Which orders a reconcile would settle now: those that would change some counts, or whose payment is to be marked. Of
/// `believed` it is believed that they hold the coupon, or in a mutant that they gave it back.
fn cases(world: &World, bounds: &Bounds, believed: Set, copies: Copies) -> Set {
    let (mut counts, mut own) = (copies.0.value, copies.1.map(|own| own.value));
    let mut found = 0;
    for order in 0..bounds.orders {
        let holder = believed_or_live(world, bounds, order, believed);
        let gone = world.orders.get(order).is_some_and(|o| o.standing == super::world::Standing::Gone);
        let listed = has(counts.kept, order)
            || own.get(customer(order)).is_some_and(|own| has(own.kept, order))
            || (bounds.mutant != Some(Mutant::GoneStayListed)
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
    match bounds.mutant {
        Some(Mutant::NoLiveRead) if has(believed, order) => RedemptionState::Releasing,
        _ if has(believed, order) => RedemptionState::Redeemed,
        _ => world.holder(bounds, order),
    }
}

/// Of which orders a replica may believe, by its caches, what is not so any more.
pub fn believable(world: &World, bounds: &Bounds) -> Set {
    let wrongly = bounds.mutant == Some(Mutant::NoLiveRead);
    let may = |order: usize| {
        let Some(state) = world.orders.get(order) else { return false };
        let listed = has(world.coupon.kept, order)
            || world.own.get(customer(order)).is_some_and(|own| has(own.kept, order));
        let was = if wrongly { state.gave } else { state.held && listed };
        was && (wrongly || world.holder(bounds, order) != RedemptionState::Redeemed)
    };
    (0..bounds.orders).filter(|order| may(*order)).map(bit).sum()
}

/// Where a coupon is limited per customer, a reconcile may begin with one of its copies, and take the other later: one cache
/// may lag more than the other.
pub fn begin_with(world: &World, own: bool) -> ReconcileState {
    ReconcileState {
        stage: Stage::Take(own),
        coupon: if own { Snapshot::default() } else { Snapshot::of(world.coupon) },
        own: if own { world.own.map(Snapshot::of) } else { Default::default() },
        holders: [None; ORDERS],
        unread: 0,
        fresh: 0,
    }
}

/// A reconcile begins: the copies are taken, but for those that it has. `None` when there is nothing to do.
pub fn begin(
    world: &World,
    bounds: &Bounds,
    believed: Set,
    before: Option<ReconcileState>,
) -> Option<ReconcileState> {
    let mut copies = (Snapshot::of(world.coupon), world.own.map(Snapshot::of));
    match before {
        Some(ReconcileState { stage: Stage::Take(true), own, .. }) => copies.1 = own,
        Some(ReconcileState { coupon, .. }) => copies.0 = coupon,
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
    let mut reconcile = ReconcileState {
        stage: Stage::Read(0),
        coupon: copies.0,
        own: copies.1,
        holders,
        unread,
        fresh: all(found).map(bit).sum(),
    };
    reconcile.stage = skip(bounds, &reconcile, after_reads(bounds, &reconcile));
    (!is_over(reconcile.stage)).then_some(reconcile)
}

fn after_reads(bounds: &Bounds, reconcile: &ReconcileState) -> Stage {
    let writes = if bounds.per_customer.is_some() { Stage::Own(0) } else { Stage::Coupon };
    let writes = if bounds.mutant == Some(Mutant::MarkFirst) { Stage::Mark(0) } else { writes };
    all(reconcile.unread).next().and_then(|order| u8::try_from(order).ok()).map_or(writes, Stage::Read)
}

fn after_coupon(bounds: &Bounds) -> Option<Stage> {
    (bounds.mutant != Some(Mutant::MarkFirst)).then_some(Stage::Mark(0))
}

/// What a reconcile makes of some counts, whether it is worth a write, and how often the orders are in them then.
fn outcome(bounds: &Bounds, reconcile: &ReconcileState, of: Option<usize>) -> (Counts, bool, [i8; ORDERS]) {
    let own = of.and_then(|customer| reconcile.own.get(customer));
    let mut counts = own.unwrap_or(&reconcile.coupon).value;
    let limit = if of.is_some() { bounds.per_customer } else { bounds.limit };
    let (mut worth_it, mut change) = (false, [0; ORDERS]);
    for (order, change) in change.iter_mut().enumerate() {
        let Some(Some(holder)) = reconcile.holders.get(order).copied() else { continue };
        if of.is_some_and(|of| of != customer(order)) {
            continue;
        }
        let kept_by_own = reconcile.own.get(customer(order)).is_none_or(|own| has(own.value.kept, order));
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
    if worth_it {
        (counts, true, change)
    } else {
        (own.unwrap_or(&reconcile.coupon).value, false, [0; ORDERS])
    }
}

/// The next step of a reconcile is carried out; `false` when it is over.
pub fn go_on(world: &mut World, bounds: &Bounds, reconcile: &mut ReconcileState) -> bool {
    let next = match reconcile.stage {
        Stage::Take(_) => None,
        Stage::Read(order) => {
            let order = usize::from(order);
            reconcile.unread &= !bit(order);
            reconcile.fresh |= bit(order);
            if let Some(slot) = reconcile.holders.get_mut(order) {
                *slot = Some(world.holder(bounds, order));
            }
            Some(after_reads(bounds, reconcile))
        }
        Stage::Own(number) => {
            let of = usize::from(number);
            let next = if of + 1 < CUSTOMERS { Stage::Own(number + 1) } else { Stage::Coupon };
            write(world, bounds, reconcile, Some(of)).then_some(next)
        }
        Stage::Coupon => write(world, bounds, reconcile, None).then(|| after_coupon(bounds)).flatten(),
        Stage::Mark(order) => mark(world, bounds, reconcile, usize::from(order)),
    };
    let Some(stage) = next else { return false };
    reconcile.stage = skip(bounds, reconcile, stage);
    !is_over(reconcile.stage)
}

fn is_over(stage: Stage) -> bool {
    matches!(stage, Stage::Mark(order) if usize::from(order) >= ORDERS)
}

/// Passes over what needs no request: writes that change nothing, and payments that need no mark.
fn skip(bounds: &Bounds, reconcile: &ReconcileState, mut stage: Stage) -> Stage {
    loop {
        stage = match stage {
            Stage::Own(of) if !outcome(bounds, reconcile, Some(usize::from(of))).1 => {
                if usize::from(of) + 1 < CUSTOMERS { Stage::Own(of + 1) } else { Stage::Coupon }
            }
            Stage::Coupon if !outcome(bounds, reconcile, None).1 => {
                after_coupon(bounds).unwrap_or(Stage::Mark(u8::MAX))
            }
            Stage::Mark(order) if usize::from(order) < ORDERS && !marks(bounds, reconcile, order.into()) => {
                Stage::Mark(order + 1)
            }
            Stage::Mark(order)
                if usize::from(order) == ORDERS && bounds.mutant == Some(Mutant::MarkFirst) =>
            {
                Stage::Coupon
            }
            stage => return stage,
        };
    }
}

fn marks(bounds: &Bounds, reconcile: &ReconcileState, order: usize) -> bool {
    let own = reconcile.own.get(customer(order)).is_none_or(|own| has(own.value.releasing, order));
    let out = has(reconcile.coupon.value.releasing, order) && (bounds.per_customer.is_none() || own);
    let out = out || matches!(bounds.mutant, Some(Mutant::MarkFirst | Mutant::NoList));
    out && reconcile.holders.get(order) == Some(&Some(RedemptionState::Releasing))
}

fn mark(world: &mut World, bounds: &Bounds, reconcile: &ReconcileState, order: usize) -> Option<Stage> {
    let slot = world.payments.get_mut(order)?;
    if let Some(payment) = slot.filter(|_| has(reconcile.fresh, order)) {
        *slot = Some(super::world::Payment { returned: true, ..payment });
        for other in world.reconciles.iter_mut().flatten() {
            other.fresh &= !bit(order);
        }
    }
    let next = u8::try_from(order + 1).unwrap_or(u8::MAX);
    Some(skip(bounds, reconcile, Stage::Mark(next)))
}

/// Writes some counts, where that is worth it; `false` when somebody was quicker.
fn write(world: &mut World, bounds: &Bounds, reconcile: &mut ReconcileState, of: Option<usize>) -> bool {
    let (counts, worth_it, change) = outcome(bounds, reconcile, of);
    if !worth_it {
        return true;
    }
    let snapshot = of.and_then(|of| reconcile.own.get_mut(of)).unwrap_or(&mut reconcile.coupon);
    let goes_through = snapshot.current || bounds.mutant == Some(Mutant::BlindCounts);
    *snapshot = Snapshot::of(counts);
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
    for reconcile in world.reconciles.iter_mut().flatten() {
        let snapshot = of.and_then(|of| reconcile.own.get_mut(of)).unwrap_or(&mut reconcile.coupon);
        snapshot.current = false;
    }
    let concerned = of.and_then(|of| u8::try_from(of).ok());
    if let Some(late_write) = world.late_write.as_mut().filter(|late_write| late_write.customer == concerned)
    {
        late_write.current = false;
    }
}

/// A replica crashes, or hears no answer: what it was about to write is on its way.
pub fn lose(world: &mut World, bounds: &Bounds, reconcile: &ReconcileState) {
    let of = match reconcile.stage {
        Stage::Own(of) => Some(of),
        Stage::Coupon => None,
        Stage::Take(_) | Stage::Read(_) | Stage::Mark(_) => return,
    };
    let (counts, worth_it, change) = outcome(bounds, reconcile, of.map(usize::from));
    let snapshot = of.and_then(|of| reconcile.own.get(usize::from(of))).unwrap_or(&reconcile.coupon);
    if worth_it && snapshot.current {
        world.late_write = Some(LateWrite { customer: of, current: true, counts, change });
    }
}

/// What was on its way arrives.
pub fn arrive(world: &mut World) {
    if let Some(late_write) = world.late_write.take().filter(|late_write| late_write.current) {
        put(world, late_write.customer.map(usize::from), late_write.counts, late_write.change);
    }
}
