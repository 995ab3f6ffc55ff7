//! A write that may wait a little: a mirror of a stage, so that steps that pass quickly need one; a last word that
//! somebody changed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::Key;

/// Since when the write of each key waits.
pub struct Lag {
    span: Duration,
    since: Mutex<HashMap<Key, Instant>>,
}

impl Lag {
    /// A lag of `span`.
    pub fn new(span: Duration) -> Self {
        Self { span, since: Mutex::new(HashMap::new()) }
    }

    /// How long the write of `key` may still wait, from the first time on that this is asked; `None`: no longer.
    pub fn left(&self, key: &Key) -> Option<Duration> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *since.entry(key.clone()).or_insert_with(Instant::now);
        let left = self.span.saturating_sub(first.elapsed());
        (!left.is_zero()).then_some(left)
    }

    /// It is written, or there is nothing to write.
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
