//! The states of a circuit, in the words of this crate: none of the breaker library's types leave [`super::breaker`].

use std::time::Instant;

/// State of a provider's circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// Calls are made.
    Closed,
    /// Calls are rejected at once.
    Open {
        /// When trials are let through.
        until: Instant,
    },
    /// A few calls are made, as trials; the others are rejected at once.
    HalfOpen,
}

/// A state transition of the circuit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transition {
    /// State before.
    pub from: Circuit,
    /// State after.
    pub to: Circuit,
    /// Rates that caused it: of the calls in the window since the previous transition.
    pub rates: Rates,
}

/// Fractions of the calls, 0 to 1; 0 when there were none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Of calls that failed.
    pub failed: f64,
    /// Of calls that were slow, whether they failed or not.
    pub slow: f64,
}
