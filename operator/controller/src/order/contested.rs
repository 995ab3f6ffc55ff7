//! Two replicas may for a moment know different things: one has seen the store close, or the rider come, and the watch
//! of the other one has just broken. Each would then write its status over that of the other one, as fast as watches
//! bring them. So a replica that finds its last word changed waits before it says the same again; by then both have
//! seen the same.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fooddelivery_api::order::OrderStatus;
use fooddelivery_saga::phases::{CancellationVerdict, OrderPhase};

use crate::engine::Key;
use crate::lag::Lag;

/// How long what somebody changed waits. Watches that break are begun again within a second.
const PAUSE: Duration = Duration::from_secs(2);

/// What this replica wrote last.
struct Word {
    whole: u64,
    meaning: Meaning,
}

/// What this replica wrote last, by order.
pub(super) struct Contested {
    words: Mutex<HashMap<Key, Word>>,
    lag: Lag,
}

impl Default for Contested {
    fn default() -> Self {
        Self { words: Mutex::default(), lag: Lag::new(PAUSE) }
    }
}

fn digest(status: &OrderStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_vec(status).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

/// What a status says. Times, and the history, are others whenever it is said again.
type Meaning = (OrderPhase, Option<String>, Option<CancellationVerdict>);

fn meaning(status: &OrderStatus) -> Meaning {
    (status.phase, status.reason.clone(), status.cancellation)
}

impl Contested {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Word>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long `new` has to wait before it is written over `old`; `None` when it may be written now.
    pub(super) fn left(&self, key: &Key, old: &OrderStatus, new: &OrderStatus) -> Option<Duration> {
        let again = self
            .lock()
            .get(key)
            .is_some_and(|word| new != old && digest(old) != word.whole && meaning(new) == word.meaning);
        if again {
            return self.lag.left(key);
        }
        self.lag.settled(key);
        None
    }

    /// This replica has written `status`.
    pub(super) fn wrote(&self, key: &Key, status: &OrderStatus) {
        let word = Word { whole: digest(status), meaning: meaning(status) };
        self.lock().insert(key.clone(), word);
        self.lag.settled(key);
    }

    /// There is no such order any more.
    pub(super) fn gone(&self, key: &Key) {
        self.lock().remove(key);
        self.lag.settled(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(reason: &str) -> OrderStatus {
        OrderStatus { reason: Some(reason.into()), ..OrderStatus::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_last_word_that_somebody_changed_waits_before_it_is_said_again() {
        let (contested, key) = (Contested::default(), Key::new("food", "lunch"));
        let (mine, theirs) = (status("mine"), status("theirs"));
        assert_eq!(contested.left(&key, &theirs, &mine), None, "nothing was said yet");
        contested.wrote(&key, &mine);
        assert_eq!(contested.left(&key, &theirs, &mine), Some(PAUSE));
        tokio::time::advance(PAUSE / 2).await;
        assert_eq!(contested.left(&key, &theirs, &mine), Some(PAUSE / 2));
        tokio::time::advance(PAUSE / 2).await;
        assert_eq!(contested.left(&key, &theirs, &mine), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_new_does_not_wait() {
        let (contested, key) = (Contested::default(), Key::new("food", "lunch"));
        let (mine, theirs) = (status("mine"), status("theirs"));
        contested.wrote(&key, &mine);
        assert_eq!(contested.left(&key, &theirs, &status("next")), None);
        assert_eq!(contested.left(&key, &mine, &status("next")), None);
        contested.gone(&key);
        assert_eq!(contested.left(&key, &theirs, &mine), None);
    }
}
