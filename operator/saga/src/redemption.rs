//! Settling all of a coupon's orders: in the counts of single customers first, then in the coupon's own, and then their
//! payments say what was given back. What an order does to some counts stands in [`crate::coupon`].
//!
//! Whoever drives this takes its copies of the counts before it reads the orders live, and puts what it has written into the
//! view: each write is decided once, as counts that are settled change no more.

use std::collections::BTreeSet;

use crate::counter::OrderId;
use crate::coupon::{Counts, CountsMachine, CountsView, RedemptionRecord, RedemptionState, Redemptions};
use crate::machine::{Next, Rest, StateMachine, Violation};
use crate::time::Timestamp;

/// Maximum number of orders that are settled, and so read live, for one write.
pub const ORDERS_PER_WRITE_MAX: usize = 50;

/// An order's payment, as far as a coupon goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentSeen {
    /// There is none.
    Absent,
    /// It does without this coupon.
    Without,
    /// It carries the coupon.
    Carries(RedemptionRecord),
}

/// How it stands with an order that is there or not, by its payment; `requests` says whether it would be paid if it had the
/// coupon.
pub fn standing(
    order_is_there: bool,
    payment: PaymentSeen,
    requests: impl FnOnce() -> bool,
) -> RedemptionState {
    match payment {
        // Without its order a payment is one that was made too late: it never held the coupon.
        _ if !order_is_there => RedemptionState::None,
        PaymentSeen::Without => RedemptionState::None,
        PaymentSeen::Carries(record) => RedemptionState::of(record),
        PaymentSeen::Absent if requests() => RedemptionState::Requested,
        PaymentSeen::Absent => RedemptionState::Undetermined,
    }
}

/// Whether that is believed from a cache: a payment that has begun is the record that its order holds the coupon. Anything
/// else is read live before it changes any counts.
pub fn is_believed(state: RedemptionState) -> bool {
    state == RedemptionState::Redeemed
}

/// An order, as far as its coupon goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The order.
    pub order: OrderId,
    /// When it was placed; 0 when it is gone.
    pub placed_at: Timestamp,
    /// Whose it is; known while it is there, or listed in the customer's own counts.
    pub customer: Option<String>,
    /// How it stands.
    pub state: RedemptionState,
}

/// Those that were placed first come first, after those that only leave a list, which makes room for the others.
pub fn sort(cases: &mut [Case]) {
    let stays = |case: &Case| !matches!(case.state, RedemptionState::Released | RedemptionState::None);
    cases.sort_by(|a, b| (stays(a), a.placed_at, &a.order).cmp(&(stays(b), b.placed_at, &b.order)));
}

/// All that a decision about a coupon depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CouponView {
    /// The counts, as the copies that were taken had them, or as they were written since.
    pub counts: Counts,
    /// Orders that would change something, in the order in which they are settled.
    pub cases: Vec<Case>,
    /// Uids of orders whose payments have been told since that they say what was given back.
    pub marked: BTreeSet<String>,
    /// Whether there are more such orders than these.
    pub more: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Write the counts of this customer.
    SettleCustomer(String, Redemptions),
    /// Have the payment of this order say that the coupon was given back.
    MarkReturned(OrderId),
}

/// The answer of the machine: what it has written is the coupon's own counts.
pub type Decision = Next<Command, Redemptions>;

/// The decisions about all of a coupon's orders.
#[derive(Debug, Clone, Copy)]
pub struct CouponMachine;

impl StateMachine for CouponMachine {
    type View = CouponView;
    type Command = Command;
    type Status = Redemptions;

    fn decide(view: &CouponView, now: Timestamp) -> Decision {
        for customer in view.customers() {
            if let Some(counts) = settled(&view.of_customer(customer)) {
                return Next::Act(Command::SettleCustomer(customer.to_owned(), counts));
            }
        }
        if let Some(counts) = settled(&view.of_all()) {
            return Next::Write(Box::new(counts));
        }
        let unmarked = |case: &&Case| !view.marked.contains(&case.order.uid) && view.is_out(case);
        match view.cases.iter().find(unmarked) {
            Some(case) => Next::Act(Command::MarkReturned(case.order.clone())),
            None => Next::Wait(view.more.then_some(now)),
        }
    }

    fn check(view: &CouponView, next: &Decision) -> Result<(), Violation> {
        let of_counts = |view: &CountsView, counts: &Redemptions| {
            let state = counts.clone();
            CountsMachine::check(view, &Next::Rest(Rest { state, notes: Vec::new(), wake_at: None }))
        };
        match next {
            Next::Act(Command::SettleCustomer(customer, counts)) => {
                of_counts(&view.of_customer(customer), counts)
            }
            Next::Write(counts) => {
                let kept_first = |case: &Case| view.is_kept_by_customer(case);
                let early = view.cases.iter().find(|case| {
                    let was = view.counts.redemptions.is_reserved(&case.order);
                    counts.is_reserved(&case.order) && !was && !kept_first(case)
                });
                if let Some(case) = early {
                    let rule = "the customer's own counts come first";
                    return Err(Violation::new(rule, case.order.name.clone()));
                }
                of_counts(&view.of_all(), counts)
            }
            Next::Act(Command::MarkReturned(order))
                if !view.cases.iter().any(|case| case.order == *order && view.is_out(case)) =>
            {
                let rule = "a payment says that the coupon was given back once it is out of all counts";
                Err(Violation::new(rule, order.name.clone()))
            }
            Next::Act(Command::MarkReturned(_))
            | Next::Skip
            | Next::Halt(_)
            | Next::Rest(_)
            | Next::Wait(_)
            | Next::Retry(_) => Ok(()),
        }
    }
}

/// The counts that follow, when they are worth a write.
fn settled(view: &CountsView) -> Option<Redemptions> {
    match CountsMachine::decide(view, Timestamp(0)) {
        Next::Rest(rest) => Some(rest.state),
        Next::Act(never) => match never {},
        Next::Skip | Next::Halt(_) | Next::Write(_) | Next::Wait(_) | Next::Retry(_) => None,
    }
}

impl CouponView {
    /// Leaves the cases that would change something, at most as many as are settled at once.
    pub fn keep_what_changes(&mut self) {
        let mut counts = self.counts.clone();
        self.cases.retain(|case| counts.take_in(&case.order, case.customer.as_deref(), case.state));
        self.more = self.cases.len() > ORDERS_PER_WRITE_MAX;
        self.cases.truncate(ORDERS_PER_WRITE_MAX);
    }

    /// The customers whose own counts are settled: where the coupon is limited per customer.
    fn customers(&self) -> BTreeSet<&str> {
        let limited = self.counts.per_customer.is_some();
        self.cases.iter().filter(|_| limited).filter_map(|case| case.customer.as_deref()).collect()
    }

    /// A customer's counts, and their orders.
    fn of_customer(&self, customer: &str) -> CountsView {
        let theirs = self.cases.iter().filter(|case| case.customer.as_deref() == Some(customer));
        CountsView {
            counts: self.counts.of_customers.get(customer).cloned().unwrap_or_default(),
            limit: self.counts.per_customer,
            orders: theirs.map(|case| (case.order.clone(), case.state)).collect(),
        }
    }

    /// The coupon's counts, and all orders. One that its customer's counts do not keep one for asks for none.
    fn of_all(&self) -> CountsView {
        let seen = |case: &Case| {
            let is_refused = case.state == RedemptionState::Requested && !self.is_kept_by_customer(case);
            if is_refused { RedemptionState::Undetermined } else { case.state }
        };
        CountsView {
            counts: self.counts.redemptions.clone(),
            limit: self.counts.limit,
            orders: self.cases.iter().map(|case| (case.order.clone(), seen(case))).collect(),
        }
    }

    /// Whether the customer's own counts keep one for the order, where there are any.
    fn is_kept_by_customer(&self, case: &Case) -> bool {
        let own = || self.counts.of_customers.get(case.customer.as_ref()?);
        self.counts.per_customer.is_none() || own().is_some_and(|own| own.is_reserved(&case.order))
    }

    /// Whether the order gives the coupon back, and is out of all counts.
    fn is_out(&self, case: &Case) -> bool {
        let by_customer = match (self.counts.per_customer, &case.customer) {
            (Some(_), Some(customer)) => {
                self.counts.of_customers.get(customer).is_some_and(|own| own.is_released(&case.order))
            }
            (Some(_), None) | (None, _) => true,
        };
        case.state == RedemptionState::Releasing
            && by_customer
            && self.counts.redemptions.is_released(&case.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phases::{PaymentDesired, PaymentPhase};
    use RedemptionState::{Released, Releasing, Requested};

    fn id(n: usize) -> OrderId {
        OrderId { name: format!("o{n}"), uid: format!("u{n}") }
    }

    fn case(n: usize, customer: &str, state: RedemptionState) -> Case {
        let placed_at = Timestamp(i64::try_from(n).expect("small"));
        Case { order: id(n), placed_at, customer: Some(customer.into()), state }
    }

    fn view(per_customer: Option<i64>, cases: Vec<Case>) -> CouponView {
        let counts = Counts {
            redemptions: Redemptions::default(),
            limit: Some(1),
            per_customer,
            of_customers: std::collections::BTreeMap::new(),
        };
        CouponView { counts, cases, marked: BTreeSet::new(), more: false }
    }

    /// Carries out everything, and names what was done.
    fn all_of(mut view: CouponView) -> (Vec<String>, CouponView) {
        let mut done = Vec::new();
        loop {
            let next = CouponMachine::step(&view, Timestamp(7));
            if let Next::Act(Command::SettleCustomer(customer, counts)) = next {
                done.push(format!("{customer} {}", counts.reserved.len()));
                view.counts.of_customers.insert(customer, counts);
            } else if let Next::Act(Command::MarkReturned(order)) = next {
                done.push(format!("mark {}", order.name));
                view.marked.insert(order.uid);
            } else if let Next::Write(counts) = next {
                done.push(format!("all {}", counts.reserved.len()));
                view.counts.redemptions = *counts;
            } else {
                assert_eq!(next, Next::Wait(view.more.then_some(Timestamp(7))));
                return (done, view);
            }
        }
    }

    #[test]
    fn the_customers_own_counts_come_before_the_coupons() {
        let cases =
            vec![case(1, "jiwoo", Requested), case(2, "minsu", Requested), case(3, "jiwoo", Requested)];
        let (done, after) = all_of(view(Some(1), cases));
        assert_eq!(done, ["jiwoo 1", "minsu 1", "all 1"]);
        assert_eq!(after.counts.redemptions.reserved, [id(1)]);
    }

    #[test]
    fn without_a_limit_per_customer_only_the_coupon_counts() {
        let (done, _) = all_of(view(None, vec![case(1, "jiwoo", Requested), case(2, "minsu", Requested)]));
        assert_eq!(done, ["all 1"]);
    }

    #[test]
    fn a_payment_is_marked_once_and_when_its_order_is_out_of_all_counts() {
        let (done, after) = all_of(view(Some(1), vec![case(1, "jiwoo", Releasing)]));
        assert_eq!(done, ["jiwoo 0", "all 0", "mark o1"]);
        assert!(after.counts.redemptions.is_released(&id(1)));
        let nobody = Case { customer: None, ..case(1, "", Releasing) };
        assert_eq!(all_of(view(Some(1), vec![nobody])).0, ["all 0", "mark o1"]);
    }

    #[test]
    fn who_only_leaves_a_list_comes_first_and_then_who_came_first() {
        let mut cases = vec![case(3, "a", Requested), case(2, "b", Requested), case(9, "c", Released)];
        sort(&mut cases);
        let order: Vec<&str> = cases.iter().map(|case| case.order.name.as_str()).collect();
        assert_eq!(order, ["o9", "o2", "o3"]);
    }

    #[test]
    fn what_changes_nothing_is_left_out_and_of_many_the_first_are_taken() {
        let many = (0..80).map(|n| case(n, "jiwoo", Releasing)).chain([case(99, "jiwoo", Released)]);
        let mut view = view(None, many.collect());
        view.keep_what_changes();
        assert_eq!((view.cases.len(), view.more), (ORDERS_PER_WRITE_MAX, true));
        assert!(all_of(view).1.more, "the others follow at once");
    }

    #[test]
    fn an_order_stands_as_its_payment_does() {
        let record = RedemptionRecord {
            returned: false,
            desired: PaymentDesired::Captured,
            phase: PaymentPhase::Captured,
            attempt: 1,
        };
        let carries = PaymentSeen::Carries(record);
        assert_eq!(standing(true, carries, || false), RedemptionState::Redeemed);
        assert_eq!(standing(false, carries, || false), RedemptionState::None);
        assert_eq!(standing(true, PaymentSeen::Without, || true), RedemptionState::None);
        assert_eq!(standing(true, PaymentSeen::Absent, || true), Requested);
        assert_eq!(standing(true, PaymentSeen::Absent, || false), RedemptionState::Undetermined);
        assert!(is_believed(RedemptionState::Redeemed) && !is_believed(Releasing) && !is_believed(Requested));
    }

    #[test]
    fn a_decision_that_nobody_may_carry_out_is_found_at_its_source() {
        let broken = |view: &CouponView, next: &Decision| {
            CouponMachine::check(view, next).expect_err("a rule is broken").rule
        };
        let releasing = view(None, vec![case(1, "jiwoo", Releasing)]);
        assert_eq!(
            broken(&releasing, &Next::Act(Command::MarkReturned(id(1)))),
            "a payment says that the coupon was given back once it is out of all counts"
        );
        let requested = view(Some(1), vec![case(1, "jiwoo", Requested)]);
        let one = Redemptions { reserved: vec![id(1)], ..Redemptions::default() };
        assert_eq!(broken(&requested, &Next::Write(Box::new(one))), "the customer's own counts come first");
        let two = Redemptions { reserved: vec![id(1), id(2)], ..Redemptions::default() };
        let limit = "a coupon is redeemed as often as it can be";
        assert_eq!(broken(&view(None, Vec::new()), &Next::Write(Box::new(two.clone()))), limit);
        assert_eq!(broken(&requested, &Next::Act(Command::SettleCustomer("jiwoo".into(), two))), limit);
    }
}
