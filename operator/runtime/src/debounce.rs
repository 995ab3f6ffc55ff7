//! A delay for writes that may wait a little, so that changes that follow quickly on each other need one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::key::Key;

/// Since when the write of each key has been waiting.
pub struct Debounce {
    span: Duration,
    since: Mutex<HashMap<Key, Instant>>,
}

impl Debounce {
    /// Waits for `span` from the first difference on.
    pub fn new(span: Duration) -> Self {
        Self { span, since: Mutex::new(HashMap::new()) }
    }

    /// Remaining time that the write of `key` waits, counted from the first call; `None`: it is due.
    pub fn remaining(&self, key: &Key) -> Option<Duration> {
        self.remaining_of(key, self.span)
    }

    /// The same with a span of this moment, if it is the shorter one.
    pub fn remaining_of(&self, key: &Key, span: Duration) -> Option<Duration> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *since.entry(key.clone()).or_insert_with(Instant::now);
        let remaining = span.min(self.span).saturating_sub(first.elapsed());
        (!remaining.is_zero()).then_some(remaining)
    }

    /// Forgets `key`: it is written, or there is nothing to write.
    pub fn clear(&self, key: &Key) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_delay_counts_from_the_first_difference() {
        let debounce = Debounce::new(Duration::from_millis(800));
        let key = Key::new("food", "a");
        assert_eq!(debounce.remaining(&key), Some(Duration::from_millis(800)));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(debounce.remaining(&key), Some(Duration::from_millis(300)));
        tokio::time::advance(Duration::from_millis(300)).await;
        assert_eq!(debounce.remaining(&key), None);
        debounce.clear(&key);
        assert_eq!(debounce.remaining(&key), Some(Duration::from_millis(800)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_span_counts_from_the_same_moment_and_a_longer_one_is_cut() {
        let debounce = Debounce::new(Duration::from_millis(800));
        let key = Key::new("food", "a");
        assert_eq!(debounce.remaining_of(&key, Duration::from_secs(9)), Some(Duration::from_millis(800)));
        tokio::time::advance(Duration::from_millis(100)).await;
        let span = Duration::from_millis(300);
        assert_eq!(debounce.remaining_of(&key, span), Some(Duration::from_millis(200)));
        assert_eq!(debounce.remaining_of(&key, Duration::ZERO), None);
    }
}
