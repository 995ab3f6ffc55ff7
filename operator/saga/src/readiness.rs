//! Readiness of a provider of any kind: what its status says of whether it can be called.

use std::convert::Infallible;

use crate::machine::{Next, Note, Rest, StateMachine, Violation};
use crate::reason::Reason;
use crate::time::{Millis, Timestamp};

/// How often a provider that is not ready is looked at again: its Secret is not watched.
pub const RECHECK_INTERVAL: Millis = Millis::seconds(15);

/// Why a provider cannot be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// Why, in one word.
    pub reason: Reason,
    /// One sentence.
    pub message: String,
}

/// All that a decision about a provider's status depends on: whether it can be called, or why not.
pub type ReadinessView = Result<(), NotReady>;

/// The condition `Ready`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whether it holds.
    pub holds: bool,
    /// Why, in one word.
    pub reason: Reason,
    /// Why not, in a sentence; empty where it holds.
    pub message: String,
}

/// The decisions about a provider's status. They command nothing.
#[derive(Debug, Clone, Copy)]
pub struct ReadinessMachine;

impl StateMachine for ReadinessMachine {
    type View = ReadinessView;
    type Command = Infallible;
    type Status = Readiness;

    fn decide(view: &ReadinessView, now: Timestamp) -> Next<Infallible, Readiness> {
        Next::Rest(match view {
            Ok(()) => {
                let state = Readiness { holds: true, reason: Reason::Configured, message: String::new() };
                Rest { state, notes: Vec::new(), wake_at: None }
            }
            Err(NotReady { reason, message }) => Rest {
                state: Readiness { holds: false, reason: *reason, message: message.clone() },
                notes: vec![Note::warning(*reason, message.clone())],
                wake_at: Some(now + RECHECK_INTERVAL),
            },
        })
    }

    fn check(_: &ReadinessView, next: &Next<Infallible, Readiness>) -> Result<(), Violation> {
        let Next::Rest(Rest { state, wake_at, .. }) = next else { return Ok(()) };
        if state.holds != (state.reason == Reason::Configured) {
            return Err(Violation::new("a provider is ready when it is configured", state.reason.as_str()));
        }
        if !state.holds && wake_at.is_none() {
            return Err(Violation::new("who cannot be called is looked at again", state.message.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(view: &ReadinessView) -> Rest<Readiness> {
        let Next::Rest(rest) = ReadinessMachine::step(view, Timestamp(1_000)) else { panic!("a rest") };
        rest
    }

    #[test]
    fn a_provider_that_can_be_called_is_ready_and_nobody_is_told() {
        let Rest { state, notes, wake_at } = rest(&Ok(()));
        assert_eq!((state.holds, state.reason, wake_at), (true, Reason::Configured, None));
        assert!(notes.is_empty());
    }

    #[test]
    fn one_that_cannot_be_called_says_why_and_is_looked_at_again() {
        let why = NotReady { reason: Reason::ProviderSecretMissing, message: "Secret a/b is missing".into() };
        let Rest { state, notes, wake_at } = rest(&Err(why));
        assert_eq!((state.holds, state.reason), (false, Reason::ProviderSecretMissing));
        assert_eq!(notes, [Note::warning(Reason::ProviderSecretMissing, "Secret a/b is missing")]);
        assert_eq!(wake_at, Some(Timestamp(16_000)));
    }

    #[test]
    fn a_status_that_no_provider_may_have_is_found_at_its_source() {
        let state = Readiness { holds: false, reason: Reason::Configured, message: String::new() };
        let check = |state: &Readiness| {
            let next = Next::Rest(Rest { state: state.clone(), notes: Vec::new(), wake_at: None });
            ReadinessMachine::check(&Ok(()), &next).expect_err("a rule is broken").rule
        };
        assert_eq!(check(&state), "a provider is ready when it is configured");
        let state = Readiness { reason: Reason::ProviderNotFound, ..state };
        assert_eq!(check(&state), "who cannot be called is looked at again");
    }
}
