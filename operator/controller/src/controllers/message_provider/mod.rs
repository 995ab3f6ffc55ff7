//! Message providers: sets in their status whether they are configured so that they can be called.

mod apply;
mod gather;

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::MessageProvider;
use fooddelivery_runtime::driver::{Reconcile, Step, drive};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::machine::StateMachine;
use fooddelivery_saga::readiness::{Readiness, ReadinessMachine};

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::machine::{Resting, rest};
use crate::shared::state::Shared;

use gather::{Gathered, gather};

const NAME: ControllerName = ControllerName::MessageProvider;

/// The controller of message providers.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: false, register };

fn register(mut controller: Registration<'_>) -> Registered {
    // Each replica has its own clients and circuits.
    controller.on::<MessageProvider>(|_, change| vec![change.key.clone()]);
    let reconciler =
        MessageProviders { context: controller.context().clone(), shared: controller.shared().clone() };
    controller.run(Shard::Every, reconciler)
}

struct MessageProviders {
    context: Arc<Context>,
    shared: Shared,
}

impl Reconciler for MessageProviders {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        drive(self.name(), &key, ProviderReconcile { controller: self, key: &key }).await
    }
}

/// One reconcile of one provider.
struct ProviderReconcile<'a> {
    controller: &'a MessageProviders,
    key: &'a Key,
}

impl Reconcile for ProviderReconcile<'_> {
    type View = Gathered;
    type Command = Infallible;
    type Rest = Resting<Readiness>;

    async fn gather(&mut self) -> Result<ControlFlow<Outcome, Gathered>, ReconcileError> {
        let MessageProviders { context, shared } = self.controller;
        let Some(provider) = context.caches.message_providers.object(self.key) else {
            return Ok(ControlFlow::Break(Outcome::Done));
        };
        Ok(ControlFlow::Continue(gather(context, shared, provider).await?))
    }

    fn decide(&self, gathered: &Gathered) -> Step<Infallible, Self::Rest> {
        rest(ReadinessMachine::step(&gathered.view, self.controller.context.clock.now()))
    }

    async fn apply(
        &mut self,
        _: Gathered,
        never: Infallible,
    ) -> Result<ControlFlow<Outcome>, ReconcileError> {
        match never {}
    }

    async fn rest(&mut self, gathered: Gathered, resting: Self::Rest) -> Result<Outcome, ReconcileError> {
        match resting.status_or_outcome(&self.controller.context.clock) {
            Ok(rest) => self.controller.write(gathered, rest).await,
            Err(outcome) => Ok(outcome),
        }
    }
}
