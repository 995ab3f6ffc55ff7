//! A queue of keys with due times. A key is in it once, runs at most once at a time, and is run again when something
//! came in while it ran.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::key::Key;

#[derive(Default)]
struct Slot {
    due: Option<Instant>,
    running: bool,
    again: Option<Instant>,
}

#[derive(Default)]
struct Inner {
    slots: HashMap<Key, Slot>,
    due: BTreeSet<(Instant, Key)>,
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
        self.push_at(key, Instant::now());
    }

    /// Has `key` run at `at`, or earlier if it is due earlier.
    pub fn push_at(&self, key: Key, at: Instant) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let slot = inner.slots.entry(key.clone()).or_default();
        if slot.running {
            slot.again = Some(slot.again.map_or(at, |again| again.min(at)));
            return;
        }
        if let Some(due) = slot.due {
            if due <= at {
                return;
            }
            inner.due.remove(&(due, key.clone()));
        }
        slot.due = Some(at);
        inner.due.insert((at, key));
        self.changed.notify_one();
    }

    /// Takes the key that is due longest.
    pub fn pop(&self, now: Instant) -> Popped {
        let mut inner = self.lock();
        let Some((at, key)) = inner.due.first().cloned() else { return Popped::Empty };
        if at > now {
            return Popped::NotBefore(at);
        }
        inner.due.pop_first();
        if let Some(slot) = inner.slots.get_mut(&key) {
            slot.due = None;
            slot.running = true;
        }
        Popped::Key(key)
    }

    /// Says that the run of `key` is over and when it should run next, if at all. What came in while it ran has it
    /// run again, but not before `earliest`: an unresolved run is often followed by the echo of its own write.
    pub fn done(&self, key: &Key, next: Option<Instant>, earliest: Option<Instant>) {
        let again = {
            let mut inner = self.lock();
            inner.slots.remove(key).and_then(|slot| slot.again)
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
}
