//! The policy itself: a permit first (bulkhead, then rate limiter), then the call through the circuit breaker.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use rand::RngExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant as Deadline, sleep, timeout_at};

use super::breaker::Breaker;
use super::call::{Request, Response};
use super::circuit::{Circuit, Rates, Transition};
use super::settings::{Rate, ResilienceError, ResilienceSettings};
use crate::payment::port::PaymentPort;

/// Maximum wait of [`ResiliencePolicy::acquire`].
pub const ACQUIRE_WAIT_MAX: Duration = Duration::from_secs(1);

/// Minimum delay before a rejected call is retried.
pub(super) const RETRY_DELAY_MIN: Duration = Duration::from_millis(10);
/// Maximum jitter added to a delay, as a part of it, so that rejected callers do not return all at once.
pub(super) const RETRY_JITTER_MAX: f64 = 0.25;

/// The circuit breaker rejected a call; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// Delay before a retry, jittered.
    pub retry_in: Duration,
}

/// A place in the bulkhead; free again when dropped.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// Bulkhead, rate limiter and circuit breaker of one provider.
pub struct ResiliencePolicy {
    breaker: Breaker,
    pub(super) bulkhead: Arc<Semaphore>,
    limiter: Option<DefaultDirectRateLimiter>,
    clock: DefaultClock,
    trial_duration: Duration,
}

impl ResiliencePolicy {
    /// A policy with a closed circuit. `name` is the provider's.
    ///
    /// `on_transition` is called at each transition, in the task whose call caused it and while the breaker's lock is
    /// held: it may count, log and ask [`ResiliencePolicy::circuit`], and must not block.
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
            bulkhead: Arc::new(Semaphore::new(settings.concurrency)),
            limiter: settings.rate.map(limiter),
            clock: DefaultClock::default(),
            trial_duration: settings.slow_after,
        })
    }

    /// State of the circuit. An open one whose time is over counts as half-open, as the next call will find it.
    pub fn circuit(&self) -> Circuit {
        self.breaker.circuit(Instant::now())
    }

    /// Rates of the calls in the window since the last transition.
    pub fn rates(&self) -> Rates {
        self.breaker.rates(Instant::now())
    }

    /// Waits for a place in the bulkhead, then for the rate limiter; at most [`ACQUIRE_WAIT_MAX`] for both. The place is
    /// held until the permit is dropped.
    ///
    /// # Errors
    /// How long to come back after.
    pub async fn acquire(&self) -> Result<Permit, Duration> {
        let deadline = Deadline::now() + ACQUIRE_WAIT_MAX;
        match timeout_at(deadline, Arc::clone(&self.bulkhead).acquire_owned()).await {
            Ok(Ok(place)) => {
                self.limit_rate(deadline).await?;
                Ok(Permit(place))
            }
            // The semaphore is never closed.
            Err(_) | Ok(Err(_)) => Err(jittered(ACQUIRE_WAIT_MAX)),
        }
    }

    async fn limit_rate(&self, deadline: Deadline) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        // The limiter reserves nothing: another call may have taken the cell by the time the wait is over.
        while let Err(later) = limiter.check() {
            let wait = later.wait_time_from(self.clock.now()).max(Duration::from_millis(1));
            if Deadline::now() + wait > deadline {
                return Err(jittered(wait));
            }
            sleep(wait).await;
        }
        Ok(())
    }

    /// Makes a call, unless the circuit rejects it. The permit proves that there is a place for it.
    ///
    /// # Errors
    /// When it rejects the call; then nothing was sent.
    pub async fn call(
        &self,
        _permit: &Permit,
        port: &Arc<dyn PaymentPort>,
        request: Request,
    ) -> Result<Response, Rejected> {
        self.breaker.call(port, request).await.ok_or_else(|| Rejected { retry_in: self.retry_in() })
    }

    fn retry_in(&self) -> Duration {
        let now = Instant::now();
        jittered(match self.breaker.circuit(now) {
            Circuit::Open { until } => until.saturating_duration_since(now),
            // The trials are under way; when they end, the circuit is closed or open.
            Circuit::HalfOpen => self.trial_duration,
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
    wait.max(RETRY_DELAY_MIN).mul_f64(1.0 + rand::rng().random_range(0.0..RETRY_JITTER_MAX))
}
