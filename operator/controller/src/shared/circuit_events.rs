//! Transitions of circuits to payment providers, on their way from whoever calls to whoever shows them.

use fooddelivery_providers::resilience::{Circuit, Transition};
use fooddelivery_saga::circuit::ReturnRate;
use fooddelivery_saga::phases::CircuitState;
use fooddelivery_saga::time::Timestamp;
use tokio::sync::mpsc;

/// A transition of a circuit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CircuitTransition {
    pub(crate) to: CircuitState,
    pub(crate) at: Timestamp,
    pub(crate) failure_percent: i64,
    pub(crate) slow_percent: i64,
    pub(crate) rate: ReturnRate,
    /// Whether it is a new circuit, closed from the start.
    pub(crate) begun: bool,
}

/// Whose circuit changed, and how.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CircuitEvent {
    pub(crate) provider: String,
    pub(crate) transition: CircuitTransition,
}

impl CircuitEvent {
    /// From what the resilience policy of `provider` reports.
    pub(crate) fn of(provider: &str, changed: &Transition, rate: ReturnRate, at: Timestamp) -> Self {
        let to = match changed.to {
            Circuit::Closed => CircuitState::Closed,
            Circuit::HalfOpen => CircuitState::HalfOpen,
            Circuit::Open { .. } => CircuitState::Open,
        };
        let transition = CircuitTransition {
            to,
            at,
            failure_percent: percent(changed.rates.failed),
            slow_percent: percent(changed.rates.slow),
            rate,
            begun: false,
        };
        Self { provider: provider.to_owned(), transition }
    }

    /// A new circuit.
    pub(crate) fn begun(provider: &str, rate: ReturnRate, at: Timestamp) -> Self {
        let to = CircuitState::Closed;
        let transition = CircuitTransition { to, at, failure_percent: 0, slow_percent: 0, rate, begun: true };
        Self { provider: provider.to_owned(), transition }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a percentage")]
fn percent(rate: f64) -> i64 {
    (rate.clamp(0.0, 1.0) * 100.0).round() as i64
}

/// Where transitions are reported. Never blocks.
#[derive(Debug, Clone)]
pub(crate) struct CircuitEvents(mpsc::UnboundedSender<CircuitEvent>);

impl CircuitEvents {
    /// Reports a transition.
    pub(crate) fn send(&self, event: CircuitEvent) {
        // Nobody listens any more only when the process is on its way out.
        let _ = self.0.send(event);
    }
}

/// Where they are received.
pub(crate) type CircuitReceiver = mpsc::UnboundedReceiver<CircuitEvent>;

/// The two ends.
pub(crate) fn channel() -> (CircuitEvents, CircuitReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (CircuitEvents(sender), receiver)
}
