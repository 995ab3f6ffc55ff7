//! Drives one reconcile of any kind: gather what the decision depends on, decide, apply what was decided, and look again,
//! until there is nothing left to decide; then the outcome is recorded, once. What is decided, and how it is applied, is the
//! kind's.

use std::future::Future;
use std::ops::ControlFlow;

use crate::key::Key;
use crate::runner::{Category, Outcome, ReconcileError};

/// Maximum decisions in one reconcile of a kind that does not say otherwise: more than any object of it needs.
pub const DECISIONS_PER_RECONCILE_MAX: usize = 24;

/// What a decision asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<Command, Rest> {
    /// Apply this, and decide again on what is there then.
    Apply(Command),
    /// Nothing is left to do but to record where the object stands.
    Rest(Rest),
}

/// One reconcile of one object: what it gathers, decides and applies, and what it has learnt so far.
pub trait Reconcile: Send {
    /// All that one decision depends on, and the copies that it is applied to.
    type View: Send + Sync;
    /// Something to be done.
    type Command: Send;
    /// Where the object stands.
    type Rest: Send;

    /// Maximum decisions in one reconcile; beyond it something is wrong, and the object is looked at again with back-off.
    const DECISIONS_MAX: usize = DECISIONS_PER_RECONCILE_MAX;

    /// Reads what the decision depends on, and writes nothing; breaks when there is nothing to decide.
    fn gather(
        &mut self,
    ) -> impl Future<Output = Result<ControlFlow<Outcome, Self::View>, ReconcileError>> + Send;

    /// Decides: pure, from the view alone.
    fn decide(&self, view: &Self::View) -> Step<Self::Command, Self::Rest>;

    /// Applies a command to the copies that were decided on; breaks when the reconcile ends with it.
    fn apply(
        &mut self,
        view: Self::View,
        command: Self::Command,
    ) -> impl Future<Output = Result<ControlFlow<Outcome>, ReconcileError>> + Send;

    /// Records where the object stands: the one write of its status.
    fn rest(
        &mut self,
        view: Self::View,
        rest: Self::Rest,
    ) -> impl Future<Output = Result<Outcome, ReconcileError>> + Send;
}

/// Decides and applies until the object rests.
///
/// # Errors
/// What gathering, applying or recording ends with; [`Category::Transient`] when it does not come to rest.
pub async fn drive<R: Reconcile>(
    kind: &'static str,
    key: &Key,
    mut reconcile: R,
) -> Result<Outcome, ReconcileError> {
    for _ in 0..R::DECISIONS_MAX {
        let view = match reconcile.gather().await? {
            ControlFlow::Continue(view) => view,
            ControlFlow::Break(outcome) => return Ok(outcome),
        };
        match reconcile.decide(&view) {
            Step::Rest(rest) => return reconcile.rest(view, rest).await,
            Step::Apply(command) => {
                if let ControlFlow::Break(outcome) = reconcile.apply(view, command).await? {
                    return Ok(outcome);
                }
            }
        }
    }
    let message = format!("{kind} {} does not come to rest", key.name);
    Err(ReconcileError { category: Category::Transient, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts up to a target, one step at a time.
    struct Counter<'a> {
        count: usize,
        target: usize,
        written: &'a mut Vec<usize>,
    }

    impl Reconcile for Counter<'_> {
        type View = usize;
        type Command = usize;
        type Rest = usize;

        async fn gather(&mut self) -> Result<ControlFlow<Outcome, usize>, ReconcileError> {
            Ok(ControlFlow::Continue(self.count))
        }

        fn decide(&self, view: &usize) -> Step<usize, usize> {
            if *view < self.target { Step::Apply(1) } else { Step::Rest(*view) }
        }

        async fn apply(&mut self, view: usize, by: usize) -> Result<ControlFlow<Outcome>, ReconcileError> {
            self.count = view + by;
            Ok(ControlFlow::Continue(()))
        }

        async fn rest(&mut self, _: usize, rest: usize) -> Result<Outcome, ReconcileError> {
            self.written.push(rest);
            Ok(Outcome::Done)
        }
    }

    async fn count_to(target: usize) -> (Result<Outcome, ReconcileError>, Vec<usize>) {
        let mut written = Vec::new();
        let counter = Counter { count: 0, target, written: &mut written };
        let result = drive("counter", &Key::new("food", "a"), counter).await;
        (result, written)
    }

    #[tokio::test]
    async fn what_is_decided_is_applied_until_it_rests_and_that_is_recorded_once() {
        let (result, written) = count_to(5).await;
        assert_eq!((result.ok(), written), (Some(Outcome::Done), vec![5]));
    }

    #[tokio::test]
    async fn what_does_not_come_to_rest_ends_in_an_error_and_records_nothing() {
        let (result, written) = count_to(usize::MAX).await;
        let error = result.expect_err("it never rests");
        assert_eq!((error.category, written), (Category::Transient, Vec::new()));
        assert_eq!(error.message, "counter a does not come to rest");
    }
}
