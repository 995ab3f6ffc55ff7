//! The circuit breaker: `tower-resilience-circuitbreaker`, of which nothing is visible outside of this module.
//!
//! The library decides; its state is read from a mirror, the [`CallWindow`]. The window is over time: in the pinned version
//! the window over a number of calls fills and never slides.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tower::{Service, ServiceExt};
use tower_resilience_circuitbreaker::{
    CircuitBreakerError, CircuitBreakerHandle, CircuitBreakerLayer, CircuitState, FailureClassifier,
    SlidingWindowType,
};

use super::call::{Request, Resolved, Response, run};
use super::circuit::{Circuit, Rates, Transition};
use super::settings::{ResilienceError, ResilienceSettings};
use super::window::CallWindow;
use crate::payment::port::PaymentPort;

/// Scores a call by what its resolution says.
#[derive(Debug, Clone, Copy)]
struct AsResolved;

impl FailureClassifier<Resolved, Infallible> for AsResolved {
    fn classify(&self, result: &Result<Resolved, Infallible>) -> bool {
        match result {
            Ok(resolved) => resolved.failed,
            Err(never) => match *never {},
        }
    }
}

/// Makes the calls that the circuit lets through.
#[derive(Clone)]
struct Calls(Arc<dyn PaymentPort>);

impl Service<Request> for Calls {
    type Response = Resolved;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Resolved, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let port = Arc::clone(&self.0);
        Box::pin(async move { Ok(run(port.as_ref(), request).await) })
    }
}

pub(super) struct Breaker {
    layer: CircuitBreakerLayer<AsResolved>,
    handle: CircuitBreakerHandle<AsResolved>,
    window: Arc<Mutex<CallWindow>>,
}

impl Breaker {
    pub(super) fn new(
        name: &str,
        settings: &ResilienceSettings,
        on_transition: impl Fn(Transition) + Send + Sync + 'static,
    ) -> Result<Self, ResilienceError> {
        let window = Arc::new(Mutex::new(CallWindow::new(settings.window, settings.trials)));
        let (slow, succeeded, failed, changed) =
            (Arc::clone(&window), Arc::clone(&window), Arc::clone(&window), Arc::clone(&window));
        let open_for = settings.open_for;
        let (layer, handle) = CircuitBreakerLayer::builder()
            .name(name)
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_duration(settings.window)
            .minimum_number_of_calls(settings.minimum_calls)
            .failure_rate_threshold(settings.failure_rate)
            .slow_call_rate_threshold(settings.slow_rate)
            .slow_call_duration_threshold(settings.slow_after)
            .wait_duration_in_open(settings.open_for)
            .permitted_calls_in_half_open(settings.trials)
            .on_slow_call(move |_| lock(&slow).slow())
            .on_success(move |_| lock(&succeeded).score(Instant::now(), false))
            .on_failure(move |_| lock(&failed).score(Instant::now(), true))
            .on_state_transition(move |_, to| {
                let to = circuit(to, open_for);
                let (from, rates) = lock(&changed).change(Instant::now(), to);
                on_transition(Transition { from, to, rates });
            })
            .failure_classifier_type(AsResolved)
            .build_with_handle()
            .map_err(|error| ResilienceError::Breaker(error.to_string()))?;
        Ok(Self { layer, handle, window })
    }

    pub(super) fn circuit(&self, now: Instant) -> Circuit {
        lock(&self.window).circuit(now)
    }

    pub(super) fn rates(&self, now: Instant) -> Rates {
        lock(&self.window).rates(now)
    }

    /// Makes a call, unless the circuit rejects it; then there is no response.
    pub(super) async fn call(&self, port: &Arc<dyn PaymentPort>, request: Request) -> Option<Response> {
        let result = self.layer.layer_fn(Calls(Arc::clone(port))).oneshot(request).await;
        self.unstick().await;
        match result {
            Ok(resolved) => Some(resolved.response),
            Err(CircuitBreakerError::OpenCircuit) => None,
            Err(CircuitBreakerError::Inner(never)) => match never {},
        }
    }

    /// Closes a half-open circuit all of whose trials have succeeded, and which would let no more through. The caller of
    /// the last trial may be gone before it gets here; then the next call, rejected, does it.
    async fn unstick(&self) {
        if lock(&self.window).is_stuck() {
            self.handle.force_closed().await;
        }
    }
}

fn circuit(state: CircuitState, open_for: Duration) -> Circuit {
    match state {
        CircuitState::Closed => Circuit::Closed,
        CircuitState::Open => Circuit::Open { until: Instant::now() + open_for },
        CircuitState::HalfOpen => Circuit::HalfOpen,
    }
}

/// The window holds plain values, which a panic cannot leave half-changed in a way that matters.
fn lock(window: &Mutex<CallWindow>) -> MutexGuard<'_, CallWindow> {
    window.lock().unwrap_or_else(PoisonError::into_inner)
}
