//! Riders: counts how many deliveries each rider brought.

mod apply;
mod gather;

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Delivery, Rider};
use fooddelivery_runtime::driver::{Reconcile, Step, drive};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::counter::{Count, CounterMachine, Deliveries};
use fooddelivery_saga::machine::StateMachine;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::counting::{CountSchedule, Counted};
use crate::shared::machine::{Resting, rest, wake_at};

use gather::{Gathered, gather};

const NAME: ControllerName = ControllerName::Rider;

/// The rider controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: false, register };

fn register(mut controller: Registration<'_>) -> Registered {
    controller.on::<Rider>(|_, change| vec![change.key.clone()]);
    controller.on::<Delivery>(|context, change| {
        let delivery = change.object.filter(|delivery| delivery.concerns_its_count(context));
        let rider = delivery.and_then(|delivery| delivery.spec.rider_ref.as_ref());
        rider.map(|rider| Key::new(&change.key.namespace, &rider.name)).into_iter().collect()
    });
    let reconciler = Riders::new(controller.context().clone());
    controller.run(Shard::own::<Rider>(), reconciler)
}

struct Riders {
    context: Arc<Context>,
    schedule: CountSchedule,
}

impl Riders {
    fn new(context: Arc<Context>) -> Self {
        let schedule = CountSchedule::new(&context);
        Self { context, schedule }
    }
}

impl Reconciler for Riders {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        drive(self.name(), &key, RiderReconcile { controller: self, key: &key }).await
    }
}

/// One reconcile of one rider.
struct RiderReconcile<'a> {
    controller: &'a Riders,
    key: &'a Key,
}

impl Reconcile for RiderReconcile<'_> {
    type View = Gathered;
    type Command = Infallible;
    type Rest = Resting<Count<Deliveries>>;

    async fn gather(&mut self) -> Result<ControlFlow<Outcome, Gathered>, ReconcileError> {
        let Riders { context, schedule } = self.controller;
        Ok(gather(context, schedule, self.key).await?)
    }

    fn decide(&self, gathered: &Gathered) -> Step<Infallible, Self::Rest> {
        rest(CounterMachine::step(&gathered.view, self.controller.context.clock.now()))
    }

    async fn apply(
        &mut self,
        _: Gathered,
        never: Infallible,
    ) -> Result<ControlFlow<Outcome>, ReconcileError> {
        match never {}
    }

    async fn rest(&mut self, gathered: Gathered, resting: Self::Rest) -> Result<Outcome, ReconcileError> {
        let clock = &self.controller.context.clock;
        let outcome = match resting.status_or_outcome(clock) {
            Ok(rest) => {
                self.controller.write(&gathered.rider, rest.state).await?;
                wake_at(clock, rest.wake_at)
            }
            Err(outcome) => outcome,
        };
        self.controller.schedule.clear(self.key);
        Ok(outcome)
    }
}
