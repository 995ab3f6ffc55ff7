//! Controllers that only keep one status: their machine commands nothing, so that they share one way through the driver.

use std::convert::Infallible;
use std::future::Future;
use std::ops::ControlFlow;

use fooddelivery_runtime::driver::{Reconcile, Step, drive};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::machine::{Rest, StateMachine};

use super::machine::{Resting, rest};
use crate::context::Context;
use crate::names::ControllerName;

/// What such a controller gathers and writes.
pub(crate) trait StatusOnly: Sized + Send + Sync + 'static {
    /// Its name.
    const NAME: ControllerName;
    /// What decides.
    type Machine: StateMachine<Command = Infallible, View: Send + Sync, Status: Send>;
    /// What was gathered beside the view: the copies that a decision on it is applied to.
    type Copies: Send + Sync;

    /// The shared context.
    fn context(&self) -> &Context;

    /// Reads what the decision depends on, and writes nothing; breaks when there is nothing to decide.
    fn gather(
        &self,
        key: &Key,
    ) -> impl Future<Output = Result<ControlFlow<Outcome, Gathered<Self>>, ReconcileError>> + Send;

    /// Writes the status if it differs.
    fn write(
        &self,
        key: &Key,
        copies: Self::Copies,
        rest: Rest<StatusOf<Self>>,
    ) -> impl Future<Output = Result<Outcome, ReconcileError>> + Send;

    /// The object rests, written or not.
    fn rested(&self, _: &Key) {}

    /// The object is another replica's.
    fn released(&self, key: &Key) {
        self.rested(key);
    }
}

/// What the controller's machine decides on.
pub(crate) type ViewOf<C> = <<C as StatusOnly>::Machine as StateMachine>::View;
/// The status that it decides.
pub(crate) type StatusOf<C> = <<C as StatusOnly>::Machine as StateMachine>::Status;
/// A view, and the copies that a decision on it is applied to.
pub(crate) type Gathered<C> = (ViewOf<C>, <C as StatusOnly>::Copies);

/// Reconciles the keys of such a controller.
pub(crate) struct StatusReconciler<C>(pub(crate) C);

impl<C: StatusOnly> Reconciler for StatusReconciler<C> {
    fn name(&self) -> &'static str {
        C::NAME.as_str()
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        drive(self.name(), &key, StatusReconcile { controller: &self.0, key: &key }).await
    }

    fn released(&self, key: &Key) {
        self.0.released(key);
    }
}

/// One reconcile of one object.
struct StatusReconcile<'a, C> {
    controller: &'a C,
    key: &'a Key,
}

impl<C: StatusOnly> Reconcile for StatusReconcile<'_, C> {
    type View = Gathered<C>;
    type Command = Infallible;
    type Rest = Resting<StatusOf<C>>;

    async fn gather(&mut self) -> Result<ControlFlow<Outcome, Self::View>, ReconcileError> {
        self.controller.gather(self.key).await
    }

    fn decide(&self, (view, _): &Self::View) -> Step<Infallible, Self::Rest> {
        rest(C::Machine::step(view, self.controller.context().clock.now()))
    }

    async fn apply(
        &mut self,
        _: Self::View,
        never: Infallible,
    ) -> Result<ControlFlow<Outcome>, ReconcileError> {
        match never {}
    }

    async fn rest(
        &mut self,
        (_, copies): Self::View,
        resting: Self::Rest,
    ) -> Result<Outcome, ReconcileError> {
        let outcome = match resting.status_or_outcome(&self.controller.context().clock) {
            Ok(rest) => self.controller.write(self.key, copies, rest).await?,
            Err(outcome) => outcome,
        };
        self.controller.rested(self.key);
        Ok(outcome)
    }
}
