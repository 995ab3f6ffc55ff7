//! The coupon controller: it takes its copies of the counts, reads the orders, settles them in the customers' counts and
//! in the coupon's, and has the payments say what was given back. Between any two of these everything else may happen.
//!
//! What is next is decided by the machine of `saga::redemption`: see [`super::decisions`]. Transcribed is what the model
//! varies: which copies a pass takes when, what it reads live, and that each write is a request that others may overtake or a
//! crash may cut off.

use fooddelivery_saga::coupon::RedemptionState;
use fooddelivery_saga::redemption::is_believed;

use super::decisions::{Decided, decided, what_changes};
use super::world::{CUSTOMERS, Counts, LateWrite, ReconcileState, Stage, Standing, World, customer};
use super::{Bounds, Mutant};
use crate::snapshot::{ORDERS, Set, Snapshot, all, bit, has};

type Copies = (Snapshot<Counts>, [Snapshot<Counts>; CUSTOMERS]);

/// Which orders a reconcile would settle now: those that would change some counts, or whose payment is to be marked. Of
/// `believed` it is believed that they hold the coupon, or in a mutant that they gave it back.
fn cases(world: &World, bounds: &Bounds, believed: Set, copies: Copies) -> Set {
    let (counts, own) = (copies.0.value, copies.1.map(|own| own.value));
    let mut states = [None; ORDERS];
    for (order, slot) in states.iter_mut().enumerate().take(bounds.orders) {
        let gone = world.orders.get(order).is_some_and(|o| o.standing == Standing::Gone);
        let mut lists = std::iter::once(&counts).chain(own.get(customer(order)));
        let still_releasing = bounds.mutant != Some(Mutant::GoneStayListed);
        let listed = lists.any(|c| has(c.kept, order) || (still_releasing && has(c.releasing, order)));
        if !gone || listed || has(believed, order) {
            *slot = Some(believed_or_live(world, bounds, order, believed));
        }
    }
    what_changes(bounds, counts, own, states)
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
        let is_believed = is_believed(holder) || has(believed, order);
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
    reconcile.stage = next(bounds, &reconcile)?;
    Some(reconcile)
}

/// What a reconcile that has its copies does next; `None` when it is over.
fn next(bounds: &Bounds, reconcile: &ReconcileState) -> Option<Stage> {
    if let Some(order) = all(reconcile.unread).next() {
        return u8::try_from(order).ok().map(Stage::Read);
    }
    let gives_back = |from: usize| {
        let gives = |order: &usize| reconcile.holders.get(*order) == Some(&Some(RedemptionState::Releasing));
        (from..ORDERS).find(gives).and_then(|order| u8::try_from(order).ok()).map(Stage::Mark)
    };
    let decided = || stage(decided(bounds, reconcile, marked(reconcile.stage)));
    // What is marked too early, or out of no list, is marked by these mutants and not by the machine.
    match (bounds.mutant, reconcile.stage) {
        (Some(Mutant::MarkFirst), Stage::Take(_) | Stage::Read(_)) => gives_back(0).or_else(decided),
        (Some(Mutant::MarkFirst), Stage::Mark(order)) => gives_back(usize::from(order) + 1).or_else(decided),
        (Some(Mutant::MarkFirst), Stage::Coupon) => None,
        (Some(Mutant::NoList), Stage::Coupon) => gives_back(0),
        (Some(Mutant::NoList), Stage::Mark(order)) => gives_back(usize::from(order) + 1),
        _ => decided(),
    }
}

/// Whose payments a reconcile has passed.
fn marked(stage: Stage) -> Set {
    match stage {
        Stage::Mark(last) => (0..=usize::from(last)).map(bit).sum(),
        Stage::Take(_) | Stage::Read(_) | Stage::Own(_) | Stage::Coupon | Stage::Halted => 0,
    }
}

fn stage(decided: Decided) -> Option<Stage> {
    match decided {
        Decided::Own(customer, _) => Some(Stage::Own(customer)),
        Decided::Coupon(_) => Some(Stage::Coupon),
        Decided::Mark(order) => Some(Stage::Mark(order)),
        Decided::Halt => Some(Stage::Halted),
        Decided::Rest => None,
    }
}

/// The next step of a reconcile is carried out; `false` when it is over.
pub fn go_on(world: &mut World, bounds: &Bounds, reconcile: &mut ReconcileState) -> bool {
    let goes_on = match reconcile.stage {
        Stage::Take(_) => false,
        Stage::Halted => {
            world.halted = true;
            false
        }
        Stage::Read(order) => {
            let order = usize::from(order);
            reconcile.unread &= !bit(order);
            reconcile.fresh |= bit(order);
            if let Some(slot) = reconcile.holders.get_mut(order) {
                *slot = Some(world.holder(bounds, order));
            }
            true
        }
        Stage::Own(_) | Stage::Coupon => write(world, bounds, reconcile),
        Stage::Mark(order) => {
            mark(world, reconcile, usize::from(order));
            true
        }
    };
    let Some(stage) = next(bounds, reconcile).filter(|_| goes_on) else { return false };
    reconcile.stage = stage;
    true
}

fn mark(world: &mut World, reconcile: &ReconcileState, order: usize) {
    let Some(slot) = world.payments.get_mut(order) else { return };
    if let Some(payment) = slot.filter(|_| has(reconcile.fresh, order)) {
        *slot = Some(super::world::Payment { returned: true, ..payment });
        for other in world.reconciles.iter_mut().flatten() {
            other.fresh &= !bit(order);
        }
    }
}

/// The counts that a reconcile is about to write.
struct Write {
    /// The customer whose counts they are, or the coupon's.
    customer: Option<u8>,
    counts: Counts,
    /// How that changes how often the orders are in the coupon's counts.
    change: [i8; ORDERS],
}

/// What is written now: the decision once more, on what it was made on.
fn due(bounds: &Bounds, reconcile: &ReconcileState) -> Option<Write> {
    match decided(bounds, reconcile, marked(reconcile.stage)) {
        Decided::Own(of, counts) => Some(Write { customer: Some(of), counts, change: [0; ORDERS] }),
        Decided::Coupon(counts) => {
            let change = change(reconcile, counts);
            Some(Write { customer: None, counts, change })
        }
        Decided::Mark(_) | Decided::Halt | Decided::Rest => None,
    }
}

/// Who comes into the coupon's counts, and who leaves them.
fn change(reconcile: &ReconcileState, after: Counts) -> [i8; ORDERS] {
    let before = reconcile.coupon.value;
    let mut change = [0; ORDERS];
    for ((order, change), holder) in change.iter_mut().enumerate().zip(reconcile.holders) {
        let was_kept = has(before.kept, order);
        *change = match holder {
            Some(RedemptionState::Redeemed) => i8::from(was_kept && !has(after.kept, order)),
            Some(RedemptionState::Releasing) if !was_kept && !has(before.releasing, order) => -1,
            _ => 0,
        };
    }
    change
}

fn snapshot(reconcile: &mut ReconcileState, of: Option<u8>) -> &mut Snapshot<Counts> {
    let ReconcileState { own, coupon, .. } = reconcile;
    of.and_then(|of| own.get_mut(usize::from(of))).unwrap_or(coupon)
}

/// Writes some counts; `false` when somebody was quicker.
fn write(world: &mut World, bounds: &Bounds, reconcile: &mut ReconcileState) -> bool {
    let Some(Write { customer, counts, change }) = due(bounds, reconcile) else { return false };
    let snapshot = snapshot(reconcile, customer);
    let goes_through = snapshot.current || bounds.mutant == Some(Mutant::BlindCounts);
    *snapshot = Snapshot::of(counts);
    if goes_through {
        put(world, customer.map(usize::from), counts, change);
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
pub fn lose(world: &mut World, bounds: &Bounds, mut reconcile: ReconcileState) {
    if !matches!(reconcile.stage, Stage::Own(_) | Stage::Coupon) {
        return;
    }
    let Some(Write { customer, counts, change }) = due(bounds, &reconcile) else { return };
    if snapshot(&mut reconcile, customer).current {
        world.late_write = Some(LateWrite { customer, current: true, counts, change });
    }
}

/// What was on its way arrives.
pub fn arrive(world: &mut World) {
    if let Some(late_write) = world.late_write.take().filter(|late_write| late_write.current) {
        put(world, late_write.customer.map(usize::from), late_write.counts, late_write.change);
    }
}
