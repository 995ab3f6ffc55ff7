//! The limits of a resilience policy, and whether they can be used. Values only.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::config::DEFAULT_TIMEOUT;

/// Limits of the calls to one provider. Rates are 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct ResilienceSettings {
    /// Rate of failed calls at which the circuit opens.
    pub failure_rate: f64,
    /// Rate of slow calls at which the circuit opens.
    pub slow_rate: f64,
    /// Duration from which a call counts as slow, its resolution included.
    pub slow_after: Duration,
    /// Length of the sliding window over which the rates are computed.
    pub window: Duration,
    /// Minimum number of calls in the window for the circuit to open.
    pub minimum_calls: usize,
    /// How long the circuit stays open before trials are let through.
    pub open_for: Duration,
    /// Number of trials that are let through, and must succeed, for the circuit to close.
    pub trials: usize,
    /// Maximum number of calls in flight.
    pub concurrency: usize,
    /// Maximum rate at which calls start; `None` leaves it to the concurrency.
    pub rate: Option<Rate>,
}

/// A rate of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls per second, sustained.
    pub per_second: NonZeroU32,
    /// Calls that may start together after a pause.
    pub burst: NonZeroU32,
}

impl Default for ResilienceSettings {
    fn default() -> Self {
        Self {
            failure_rate: 0.5,
            slow_rate: 0.5,
            slow_after: DEFAULT_TIMEOUT,
            window: Duration::from_mins(1),
            minimum_calls: 10,
            open_for: Duration::from_secs(10),
            trials: 3,
            concurrency: 64,
            rate: None,
        }
    }
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResilienceError {
    /// A rate at which the circuit would never, or always, open.
    #[error("{0} must be more than 0 and at most 1")]
    Rate(&'static str),
    /// No time, or no calls, where there must be some.
    #[error("{0} must be more than zero")]
    Zero(&'static str),
    /// More permits than a semaphore can hold.
    #[error("the concurrency must be at most {}", Semaphore::MAX_PERMITS)]
    Concurrency,
    /// The breaker library refuses them for another reason.
    #[error("the breaker cannot be set up: {0}")]
    Breaker(String),
}

impl ResilienceSettings {
    /// Checks that a policy can be made of them.
    ///
    /// # Errors
    /// The first setting that is out of bounds.
    pub fn check(&self) -> Result<(), ResilienceError> {
        for (rate, name) in [(self.failure_rate, "the failure rate"), (self.slow_rate, "the slow-call rate")]
        {
            // NaN fails both comparisons.
            if !(rate > 0.0 && rate <= 1.0) {
                return Err(ResilienceError::Rate(name));
            }
        }
        for (zero, name) in [
            (self.slow_after.is_zero(), "the time of a slow call"),
            (self.window.is_zero(), "the window"),
            (self.minimum_calls == 0, "the minimum of calls"),
            (self.open_for.is_zero(), "the time that the circuit stays open"),
            (self.trials == 0, "the number of trials"),
            (self.concurrency == 0, "the concurrency"),
        ] {
            if zero {
                return Err(ResilienceError::Zero(name));
            }
        }
        if self.concurrency > Semaphore::MAX_PERMITS { Err(ResilienceError::Concurrency) } else { Ok(()) }
    }
}
