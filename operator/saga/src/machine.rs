//! One shape for the decisions of all kinds: a view goes in, the next step comes out.
//!
//! Whoever drives a machine gathers its view, asks [`StateMachine::step`], carries out what it says and asks again,
//! until nothing is left to do. Everything that may be observed is in the view, so that the controller, the model and
//! the tests drive the very same machine.
//!
//! What this module may not do: know any kind.

use std::fmt;

use crate::time::Timestamp;

/// What is to be done next for an object whose commands are `C` and whose status is `S`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<C, S> {
    /// Nothing may be done: something from another version, or an object that a person stopped.
    Skip,
    /// What was decided contradicts the rules: nothing is done, and whoever drives logs it as an error.
    Halt(Violation),
    /// Carry this out, gather the view anew and ask again.
    Act(C),
    /// Write this status by compare-and-set, then ask again.
    Write(Box<S>),
    /// All is as it should be, given this status.
    Rest(Rest<S>),
    /// Nothing to do until then, or until something changes; the status stays as it is.
    Wait(Option<Timestamp>),
    /// An outcome is not known yet: ask again, with back-off.
    Retry(RetryAfter),
}

/// What remains when there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest<S> {
    /// The status that follows; written by compare-and-set, and only when it differs from the one that stands.
    pub state: S,
    /// What to tell people, once, if the status is written.
    pub notes: Vec<Note>,
    /// When to look again, if nothing else happens before.
    pub wake_at: Option<Timestamp>,
}

/// How soon to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// The outcome of a call is not known yet: within a second, then more and more slowly.
    Soon,
    /// The provider named a time, in milliseconds.
    After(u64),
}

/// Something that people should be told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whether it is a warning.
    pub warning: bool,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl Note {
    /// Something that went otherwise than wished.
    pub fn warning(reason: impl AsRef<str>, message: impl Into<String>) -> Self {
        Self { warning: true, reason: reason.as_ref().to_owned(), message: message.into() }
    }
}

/// A rule of the domain that a decision would have broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule, in a few words.
    pub rule: &'static str,
    /// What would have broken it.
    pub detail: String,
}

impl Violation {
    /// Of `rule`, by `detail`.
    pub fn new(rule: &'static str, detail: impl Into<String>) -> Self {
        Self { rule, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}

impl std::error::Error for Violation {}

/// The decisions of one kind.
pub trait StateMachine {
    /// Everything that a decision depends on.
    type View;
    /// What can be asked of the driver.
    type Command;
    /// The status that is decided on.
    type Status;

    /// Names the next step. Drivers call [`Self::step`], which also checks it.
    fn decide(view: &Self::View, now: Timestamp) -> Next<Self::Command, Self::Status>;

    /// The rule that `next` would break, given `view`: true of every view, however it came about.
    ///
    /// # Errors
    /// The first rule that is broken.
    fn check(view: &Self::View, next: &Next<Self::Command, Self::Status>) -> Result<(), Violation>;

    /// Names the next step and holds it against the postconditions. A decision that breaks one is a defect of this
    /// crate: it stops a debug build, and is never carried out in a release build.
    fn step(view: &Self::View, now: Timestamp) -> Next<Self::Command, Self::Status> {
        let next = Self::decide(view, now);
        let checked = Self::check(view, &next);
        debug_assert!(checked.is_ok(), "{checked:?}");
        match checked {
            Ok(()) => next,
            Err(violation) => Next::Halt(violation),
        }
    }
}
