//! Stores: counts how many orders had each dish.

mod gather;

use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Store, StoreStatus, Ticket};
use fooddelivery_runtime::{Key, Outcome, ReconcileError};
use fooddelivery_saga::counter::{CounterMachine, MenuCounts};
use fooddelivery_saga::machine::Rest;
use tracing::info;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::counting::{CountSchedule, Counted};
use crate::shared::machine::wake_at;
use crate::shared::status_only::{Gathered, StatusOf, StatusOnly, StatusReconciler};

use gather::gather;

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
    controller.run(Shard::own::<Store>(), StatusReconciler(reconciler))
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

impl StatusOnly for Stores {
    const NAME: ControllerName = NAME;
    type Machine = CounterMachine<MenuCounts>;
    type Copies = Arc<Store>;

    fn context(&self) -> &Context {
        &self.context
    }

    async fn gather(&self, key: &Key) -> Result<ControlFlow<Outcome, Gathered<Self>>, ReconcileError> {
        Ok(gather(&self.context, &self.schedule, key).await?)
    }

    async fn write(
        &self,
        _: &Key,
        store: Arc<Store>,
        rest: Rest<StatusOf<Self>>,
    ) -> Result<Outcome, ReconcileError> {
        let (context, count) = (&*self.context, rest.state);
        let old = store.status.clone().unwrap_or_default();
        let new = StoreStatus::from_dishes(&count.tally.dishes, &count.list);
        context.write_status(&context.caches.stores, &*store, &old, &new).await?;
        info!(orders = count.added, "orders counted");
        Ok(wake_at(&context.clock, rest.wake_at))
    }

    fn rested(&self, key: &Key) {
        self.schedule.clear(key);
    }
}
