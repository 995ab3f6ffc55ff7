//! Stores: counts how many orders had each dish.

mod apply;
mod gather;

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Store, Ticket};
use fooddelivery_runtime::driver::{Reconcile, Step, drive};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::counter::{Count, CounterMachine, MenuCounts};
use fooddelivery_saga::machine::StateMachine;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::counting::{CountSchedule, Counted};
use crate::shared::machine::{Resting, rest, wake_at};

use gather::{Gathered, gather};

const NAME: ControllerName = ControllerName::Store;

/// The store controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: false, register };

fn register(mut controller: Registration<'_>) -> Registered {
    controller.on::<Store>(|_, change| vec![change.key.clone()]);
    controller.on::<Ticket>(|context, change| {
        let ticket = change.object.filter(|ticket| ticket.concerns_its_count(context));
        let store = ticket.map(|ticket| Key::new(&change.key.namespace, &ticket.spec.store_ref.name));
        store.into_iter().collect()
    });
    let reconciler = Stores::new(controller.context().clone());
    controller.run(Shard::own::<Store>(), reconciler)
}

struct Stores {
    context: Arc<Context>,
    schedule: CountSchedule,
}

impl Stores {
    fn new(context: Arc<Context>) -> Self {
        let schedule = CountSchedule::new(&context);
        Self { context, schedule }
    }
}

impl Reconciler for Stores {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        drive(self.name(), &key, StoreReconcile { controller: self, key: &key }).await
    }
}

/// One reconcile of one store.
struct StoreReconcile<'a> {
    controller: &'a Stores,
    key: &'a Key,
}

impl Reconcile for StoreReconcile<'_> {
    type View = Gathered;
    type Command = Infallible;
    type Rest = Resting<Count<MenuCounts>>;

    async fn gather(&mut self) -> Result<ControlFlow<Outcome, Gathered>, ReconcileError> {
        let Stores { context, schedule } = self.controller;
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
                self.controller.write(&gathered.store, rest.state).await?;
                wake_at(clock, rest.wake_at)
            }
            Err(outcome) => outcome,
        };
        self.controller.schedule.clear(self.key);
        Ok(outcome)
    }
}
