//! Customers: their message log, a view of what stands in their orders, for them to read. It is written at most once per
//! delay and customer, and keeps the latest messages, also of orders that are gone.

mod apply;
mod gather;

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::Customer;
use fooddelivery_runtime::driver::{Reconcile, Step, drive};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::machine::StateMachine;
use fooddelivery_saga::message_log::{Message, MessageLogMachine};

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::machine::{Resting, rest};
use crate::shared::notification_progress::NotificationProgress;

use gather::{Gathered, gather};

const NAME: ControllerName = ControllerName::Customer;

/// The customer controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: false, register };

fn register(mut controller: Registration<'_>) -> Registered {
    let notifications = controller.shared().notifications.clone();
    // Each replica logs what it sent; what stands in the orders already, one of them.
    controller.also_mine({
        let notifications = notifications.clone();
        move |key| !notifications.unlogged_of(key).is_empty()
    });
    controller.on::<Customer>(|_, change| vec![change.key.clone()]);
    let reconciler = Customers { context: controller.context().clone(), notifications };
    controller.run(Shard::own::<Customer>(), reconciler)
}

struct Customers {
    context: Arc<Context>,
    notifications: Arc<NotificationProgress>,
}

impl Reconciler for Customers {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        drive(self.name(), &key, CustomerReconcile { controller: self, key: &key }).await
    }
}

/// One reconcile of one customer.
struct CustomerReconcile<'a> {
    controller: &'a Customers,
    key: &'a Key,
}

impl Reconcile for CustomerReconcile<'_> {
    type View = Gathered;
    type Command = Infallible;
    type Rest = Resting<Vec<Message>>;

    async fn gather(&mut self) -> Result<ControlFlow<Outcome, Gathered>, ReconcileError> {
        let Customers { context, notifications } = self.controller;
        let gathered = gather(context, notifications, self.key);
        Ok(gathered.map_or(ControlFlow::Break(Outcome::Done), ControlFlow::Continue))
    }

    fn decide(&self, gathered: &Gathered) -> Step<Infallible, Self::Rest> {
        rest(MessageLogMachine::step(&gathered.view, self.controller.context.clock.now()))
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
            Ok(rest) => self.controller.write(self.key, gathered, rest.state).await,
            Err(outcome) => Ok(outcome),
        }
    }
}
