//! Status that mirrors a stage may lag a little, so that steps that pass quickly need one write.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::Key;

/// When each key was first seen to differ from its mirror.
pub struct Lag {
    span: Duration,
    since: Mutex<HashMap<Key, Instant>>,
}

impl Lag {
    /// A lag of `span`.
    pub fn new(span: Duration) -> Self {
        Self { span, since: Mutex::new(HashMap::new()) }
    }

    /// How long the mirror of `key`, which differs, may still wait; `None` when it is to be written now.
    pub fn left(&self, key: &Key) -> Option<Duration> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *since.entry(key.clone()).or_insert_with(Instant::now);
        let left = self.span.saturating_sub(first.elapsed());
        (!left.is_zero()).then_some(left)
    }

    /// The mirror of `key` shows what is, or there is nothing to show.
    pub fn settled(&self, key: &Key) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_lag_counts_from_the_first_difference() {
        let lag = Lag::new(Duration::from_millis(800));
        let key = Key::new("food", "a");
        assert_eq!(lag.left(&key), Some(Duration::from_millis(800)));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(lag.left(&key), Some(Duration::from_millis(300)));
        tokio::time::advance(Duration::from_millis(300)).await;
        assert_eq!(lag.left(&key), None);
        lag.settled(&key);
        assert_eq!(lag.left(&key), Some(Duration::from_millis(800)));
    }
}
