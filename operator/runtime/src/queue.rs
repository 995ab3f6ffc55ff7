//! A queue of keys with due times. A key is in it once, runs at most once at a time, and is run again when something
//! came in while it ran. What has come to rest runs when nothing else is due, and gets a small share of the turns where there
//! always is something: a start, a new list and a take-over bring ten times as much of it as of what somebody waits for.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::key::Key;

/// How a key stands.
enum Slot {
    /// It was to run as soon as possible when it came.
    Ready,
    /// It is to run then.
    Due(Instant),
    /// It is to run when it is the turn of what rests.
    Resting,
    /// It runs, and is to run again then.
    Running(Option<Instant>),
}

/// A start brings every key there is, so what is kept of one is little, and goes when they have run.
#[derive(Default)]
struct Inner {
    slots: HashMap<Key, Slot>,
    /// When they came.
    ready: VecDeque<(Instant, Key)>,
    due: BTreeSet<(Instant, Key)>,
    /// Those at rest, and some that have been put in otherwise since.
    resting: VecDeque<Key>,
    /// How many others have run since one of them.
    passed_over: usize,
}

/// Of so many keys that run one has been at rest, where others are always due.
const TURNS: usize = 16;
/// Room for so many keys is kept.
const ROOM_KEPT: usize = 1_024;

impl Inner {
    /// Whether a key has to be put in to run at `at`; it is not in for a later time any more.
    fn is_wanted(&mut self, key: &Key, at: Instant) -> bool {
        match self.slots.get_mut(key) {
            None => true,
            // What is to be done then is found out when it runs.
            Some(Slot::Resting) => at <= Instant::now(),
            Some(Slot::Ready) => false,
            Some(Slot::Running(again)) => {
                *again = Some(again.map_or(at, |known| known.min(at)));
                false
            }
            Some(Slot::Due(due)) if *due <= at => false,
            Some(Slot::Due(due)) => self.due.remove(&(*due, key.clone())),
        }
    }

    /// Takes out the key that has been due longest, or else when one is.
    fn next_due(&mut self, now: Instant) -> Popped {
        let ready = self.ready.front().map(|(at, _)| *at);
        let due = self.due.first().map(|(at, _)| *at);
        let is_ready = ready.is_some_and(|ready| due.is_none_or(|due| ready <= due));
        match ready.into_iter().chain(due).min() {
            None => Popped::Empty,
            Some(at) if at > now => Popped::NotBefore(at),
            Some(_) => {
                let first = if is_ready { self.ready.pop_front() } else { self.due.pop_first() };
                first.map_or(Popped::Empty, |(_, key)| Popped::Key(key))
            }
        }
    }

    /// Takes out the key that has been at rest longest.
    fn next_resting(&mut self) -> Option<Key> {
        self.passed_over = 0;
        loop {
            let key = self.resting.pop_front()?;
            if matches!(self.slots.get(&key), Some(Slot::Resting)) {
                return Some(key);
            }
        }
    }

    fn next(&mut self, now: Instant) -> Popped {
        let turn = if self.passed_over >= TURNS { self.next_resting() } else { None };
        if let Some(key) = turn {
            return Popped::Key(key);
        }
        match self.next_due(now) {
            Popped::Key(key) => {
                self.passed_over += 1;
                Popped::Key(key)
            }
            later => self.next_resting().map_or(later, Popped::Key),
        }
    }

    fn shrink(&mut self) {
        if self.slots.capacity() > ROOM_KEPT && self.slots.len() < self.slots.capacity() / 8 {
            self.slots.shrink_to(ROOM_KEPT);
            self.ready.shrink_to(ROOM_KEPT);
            self.resting.shrink_to(ROOM_KEPT);
        }
    }
}

/// The queue of one controller.
#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    changed: Notify,
}

/// What [`Queue::pop`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Popped {
    /// Run this now; [`Queue::done`] must follow.
    Key(Key),
    /// Nothing is due before this.
    NotBefore(Instant),
    /// Nothing is scheduled.
    Empty,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `key` run as soon as possible.
    pub fn push(&self, key: Key) {
        let mut inner = self.lock();
        let now = Instant::now();
        if inner.is_wanted(&key, now) {
            inner.slots.insert(key.clone(), Slot::Ready);
            inner.ready.push_back((now, key));
            self.changed.notify_one();
        }
    }

    /// Has `key` run at `at`, or earlier if it is due earlier.
    pub fn push_at(&self, key: Key, at: Instant) {
        let mut inner = self.lock();
        if inner.is_wanted(&key, at) {
            inner.slots.insert(key.clone(), Slot::Due(at));
            inner.due.insert((at, key));
            self.changed.notify_one();
        }
    }

    /// Has `key` run when it is the turn of what rests, unless it is to run now anyway.
    pub fn push_resting(&self, key: Key) {
        let mut inner = self.lock();
        let now = Instant::now();
        match inner.slots.get_mut(&key) {
            Some(Slot::Running(again)) => *again = Some(now),
            Some(Slot::Ready | Slot::Resting) => {}
            Some(Slot::Due(due)) if *due <= now => {}
            known => {
                if let Some(Slot::Due(due)) = known {
                    let due = *due;
                    inner.due.remove(&(due, key.clone()));
                }
                inner.slots.insert(key.clone(), Slot::Resting);
                inner.resting.push_back(key);
                self.changed.notify_one();
            }
        }
    }

    /// Takes the key that is to run next.
    pub fn pop(&self, now: Instant) -> Popped {
        let mut inner = self.lock();
        let popped = inner.next(now);
        if let Popped::Key(key) = &popped {
            inner.slots.insert(key.clone(), Slot::Running(None));
        }
        popped
    }

    /// Says that the run of `key` is over and when it should run next, if at all. What came in while it ran has it
    /// run again, but not before `earliest`: an unresolved run is often followed by the echo of its own write.
    pub fn done(&self, key: &Key, next: Option<Instant>, earliest: Option<Instant>) {
        let again = {
            let mut inner = self.lock();
            let slot = inner.slots.remove(key);
            inner.shrink();
            if let Some(Slot::Running(again)) = slot { again } else { None }
        };
        let again = again.map(|at| earliest.map_or(at, |earliest| at.max(earliest)));
        let at = match (again, next) {
            (Some(again), Some(next)) => Some(again.min(next)),
            (again, next) => again.or(next),
        };
        if let Some(at) = at {
            self.push_at(key.clone(), at);
        }
    }

    /// Waits until something was pushed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// How many keys wait or run.
    pub fn len(&self) -> usize {
        self.lock().slots.len()
    }

    /// Whether there is nothing to do, now or later.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_key_pushed_twice_runs_once() {
        let queue = Queue::default();
        let key = Key::new("food", "a");
        queue.push(key.clone());
        queue.push(key.clone());
        assert_eq!(queue.pop(Instant::now()), Popped::Key(key));
        assert_eq!(queue.pop(Instant::now()), Popped::Empty);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_in_while_a_key_runs_has_it_run_again() {
        let queue = Queue::default();
        let key = Key::new("food", "a");
        queue.push(key.clone());
        assert_eq!(queue.pop(Instant::now()), Popped::Key(key.clone()));
        queue.push(key.clone());
        assert_eq!(queue.pop(Instant::now()), Popped::Empty, "never twice at a time");
        queue.done(&key, None, None);
        assert_eq!(queue.pop(Instant::now()), Popped::Key(key));
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_push_wins_over_a_delay() {
        let queue = Queue::default();
        let key = Key::new("food", "a");
        let later = Instant::now() + Duration::from_mins(1);
        queue.push_at(key.clone(), later);
        assert_eq!(queue.pop(Instant::now()), Popped::NotBefore(later));
        queue.push(key.clone());
        assert_eq!(queue.pop(Instant::now()), Popped::Key(key.clone()));
        queue.done(&key, None, None);
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_key_that_is_due_longest_runs_first_however_it_came() {
        let queue = Queue::default();
        let [a, b, c] = ["a", "b", "c"].map(|name| Key::new("food", name));
        queue.push_at(a.clone(), Instant::now() + Duration::from_secs(1));
        queue.push_at(b.clone(), Instant::now() + Duration::from_secs(3));
        tokio::time::advance(Duration::from_secs(2)).await;
        queue.push(c.clone());
        tokio::time::advance(Duration::from_secs(2)).await;
        let popped = [(); 3].map(|()| queue.pop(Instant::now()));
        assert_eq!(popped, [a, c, b].map(Popped::Key));
    }

    #[tokio::test(start_paused = true)]
    async fn what_rests_runs_when_nothing_else_is_due_and_once() {
        let queue = Queue::default();
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| Key::new("food", name));
        for key in [&a, &b, &a] {
            queue.push_resting(key.clone());
        }
        queue.push_at(c.clone(), Instant::now() + Duration::from_secs(1));
        queue.push(d.clone());
        // Somebody waits for it now.
        queue.push(b.clone());
        let popped = [(); 3].map(|()| queue.pop(Instant::now()));
        assert_eq!(popped, [d.clone(), b.clone(), a.clone()].map(Popped::Key));
        queue.push_resting(b.clone());
        for key in [&a, &b, &d] {
            queue.done(key, None, None);
        }
        assert_eq!(queue.pop(Instant::now()), Popped::Key(b), "it came in while it ran");
        assert!(matches!(queue.pop(Instant::now()), Popped::NotBefore(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_rests_has_its_turn_where_others_are_always_due() {
        let (queue, rests) = (Queue::default(), Key::new("food", "rests"));
        queue.push_resting(rests.clone());
        queue.push_at(rests.clone(), Instant::now() + Duration::from_mins(1));
        for n in 0..=2 * TURNS {
            queue.push(Key::new("food", &n.to_string()));
        }
        let popped: Vec<Popped> = (0..=TURNS).map(|_| queue.pop(Instant::now())).collect();
        assert_eq!(popped.iter().position(|popped| *popped == Popped::Key(rests.clone())), Some(TURNS));
    }

    #[tokio::test(start_paused = true)]
    async fn what_many_keys_took_is_given_back_when_they_have_run() {
        let queue = Queue::default();
        (0..100_000).for_each(|number| queue.push(Key::new("food", &number.to_string())));
        while let Popped::Key(key) = queue.pop(Instant::now()) {
            queue.done(&key, None, None);
        }
        let inner = queue.lock();
        assert!(inner.slots.capacity().max(inner.ready.capacity()) <= 4 * ROOM_KEPT);
    }
}
