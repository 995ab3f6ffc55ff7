//! What the runtime reports of itself. How it is counted and published is the operator's.

use std::fmt;
use std::time::Duration;

/// A sink for the runtime's measurements. Every label comes from a fixed vocabulary, so that their number is bounded.
pub trait Metrics: Send + Sync {
    /// A reconcile of `controller` ended with `result` after `took`.
    fn reconciled(&self, controller: &'static str, result: &'static str, took: Duration);

    /// Number of keys that wait or run.
    fn queue_length(&self, controller: &'static str, length: usize);

    /// A request to the API server ended with `result`.
    fn request(&self, kind: &str, verb: &'static str, result: &'static str);

    /// How far the machine's clock is ahead of the API server's, in milliseconds; negative when it is behind.
    fn clock_skew(&self, skew_ms: i64);

    /// All metrics in the `OpenMetrics` text format.
    ///
    /// # Errors
    /// When formatting fails.
    fn text(&self) -> Result<String, fmt::Error>;
}
