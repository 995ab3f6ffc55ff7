//! Whether an order is let in: what it waits for, or is refused for, before its payment is made. And what has to be read
//! live before that, or anything else, is decided.

use super::command::ChildKind;
use super::status::{ConditionKind, OrderState};
use super::steps;
use crate::counter::OrderId;
use crate::coupon::{Redemptions, Terms};
use crate::phases::OrderPhase;
use crate::quote::{Blocker, CURRENCY, Menu, OrderedItem, Quote, price, price_when_open};
use crate::reason::Reason;
use crate::time::Timestamp;

/// What an order refers to, read live, so that files can be applied in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct References {
    /// The order.
    pub order: OrderId,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Its customer's name.
    pub customer: String,
    /// What was ordered.
    pub items: Vec<OrderedItem>,
    /// What the customer expects to pay, where they say so.
    pub expected_total: Option<i64>,
    /// What it came to when it was first priced, where it has waited since.
    pub first_total: Option<i64>,
    /// The store that it goes to.
    pub store: StoreChoice,
    /// That store's menu; `None` when there is no such store.
    pub menu: Option<Menu>,
    /// Its coupon.
    pub coupon: CouponChoice,
    /// The name of its payment provider.
    pub provider: String,
    /// Whether there is such a provider.
    pub provider_exists: bool,
}

/// Which store an order goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreChoice {
    /// This one: the order names it, or its customer prefers it.
    Named(String),
    /// The order names none, and its customer prefers none.
    NoPreference,
    /// The order names none, and there is no such customer who could prefer one.
    NoCustomer,
}

/// The coupon of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CouponChoice {
    /// It names none.
    None,
    /// There is none of this name.
    Missing(String),
    /// It names this one.
    Found(Box<CouponCounts>),
}

/// A coupon and its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CouponCounts {
    /// What it grants.
    pub terms: Terms,
    /// Its redemptions, over all.
    pub redemptions: Redemptions,
    /// How often it can be redeemed; `None` for any number.
    pub limit: Option<i64>,
    /// How often one customer can redeem it; `None` for any number.
    pub per_customer: Option<i64>,
    /// The redemptions of the order's customer, where there are any.
    pub of_customer: Option<Redemptions>,
}

/// Prices the order, or says what it waits for or is refused for. What it comes to while it waits is told with the blocker,
/// and holds: an order that comes to more in the end is refused, and one that comes to less is charged less. A blocker for the reason `CouponPending` asks for one
/// of the coupon to be kept for the order.
///
/// # Errors
/// What is missing or wrong.
pub fn admit(references: &References) -> Result<Quote, Blocker> {
    admit_now(references).map_err(|blocker| {
        let total = if blocker.retryable { total_meanwhile(references) } else { None };
        Blocker { total, ..blocker }
    })
}

fn admit_now(references: &References) -> Result<Quote, Blocker> {
    let store = store_name(references)?;
    let coupon = match &references.coupon {
        CouponChoice::None => None,
        CouponChoice::Found(counts) => Some(counts.as_ref()),
        CouponChoice::Missing(code) => {
            return Err(Blocker::terminal(Reason::CouponNotFound, format!("there is no coupon {code:?}")));
        }
    };
    let Some(menu) = &references.menu else {
        let message = format!("there is no Store {store}; the order waits for it");
        return Err(Blocker::retryable(Reason::StoreNotFound, message));
    };
    if !references.provider_exists {
        let message = format!("there is no PaymentProvider {}; the order waits for it", references.provider);
        return Err(Blocker::retryable(Reason::ProviderNotFound, message));
    }
    let References { items, expected_total, placed_at, .. } = references;
    let quote = price(items, menu, coupon.map(|coupon| &coupon.terms), *expected_total, *placed_at)?;
    if let Some(first) = references.first_total.filter(|first| quote.total > *first) {
        let message = format!(
            "the order comes to {} {CURRENCY} now, and came to {first} {CURRENCY} when it was first priced; nothing was \
             charged, and it can be placed again",
            quote.total
        );
        return Err(Blocker::terminal(Reason::PriceRisen, message));
    }
    if let Some(coupon) = coupon {
        is_reserved(references, coupon)?;
    }
    Ok(quote)
}

/// What the order would come to if nothing kept it waiting, as far as that is known.
fn total_meanwhile(references: &References) -> Option<i64> {
    let References { items, expected_total, placed_at, menu, coupon, .. } = references;
    let terms = match coupon {
        CouponChoice::None => None,
        CouponChoice::Missing(_) => return None,
        CouponChoice::Found(counts) => Some(&counts.terms),
    };
    let quote = price_when_open(items, menu.as_ref()?, terms, *expected_total, *placed_at);
    quote.ok().map(|quote| quote.total)
}

fn store_name(references: &References) -> Result<&str, Blocker> {
    let name = &references.customer;
    match &references.store {
        StoreChoice::Named(store) => Ok(store),
        StoreChoice::NoCustomer => {
            let message =
                format!("the order names no store, and there is no Customer {name} who could prefer one");
            Err(Blocker::retryable(Reason::CustomerNotFound, message))
        }
        StoreChoice::NoPreference => {
            let message = format!("the order names no store, and Customer {name} prefers none");
            Err(Blocker::retryable(Reason::NoPreferredStore, message))
        }
    }
}

/// A price with a coupon holds only once the coupon is kept for the order: of many that race for the last one, one gets
/// it, and the others are refused before any money moves.
fn is_reserved(references: &References, coupon: &CouponCounts) -> Result<(), Blocker> {
    let CouponCounts { terms, redemptions, limit, per_customer, of_customer } = coupon;
    let (order, code) = (&references.order, &terms.name);
    if redemptions.is_reserved(order) {
        return Ok(());
    }
    if redemptions.is_exhausted(*limit) {
        let message = format!("coupon {code:?} has been redeemed as often as it can be");
        return Err(Blocker::terminal(Reason::CouponExhausted, message));
    }
    let used_up = |own: &Redemptions| {
        per_customer.is_some() && own.is_exhausted(*per_customer) && !own.is_reserved(order)
    };
    if of_customer.as_ref().is_some_and(used_up) {
        let customer = &references.customer;
        let message = format!("{customer} has redeemed coupon {code:?} as often as one customer can");
        return Err(Blocker::terminal(Reason::CouponUsedUp, message));
    }
    let message = format!("coupon {code:?} is being kept for the order");
    Err(Blocker::retryable(Reason::CouponPending, message))
}

/// An order that names a coupon, as the coupon sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Where it stands.
    pub phase: OrderPhase,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether somebody wants it undone who has had no answer.
    pub cancel_wanted: bool,
    /// Whether a person stopped it.
    pub paused: bool,
}

/// Whether one of a coupon is to be kept for an order without a payment: whether it would be paid if it had the coupon.
/// `has_price` says whether it could be priced with it, and is asked last.
pub fn may_wait_for_coupon(order: Candidate, has_price: impl FnOnce() -> bool) -> bool {
    let Candidate { phase, deleting, cancel_wanted, paused } = order;
    phase == OrderPhase::AwaitingPayment && !deleting && !cancel_wanted && !paused && has_price()
}

/// Whether it is believed that an order has no child of this kind when the cache shows none. One that must exist is looked
/// for live; so is every one where nothing can be created any more, and so no tombstone can stand in its place.
pub fn absence_is_believed(state: &OrderState, child: ChildKind, namespace_terminating: bool) -> bool {
    let is_open = !state.phase.is_terminal() || !state.holds(ConditionKind::Settled);
    !(is_open && (namespace_terminating || steps::has(state.phase, child)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quote::MenuItem;

    fn terms() -> Terms {
        Terms {
            name: "SPRING".into(),
            uid: "c1".into(),
            percent: None,
            amount: Some(1_000),
            minimum_order: 0,
            valid_from: None,
            valid_until: None,
        }
    }

    fn id() -> OrderId {
        OrderId { name: "o1".into(), uid: "u1".into() }
    }

    fn kept() -> Redemptions {
        Redemptions { reserved: vec![id()], ..Redemptions::default() }
    }

    fn counts() -> CouponCounts {
        CouponCounts {
            terms: terms(),
            redemptions: Redemptions::default(),
            limit: Some(1),
            per_customer: None,
            of_customer: None,
        }
    }

    fn references() -> References {
        let dish = MenuItem { name: "bibimbap".into(), price: 9_000, available: true, options: Vec::new() };
        References {
            order: id(),
            placed_at: Timestamp(1),
            customer: "jiwoo".into(),
            items: vec![OrderedItem { menu_item: "bibimbap".into(), quantity: 1, options: Vec::new() }],
            expected_total: None,
            first_total: None,
            store: StoreChoice::Named("seoul".into()),
            menu: Some(Menu {
                store_name: "seoul".into(),
                store_uid: "s1".into(),
                open: true,
                minimum_order: 0,
                items: vec![dish],
            }),
            coupon: CouponChoice::None,
            provider: "toss".into(),
            provider_exists: true,
        }
    }

    fn refused(references: &References) -> (Reason, bool) {
        let blocker = admit(references).expect_err("must be refused");
        (blocker.reason, blocker.retryable)
    }

    #[test]
    fn an_order_whose_references_are_there_is_priced() {
        assert_eq!(admit(&references()).map(|quote| quote.total), Ok(9_000));
    }

    #[test]
    fn while_an_order_waits_its_price_may_fall_and_not_rise() {
        let closed = |mut references: References| {
            references.menu.as_mut().expect("a menu").open = false;
            references
        };
        let waits = |references: &References| {
            let blocker = admit(references).expect_err("it waits");
            assert!(blocker.retryable, "{blocker:?}");
            blocker.total
        };
        assert_eq!(waits(&closed(references())), Some(9_000), "told where it waits");
        assert_eq!(waits(&References { provider_exists: false, ..references() }), Some(9_000));
        let coupon = CouponChoice::Found(Box::new(counts()));
        assert_eq!(waits(&References { coupon, ..references() }), Some(8_000), "with its coupon");
        assert_eq!(waits(&References { menu: None, ..references() }), None, "nobody knows");
        let after = |first| References { first_total: Some(first), ..references() };
        assert_eq!(admit(&after(9_000)).map(|quote| quote.total), Ok(9_000));
        assert_eq!(admit(&after(9_500)).map(|quote| quote.total), Ok(9_000), "it fell");
        assert_eq!(refused(&after(8_999)), (Reason::PriceRisen, false));
        assert_eq!(refused(&closed(after(8_999))), (Reason::StoreClosed, true), "it may fall again");
    }

    #[test]
    fn what_may_still_be_applied_is_waited_for() {
        let of = |change: fn(&mut References)| {
            let mut references = references();
            change(&mut references);
            refused(&references)
        };
        assert_eq!(of(|r| r.menu = None), (Reason::StoreNotFound, true));
        assert_eq!(of(|r| r.provider_exists = false), (Reason::ProviderNotFound, true));
        assert_eq!(of(|r| r.store = StoreChoice::NoCustomer), (Reason::CustomerNotFound, true));
        assert_eq!(of(|r| r.store = StoreChoice::NoPreference), (Reason::NoPreferredStore, true));
        assert_eq!(
            of(|r| r.coupon = CouponChoice::Missing("SPRING".into())),
            (Reason::CouponNotFound, false)
        );
    }

    #[test]
    fn a_price_with_a_coupon_holds_once_the_coupon_is_kept_for_the_order() {
        let with = |counts| References { coupon: CouponChoice::Found(Box::new(counts)), ..references() };
        assert_eq!(refused(&with(counts())), (Reason::CouponPending, true));
        let redemptions = kept();
        assert_eq!(admit(&with(CouponCounts { redemptions, ..counts() })).map(|q| q.total), Ok(8_000));
    }

    #[test]
    fn a_coupon_that_is_used_up_refuses_for_good() {
        let with = |counts| References { coupon: CouponChoice::Found(Box::new(counts)), ..references() };
        let redeemed = || Redemptions { redeemed: 1, ..Redemptions::default() };
        let exhausted = CouponCounts { redemptions: redeemed(), ..counts() };
        assert_eq!(refused(&with(exhausted)), (Reason::CouponExhausted, false));
        let by_customer =
            CouponCounts { limit: None, per_customer: Some(1), of_customer: Some(redeemed()), ..counts() };
        assert_eq!(refused(&with(by_customer.clone())), (Reason::CouponUsedUp, false));
        // Kept in the customer's counts already: those of the coupon follow.
        let own = CouponCounts { of_customer: Some(kept()), ..by_customer };
        assert_eq!(refused(&with(own)), (Reason::CouponPending, true));
    }

    #[test]
    fn a_coupon_is_kept_only_for_an_order_that_would_be_paid() {
        let candidate = Candidate {
            phase: OrderPhase::AwaitingPayment,
            deleting: false,
            cancel_wanted: false,
            paused: false,
        };
        let waits = |candidate| may_wait_for_coupon(candidate, || true);
        assert!(waits(candidate));
        for phase in OrderPhase::ALL.iter().filter(|phase| **phase != OrderPhase::AwaitingPayment) {
            assert!(!waits(Candidate { phase: *phase, ..candidate }), "{phase}");
        }
        assert!(!waits(Candidate { deleting: true, ..candidate }));
        assert!(!waits(Candidate { cancel_wanted: true, ..candidate }));
        assert!(!waits(Candidate { paused: true, ..candidate }));
        assert!(!may_wait_for_coupon(candidate, || false), "it has no price");
    }

    #[test]
    fn the_absence_of_a_child_that_must_exist_is_not_believed() {
        let state = |phase| OrderState { phase, ..OrderState::default() };
        let believed = |phase, child| absence_is_believed(&state(phase), child, false);
        assert!(believed(OrderPhase::AwaitingPayment, ChildKind::Payment));
        assert!(!believed(OrderPhase::AwaitingStore, ChildKind::Payment));
        assert!(believed(OrderPhase::AwaitingStore, ChildKind::Ticket));
        assert!(!believed(OrderPhase::Cooking, ChildKind::Ticket));
        assert!(believed(OrderPhase::AwaitingRider, ChildKind::Delivery));
        assert!(!believed(OrderPhase::PickedUp, ChildKind::Delivery));
        assert!(!absence_is_believed(&state(OrderPhase::AwaitingPayment), ChildKind::Delivery, true));
    }

    #[test]
    fn an_order_that_has_ended_and_is_settled_looks_for_nothing() {
        let mut state = OrderState { phase: OrderPhase::Completed, ..OrderState::default() };
        assert!(!absence_is_believed(&state, ChildKind::Payment, false));
        state.set(ConditionKind::Settled, true, Reason::MoneyCaptured, "", Timestamp(1));
        for child in [ChildKind::Payment, ChildKind::Ticket, ChildKind::Delivery] {
            assert!(absence_is_believed(&state, child, true), "{child:?}");
        }
    }
}
