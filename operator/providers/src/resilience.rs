//! The guard around one provider: how many calls at once, how many a second, and none while the provider is down.
//!
//! [`ResiliencePolicy::admit`] gives a place, waiting a bounded time; [`ResiliencePolicy::call`] makes one call through the circuit
//! breaker. It neither retries nor decides what a payment needs next. A call is scored once, when it is resolved:
//! see [`call`].
//!
//! All of it is in this process: of several replicas, each guards for itself.

mod breaker;
mod call;
mod tally;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use rand::RngExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant as Deadline, sleep, timeout_at};

use crate::port::PaymentPort;
use crate::provider::DEFAULT_TIMEOUT;
use breaker::Breaker;
pub use call::{Request, Response};
pub use tally::Rates;

/// The longest that [`ResiliencePolicy::admit`] waits.
pub const MAX_WAIT: Duration = Duration::from_secs(1);

/// The shortest time to come back after.
const MIN_RETRY: Duration = Duration::from_millis(10);
/// Those who are sent away come back spread over this part of their time on top of it, not all at once.
const JITTER: f64 = 0.25;

/// How a provider is guarded. Rates are 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct ResilienceSettings {
    /// The rate of failed calls at which the circuit opens.
    pub failure_rate: f64,
    /// The rate of slow calls at which the circuit opens.
    pub slow_rate: f64,
    /// A call that took this long, its resolution included, was slow.
    pub slow_after: Duration,
    /// Calls that ended so long ago no longer count.
    pub window: Duration,
    /// Below this many calls in the window nothing opens.
    pub minimum_calls: usize,
    /// How long the circuit stays open before trials are let through.
    pub open_for: Duration,
    /// How many trials are let through, and must succeed, for the circuit to close.
    pub trials: usize,
    /// How many calls may run at once.
    pub concurrency: usize,
    /// How many calls may start in a second; None: as many as there are places.
    pub rate: Option<Rate>,
}

/// A rate of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls a second, in the long run.
    pub per_second: NonZeroU32,
    /// Calls at once, after a pause.
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
    /// A rate at which nothing or everything would open.
    #[error("{0} must be more than 0 and at most 1")]
    Rate(&'static str),
    /// No time, or no calls, where there must be some.
    #[error("{0} must be more than zero")]
    Zero(&'static str),
    /// More than can be counted.
    #[error("the concurrency must be at most {}", Semaphore::MAX_PERMITS)]
    Concurrency,
    /// The breaker refuses them for another reason.
    #[error("the breaker cannot be set up: {0}")]
    Breaker(String),
}

impl ResilienceSettings {
    /// Whether a guard can be made of them.
    ///
    /// # Errors
    /// The first setting that is out of bounds.
    pub fn check(&self) -> Result<(), ResilienceError> {
        for (rate, name) in [(self.failure_rate, "the failure rate"), (self.slow_rate, "the slow-call rate")]
        {
            // Not a number is neither.
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

/// Where the circuit of a provider stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// Calls are made.
    Closed,
    /// Calls are refused at once.
    Open {
        /// When trials are let through.
        until: Instant,
    },
    /// A few calls are made, as trials; the rest are refused at once.
    HalfOpen,
}

/// A change of the circuit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transition {
    /// Where it stood.
    pub from: Circuit,
    /// Where it stands now.
    pub to: Circuit,
    /// The rates that led to it: of the calls in the window, and since the change before this one.
    pub rates: Rates,
}

/// The breaker refused a call; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// When it makes sense to come back; spread, so that not all do at once.
    pub retry_in: Duration,
}

/// A place among the calls that may run; free again when dropped.
#[derive(Debug)]
pub struct Admission(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// What stands around one provider.
pub struct ResiliencePolicy {
    breaker: Breaker,
    places: Arc<Semaphore>,
    limiter: Option<DefaultDirectRateLimiter>,
    clock: DefaultClock,
    trial_takes: Duration,
}

impl ResiliencePolicy {
    /// A guard, closed. `name` is the provider's.
    ///
    /// `on_transition` is called at each change of the circuit, in the task whose call caused it and within the
    /// breaker's lock: it may count, log and ask [`ResiliencePolicy::circuit`], and must not block.
    ///
    /// # Errors
    /// When the settings are out of bounds.
    pub fn new(
        name: &str,
        settings: &ResilienceSettings,
        on_transition: impl Fn(Transition) + Send + Sync + 'static,
    ) -> Result<Self, ResilienceError> {
        settings.check()?;
        let limiter =
            |rate: Rate| RateLimiter::direct(Quota::per_second(rate.per_second).allow_burst(rate.burst));
        Ok(Self {
            breaker: Breaker::new(name, settings, on_transition)?,
            places: Arc::new(Semaphore::new(settings.concurrency)),
            limiter: settings.rate.map(limiter),
            clock: DefaultClock::default(),
            trial_takes: settings.slow_after,
        })
    }

    /// Where the circuit stands. One that is open until a time that has come counts as half-open, as the next call
    /// finds it so.
    pub fn circuit(&self) -> Circuit {
        self.breaker.circuit(Instant::now())
    }

    /// The rates of the calls in the window, and since the last change of the circuit.
    pub fn rates(&self) -> Rates {
        self.breaker.rates(Instant::now())
    }

    /// Waits for a place among the calls that run, and then for its turn by the rate; at most [`MAX_WAIT`] for both.
    /// The place is held until the admission is dropped.
    ///
    /// # Errors
    /// How long to come back after.
    pub async fn admit(&self) -> Result<Admission, Duration> {
        let deadline = Deadline::now() + MAX_WAIT;
        match timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => {
                self.turn(deadline).await?;
                Ok(Admission(place))
            }
            // The semaphore is never closed.
            Err(_) | Ok(Err(_)) => Err(jittered(MAX_WAIT)),
        }
    }

    async fn turn(&self, deadline: Deadline) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        // A turn is not reserved, so another may have taken it by the time the wait is over.
        while let Err(later) = limiter.check() {
            let wait = later.wait_time_from(self.clock.now()).max(Duration::from_millis(1));
            if Deadline::now() + wait > deadline {
                return Err(jittered(wait));
            }
            sleep(wait).await;
        }
        Ok(())
    }

    /// Makes a call, if the circuit lets it through. The admission is proof of a place.
    ///
    /// # Errors
    /// When it does not; then nothing was sent.
    pub async fn call(
        &self,
        _admission: &Admission,
        port: &Arc<dyn PaymentPort>,
        request: Request,
    ) -> Result<Response, Refused> {
        self.breaker.call(port, request).await.ok_or_else(|| Refused { retry_in: self.retry_in() })
    }

    fn retry_in(&self) -> Duration {
        let now = Instant::now();
        jittered(match self.breaker.circuit(now) {
            Circuit::Open { until } => until.saturating_duration_since(now),
            // The trials are under way; when they end, the circuit is closed or open.
            Circuit::HalfOpen => self.trial_takes,
            Circuit::Closed => Duration::ZERO,
        })
    }
}

impl fmt::Debug for ResiliencePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResiliencePolicy").field("circuit", &self.circuit()).finish_non_exhaustive()
    }
}

fn jittered(wait: Duration) -> Duration {
    wait.max(MIN_RETRY).mul_f64(1.0 + rand::rng().random_range(0.0..JITTER))
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod profile_tests;
#[cfg(test)]
mod tests;
