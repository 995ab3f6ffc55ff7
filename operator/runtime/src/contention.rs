//! Back-off for contended statuses. Two replicas may for a moment know different things, as the watch of one of them has
//! just broken. Each would then write its status over that of the other one, as fast as watches bring them. So a replica
//! that finds its last write changed waits before it writes the same again; by then both have seen the same.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::debounce::Debounce;
use crate::key::Key;

/// How long a contended write waits. Watches that break are restarted within a second.
const CONTENDED_WRITE_DELAY: Duration = Duration::from_secs(2);

struct LastWrite<M> {
    whole: u64,
    meaning: M,
}

/// The last write of this replica, by key: of a status `S`, which says an `M`.
pub struct ContentionBackoff<S, M> {
    /// What a status says; times and histories differ with every write.
    meaning: fn(&S) -> M,
    last_writes: Mutex<HashMap<Key, LastWrite<M>>>,
    delay: Debounce,
}

fn digest(status: &impl Serialize) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_vec(status).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

impl<S: Serialize + PartialEq, M: PartialEq> ContentionBackoff<S, M> {
    /// Knows of no write yet.
    pub fn new(meaning: fn(&S) -> M) -> Self {
        Self { meaning, last_writes: Mutex::default(), delay: Debounce::new(CONTENDED_WRITE_DELAY) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, LastWrite<M>>> {
        self.last_writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long `new` has to wait before it is written over `old`; `None` when it may be written now.
    pub fn remaining(&self, key: &Key, old: &S, new: &S) -> Option<Duration> {
        let again = self.lock().get(key).is_some_and(|last| {
            new != old && digest(old) != last.whole && (self.meaning)(new) == last.meaning
        });
        if again {
            return self.delay.remaining(key);
        }
        self.delay.clear(key);
        None
    }

    /// This replica has written `status`.
    pub fn wrote(&self, key: &Key, status: &S) {
        let last = LastWrite { whole: digest(status), meaning: (self.meaning)(status) };
        self.lock().insert(key.clone(), last);
        self.delay.clear(key);
    }

    /// There is no such object any more.
    pub fn gone(&self, key: &Key) {
        self.lock().remove(key);
        self.delay.clear(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, PartialEq)]
    struct Status(&'static str);

    fn contention() -> ContentionBackoff<Status, &'static str> {
        ContentionBackoff::new(|status| status.0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_last_write_that_somebody_changed_waits_before_it_is_made_again() {
        let (contention, key) = (contention(), Key::new("food", "lunch"));
        let (mine, theirs) = (Status("mine"), Status("theirs"));
        assert_eq!(contention.remaining(&key, &theirs, &mine), None, "nothing was written yet");
        contention.wrote(&key, &mine);
        assert_eq!(contention.remaining(&key, &theirs, &mine), Some(CONTENDED_WRITE_DELAY));
        tokio::time::advance(CONTENDED_WRITE_DELAY / 2).await;
        assert_eq!(contention.remaining(&key, &theirs, &mine), Some(CONTENDED_WRITE_DELAY / 2));
        tokio::time::advance(CONTENDED_WRITE_DELAY / 2).await;
        assert_eq!(contention.remaining(&key, &theirs, &mine), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_new_does_not_wait() {
        let (contention, key) = (contention(), Key::new("food", "lunch"));
        let (mine, theirs) = (Status("mine"), Status("theirs"));
        contention.wrote(&key, &mine);
        assert_eq!(contention.remaining(&key, &theirs, &Status("next")), None);
        assert_eq!(contention.remaining(&key, &mine, &Status("next")), None);
        contention.gone(&key);
        assert_eq!(contention.remaining(&key, &theirs, &mine), None);
    }
}
