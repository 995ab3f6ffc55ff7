//! Notifications: every step of an order is sent to every message provider, one after the other, at least once. It holds
//! nothing up: an order neither waits for it nor hears of it, but that a deleted one goes only when all was sent.
//!
//! Progress is kept in memory and goes along with whatever else is written of the order; on its own it is written once,
//! when the order has ended, or when messages have waited for long.

mod apply;
mod gather;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::{Customer, MessageProvider, Order};
use fooddelivery_runtime::driver::{Reconcile, Step, drive};
use fooddelivery_runtime::{Debounce, Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::machine::StateMachine;
use fooddelivery_saga::order::HISTORY_LIMIT;
use fooddelivery_saga::order_notification::{Command, OrderNotificationMachine, PROVIDERS_MAX, Standing};
use kube::ResourceExt;
use tracing::Span;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::concerns::order_concerns_notification;
use crate::shared::correlation::{correlate, order_span};
use crate::shared::machine::{Apply, Resting, step};
use crate::shared::state::Shared;
use crate::shared::waiting::orders_to_tell;

use gather::{Attempts, Gathered, gather};

const NAME: ControllerName = ControllerName::Notification;

/// How long the write at the end waits, for the order to write something itself.
const FINAL_WRITE_DELAY: Duration = Duration::from_secs(1);
/// How long messages wait before that is reported in the order's status.
const REPORT_WAITING_AFTER: Duration = Duration::from_secs(30);

/// The notification controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: false, register };

fn register(mut controller: Registration<'_>) -> Registered {
    controller.on_difference::<Order>(order_concerns_notification, |_, change| vec![change.key.clone()]);
    controller.on_spec_change::<Customer>(|context, change| context.indexes.orders.of_customer(change.key));
    // What a provider says of itself changes nothing for those who are to be notified.
    controller.on_spec_change::<MessageProvider>(|context, change| orders_to_tell(context, change.object));
    let reconciler = Notifications::new(controller.context().clone(), controller.shared().clone());
    controller.run(Shard::OfOrder, reconciler)
}

struct Notifications {
    context: Arc<Context>,
    shared: Shared,
    final_write: Debounce,
    waiting: Debounce,
}

impl Notifications {
    fn new(context: Arc<Context>, shared: Shared) -> Self {
        Self {
            context,
            shared,
            final_write: Debounce::new(FINAL_WRITE_DELAY),
            waiting: Debounce::new(REPORT_WAITING_AFTER),
        }
    }
}

impl Reconciler for Notifications {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    fn span(&self, key: &Key) -> Span {
        order_span(self.name(), key)
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        correlate(self.context.caches.orders.object(&key).and_then(|order| order.uid()));
        let reconcile =
            NotificationReconcile { controller: self, key: &key, order: None, attempts: Attempts::new() };
        drive(self.name(), &key, reconcile).await
    }

    fn released(&self, key: &Key) {
        self.shared.notifications.released(key);
    }
}

/// One reconcile of the notifications of one order.
struct NotificationReconcile<'a> {
    controller: &'a Notifications,
    key: &'a Key,
    /// The copy of the order that all of it rests on: what changes meanwhile has it looked at again.
    order: Option<Arc<Order>>,
    /// What was learnt of each provider since it was last notified of a step.
    attempts: Attempts,
}

impl Reconcile for NotificationReconcile<'_> {
    type View = Gathered;
    type Command = Apply<Command, Standing>;
    type Rest = Resting<Standing>;

    /// Each step of an order is opened, permitted, sent and kept in mind, for each provider.
    const DECISIONS_MAX: usize = (HISTORY_LIMIT + 1) * PROVIDERS_MAX * 4;

    async fn gather(&mut self) -> Result<ControlFlow<Outcome, Gathered>, ReconcileError> {
        let cached = || self.controller.context.caches.orders.object(self.key);
        let Some(order) = self.order.clone().or_else(cached) else {
            self.controller.shared.notifications.gone(self.key);
            return Ok(ControlFlow::Break(Outcome::Done));
        };
        self.order = Some(order.clone());
        let Notifications { context, shared, .. } = self.controller;
        let gathered = gather(context, &shared.notifications, self.key, order, &self.attempts);
        Ok(ControlFlow::Continue(gathered))
    }

    fn decide(&self, gathered: &Gathered) -> Step<Self::Command, Self::Rest> {
        step(OrderNotificationMachine::step(&gathered.view, self.controller.context.clock.now()))
    }

    async fn apply(
        &mut self,
        gathered: Gathered,
        command: Self::Command,
    ) -> Result<ControlFlow<Outcome>, ReconcileError> {
        match command {
            Apply::Command(command) => {
                self.carry_out(&gathered, command).await?;
                Ok(ControlFlow::Continue(()))
            }
            Apply::Write(standing) => {
                self.controller.settle(self.key, &gathered.order, *standing).await.map(ControlFlow::Break)
            }
        }
    }

    async fn rest(&mut self, gathered: Gathered, resting: Self::Rest) -> Result<Outcome, ReconcileError> {
        match resting.status_or_outcome(&self.controller.context.clock) {
            Ok(rest) => self.controller.settle(self.key, &gathered.order, rest.state).await,
            Err(outcome) => Ok(outcome),
        }
    }
}
