//! Counts that are exact: every order is in them once, whatever crashes, is repeated or is seen late.
//!
//! What a count shows is the sum of two: what the objects that are there come to (*live*), and what was kept of those that
//! are gone (the *base*). The first is derived from caches, and as old as they are; the second must never be wrong. So an
//! object that counts goes only after its order was put into the base and into the list of those that depart, in one
//! compare-and-set, and what is listed is not live any more. It is put in only when it was read *after* the copy of the
//! count that is written over: had it been put in before, it would be in the list, which it leaves only when its object is
//! gone; if it is put in meanwhile, the compare-and-set fails.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::marker::PhantomData;

use crate::machine::{Next, Rest, StateMachine, Violation};
use crate::time::Timestamp;

/// At most so many orders stand in a list: what it takes until their objects are gone, with room.
pub const LIST_LIMIT: usize = 100;

/// Whether a list is half full: then it is worth a live look, and a write, that somebody may leave it.
pub fn is_long(listed: usize) -> bool {
    listed > LIST_LIMIT / 2
}

/// An order, by what its objects are called and by what tells it from its namesakes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What orders add up to.
pub trait Tally: Clone + Default + PartialEq {
    /// What an order adds to it.
    type Entry: Clone;
    /// What it is kept within.
    type Bounds;

    /// Adds an order.
    fn put_in(&mut self, entry: &Self::Entry);
    /// Undoes that.
    fn take_out(&mut self, entry: &Self::Entry);
    /// Adds all orders of another.
    fn merge(&mut self, other: &Self);
    /// Makes it no longer than it may be, without losing an order.
    fn keep_within(&mut self, bounds: &Self::Bounds);
}

/// A count, as it stands in a status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Count<C> {
    /// What it shows.
    pub shown: C,
    /// What it keeps of orders whose objects are gone or may go.
    pub base: C,
    /// Those of them whose objects may still be there.
    pub departing: Vec<OrderId>,
}

/// All that a decision about a count depends on.
#[derive(Debug, Clone)]
pub struct CounterView<C: Tally> {
    /// The count, in the copy that is written over.
    pub count: Count<C>,
    /// What the objects in the caches come to, but for those of orders in the list.
    pub live: C,
    /// Number of orders that are not listed and leave, by the caches.
    pub candidates: usize,
    /// Number of them whose objects were read live, after that copy was taken.
    pub read: usize,
    /// Those of them whose objects are there, count, and are about to go.
    pub leaving: Vec<(OrderId, C::Entry)>,
    /// Uids of listed orders whose objects are gone: from the caches, and live.
    pub gone: BTreeSet<String>,
    /// What the count is kept within.
    pub bounds: C::Bounds,
}

/// What a count is to show.
pub fn shown<C: Tally>(base: &C, live: &C, bounds: &C::Bounds) -> C {
    let mut shown = base.clone();
    shown.merge(live);
    shown.keep_within(bounds);
    shown
}

/// The decisions about a count. They command nothing.
#[derive(Debug, Clone, Copy)]
pub struct CounterMachine<C>(PhantomData<C>);

impl<C: Tally> StateMachine for CounterMachine<C> {
    type View = CounterView<C>;
    type Command = Infallible;
    type Status = Count<C>;

    fn decide(view: &CounterView<C>, now: Timestamp) -> Next<Infallible, Count<C>> {
        let (next, joined) = next(view);
        // If nobody joined, the list is full, and has room when the objects of those in it are gone.
        let came_further = joined > 0 || view.leaving.len() < view.read;
        let wake_at = (came_further && view.candidates > view.read).then_some(now);
        if next == view.count {
            return Next::Wait(wake_at);
        }
        Next::Rest(Rest { state: next, notes: Vec::new(), wake_at })
    }

    fn check(view: &CounterView<C>, next: &Next<Infallible, Count<C>>) -> Result<(), Violation> {
        let Next::Rest(Rest { state, .. }) = next else { return Ok(()) };
        let old = &view.count;
        if state.departing.len() > LIST_LIMIT.max(old.departing.len()) {
            return Err(Violation::new("the list of a count is bounded", state.departing.len().to_string()));
        }
        let uids = |list: &[OrderId]| list.iter().map(|id| id.uid.clone()).collect::<BTreeSet<String>>();
        let (was, is) = (uids(&old.departing), uids(&state.departing));
        if let Some(lost) = was.difference(&is).find(|uid| !view.gone.contains(*uid)) {
            return Err(Violation::new("only whose object is gone leaves the list", lost.clone()));
        }
        let mut base = old.base.clone();
        for uid in is.difference(&was) {
            let Some((_, entry)) = view.leaving.iter().find(|(id, _)| id.uid == *uid) else {
                return Err(Violation::new("only who leaves joins the list", uid.clone()));
            };
            base.put_in(entry);
        }
        if is != was {
            base.keep_within(&view.bounds);
        }
        let kept = is.is_subset(&was) && state.base == old.base;
        if !kept && state.base != base {
            let detail = format!("{:?}", state.departing);
            return Err(Violation::new(
                "what is kept grows by who joins the list, and by nobody else",
                detail,
            ));
        }
        Ok(())
    }
}

/// The count as it is to stand, and how many have joined the list.
fn next<C: Tally>(view: &CounterView<C>) -> (Count<C>, usize) {
    let old = &view.count;
    let (mut base, mut live) = (old.base.clone(), view.live.clone());
    let stays = |id: &&OrderId| !view.gone.contains(&id.uid);
    let mut departing: Vec<OrderId> = old.departing.iter().filter(stays).cloned().collect();
    let mut joined = 0;
    for (id, entry) in &view.leaving {
        let is_known = old.departing.iter().chain(&departing).any(|known| known.uid == id.uid);
        if departing.len() < LIST_LIMIT && !is_known {
            departing.push(id.clone());
            base.put_in(entry);
            live.take_out(entry);
            joined += 1;
        }
    }
    if joined > 0 {
        base.keep_within(&view.bounds);
    }
    (Count { shown: shown(&base, &live, &view.bounds), base, departing }, joined)
}

/// How many deliveries a rider brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deliveries(pub i64);

impl Tally for Deliveries {
    type Entry = ();
    type Bounds = ();

    fn put_in(&mut self, (): &()) {
        self.0 = self.0.saturating_add(1);
    }

    fn take_out(&mut self, (): &()) {
        self.0 = self.0.saturating_sub(1);
    }

    fn merge(&mut self, other: &Self) {
        self.0 = self.0.saturating_add(other.0);
    }

    fn keep_within(&mut self, (): &()) {}
}

/// How often one dish was ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DishCount {
    /// In how many orders it was.
    pub orders: i64,
    /// How many portions.
    pub quantity: i64,
}

impl DishCount {
    fn add(&mut self, other: Self) {
        self.orders = self.orders.saturating_add(other.orders);
        self.quantity = self.quantity.saturating_add(other.quantity);
    }

    fn subtract(&mut self, other: Self) {
        self.orders = self.orders.saturating_sub(other.orders);
        self.quantity = self.quantity.saturating_sub(other.quantity);
    }
}

/// A store's counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dishes {
    /// Dish by dish.
    pub listed: BTreeMap<String, DishCount>,
    /// The sums over dishes that are no longer listed.
    pub retired: DishCount,
}

/// So many dishes that are no longer on the menu are still listed.
pub const RETIRED_LISTED: usize = 50;

impl Tally for Dishes {
    /// An order's lines: a dish, and how many of it.
    type Entry = Vec<(String, i64)>;
    /// The names of the dishes on the menu.
    type Bounds = BTreeSet<String>;

    fn put_in(&mut self, lines: &Self::Entry) {
        for (name, count) in by_dish(lines) {
            self.listed.entry(name.to_owned()).or_default().add(count);
        }
    }

    fn take_out(&mut self, lines: &Self::Entry) {
        for (name, count) in by_dish(lines) {
            if let Some(dish) = self.listed.get_mut(name) {
                dish.subtract(count);
            }
        }
        self.listed.retain(|_, dish| *dish != DishCount::default());
    }

    fn merge(&mut self, other: &Self) {
        for (name, count) in &other.listed {
            self.listed.entry(name.clone()).or_default().add(*count);
        }
        self.retired.add(other.retired);
    }

    /// Dishes that are no longer on the menu do not grow the list for ever: of those the least ordered are added up.
    fn keep_within(&mut self, menu: &BTreeSet<String>) {
        let off_menu = self.listed.iter().filter(|(name, _)| !menu.contains(*name));
        let mut gone: Vec<(i64, String)> = off_menu.map(|(name, dish)| (dish.orders, name.clone())).collect();
        gone.sort_by(|(a, name), (b, other)| b.cmp(a).then_with(|| name.cmp(other)));
        for (_, name) in gone.into_iter().skip(RETIRED_LISTED) {
            if let Some(dish) = self.listed.remove(&name) {
                self.retired.add(dish);
            }
        }
    }
}

/// Where two counts of a store differ: in how many orders a dish was, by the one and by the other. Dishes that are off the
/// menu and that not both of them list are one, without a name: each lists some of them and adds up the others, and which,
/// changes with the menu.
pub fn differences(
    shown: &Dishes,
    right: &Dishes,
    menu: &BTreeSet<String>,
) -> Vec<(Option<String>, i64, i64)> {
    let is_named = |name: &String| {
        menu.contains(name) || (shown.listed.contains_key(name) && right.listed.contains_key(name))
    };
    let named: BTreeSet<&String> =
        shown.listed.keys().chain(right.listed.keys()).filter(|name| is_named(name)).collect();
    let orders = |dishes: &Dishes, name: &String| dishes.listed.get(name).map_or(0, |dish| dish.orders);
    let others = |dishes: &Dishes| {
        let listed = dishes.listed.iter().filter(|(name, _)| !is_named(name));
        listed.fold(dishes.retired.orders, |sum, (_, dish)| sum.saturating_add(dish.orders))
    };
    let by_name =
        named.into_iter().map(|name| (Some(name.clone()), orders(shown, name), orders(right, name)));
    let all = by_name.chain([(None, others(shown), others(right))]);
    all.filter(|(_, shown, right)| shown != right).collect()
}

/// What an order's lines add to each dish: one order each, however many lines have it.
fn by_dish(lines: &[(String, i64)]) -> BTreeMap<&str, DishCount> {
    let mut dishes: BTreeMap<&str, DishCount> = BTreeMap::new();
    for (name, quantity) in lines {
        let dish = dishes.entry(name).or_default();
        dish.orders = 1;
        dish.quantity = dish.quantity.saturating_add(*quantity);
    }
    dishes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> OrderId {
        OrderId { name: format!("o{n}"), uid: format!("u{n}") }
    }

    fn count(shown: i64, base: i64, departing: usize) -> Count<Deliveries> {
        let departing = (0..departing).map(id).collect();
        Count { shown: Deliveries(shown), base: Deliveries(base), departing }
    }

    fn view(count: Count<Deliveries>, live: i64, leaving: &[usize]) -> CounterView<Deliveries> {
        CounterView {
            count,
            live: Deliveries(live),
            candidates: leaving.len(),
            read: leaving.len(),
            leaving: leaving.iter().map(|n| (id(*n), ())).collect(),
            gone: BTreeSet::new(),
            bounds: (),
        }
    }

    fn decided(view: &CounterView<Deliveries>) -> Next<Infallible, Count<Deliveries>> {
        CounterMachine::step(view, Timestamp(9))
    }

    fn written(view: &CounterView<Deliveries>) -> Count<Deliveries> {
        let Next::Rest(Rest { state, .. }) = decided(view) else { panic!("a write") };
        state
    }

    #[test]
    fn what_is_shown_is_what_is_kept_and_what_is_there() {
        assert_eq!(decided(&view(count(7, 4, 1), 3, &[])), Next::Wait(None), "as it stands");
        assert_eq!(written(&view(count(7, 4, 1), 5, &[])), count(9, 4, 1));
    }

    #[test]
    fn who_leaves_is_kept_and_listed_once_and_what_is_shown_stays() {
        let view = view(count(7, 4, 1), 3, &[0, 1, 1]);
        let next = written(&view);
        assert_eq!(
            (next.shown, next.base, next.departing),
            (Deliveries(7), Deliveries(5), vec![id(0), id(1)])
        );
    }

    #[test]
    fn who_is_gone_leaves_the_list_and_stays_in_what_is_kept() {
        let mut view = view(count(7, 4, 2), 3, &[]);
        view.gone = [id(0).uid].into();
        let next = written(&view);
        assert_eq!((next.base, next.departing), (Deliveries(4), vec![id(1)]));
    }

    #[test]
    fn a_full_list_takes_nobody_and_one_with_room_as_many_as_fit() {
        let full = count(LIST_LIMIT_I64, LIST_LIMIT_I64, LIST_LIMIT);
        let mut view = view(full, 2, &[500, 501]);
        view.count.shown.0 += 2;
        view.candidates = 60;
        assert_eq!(decided(&view), Next::Wait(None), "and looks at nobody again in vain");
        view.gone = [id(7).uid].into();
        let next = written(&view);
        assert_eq!((next.base.0, next.departing.len()), (LIST_LIMIT_I64 + 1, LIST_LIMIT));
    }

    const LIST_LIMIT_I64: i64 = 100;

    #[test]
    fn where_not_all_could_be_read_the_rest_follows_at_once() {
        let mut view = view(count(3, 0, 0), 3, &[1]);
        view.candidates = 60;
        let Next::Rest(Rest { wake_at, .. }) = decided(&view) else { panic!("a write") };
        assert_eq!(wake_at, Some(Timestamp(9)));
        (view.leaving, view.read) = (Vec::new(), 50);
        assert_eq!(decided(&view), Next::Wait(Some(Timestamp(9))), "those turned out to be gone");
    }

    #[test]
    fn a_count_that_nobody_may_write_is_found_at_its_source() {
        let view = view(count(5, 2, 2), 3, &[5]);
        let broken = |departing: Vec<OrderId>, base: i64| {
            let state = Count { shown: Deliveries(5), base: Deliveries(base), departing };
            let next = Next::Rest(Rest { state, notes: Vec::new(), wake_at: None });
            CounterMachine::check(&view, &next).expect_err("a rule is broken").rule
        };
        assert_eq!(broken((0..=LIST_LIMIT).map(id).collect(), 3), "the list of a count is bounded");
        assert_eq!(broken(vec![id(0), id(5)], 3), "only whose object is gone leaves the list");
        assert_eq!(broken(vec![id(0), id(1), id(6)], 3), "only who leaves joins the list");
        let grows = "what is kept grows by who joins the list, and by nobody else";
        assert_eq!(broken(vec![id(0), id(1)], 3), grows);
        assert_eq!(broken(vec![id(0), id(1), id(5)], 2), grows);
    }

    fn lines(lines: &[(&str, i64)]) -> Vec<(String, i64)> {
        lines.iter().map(|(name, quantity)| ((*name).to_owned(), *quantity)).collect()
    }

    #[test]
    fn a_dish_counts_once_for_an_order_that_has_it_twice() {
        let mut dishes = Dishes::default();
        let twice = lines(&[("rice", 2), ("soup", 1), ("rice", 3)]);
        dishes.put_in(&twice);
        dishes.put_in(&lines(&[("rice", 1)]));
        assert_eq!(dishes.listed["rice"], DishCount { orders: 2, quantity: 6 });
        dishes.take_out(&twice);
        let left = BTreeMap::from([("rice".to_owned(), DishCount { orders: 1, quantity: 1 })]);
        assert_eq!(dishes, Dishes { listed: left, retired: DishCount::default() });
    }

    #[test]
    fn dishes_that_are_gone_do_not_grow_the_list_and_nothing_is_lost() {
        let menu: BTreeSet<String> = ["today".to_owned()].into();
        let mut base = Dishes::default();
        let mut live = Dishes::default();
        for n in 0..500 {
            let dishes = if n % 2 == 0 { &mut base } else { &mut live };
            dishes.put_in(&lines(&[(&format!("dish{n}"), 2), ("today", 1)]));
            base.keep_within(&menu);
        }
        let shown = shown(&base, &live, &menu);
        assert_eq!((base.listed.len(), shown.listed.len()), (RETIRED_LISTED + 1, RETIRED_LISTED + 1));
        let mut all = shown.retired;
        shown.listed.values().for_each(|dish| all.add(*dish));
        assert_eq!(all, DishCount { orders: 1_000, quantity: 1_500 });
    }

    #[test]
    fn a_dish_that_has_left_the_menu_differs_once_and_only_if_its_orders_do() {
        let menu: BTreeSet<String> = ["rice".to_owned()].into();
        let mut all = Dishes::default();
        all.put_in(&lines(&[("rice", 1), ("old", 1), ("older", 1)]));
        let mut added_up = all.clone();
        added_up.retired.add(added_up.listed.remove("old").unwrap());
        assert_eq!(differences(&all, &added_up, &menu), [], "one lists what the other adds up");
        assert_eq!(differences(&added_up, &all, &menu), []);
        let mut more = added_up.clone();
        more.put_in(&lines(&[("rice", 1), ("older", 1), ("old", 2)]));
        let named = |name: &str, shown, right| (Some(name.to_owned()), shown, right);
        let found = differences(&added_up, &more, &menu);
        assert_eq!(found, [named("older", 1, 2), named("rice", 1, 2), (None, 1, 2)]);
        assert_eq!(differences(&Dishes::default(), &all, &menu), [named("rice", 0, 1), (None, 0, 2)]);
    }

    #[test]
    fn where_an_order_goes_that_had_dishes_of_an_old_menu_what_is_shown_still_follows_from_the_rest() {
        let bounds: BTreeSet<String> = BTreeSet::new();
        let mut live = Dishes::default();
        for n in 0..80 {
            live.put_in(&lines(&[(&format!("dish{n}"), 1)]));
        }
        let first = Count { shown: shown(&Dishes::default(), &live, &bounds), ..Count::default() };
        let leaving: Vec<_> = (0..80).map(|n| (id(n), lines(&[(&format!("dish{n}"), 1)]))).collect();
        let mut view = CounterView {
            count: first,
            live,
            candidates: 80,
            read: 80,
            leaving,
            gone: BTreeSet::new(),
            bounds,
        };
        let Next::Rest(Rest { state, .. }) = CounterMachine::step(&view, Timestamp(9)) else {
            panic!("a write")
        };
        (view.count, view.live, view.leaving) = (state, Dishes::default(), Vec::new());
        (view.candidates, view.read) = (0, 0);
        assert_eq!(CounterMachine::step(&view, Timestamp(9)), Next::Wait(None), "nothing is left to write");
    }
}
