//! Customers: their message log, a view of what stands in their orders, for them to read. It is written at most once per
//! delay and customer, and keeps the latest messages, also of orders that are gone.

mod gather;

use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Customer, CustomerStatus};
use fooddelivery_runtime::{Key, Outcome, ReconcileError};
use fooddelivery_saga::machine::Rest;
use fooddelivery_saga::message_log::MessageLogMachine;
use tracing::debug;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::notification_progress::NotificationProgress;
use crate::shared::status_only::{Gathered, StatusOf, StatusOnly, StatusReconciler};

use gather::{Copies, gather};

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
    controller.run(Shard::own::<Customer>(), StatusReconciler(reconciler))
}

struct Customers {
    context: Arc<Context>,
    notifications: Arc<NotificationProgress>,
}

impl StatusOnly for Customers {
    const NAME: ControllerName = NAME;
    type Machine = MessageLogMachine;
    type Copies = Copies;

    fn context(&self) -> &Context {
        &self.context
    }

    async fn gather(&self, key: &Key) -> Result<ControlFlow<Outcome, Gathered<Self>>, ReconcileError> {
        let gathered = gather(&self.context, &self.notifications, key);
        Ok(gathered.map_or(ControlFlow::Break(Outcome::Done), ControlFlow::Continue))
    }

    async fn write(
        &self,
        key: &Key,
        Copies { customer, unlogged }: Copies,
        rest: Rest<StatusOf<Self>>,
    ) -> Result<Outcome, ReconcileError> {
        let context = &*self.context;
        let old = customer.status.clone().unwrap_or_default();
        let new = CustomerStatus { messages: rest.state.into_iter().map(Into::into).collect() };
        if new != old {
            context.write_status(&context.caches.customers, &*customer, &old, &new).await?;
            debug!(messages = new.messages.len(), "customer message log written");
        }
        // What is in it need not be remembered any more.
        self.notifications.mark_logged(key, unlogged);
        Ok(Outcome::Done)
    }
}
