//! Between the domain's state machines and the runtime's driver, which knows none of them: what is applied, and what an
//! object rests on.

use std::convert::Infallible;
use std::time::Duration;

use fooddelivery_runtime::Outcome;
use fooddelivery_runtime::clock::Clock;
use fooddelivery_runtime::driver::Step;
use fooddelivery_saga::machine::{Next, Rest, RetryAfter, Violation};
use fooddelivery_saga::time::Timestamp;
use tracing::{debug, error};

/// What is applied before the next decision.
pub(crate) enum Apply<C, S> {
    /// This command.
    Command(C),
    /// The write of this status.
    Write(Box<S>),
}

/// What an object rests on.
pub(crate) enum Resting<S> {
    /// This status, written if it differs.
    Status(Rest<S>),
    /// Nothing may be done.
    Skip,
    /// A decision contradicts the rules: nothing is done.
    Halt(Violation),
    /// Until this time, or until something changes; the status stays as it is.
    Wait(Option<Timestamp>),
    /// Until the outcome of a call is asked for again.
    Retry(RetryAfter),
}

/// A decision, as the driver takes it.
pub(crate) fn step<C, S>(next: Next<C, S>) -> Step<Apply<C, S>, Resting<S>> {
    match next {
        Next::Act(command) => Step::Apply(Apply::Command(command)),
        Next::Write(status) => Step::Apply(Apply::Write(status)),
        Next::Rest(rest) => Step::Rest(Resting::Status(rest)),
        Next::Skip => Step::Rest(Resting::Skip),
        Next::Halt(violation) => Step::Rest(Resting::Halt(violation)),
        Next::Wait(at) => Step::Rest(Resting::Wait(at)),
        Next::Retry(after) => Step::Rest(Resting::Retry(after)),
    }
}

/// A decision of a machine that commands nothing, as the driver takes it.
pub(crate) fn rest<S>(next: Next<Infallible, S>) -> Step<Infallible, Resting<S>> {
    match step(next) {
        Step::Apply(Apply::Command(never)) => match never {},
        Step::Apply(Apply::Write(status)) => {
            Step::Rest(Resting::Status(Rest { state: *status, notes: Vec::new(), wake_at: None }))
        }
        Step::Rest(resting) => Step::Rest(resting),
    }
}

/// When to look again, at `at` if nothing happens before.
pub(crate) fn wake_at(clock: &Clock, at: Option<Timestamp>) -> Outcome {
    at.map_or(Outcome::Done, |at| Outcome::After(clock.until(at)))
}

impl<S> Resting<S> {
    /// The status to write, if there is one; else how the reconcile ends.
    pub(crate) fn status_or_outcome(self, clock: &Clock) -> Result<Rest<S>, Outcome> {
        Err(match self {
            Self::Status(rest) => return Ok(rest),
            Self::Skip => {
                debug!("skipped: from another version, or stopped by a person");
                Outcome::Done
            }
            Self::Halt(violation) => {
                error!(%violation, "a decision breaks a rule; nothing is done");
                Outcome::Done
            }
            Self::Wait(at) => wake_at(clock, at),
            Self::Retry(RetryAfter::Soon) => Outcome::AskAgain(None),
            Self::Retry(RetryAfter::After(ms)) => Outcome::AskAgain(Some(Duration::from_millis(ms))),
        })
    }
}
