//! The gate in front of one message provider: while it is in failure, one call at a time finds out whether it still is.
//!
//! After a call that tells of the provider's failure the gate is shut, for a pause that doubles from 500 ms to 30 s or
//! for as long as the provider asks. Then one trial is let through; any answer opens the gate for everybody. Open, it
//! lets a bounded number through at a time. Nobody waits in here: who is not let through is told when to come back, those
//! who ask together at times apart. All of it is in this process and is deterministic; dice are the caller's.
//!
//! *Why not the breaker of [`crate::resilience`].* A message has no deadline and costs nothing when it is late, so one failure
//! is reason enough to stop, and the pause may grow; the library's circuit opens by rates over a window, stays open for
//! one fixed time, knows no `Retry-After`, and reads the real clock, which would make a simulated run depend on it.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fooddelivery_saga::provider::CallFailure;
use tokio::time::Instant;

use super::port::SendOutcome;

/// The first pause.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause, but for what the provider asks for.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause that the provider can ask for.
pub(crate) const LONGEST_ASKED: Duration = Duration::from_mins(10);
/// How long it takes, by and by, until a place is free or a trial has ended.
pub(crate) const A_WHILE: Duration = Duration::from_millis(50);
/// Those who are sent away at once come back spread over no more than this.
pub(crate) const LONGEST_SPREAD: Duration = Duration::from_secs(10);

/// The gate in front of one message provider. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct FailFastBreaker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    places: NonZeroUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    taken: usize,
    shut: Option<Shut>,
    /// Where, in the row of those who were sent away, the last one stands.
    row: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Shut {
    until: Instant,
    pause: Duration,
    /// A trial is under way.
    on_trial: bool,
}

/// That one message may be sent. Its place is free again when it is dropped.
#[derive(Debug)]
#[must_use = "a pass that is dropped lets nobody know how it went"]
pub struct Pass {
    gate: Arc<Shared>,
    trial: bool,
}

impl FailFastBreaker {
    /// A gate, open, through which so many messages go at a time.
    pub fn new(places: NonZeroUsize) -> Self {
        let state = State { taken: 0, shut: None, row: Instant::now() };
        Self(Arc::new(Shared { places, state: Mutex::new(state) }))
    }

    /// Lets one message through, unless the gate is shut or crowded.
    ///
    /// # Errors
    /// How long to come back after.
    pub fn enter(&self) -> Result<Pass, Duration> {
        let now = Instant::now();
        let mut state = self.0.lock();
        let (taken, places) = (state.taken, self.0.places.get());
        let trial = match &mut state.shut {
            Some(shut) if now < shut.until || shut.on_trial => {
                let earliest = shut.until.max(now + A_WHILE);
                return Err(state.send_away(now, earliest, places));
            }
            _ if taken >= places => return Err(state.send_away(now, now + A_WHILE, places)),
            Some(shut) => {
                shut.on_trial = true;
                true
            }
            None => false,
        };
        state.taken += 1;
        drop(state);
        Ok(Pass { gate: Arc::clone(&self.0), trial })
    }

    /// For how long the gate stays shut before a trial is let through; zero while one could be or is under way. None
    /// when it is open.
    pub fn open_for(&self) -> Option<Duration> {
        let now = Instant::now();
        self.0.lock().shut.map(|shut| shut.until.saturating_duration_since(now))
    }
}

impl Pass {
    /// Tells the gate how it went.
    pub fn ended(self, outcome: &SendOutcome) {
        let now = Instant::now();
        let mut state = self.gate.lock();
        match trouble_of_the_provider(outcome) {
            None => state.open(now),
            Some(asked) => state.close(now, asked.min(LONGEST_ASKED), self.trial),
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.taken -= 1;
        if let Some(shut) = state.shut.as_mut().filter(|_| self.trial) {
            shut.on_trial = false;
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
    /// The next place in the row, not before `earliest`. The row moves as fast as calls that take a while would.
    fn send_away(&mut self, now: Instant, earliest: Instant, places: usize) -> Duration {
        let step = A_WHILE / u32::try_from(places).unwrap_or(u32::MAX);
        let place = if self.row < earliest { earliest } else { self.row + step };
        self.row = place.min(earliest + LONGEST_SPREAD);
        self.row.saturating_duration_since(now)
    }

    fn open(&mut self, now: Instant) {
        self.shut = None;
        self.row = now;
    }

    fn close(&mut self, now: Instant, asked: Duration, trial: bool) {
        let pause = match self.shut {
            None => FIRST_PAUSE,
            Some(shut) if trial => (shut.pause * 2).min(LONGEST_PAUSE),
            // It was on its way before the gate was shut, and is no further sign.
            Some(shut) => shut.pause,
        };
        let until = now + asked.max(if trial || self.shut.is_none() { pause } else { Duration::ZERO });
        let until = self.shut.map_or(until, |shut| until.max(shut.until));
        let on_trial = self.shut.is_some_and(|shut| shut.on_trial && !trial);
        self.shut = Some(Shut { until, pause, on_trial });
        self.row = now;
    }
}

/// For how long at least the provider asks to be left alone, when the outcome tells of its failure; None when it
/// answered, whatever it said of this message.
fn trouble_of_the_provider(outcome: &SendOutcome) -> Option<Duration> {
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
