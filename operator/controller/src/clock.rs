//! The one place that time comes from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fooddelivery_saga::time::Timestamp;

/// Now, by the machine's clock, to the millisecond.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// How long it is until `at`; zero when it has passed.
pub fn until(at: Timestamp) -> Duration {
    let ms = at.0.saturating_sub(now().0).max(0);
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
