//! Coupons: what one takes off, and how its redemptions are counted so that none is given twice and none is lost.
//!
//! One is kept for an order (`reserved`) before its payment is made; the payment carries the coupon, and once it has begun
//! it is the record that the order holds it; then it is counted (`redeemed`), and the order leaves the list. An order that
//! is undone gives it back: it leaves the count and stands in `releasing` until its payment says so. Each of these is one
//! compare-and-set, decided on objects that were read after the copy of the counts that is written over (see
//! [`crate::counter`]). The same counts stand in the coupon, and once more for each customer where it is limited per
//! customer.
//!
//! A payment that carries a coupon may be made too late: by a request that was under way while its order was undone, and
//! for which none is kept any more. It never begins, as money moves only for an order that wants it, and so it is never
//! counted and gives nothing back.

use std::collections::BTreeMap;
use std::convert::Infallible;

use crate::blocker::Blocker;
use crate::counter::{LIST_LIMIT, OrderId, is_long};
use crate::machine::{Next, Rest, StateMachine, Violation};
use crate::money::CURRENCY;
use crate::phases::{PaymentDesired, PaymentPhase};
use crate::reason::Reason;
use crate::time::Timestamp;

/// For at most so many orders one is kept. That of a payment whose provider is out of reach is kept until it has begun.
pub const RESERVED_LIMIT: usize = 500;

/// What a coupon grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Its name, which is the code.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// So many percent, or
    pub percent: Option<i64>,
    /// so many KRW.
    pub amount: Option<i64>,
    /// The least that the dishes must come to.
    pub minimum_order: i64,
    /// Orders placed before this cannot use it.
    pub valid_from: Option<Timestamp>,
    /// Orders placed at this time or later cannot use it.
    pub valid_until: Option<Timestamp>,
}

impl Terms {
    /// What it takes off an order of `subtotal` that was placed at `ordered_at`.
    ///
    /// # Errors
    /// `CouponNotYetValid`, `CouponExpired` or `CouponBelowMinimum`; no waiting changes any of them.
    pub fn discount(&self, subtotal: i64, ordered_at: Timestamp) -> Result<i64, Blocker> {
        let name = &self.name;
        if self.valid_from.is_some_and(|from| ordered_at < from) {
            let message = format!("coupon {name:?} was not valid yet when the order was placed");
            return Err(Blocker::terminal(Reason::CouponNotYetValid, message));
        }
        if self.valid_until.is_some_and(|until| ordered_at >= until) {
            let message = format!("coupon {name:?} had expired when the order was placed");
            return Err(Blocker::terminal(Reason::CouponExpired, message));
        }
        if subtotal < self.minimum_order {
            let message = format!(
                "coupon {name:?} is for orders of {} {CURRENCY} and more; the dishes come to {subtotal} {CURRENCY}",
                self.minimum_order
            );
            return Err(Blocker::terminal(Reason::CouponBelowMinimum, message));
        }
        let percent = self.percent.unwrap_or(0).clamp(0, 100);
        // Without overflow, whatever the sum.
        let part = subtotal / 100 * percent + subtotal % 100 * percent / 100;
        Ok(part.saturating_add(self.amount.unwrap_or(0)).clamp(0, subtotal.max(0)))
    }
}

/// The redemptions of a coupon, over all or of one customer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redemptions {
    /// How many orders hold it.
    pub redeemed: i64,
    /// Orders that one is kept for.
    pub reserved: Vec<OrderId>,
    /// Orders that gave it back, and whose payments may not say so yet.
    pub releasing: Vec<OrderId>,
}

/// How it stands with an order and a coupon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RedemptionState {
    /// It waits for the coupon, could be paid otherwise, and has no payment.
    Requested,
    /// Its payment carries the coupon, and has begun.
    Redeemed,
    /// The same, and it is undone.
    Releasing,
    /// Its payment says that it was given back.
    Released,
    /// It is gone, or its payment does without, or was undone before it began.
    None,
    /// Neither: it cannot be told yet.
    Undetermined,
}

/// A payment that carries a coupon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedemptionRecord {
    /// Whether it says that the coupon was given back.
    pub returned: bool,
    /// What its order wants of it.
    pub desired: PaymentDesired,
    /// Where its money stands.
    pub phase: PaymentPhase,
    /// 0 until an intent to charge is recorded.
    pub attempt: i64,
}

impl RedemptionState {
    /// Of an order that is there, by its payment.
    pub fn of(carrier: RedemptionRecord) -> Self {
        let RedemptionRecord { returned, desired, phase, attempt } = carrier;
        let is_undone = desired != PaymentDesired::Captured || phase.is_over();
        // One that costs nothing is captured without an attempt.
        let captured =
            matches!(phase, PaymentPhase::Captured | PaymentPhase::Refunding | PaymentPhase::Refunded);
        match (returned, attempt > 0 || captured, is_undone) {
            (true, ..) => Self::Released,
            (false, true, true) => Self::Releasing,
            (false, true, false) => Self::Redeemed,
            (false, false, true) => Self::None,
            (false, false, false) => Self::Undetermined,
        }
    }

    /// Whether its payment, which is the record of it, has to stay for the counts; `kept` by those that stand now.
    pub fn blocks_deletion(self, kept: bool) -> bool {
        match self {
            Self::Releasing => true,
            Self::Redeemed | Self::Requested | Self::Undetermined => kept,
            Self::Released | Self::None => false,
        }
    }
}

fn has(list: &[OrderId], order: &OrderId) -> bool {
    list.iter().any(|known| known.uid == order.uid)
}

fn leave(list: &mut Vec<OrderId>, order: &OrderId) -> bool {
    let before = list.len();
    list.retain(|known| known.uid != order.uid);
    list.len() < before
}

impl Redemptions {
    /// Whether one is kept for the order.
    pub fn is_reserved(&self, order: &OrderId) -> bool {
        has(&self.reserved, order)
    }

    /// Whether the order is out of the count again.
    pub fn is_released(&self, order: &OrderId) -> bool {
        has(&self.releasing, order)
    }

    /// Whether no more can be had.
    pub fn is_exhausted(&self, limit: Option<i64>) -> bool {
        let taken = self.redeemed.saturating_add(i64::try_from(self.reserved.len()).unwrap_or(i64::MAX));
        limit.is_some_and(|limit| taken >= limit)
    }

    /// One order, as it stands. Says whether anything changed that is worth a write.
    pub fn settle(&mut self, order: &OrderId, holder: RedemptionState, limit: Option<i64>) -> bool {
        match holder {
            RedemptionState::Requested => {
                let has_room = self.reserved.len() < RESERVED_LIMIT && !self.is_exhausted(limit);
                let takes = has_room && !self.is_reserved(order);
                if takes {
                    self.reserved.push(order.clone());
                }
                takes
            }
            RedemptionState::Redeemed => {
                let counted = leave(&mut self.reserved, order);
                self.redeemed = self.redeemed.saturating_add(i64::from(counted));
                counted
            }
            RedemptionState::Releasing => {
                if has(&self.releasing, order) || self.releasing.len() >= LIST_LIMIT {
                    return false;
                }
                if !leave(&mut self.reserved, order) {
                    self.redeemed = self.redeemed.saturating_sub(1);
                }
                self.releasing.push(order.clone());
                true
            }
            RedemptionState::None => leave(&mut self.reserved, order) | self.forget(order),
            RedemptionState::Released => self.forget(order),
            RedemptionState::Undetermined => false,
        }
    }

    /// That an order may leave the list is worth a write only when the list is half full.
    fn forget(&mut self, order: &OrderId) -> bool {
        let long = is_long(self.releasing.len());
        leave(&mut self.releasing, order) && long
    }
}

/// The counts of a coupon, over all or of one customer, and the orders that have to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountsView {
    /// The counts as they stand.
    pub counts: Redemptions,
    /// How often it can be redeemed; `None` for any number.
    pub limit: Option<i64>,
    /// How it stands with the orders, those that only leave a list first, then those that were placed first.
    pub orders: Vec<(OrderId, RedemptionState)>,
}

/// The decisions about some counts of a coupon. They command nothing, and depend on no time.
#[derive(Debug, Clone, Copy)]
pub struct CountsMachine;

impl StateMachine for CountsMachine {
    type View = CountsView;
    type Command = Infallible;
    type Status = Redemptions;

    fn decide(view: &CountsView, _: Timestamp) -> Next<Infallible, Redemptions> {
        let mut counts = view.counts.clone();
        let mut is_worth_it = false;
        // Each is settled, also when an earlier one has made it worth a write.
        for (order, state) in &view.orders {
            is_worth_it |= counts.settle(order, *state, view.limit);
        }
        if is_worth_it {
            Next::Rest(Rest { state: counts, notes: Vec::new(), wake_at: None })
        } else {
            Next::Wait(None)
        }
    }

    fn check(view: &CountsView, next: &Next<Infallible, Redemptions>) -> Result<(), Violation> {
        let (Next::Rest(Rest { state, .. }), was) = (next, &view.counts) else { return Ok(()) };
        let taken = |counts: &Redemptions| {
            counts.redeemed.saturating_add(i64::try_from(counts.reserved.len()).unwrap_or(i64::MAX))
        };
        if view.limit.is_some_and(|limit| taken(state) > limit.max(taken(was))) {
            let detail = format!("{} of {:?}", taken(state), view.limit);
            return Err(Violation::new("a coupon is redeemed as often as it can be", detail));
        }
        let grown = |is: &[OrderId], was: &[OrderId], most: usize| is.len() > most.max(was.len());
        if grown(&state.reserved, &was.reserved, RESERVED_LIMIT)
            || grown(&state.releasing, &was.releasing, LIST_LIMIT)
        {
            let detail = format!("{} reserved, {} releasing", state.reserved.len(), state.releasing.len());
            return Err(Violation::new("the lists of a coupon are bounded", detail));
        }
        Ok(())
    }
}

/// All counts of a coupon, from which is seen which orders would change any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Over all.
    pub redemptions: Redemptions,
    /// How often it can be redeemed; `None` for any number.
    pub limit: Option<i64>,
    /// How often one customer can redeem it; `None` for any number.
    pub per_customer: Option<i64>,
    /// By customer.
    pub of_customers: BTreeMap<String, Redemptions>,
}

impl Counts {
    /// Takes in how it stands with an order, and says whether that changes any counts, or its payment is to say that it
    /// gave the coupon back. One that its customer's counts have no room for asks the others for none.
    pub fn take_in(&mut self, order: &OrderId, customer: Option<&str>, state: RedemptionState) -> bool {
        let mut changed = state == RedemptionState::Releasing;
        if let Some(customer) = customer.filter(|_| self.per_customer.is_some()) {
            let own = self.of_customers.entry(customer.to_owned()).or_default();
            changed |= own.settle(order, state, self.per_customer);
            if state == RedemptionState::Requested && !own.is_reserved(order) {
                return false;
            }
        }
        self.redemptions.settle(order, state, self.limit) | changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms {
            name: "SPRING".into(),
            uid: "c1".into(),
            percent: None,
            amount: Some(3_000),
            minimum_order: 10_000,
            valid_from: Some(Timestamp(100)),
            valid_until: Some(Timestamp(200)),
        }
    }

    fn id(n: usize) -> OrderId {
        OrderId { name: format!("o{n}"), uid: format!("u{n}") }
    }

    #[test]
    fn terms_are_those_of_the_moment_of_the_order() {
        let reason = |subtotal, at| terms().discount(subtotal, Timestamp(at)).map_err(|o| o.reason.as_str());
        assert_eq!(reason(10_000, 100), Ok(3_000));
        assert_eq!(reason(10_000, 99), Err("CouponNotYetValid"));
        assert_eq!(reason(10_000, 199), Ok(3_000));
        assert_eq!(reason(10_000, 200), Err("CouponExpired"));
        assert_eq!(reason(9_999, 150), Err("CouponBelowMinimum"));
    }

    #[test]
    fn a_discount_is_never_more_than_the_dishes_and_parts_of_a_won_are_not_taken_off() {
        let free = Terms { minimum_order: 0, ..terms() };
        assert_eq!(free.discount(2_000, Timestamp(150)), Ok(2_000));
        let percent = Terms { percent: Some(15), amount: None, minimum_order: 0, ..terms() };
        assert_eq!(percent.discount(9_999, Timestamp(150)), Ok(1_499));
        assert_eq!(percent.discount(i64::MAX, Timestamp(150)), Ok(i64::MAX / 100 * 15 + 1));
        let all = Terms { percent: Some(100), ..percent };
        assert_eq!(all.discount(9_999, Timestamp(150)), Ok(9_999));
    }

    #[test]
    fn a_payment_is_a_record_of_its_coupon_once_it_has_begun() {
        use {PaymentDesired as D, PaymentPhase as P};
        let of = |desired, phase, attempt| {
            RedemptionState::of(RedemptionRecord { returned: false, desired, phase, attempt })
        };
        assert_eq!(of(D::Captured, P::Pending, 0), RedemptionState::Undetermined);
        assert_eq!(of(D::Captured, P::Deferred, 0), RedemptionState::Undetermined);
        assert_eq!(of(D::Captured, P::Pending, 1), RedemptionState::Redeemed);
        assert_eq!(of(D::Captured, P::Captured, 0), RedemptionState::Redeemed);
        assert_eq!(of(D::Captured, P::Declined, 1), RedemptionState::Releasing);
        assert_eq!(of(D::Refunded, P::Captured, 1), RedemptionState::Releasing);
        assert_eq!(of(D::Refunded, P::Refunded, 0), RedemptionState::Releasing);
        assert_eq!(of(D::Refunded, P::Pending, 0), RedemptionState::None);
        assert_eq!(of(D::Refunded, P::Voided, 0), RedemptionState::None);
        let carrier =
            RedemptionRecord { returned: true, desired: D::Refunded, phase: P::Refunded, attempt: 1 };
        assert_eq!(RedemptionState::of(carrier), RedemptionState::Released);
    }

    /// The counts that are to be written, if any are.
    fn settled(view: &CountsView) -> Option<Redemptions> {
        let next = CountsMachine::step(view, Timestamp(0));
        if let Next::Rest(rest) = next {
            return Some(rest.state);
        }
        assert_eq!(next, Next::Wait(None));
        None
    }

    #[test]
    fn of_many_that_want_the_last_one_gets_it() {
        let mut counts = Redemptions { redeemed: 4, ..Redemptions::default() };
        let got: Vec<bool> =
            (0..10).map(|n| counts.settle(&id(n), RedemptionState::Requested, Some(5))).collect();
        assert_eq!(got.iter().filter(|got| **got).count(), 1);
        assert!(counts.is_reserved(&id(0)) && counts.is_exhausted(Some(5)));
        assert!(!counts.settle(&id(0), RedemptionState::Requested, Some(5)), "it has one already");
    }

    #[test]
    fn the_machine_writes_counts_that_are_worth_it_and_keeps_to_the_limit() {
        let orders = (0..10).map(|n| (id(n), RedemptionState::Requested)).collect();
        let view = CountsView { counts: Redemptions::default(), limit: Some(3), orders };
        let counts = settled(&view).expect("worth a write");
        assert_eq!((counts.reserved.len(), counts.redeemed), (3, 0));
        let again = CountsView { counts, ..view };
        assert_eq!(settled(&again), None, "nothing changes any more");
    }

    #[test]
    fn an_order_whose_customer_has_no_more_asks_the_coupon_for_none() {
        let used_up = Redemptions { redeemed: 1, ..Redemptions::default() };
        let mut counts = Counts {
            redemptions: Redemptions::default(),
            limit: None,
            per_customer: Some(1),
            of_customers: BTreeMap::from([("jiwoo".to_owned(), used_up)]),
        };
        assert!(!counts.take_in(&id(1), Some("jiwoo"), RedemptionState::Requested));
        assert!(counts.take_in(&id(2), Some("minjun"), RedemptionState::Requested));
        assert!(counts.take_in(&id(3), None, RedemptionState::Releasing));
        assert_eq!(counts.redemptions.reserved, [id(2)]);
    }

    #[test]
    fn a_redemption_goes_through_its_life_once() {
        let mut counts = Redemptions::default();
        assert!(counts.settle(&id(1), RedemptionState::Requested, None));
        assert!(counts.settle(&id(1), RedemptionState::Redeemed, None));
        assert!(!counts.settle(&id(1), RedemptionState::Redeemed, None));
        assert_eq!((counts.redeemed, counts.reserved.len()), (1, 0));
        assert!(counts.settle(&id(1), RedemptionState::Releasing, None));
        assert!(!counts.settle(&id(1), RedemptionState::Releasing, None));
        assert_eq!((counts.redeemed, counts.is_released(&id(1))), (0, true));
        assert!(!counts.settle(&id(1), RedemptionState::Released, None), "not worth a write");
        assert_eq!(counts, Redemptions::default());
    }

    #[test]
    fn what_was_kept_and_never_counted_is_given_back_without_being_taken_off() {
        let mut counts = Redemptions { redeemed: 7, reserved: vec![id(1), id(2)], releasing: vec![] };
        assert!(counts.settle(&id(1), RedemptionState::Releasing, None));
        assert!(counts.settle(&id(2), RedemptionState::None, None));
        assert_eq!((counts.redeemed, counts.reserved.len(), counts.releasing.len()), (7, 0, 1));
    }

    #[test]
    fn lists_are_bounded_and_nothing_is_lost_by_that() {
        let mut counts = Redemptions::default();
        for n in 0..RESERVED_LIMIT * 3 {
            counts.settle(&id(n), RedemptionState::Requested, None);
        }
        assert_eq!(counts.reserved.len(), RESERVED_LIMIT);
        for n in 0..RESERVED_LIMIT {
            counts.settle(&id(n), RedemptionState::Redeemed, None);
        }
        assert!(counts.settle(&id(RESERVED_LIMIT), RedemptionState::Requested, None), "there is room again");
        assert_eq!(counts.redeemed, i64::try_from(RESERVED_LIMIT).expect("small"));
    }
}
