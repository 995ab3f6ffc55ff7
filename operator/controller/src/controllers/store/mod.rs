//! Stores: counts how many orders had each dish.

mod gather;

use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Order, Store, StoreStatus, Ticket};
use fooddelivery_runtime::{Key, Outcome, ReconcileError};
use fooddelivery_saga::counter::{CounterMachine, Dishes};
use fooddelivery_saga::machine::Rest;
use tracing::info;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::counting::Counting;
use crate::shared::machine::wake_at;
use crate::shared::status_only::{Gathered, StatusOf, StatusOnly, StatusReconciler};

use gather::gather;

const NAME: ControllerName = ControllerName::Store;

/// The store controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: false, register };

fn register(mut controller: Registration<'_>) -> Registered {
    let context = controller.context().clone();
    let counting = Counting::new(&context);
    controller.on::<Store>(|_, change| vec![change.key.clone()]);
    let own = counting.clone();
    controller.on_spec_change::<Store>(move |_, change| {
        own.look_for_departures(change.key);
        vec![change.key.clone()]
    });
    let own = counting.clone();
    controller.on::<Ticket>(move |context, change| own.concerned(context, change.key, change.object));
    // Of those that a list does not have any more, nothing is known.
    controller.on_list::<Ticket>(|context| context.caches.stores.walk_keys());
    let own = counting.clone();
    controller.on::<Order>(move |context, change| own.concerned_by_order(context, change.key));
    controller.run(Shard::own::<Store>(), StatusReconciler(Stores { context, counting }))
}

struct Stores {
    context: Arc<Context>,
    counting: Arc<Counting<Ticket>>,
}

impl StatusOnly for Stores {
    const NAME: ControllerName = NAME;
    type Machine = CounterMachine<Dishes>;
    type Copies = Arc<Store>;

    fn context(&self) -> &Context {
        &self.context
    }

    async fn gather(&self, key: &Key) -> Result<ControlFlow<Outcome, Gathered<Self>>, ReconcileError> {
        Ok(gather(&self.context, &self.counting, key).await?)
    }

    async fn write(
        &self,
        _: &Key,
        store: Arc<Store>,
        rest: Rest<StatusOf<Self>>,
    ) -> Result<Outcome, ReconcileError> {
        let (context, count) = (&*self.context, rest.state);
        let old = store.status.clone().unwrap_or_default();
        let new = StoreStatus::from_count(&count);
        context.write_status(&context.caches.stores, &*store, &old, &new).await?;
        info!(departing = count.departing.len(), "dishes counted");
        Ok(wake_at(&context.clock, rest.wake_at))
    }

    fn rested(&self, key: &Key) {
        self.counting.rested(key);
    }

    fn released(&self, key: &Key) {
        self.counting.gone(key);
    }
}
