//! Back-off for contended statuses. Two replicas may for a moment know different things: one has seen the store close, or
//! the rider come, and the watch of the other one has just broken. Each would then write its status over that of the other
//! one, as fast as watches bring them. So a replica that finds its last write changed waits before it writes the same
//! again; by then both have seen the same.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fooddelivery_api::order::OrderStatus;
use fooddelivery_runtime::{Debounce, Key};
use fooddelivery_saga::phases::{CancellationVerdict, OrderPhase};

/// How long a contended write waits. Watches that break are restarted within a second.
const CONTENDED_WRITE_DELAY: Duration = Duration::from_secs(2);

/// The last write of this replica.
struct LastWrite {
    whole: u64,
    meaning: Meaning,
}

/// The last write of this replica, by order.
pub(super) struct ContentionBackoff {
    last_writes: Mutex<HashMap<Key, LastWrite>>,
    delay: Debounce,
}

impl Default for ContentionBackoff {
    fn default() -> Self {
        Self { last_writes: Mutex::default(), delay: Debounce::new(CONTENDED_WRITE_DELAY) }
    }
}

fn digest(status: &OrderStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_vec(status).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

/// What a status says. Times and the history differ with every write.
type Meaning = (OrderPhase, Option<String>, Option<CancellationVerdict>);

fn meaning(status: &OrderStatus) -> Meaning {
    (status.phase, status.reason.clone(), status.cancellation)
}

impl ContentionBackoff {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, LastWrite>> {
        self.last_writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long `new` has to wait before it is written over `old`; `None` when it may be written now.
    pub(super) fn remaining(&self, key: &Key, old: &OrderStatus, new: &OrderStatus) -> Option<Duration> {
        let again = self
            .lock()
            .get(key)
            .is_some_and(|last| new != old && digest(old) != last.whole && meaning(new) == last.meaning);
        if again {
            return self.delay.remaining(key);
        }
        self.delay.clear(key);
        None
    }

    /// This replica has written `status`.
    pub(super) fn wrote(&self, key: &Key, status: &OrderStatus) {
        let last = LastWrite { whole: digest(status), meaning: meaning(status) };
        self.lock().insert(key.clone(), last);
        self.delay.clear(key);
    }

    /// There is no such order any more.
    pub(super) fn gone(&self, key: &Key) {
        self.lock().remove(key);
        self.delay.clear(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(reason: &str) -> OrderStatus {
        OrderStatus { reason: Some(reason.into()), ..OrderStatus::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_last_write_that_somebody_changed_waits_before_it_is_made_again() {
        let (contention, key) = (ContentionBackoff::default(), Key::new("food", "lunch"));
        let (mine, theirs) = (status("mine"), status("theirs"));
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
        let (contention, key) = (ContentionBackoff::default(), Key::new("food", "lunch"));
        let (mine, theirs) = (status("mine"), status("theirs"));
        contention.wrote(&key, &mine);
        assert_eq!(contention.remaining(&key, &theirs, &status("next")), None);
        assert_eq!(contention.remaining(&key, &mine, &status("next")), None);
        contention.gone(&key);
        assert_eq!(contention.remaining(&key, &theirs, &mine), None);
    }
}
