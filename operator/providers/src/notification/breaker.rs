//! The circuit breaker in front of one message provider: one failure opens it, one successful trial closes it.
//!
//! While the circuit is open nothing is sent, for a pause that doubles from 500 ms to 30 s, or as long as the provider
//! asks. Then one trial is let through; any response closes the circuit for everybody. A closed circuit lets a bounded
//! number of calls run at a time. Nobody waits in here: a rejected caller is told when to come back, and callers that are
//! rejected together are told times apart. All state is in this process and deterministic; jitter is the caller's.
//!
//! *Why not the breaker of [`crate::payment::resilience`].* A message has no deadline and costs nothing when it is late, so
//! one failure is reason enough to stop, and the pause may grow; the library's circuit opens by rates over a window,
//! stays open for one fixed time, ignores `Retry-After`, and reads the real clock, which would make a simulated run
//! depend on it.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fooddelivery_saga::provider::CallFailure;
use tokio::time::Instant;

use super::port::SendOutcome;

/// How long the circuit stays open after the first failure.
pub(crate) const OPEN_FOR_MIN: Duration = Duration::from_millis(500);
/// Maximum time that the circuit stays open, unless the provider asks for more.
pub(crate) const OPEN_FOR_MAX: Duration = Duration::from_secs(30);
/// Maximum `Retry-After` that is honoured.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_mins(10);
/// Delay after which a rejected caller can expect a free place or the end of a trial.
pub(crate) const RETRY_DELAY: Duration = Duration::from_millis(50);
/// Maximum span over which callers that are rejected together are spread.
pub(crate) const RETRY_SPREAD_MAX: Duration = Duration::from_secs(10);

/// The circuit breaker of one message provider. Clones share one circuit.
#[derive(Debug, Clone)]
pub struct FailFastBreaker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    concurrency_max: NonZeroUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    /// `None` while the circuit is closed.
    open: Option<OpenCircuit>,
    /// When the caller that was rejected last is to come back.
    last_retry_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct OpenCircuit {
    until: Instant,
    pause: Duration,
    /// A trial is under way.
    on_trial: bool,
}

/// Permission to send one message. Its place is free again when it is dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped tells the breaker no outcome"]
pub struct Permit {
    breaker: Arc<Shared>,
    trial: bool,
}

impl FailFastBreaker {
    /// A closed circuit; `concurrency_max` is the maximum number of messages that are sent at a time.
    pub fn new(concurrency_max: NonZeroUsize) -> Self {
        let state = State { in_flight: 0, open: None, last_retry_at: Instant::now() };
        Self(Arc::new(Shared { concurrency_max, state: Mutex::new(state) }))
    }

    /// Permits one message, unless the circuit is open or all places are taken.
    ///
    /// # Errors
    /// How long to come back after.
    pub fn acquire(&self) -> Result<Permit, Duration> {
        let now = Instant::now();
        let mut state = self.0.lock();
        let (in_flight, concurrency_max) = (state.in_flight, self.0.concurrency_max.get());
        let trial = match &mut state.open {
            Some(open) if now < open.until || open.on_trial => {
                let earliest = open.until.max(now + RETRY_DELAY);
                return Err(state.reject(now, earliest, concurrency_max));
            }
            _ if in_flight >= concurrency_max => {
                return Err(state.reject(now, now + RETRY_DELAY, concurrency_max));
            }
            Some(open) => {
                open.on_trial = true;
                true
            }
            None => false,
        };
        state.in_flight += 1;
        drop(state);
        Ok(Permit { breaker: Arc::clone(&self.0), trial })
    }

    /// How long the circuit stays open before a trial is let through; zero while a trial could be or is under way.
    /// `None` while it is closed.
    pub fn open_for(&self) -> Option<Duration> {
        let now = Instant::now();
        self.0.lock().open.map(|open| open.until.saturating_duration_since(now))
    }
}

impl Permit {
    /// Reports the outcome of the call to the breaker.
    pub fn record(self, outcome: &SendOutcome) {
        let now = Instant::now();
        let mut state = self.breaker.lock();
        match provider_failure(outcome) {
            None => state.close(now),
            Some(retry_after) => state.open(now, retry_after.min(RETRY_AFTER_MAX), self.trial),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.breaker.lock();
        state.in_flight -= 1;
        if let Some(open) = state.open.as_mut().filter(|_| self.trial) {
            open.on_trial = false;
        }
    }
}

impl Shared {
    /// Plain values, which a panic cannot leave half-changed in a way that matters.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When the next rejected caller is to come back, not before `earliest`: one after the other, as fast as calls that
    /// take [`RETRY_DELAY`] each would free their places.
    fn reject(&mut self, now: Instant, earliest: Instant, concurrency_max: usize) -> Duration {
        let step = RETRY_DELAY / u32::try_from(concurrency_max).unwrap_or(u32::MAX);
        let at = if self.last_retry_at < earliest { earliest } else { self.last_retry_at + step };
        self.last_retry_at = at.min(earliest + RETRY_SPREAD_MAX);
        self.last_retry_at.saturating_duration_since(now)
    }

    fn close(&mut self, now: Instant) {
        self.open = None;
        self.last_retry_at = now;
    }

    fn open(&mut self, now: Instant, retry_after: Duration, trial: bool) {
        let pause = match self.open {
            None => OPEN_FOR_MIN,
            Some(open) if trial => (open.pause * 2).min(OPEN_FOR_MAX),
            // The call was under way before the circuit opened: no further sign.
            Some(open) => open.pause,
        };
        let until = now + retry_after.max(if trial || self.open.is_none() { pause } else { Duration::ZERO });
        let until = self.open.map_or(until, |open| until.max(open.until));
        let on_trial = self.open.is_some_and(|open| open.on_trial && !trial);
        self.open = Some(OpenCircuit { until, pause, on_trial });
        self.last_retry_at = now;
    }
}

/// Minimum time for which a failed provider asks not to be called; `None` when it responded, whatever it said of this
/// message.
fn provider_failure(outcome: &SendOutcome) -> Option<Duration> {
    match outcome {
        SendOutcome::CallFailure(failure) => match failure {
            CallFailure::Throttled { retry_after_ms } => {
                Some(Duration::from_millis(retry_after_ms.unwrap_or_default()))
            }
            CallFailure::NotSent(_)
            | CallFailure::Unauthorized(_)
            | CallFailure::Errored(_)
            | CallFailure::OutcomeUnknown(_) => Some(Duration::ZERO),
            CallFailure::InProgress | CallFailure::IdempotencyKeyConsumed(_) => None,
        },
        SendOutcome::Sent | SendOutcome::Pending | SendOutcome::Refused(_) => None,
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
