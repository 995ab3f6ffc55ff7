//! The resilience policy around one payment provider: a bulkhead, a rate limiter and a circuit breaker.
//!
//! [`ResiliencePolicy::acquire`] gives a permit, waiting a bounded time; [`ResiliencePolicy::call`] makes one call
//! through the circuit breaker. It neither retries nor decides what a payment needs next. A call is scored once, when it
//! is resolved: see [`call`].
//!
//! All state is in this process: each replica protects the provider by itself.

mod breaker;
mod call;
mod circuit;
mod policy;
mod settings;
mod window;

pub use call::{Request, Response};
pub use circuit::{Circuit, Rates, Transition};
pub use policy::{ACQUIRE_WAIT_MAX, Permit, Rejected, ResiliencePolicy};
pub use settings::{Rate, ResilienceError, ResilienceSettings};

#[cfg(test)]
mod fake;
#[cfg(test)]
mod profile_tests;
#[cfg(test)]
mod tests;
