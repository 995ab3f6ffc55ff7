//! How long something is waited for, and how often it is looked at.

use std::time::{Duration, Instant};

/// A deadline for what takes well under a second on a quiet machine, and must not fail on a busy one.
pub const LONG: Duration = Duration::from_mins(3);
/// How often something that is waited for is looked at.
pub const POLL: Duration = Duration::from_millis(50);
/// The same, once it has been waited for so long that it does not depend on a moment more.
const SLOW_POLL: Duration = Duration::from_millis(250);

/// Pauses between two looks at something that is waited for since `started`: the shorter, the shorter the wait was so far.
pub(crate) async fn pause(started: Instant) {
    tokio::time::sleep((started.elapsed() / 20).clamp(POLL, SLOW_POLL)).await;
}
