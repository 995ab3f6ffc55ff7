//! Counts that are exact: every order is in them once, whatever crashes, is repeated or is seen late.
//!
//! A count and the list of the orders that were last put into it change in one compare-and-set; then the counted object
//! is marked; then its order leaves the list, with some later write. An order is put in only when its object was read
//! *after* the copy of the count that is written over, and bore no mark: had it been counted before, it would be in the
//! list, or marked; if it is counted meanwhile, the compare-and-set fails.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::marker::PhantomData;

use crate::machine::{Next, Rest, StateMachine, Violation};
use crate::time::Timestamp;

/// At most so many orders stand in a list: what it takes until they are marked, with room.
pub const LIST_LIMIT: usize = 100;

/// Whether a list is half full: then it is worth a write, or a live look, that somebody may leave it.
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

/// What comes of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<T> {
    /// What is added to the count now.
    pub added: Vec<T>,
    /// The orders that the list then has.
    pub list: Vec<OrderId>,
}

/// Puts `owed` into a count whose list is `list`; `settled` may leave it. `None` when nothing is worth a write: that
/// orders may leave the list is, only when it is half full.
pub fn batch<T>(list: &[OrderId], owed: Vec<(OrderId, T)>, settled: &BTreeSet<String>) -> Option<Batch<T>> {
    let mut kept: Vec<OrderId> = list.iter().filter(|id| !settled.contains(&id.uid)).cloned().collect();
    let mut added = Vec::new();
    for (id, what) in owed {
        let known = list.iter().chain(&kept).any(|known| known.uid == id.uid);
        if kept.len() < LIST_LIMIT && !known {
            kept.push(id);
            added.push(what);
        }
    }
    let makes_room = kept.len() < list.len() && is_long(list.len());
    (!added.is_empty() || makes_room).then_some(Batch { added, list: kept })
}

/// A count of some kind.
pub trait Tally: Clone {
    /// What an order adds to it.
    type Entry: Clone;

    /// Adds orders, each of them once.
    fn put_in(&mut self, entries: Vec<Self::Entry>);
}

/// All that a decision about a count depends on.
#[derive(Debug, Clone)]
pub struct CounterView<C: Tally> {
    /// The count, in the copy that is written over.
    pub tally: C,
    /// The orders that were put into it last, in the same copy.
    pub list: Vec<OrderId>,
    /// Number of orders that are neither marked nor listed, by the caches.
    pub candidates: usize,
    /// Number of them that were read live, after that copy was taken.
    pub read: usize,
    /// Those of them that turned out to belong into the count, and bear no mark.
    pub owed: Vec<(OrderId, C::Entry)>,
    /// Uids of listed orders whose objects are marked, or gone.
    pub settled: BTreeSet<String>,
}

/// A count, as it is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count<C> {
    /// The count.
    pub tally: C,
    /// The orders that were put into it last.
    pub list: Vec<OrderId>,
    /// Number of orders that are in it now and were not before.
    pub added: usize,
}

/// The decisions about a count. They command nothing.
#[derive(Debug, Clone, Copy)]
pub struct CounterMachine<C>(PhantomData<C>);

impl<C: Tally> StateMachine for CounterMachine<C> {
    type View = CounterView<C>;
    type Command = Infallible;
    type Status = Count<C>;

    fn decide(view: &CounterView<C>, now: Timestamp) -> Next<Infallible, Count<C>> {
        let batch = batch(&view.list, view.owed.clone(), &view.settled);
        // If not, the list is full, and has room when those in it say that they are counted.
        let came_further = batch.is_some() || view.owed.len() < view.read;
        let wake_at = (came_further && view.candidates > view.read).then_some(now);
        let Some(Batch { added: entries, list }) = batch else { return Next::Wait(wake_at) };
        let (mut tally, added) = (view.tally.clone(), entries.len());
        tally.put_in(entries);
        Next::Rest(Rest { state: Count { tally, list, added }, notes: Vec::new(), wake_at })
    }

    fn check(view: &CounterView<C>, next: &Next<Infallible, Count<C>>) -> Result<(), Violation> {
        let Next::Rest(Rest { state, .. }) = next else { return Ok(()) };
        if state.list.len() > LIST_LIMIT.max(view.list.len()) {
            return Err(Violation::new("the list of a count is bounded", state.list.len().to_string()));
        }
        let uids = |list: &[OrderId]| list.iter().map(|id| id.uid.clone()).collect::<BTreeSet<String>>();
        let (was, is) = (uids(&view.list), uids(&state.list));
        if let Some(lost) = was.difference(&is).find(|uid| !view.settled.contains(*uid)) {
            return Err(Violation::new("only who is marked or gone leaves the list", lost.clone()));
        }
        let new: BTreeSet<&String> = is.difference(&was).collect();
        let is_owed = |uid: &String| view.owed.iter().any(|(id, _)| id.uid == *uid);
        if new.len() != state.added || !new.into_iter().all(is_owed) {
            let detail = format!("{} of {:?}", state.added, state.list);
            return Err(Violation::new("who is counted was owed, and is listed", detail));
        }
        Ok(())
    }
}

/// How many deliveries a rider brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deliveries(pub i64);

impl Tally for Deliveries {
    type Entry = ();

    fn put_in(&mut self, entries: Vec<()>) {
        self.0 = self.0.saturating_add(i64::try_from(entries.len()).unwrap_or(i64::MAX));
    }
}

/// A store's counts, and the names of the dishes on its menu.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MenuCounts {
    /// The counts.
    pub dishes: Dishes,
    /// The menu.
    pub menu: BTreeSet<String>,
}

impl Tally for MenuCounts {
    /// An order's lines: a dish, and how many of it.
    type Entry = Vec<(String, i64)>;

    fn put_in(&mut self, entries: Vec<Self::Entry>) {
        for lines in &entries {
            self.dishes.add(lines);
        }
        self.dishes.retire(&self.menu);
    }
}

/// How often one dish was ordered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DishCount {
    /// The dish.
    pub menu_item: String,
    /// In how many orders it was.
    pub orders: i64,
    /// How many portions.
    pub quantity: i64,
}

/// A store's counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dishes {
    /// Dish by dish.
    pub listed: Vec<DishCount>,
    /// The sums of what is no longer listed: orders and portions.
    pub retired: (i64, i64),
}

/// So many dishes that are no longer on the menu are still listed.
pub const RETIRED_LISTED: usize = 50;

impl Dishes {
    /// Adds an order: each dish once, however many lines have it.
    pub fn add(&mut self, lines: &[(String, i64)]) {
        let names: BTreeSet<&String> = lines.iter().map(|(name, _)| name).collect();
        for name in names {
            let quantity: i64 = lines.iter().filter(|(n, _)| n == name).map(|(_, quantity)| quantity).sum();
            let found = self.listed.iter().position(|dish| dish.menu_item == *name);
            let place = found.unwrap_or_else(|| {
                self.listed.push(DishCount { menu_item: name.clone(), ..DishCount::default() });
                self.listed.len() - 1
            });
            if let Some(dish) = self.listed.get_mut(place) {
                dish.orders = dish.orders.saturating_add(1);
                dish.quantity = dish.quantity.saturating_add(quantity);
            }
        }
    }

    /// Dishes that are no longer on the menu do not grow the list for ever: of those the least ordered are added up.
    pub fn retire(&mut self, menu: &BTreeSet<String>) {
        let mut gone: Vec<DishCount> =
            self.listed.iter().filter(|dish| !menu.contains(&dish.menu_item)).cloned().collect();
        gone.sort_by(|a, b| b.orders.cmp(&a.orders).then_with(|| a.menu_item.cmp(&b.menu_item)));
        for dish in gone.into_iter().skip(RETIRED_LISTED) {
            self.retired.0 = self.retired.0.saturating_add(dish.orders);
            self.retired.1 = self.retired.1.saturating_add(dish.quantity);
            self.listed.retain(|kept| kept.menu_item != dish.menu_item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> OrderId {
        OrderId { name: format!("o{n}"), uid: format!("u{n}") }
    }

    fn settled(of: &[usize]) -> BTreeSet<String> {
        of.iter().map(|n| id(*n).uid).collect()
    }

    #[test]
    fn what_is_owed_is_added_and_listed_once() {
        let batch =
            batch(&[id(1)], vec![(id(1), "a"), (id(2), "b"), (id(2), "b")], &settled(&[])).expect("a write");
        assert_eq!((batch.added.len(), batch.list), (1, vec![id(1), id(2)]));
    }

    #[test]
    fn that_somebody_may_leave_the_list_is_alone_not_worth_a_write() {
        assert_eq!(batch::<()>(&[id(1)], vec![], &settled(&[1])), None);
        let gone = batch(&[id(1)], vec![(id(2), ())], &settled(&[1])).expect("a write");
        assert_eq!(gone.list, vec![id(2)]);
        let long: Vec<OrderId> = (0..=LIST_LIMIT / 2).map(id).collect();
        let room = batch::<()>(&long, vec![], &settled(&[0])).expect("a write");
        assert_eq!(room.list.len(), LIST_LIMIT / 2);
    }

    #[test]
    fn a_full_list_takes_nobody() {
        let full: Vec<OrderId> = (0..LIST_LIMIT).map(id).collect();
        assert_eq!(batch(&full, vec![(id(500), ())], &settled(&[])), None);
        let batch = batch(&full, vec![(id(500), ()), (id(501), ())], &settled(&[7])).expect("a write");
        assert_eq!((batch.added.len(), batch.list.len()), (1, LIST_LIMIT));
    }

    fn view(listed: usize, candidates: usize, owed: &[usize]) -> CounterView<Deliveries> {
        CounterView {
            tally: Deliveries(7),
            list: (0..listed).map(id).collect(),
            candidates,
            read: candidates.min(50),
            owed: owed.iter().map(|n| (id(*n), ())).collect(),
            settled: BTreeSet::new(),
        }
    }

    fn decided(view: &CounterView<Deliveries>) -> Next<Infallible, Count<Deliveries>> {
        CounterMachine::step(view, Timestamp(9))
    }

    #[test]
    fn what_was_found_to_be_owed_is_counted_in_one_write() {
        let Next::Rest(Rest { state, wake_at, .. }) = decided(&view(1, 2, &[1, 2])) else {
            panic!("a write");
        };
        assert_eq!((state.tally, state.added, wake_at), (Deliveries(9), 2, None));
        assert_eq!(state.list, [id(0), id(1), id(2)]);
    }

    #[test]
    fn where_not_all_could_be_read_the_rest_follows_at_once() {
        let Next::Rest(Rest { wake_at, .. }) = decided(&view(0, 60, &[1])) else { panic!("a write") };
        assert_eq!(wake_at, Some(Timestamp(9)));
        assert_eq!(
            decided(&view(0, 60, &[])),
            Next::Wait(Some(Timestamp(9))),
            "those turned out to be counted"
        );
        assert_eq!(decided(&view(0, 1, &[])), Next::Wait(None));
    }

    #[test]
    fn behind_a_full_list_nobody_is_looked_at_again_in_vain() {
        let owed: Vec<usize> = (LIST_LIMIT..LIST_LIMIT + 50).collect();
        assert_eq!(decided(&view(LIST_LIMIT, 60, &owed)), Next::Wait(None));
    }

    #[test]
    fn a_count_that_nobody_may_write_is_found_at_its_source() {
        let view = view(2, 1, &[5]);
        let broken = |list: Vec<OrderId>, added: usize| {
            let state = Count { tally: Deliveries(8), list, added };
            let next = Next::Rest(Rest { state, notes: Vec::new(), wake_at: None });
            CounterMachine::check(&view, &next).expect_err("a rule is broken").rule
        };
        assert_eq!(broken((0..=LIST_LIMIT).map(id).collect(), 1), "the list of a count is bounded");
        assert_eq!(broken(vec![id(0), id(5)], 1), "only who is marked or gone leaves the list");
        assert_eq!(broken(vec![id(0), id(1), id(6)], 1), "who is counted was owed, and is listed");
        assert_eq!(broken(vec![id(0), id(1)], 1), "who is counted was owed, and is listed");
    }

    #[test]
    fn a_store_counts_dishes_and_forgets_no_portion_of_those_that_left_the_menu() {
        let mut counts = MenuCounts { menu: ["rice".to_owned()].into(), ..MenuCounts::default() };
        let entries = (0..200).map(|n| vec![("rice".to_owned(), 1), (format!("dish{n}"), 2)]).collect();
        counts.put_in(entries);
        assert_eq!(counts.dishes.listed.len(), RETIRED_LISTED + 1);
        assert_eq!(counts.dishes.retired, (150, 300));
    }

    #[test]
    fn a_dish_counts_once_for_an_order_that_has_it_twice() {
        let mut dishes = Dishes::default();
        dishes.add(&[("rice".into(), 2), ("soup".into(), 1), ("rice".into(), 3)]);
        dishes.add(&[("rice".into(), 1)]);
        let rice = dishes.listed.iter().find(|d| d.menu_item == "rice").expect("it is listed");
        assert_eq!((rice.orders, rice.quantity), (2, 6));
    }

    #[test]
    fn dishes_that_are_gone_do_not_grow_the_list_and_nothing_is_lost() {
        let mut dishes = Dishes::default();
        let menu: BTreeSet<String> = ["today".to_owned()].into();
        for n in 0..500 {
            dishes.add(&[(format!("dish{n}"), 2), ("today".into(), 1)]);
            dishes.retire(&menu);
        }
        assert_eq!(dishes.listed.len(), RETIRED_LISTED + 1);
        let orders: i64 = dishes.listed.iter().map(|d| d.orders).sum::<i64>() + dishes.retired.0;
        let portions: i64 = dishes.listed.iter().map(|d| d.quantity).sum::<i64>() + dishes.retired.1;
        assert_eq!((orders, portions), (1_000, 1_500));
    }
}
