//! What the machine of `saga::redemption` says of a coupon's orders: asked in the shape of the small model, where lists are
//! sets and orders are numbers. Nothing is decided here but by the mutant that keeps no list.
//!
//! Orders are settled in the order of their numbers. That those who only leave a list come before the others is left out: it
//! spares a pass, and no more.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use fooddelivery_saga::counter::{LIST_LIMIT, OrderId};
use fooddelivery_saga::coupon::{self, RedemptionState, Redemptions};
use fooddelivery_saga::machine::{Next, StateMachine};
use fooddelivery_saga::redemption::{Case, Command, CouponMachine, CouponView};
use fooddelivery_saga::time::Timestamp;

use super::world::{CUSTOMERS, Counts, ReconcileState, customer};
use super::{Bounds, Mutant};
use crate::snapshot::{ORDERS, Set, all, bit};

/// How it stands with the orders that are settled.
type States = [Option<RedemptionState>; ORDERS];
/// The counts, how it stands with the orders, whose payments are marked, and the bounds that matter.
type Asked = (Counts, [Counts; CUSTOMERS], States, Set, (Option<i64>, Option<i64>, bool));

thread_local! {
    /// The machine is pure: what it said of a view once, it says again.
    static DECIDED: RefCell<HashMap<Asked, Decided>> = RefCell::new(HashMap::new());
    static CHANGES: RefCell<HashMap<Asked, Set>> = RefCell::new(HashMap::new());
}

/// What is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decided {
    /// A customer's counts are written.
    Own(u8, Counts),
    /// The coupon's counts are written.
    Coupon(Counts),
    /// The payment of this order is marked.
    Mark(u8),
    /// A rule would be broken.
    Halt,
    /// Nothing.
    Rest,
}

/// What a reconcile does next, on what it has gathered and written.
pub(super) fn decided(bounds: &Bounds, reconcile: &ReconcileState, marked: Set) -> Decided {
    let own = reconcile.own.map(|own| own.value);
    let asked = asked(bounds, reconcile.coupon.value, own, reconcile.holders, marked);
    let decided = DECIDED.with_borrow_mut(|known| *known.entry(asked).or_insert_with(|| decide(&asked)));
    let listless = |was: Counts, is: Counts| {
        let kept_none = bounds.mutant == Some(Mutant::NoList);
        Counts { releasing: if kept_none { was.releasing } else { is.releasing }, ..is }
    };
    match decided {
        Decided::Coupon(counts) => Decided::Coupon(listless(reconcile.coupon.value, counts)),
        Decided::Own(_, _) | Decided::Mark(_) | Decided::Halt | Decided::Rest => decided,
    }
}

/// The orders that would change some counts, or whose payments are to be marked.
pub(super) fn what_changes(bounds: &Bounds, coupon: Counts, own: [Counts; CUSTOMERS], states: States) -> Set {
    let asked = asked(bounds, coupon, own, states, 0);
    CHANGES.with_borrow_mut(|known| {
        *known.entry(asked).or_insert_with(|| {
            let mut view = view(&asked);
            view.keep_what_changes();
            set(view.cases.iter().map(|case| &case.order))
        })
    })
}

fn asked(bounds: &Bounds, coupon: Counts, own: [Counts; CUSTOMERS], states: States, marked: Set) -> Asked {
    (coupon, own, states, marked, (bounds.limit, bounds.per_customer, bounds.long))
}

fn decide(asked: &Asked) -> Decided {
    let number = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    match CouponMachine::step(&view(asked), Timestamp(0)) {
        Next::Act(Command::SettleCustomer(name, counts)) => {
            let of = (0..CUSTOMERS).find(|of| of.to_string() == name).unwrap_or(CUSTOMERS);
            Decided::Own(number(of), counted(&counts))
        }
        Next::Write(counts) => Decided::Coupon(counted(&counts)),
        Next::Act(Command::MarkReturned(order)) => {
            Decided::Mark(number((0..ORDERS).find(|n| id(*n) == order).unwrap_or(ORDERS)))
        }
        Next::Halt(_) => Decided::Halt,
        Next::Skip | Next::Rest(_) | Next::Wait(_) | Next::Retry(_) => Decided::Rest,
    }
}

fn view(asked: &Asked) -> CouponView {
    let (coupon, own, states, marked, (limit, per_customer, long)) = *asked;
    let of_customers: BTreeMap<String, Redemptions> = own
        .iter()
        .enumerate()
        .filter(|_| per_customer.is_some())
        .map(|(of, own)| (of.to_string(), redemptions(*own, long)))
        .collect();
    let case = |(n, state): (usize, Option<RedemptionState>)| {
        let customer = Some(customer(n).to_string());
        Some(Case { order: id(n), placed_at: Timestamp(0), customer, state: state? })
    };
    CouponView {
        counts: coupon::Counts { redemptions: redemptions(coupon, long), limit, per_customer, of_customers },
        cases: states.into_iter().enumerate().filter_map(case).collect(),
        marked: all(marked).map(|n| id(n).uid).collect::<BTreeSet<String>>(),
        more: false,
    }
}

fn id(n: usize) -> OrderId {
    named(&n.to_string())
}

fn named(name: &str) -> OrderId {
    OrderId { uid: format!("uid of {name}"), name: name.to_owned() }
}

/// Where lists are to be long, enough others stand in them that no write is spared.
fn redemptions(counts: Counts, long: bool) -> Redemptions {
    let others = if long { LIST_LIMIT / 2 } else { 0 };
    let others = (0..others).map(|n| named(&format!("other {n}")));
    Redemptions {
        redeemed: counts.redeemed.into(),
        reserved: all(counts.kept).map(id).collect(),
        releasing: all(counts.releasing).map(id).chain(others).collect(),
    }
}

fn counted(redemptions: &Redemptions) -> Counts {
    Counts {
        redeemed: i8::try_from(redemptions.redeemed).unwrap_or(i8::MIN),
        kept: set(redemptions.reserved.iter()),
        releasing: set(redemptions.releasing.iter()),
    }
}

fn set<'a>(orders: impl Iterator<Item = &'a OrderId>) -> Set {
    let listed: Vec<&OrderId> = orders.collect();
    (0..ORDERS).filter(|n| listed.contains(&&id(*n))).map(bit).sum()
}
