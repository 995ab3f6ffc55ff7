//! What must hold of counts and coupons: what is counted is counted once, and what is given out is never more than there
//! is.

use std::collections::{BTreeMap, BTreeSet};

use fooddelivery_saga::phases::PaymentPhase;

use super::kind::Promises;
use super::{Kind, Oracle, Seen};

/// No order is kept in a count twice, or shown without having earned it.
pub const COUNTED_ONCE: &str = "what is counted was due, and is counted once";
/// Every order is in its count in the end.
pub const COUNTED: &str = "whatever is due is counted";
/// Only whose object is gone leaves the list of a count.
pub const LISTED: &str = "what a count lists stays listed while it is there";
/// No coupon is given out more often than it may.
pub const LIMITS: &str = "a coupon is never given out more often than it may be";
/// A discount is only had by whom the coupon is kept for.
pub const KEPT: &str = "a discount is only taken off for whom the coupon is kept";
/// In the end a coupon counts the orders that have it.
pub const REDEEMED: &str = "a coupon counts the orders that hold it";
/// What an order says is what is paid.
pub const PRICED: &str = "an order's price, discount and store are those of its payment";
/// Riders carry what they can.
pub const CAPACITY: &str = "no rider keeps more claims than they can carry";

type Uids = BTreeSet<String>;

/// What it remembers for that, by uid of the store, rider or coupon; the orders by theirs.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Whether everything is being deleted, whatever it is.
    pub(super) namespace_goes: bool,
    /// What a store has begun to cook.
    begun: BTreeMap<String, Uids>,
    /// What a rider (by name) has brought, and the uid of the rider who was there then.
    brought: BTreeMap<String, BTreeMap<String, Option<String>>>,
    /// What is, or was, in the list of a store or rider: it is kept.
    kept: BTreeMap<String, Uids>,
    /// Who holds a coupon.
    holders: BTreeMap<String, Uids>,
    /// Whose each order is.
    customers: BTreeMap<String, String>,
}

impl Tally {
    fn is_kept(&self, by: &str, order: &str) -> bool {
        self.kept.get(by).is_some_and(|orders| orders.contains(order))
    }

    fn kept_by(&self, uid: &str) -> Uids {
        self.kept.get(uid).cloned().unwrap_or_default()
    }

    fn holders_of(&self, coupon: &str) -> Uids {
        self.holders.get(coupon).cloned().unwrap_or_default()
    }

    fn of_customer(&self, orders: &Uids, customer: &str) -> usize {
        orders.iter().filter(|order| self.customers.get(*order).is_some_and(|c| c == customer)).count()
    }
}

fn size(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Oracle {
    pub(super) fn tally_changed(&mut self, kind: Kind, uid: &str, was: Option<&Seen>, now: &Seen) {
        match kind.promises() {
            Promises::Order => {
                self.tally.customers.insert(uid.to_owned(), now.customer.clone());
                self.is_priced(uid, now);
            }
            Promises::Payment => self.coupon_used(was.is_none(), now),
            Promises::Ticket => self.ticket_counts(was.is_none(), now),
            Promises::Delivery => self.delivery_counts(now),
            Promises::Store => {
                let due = self.tally.begun.get(uid).cloned().unwrap_or_default();
                self.count_changed(Kind::Ticket, &due, uid, was, now);
            }
            Promises::Rider => {
                let brought = self.tally.brought.get(&now.name);
                let due = brought.into_iter().flatten().map(|(order, _)| order.clone()).collect();
                self.count_changed(Kind::Delivery, &due, uid, was, now);
            }
            Promises::Coupon => self.redemptions_changed(uid, now, now.count.limit),
            // Of a coupon that is gone, what a replica makes that does not know that yet goes, too.
            Promises::CouponUse => {
                if let Some(coupon) = self.find(Kind::Coupon, &now.of) {
                    let limit = coupon.count.limit_each;
                    self.redemptions_changed(&now.of, now, limit);
                }
            }
            Promises::Nothing => {}
        }
    }

    fn find(&self, kind: Kind, uid: &str) -> Option<&Seen> {
        self.seen.get(&(kind, uid.to_owned()))
    }

    fn named(&self, kind: Kind, name: &str) -> Option<&str> {
        self.all().find(|(k, _, seen)| *k == kind && seen.name == name).map(|(_, uid, _)| uid)
    }

    /// A total stands in an order's status only with the payment that it is the total of.
    fn is_priced(&mut self, uid: &str, order: &Seen) {
        let Some(payment) = self.child(Kind::Payment, uid) else { return };
        let same = order.total == payment.total
            && order.discount == payment.discount
            && order.store.0 == payment.store.0;
        if order.total.is_some() && payment.total > Some(0) && !same {
            let says = (&order.total, &order.discount, &order.store.0);
            let (name, is) = (&order.name, (&payment.total, &payment.discount, &payment.store.0));
            self.fail(PRICED, format!("{name} says {says:?}, and its payment {is:?}"));
        }
    }

    fn ticket_counts(&mut self, is_new: bool, ticket: &Seen) {
        let (order, store) = (&ticket.of, &ticket.store.1);
        if is_new
            && ticket.stage == "Pending"
            && let Some(payment) = self.child(Kind::Payment, order)
            && payment.store != ticket.store
        {
            let (name, paid) = (&ticket.name, &payment.store);
            self.fail(PRICED, format!("the ticket of {name} goes to {:?}, not to {paid:?}", ticket.store));
        }
        if matches!(ticket.stage.as_str(), "Cooking" | "Cooked" | "Abandoned") {
            self.tally.begun.entry(store.clone()).or_default().insert(order.clone());
        }
    }

    fn delivery_counts(&mut self, delivery: &Seen) {
        let (order, rider) = (&delivery.of, &delivery.rider);
        if delivery.stage == "Delivered" {
            let who = self.named(Kind::Rider, rider).map(str::to_owned);
            self.tally.brought.entry(rider.clone()).or_default().entry(order.clone()).or_insert(who);
        }
    }

    /// The count of a store or rider, whose objects are of a kind: `due` are the orders that may be in it. Nobody has so many
    /// that a list would become long, so that no old cache can show what has left one.
    fn count_changed(&mut self, objects: Kind, due: &Uids, uid: &str, was: Option<&Seen>, now: &Seen) {
        let (name, count) = (&now.name, &now.count);
        let before: &[String] = was.map_or(&[], |was| &was.count.listed);
        for order in count.listed.iter().filter(|order| !before.contains(order)) {
            let is_new = self.tally.kept.entry(uid.to_owned()).or_default().insert(order.clone());
            if !due.contains(order) || !is_new {
                let why = if is_new { "without being due" } else { "a second time" };
                self.fail(COUNTED_ONCE, format!("{name} keeps the order with uid {order} {why}"));
            }
        }
        if let Some(order) = before.iter().find(|order| !count.listed.contains(order))
            && self.child(objects, order).is_some()
        {
            self.fail(LISTED, format!("{name} no longer lists the order with uid {order}, which is there"));
        }
        let kept = size(self.tally.kept_by(uid).len());
        let portions = if objects == Kind::Ticket { count.portions_kept } else { kept };
        if count.kept != kept || portions != kept {
            let (orders, portions) = (count.kept, count.portions_kept);
            self.fail(
                COUNTED_ONCE,
                format!("{name} keeps {orders} orders, {portions} portions; listed were {kept}"),
            );
        }
        let portions = if objects == Kind::Ticket { count.portions } else { count.orders };
        if count.orders > size(due.len()) || portions != count.orders {
            let (orders, due) = (count.orders, due.len());
            self.fail(COUNTED_ONCE, format!("{name} shows {orders} orders, {portions} portions, of {due}"));
        }
    }

    /// The redemptions of the coupon with this uid, over all or of one customer.
    fn redemptions_changed(&mut self, coupon: &str, now: &Seen, limit: Option<i64>) {
        let (name, count) = (&now.name, &now.count);
        let kept: BTreeSet<&String> = count.listed.iter().collect();
        if kept.len() < count.listed.len() || count.releasing.iter().any(|order| kept.contains(order)) {
            self.fail(COUNTED_ONCE, format!("{name} lists an order twice: {count:?}"));
        }
        if limit.is_some_and(|limit| count.orders + size(kept.len()) > limit) {
            self.fail(LIMITS, format!("{name}: {count:?}, of {limit:?}"));
        }
        if count.orders < 0 {
            self.fail(REDEEMED, format!("{name} was redeemed {} times ({coupon})", count.orders));
        }
    }

    /// A payment with a coupon: it is made only when the coupon is kept for its order. A payment that is made too late,
    /// of an order that is gone, never holds one; nor does one of a coupon that is gone count anywhere.
    fn coupon_used(&mut self, is_new: bool, payment: &Seen) {
        let (order, uid) = (&payment.of, &payment.coupon);
        if uid.is_empty() {
            return;
        }
        let undone = payment.desired != "Captured" || PaymentPhase::parse(&payment.phase).is_over();
        if undone {
            self.tally.holders.entry(uid.clone()).or_default().remove(order);
            return;
        }
        if !is_new || self.order(order).is_none() {
            return;
        }
        self.tally.holders.entry(uid.clone()).or_default().insert(order.clone());
        let holders = self.tally.holders_of(uid);
        let customer = self.tally.customers.get(order).cloned().unwrap_or_default();
        let Some(coupon) = self.find(Kind::Coupon, uid).map(|coupon| coupon.count.clone()) else { return };
        let own = self
            .all()
            .find(|(kind, _, seen)| *kind == Kind::CouponUse && seen.of == *uid && seen.customer == customer);
        let is_kept_by_customer = own.is_some_and(|(_, _, own)| own.count.listed.contains(order));
        if !coupon.listed.contains(order) || (coupon.limit_each.is_some() && !is_kept_by_customer) {
            self.fail(KEPT, format!("{} has a discount; the coupon has {coupon:?}", payment.name));
        }
        let each = self.tally.of_customer(&holders, &customer);
        let is_above = |limit: Option<i64>, number: usize| limit.is_some_and(|limit| size(number) > limit);
        if is_above(coupon.limit, holders.len()) || is_above(coupon.limit_each, each) {
            let (all, name) = (holders.len(), &payment.name);
            self.fail(
                LIMITS,
                format!("{name} has a discount, as the {all}th, and the {each}th of its customer"),
            );
        }
    }

    /// What counts goes only when it is kept, unless who counts is gone.
    pub(super) fn ticket_vanished(&mut self, last: &Seen) {
        let (order, store) = (&last.of, &last.store.1);
        let is_due = self.tally.begun.get(store).is_some_and(|orders| orders.contains(order));
        let is_owed = is_due && !self.tally.is_kept(store, order) && self.find(Kind::Store, store).is_some();
        if is_owed && !self.tally.namespace_goes {
            self.fail(COUNTED, format!("the ticket of {} is gone, and in no count", last.name));
        }
    }

    /// A rider is only known by name: who was there when the food arrived, and is still there, keeps it.
    pub(super) fn delivery_vanished(&mut self, last: &Seen) {
        let who = self.tally.brought.get(&last.rider).and_then(|orders| orders.get(&last.of)?.clone());
        let Some(rider) = who.filter(|uid| self.find(Kind::Rider, uid).is_some()) else { return };
        if !self.tally.is_kept(&rider, &last.of) && !self.tally.namespace_goes {
            self.fail(COUNTED, format!("the delivery of {} is gone, and in no count", last.name));
        }
    }

    /// Who has more claims than they can carry, and has not picked all of them up.
    pub(crate) fn overloaded(&self) -> Option<String> {
        let riders = self.all().filter(|(kind, ..)| *kind == Kind::Rider);
        riders.map(|(_, _, rider)| rider).find_map(|rider| {
            let carried = |stage: &str| {
                let own = self.all().filter(|(kind, _, seen)| {
                    *kind == Kind::Delivery && seen.rider == rider.name && seen.stage == stage
                });
                size(own.count())
            };
            let (waiting, picked_up) = (carried("Waiting"), carried("PickedUp"));
            let is_too_much =
                waiting > 0 && rider.count.limit.is_some_and(|limit| waiting + picked_up > limit);
            is_too_much.then(|| format!("{} has claimed {waiting}, and carries {picked_up}", rider.name))
        })
    }

    /// The counts once everything has come to rest.
    pub(super) fn counts_rest(&mut self) {
        let mut wrong = Vec::new();
        for (kind, uid, seen) in self.all() {
            match kind.promises() {
                Promises::Store | Promises::Rider => {
                    let due = self.due_of(uid, seen);
                    if size(due) != seen.count.orders {
                        let shown = seen.count.orders;
                        wrong.push((COUNTED, format!("{} shows {shown} orders, of {due}", seen.name)));
                    }
                }
                Promises::Coupon => {
                    let holders = self.tally.holders_of(uid);
                    wrong.extend(rests(seen, holders.len()));
                    wrong.extend(self.without_counts(uid, seen, &holders));
                }
                Promises::CouponUse => {
                    if self.find(Kind::Coupon, &seen.of).is_some() {
                        let holders =
                            self.tally.of_customer(&self.tally.holders_of(&seen.of), &seen.customer);
                        wrong.extend(rests(seen, holders));
                    }
                }
                Promises::Order
                | Promises::Payment
                | Promises::Ticket
                | Promises::Delivery
                | Promises::Nothing => {}
            }
        }
        for (property, sentence) in wrong {
            self.fail(property, sentence);
        }
    }

    /// How many orders a store or rider has to show: what it keeps, and what is there. Of a rider that is whatever names them,
    /// also what one of their name brought before them.
    fn due_of(&self, uid: &str, by: &Seen) -> usize {
        let mut due = self.tally.kept_by(uid);
        let is_there = |kind: Kind, order: &String| self.child(kind, order).is_some();
        let begun = self.tally.begun.get(uid).into_iter().flatten();
        due.extend(begun.filter(|order| is_there(Kind::Ticket, order)).cloned());
        let brought = self.tally.brought.get(&by.name).into_iter().flatten().map(|(order, _)| order);
        due.extend(brought.filter(|order| is_there(Kind::Delivery, order)).cloned());
        due.len()
    }

    /// Customers who hold a coupon that is limited per customer, and have no counts.
    fn without_counts(&self, uid: &str, coupon: &Seen, holders: &Uids) -> Option<(&'static str, String)> {
        coupon.count.limit_each?;
        let has_counts = |customer: &String| {
            let is_own = |seen: &Seen| seen.of == uid && seen.customer == *customer;
            self.all().any(|(kind, _, seen)| kind == Kind::CouponUse && is_own(seen))
        };
        let customers = holders.iter().filter_map(|order| self.tally.customers.get(order));
        let without = customers.into_iter().find(|customer| !has_counts(customer))?;
        Some((REDEEMED, format!("{without} holds {} and has no counts", coupon.name)))
    }
}

fn rests(seen: &Seen, holders: usize) -> Option<(&'static str, String)> {
    let is_right = seen.count.orders == size(holders) && seen.count.listed.is_empty();
    (!is_right).then(|| (REDEEMED, format!("{} has {:?}, and {holders} hold it", seen.name, seen.count)))
}
