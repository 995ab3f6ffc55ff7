//! Riders: counts how many deliveries each rider brought.

mod gather;

use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Delivery, Order, Rider, RiderStatus};
use fooddelivery_runtime::{Key, Outcome, ReconcileError};
use fooddelivery_saga::counter::{CounterMachine, Deliveries};
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

const NAME: ControllerName = ControllerName::Rider;

/// The rider controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: false, register };

fn register(mut controller: Registration<'_>) -> Registered {
    let context = controller.context().clone();
    let counting = Counting::new(&context);
    controller.on::<Rider>(|_, change| vec![change.key.clone()]);
    let own = counting.clone();
    controller.on_spec_change::<Rider>(move |_, change| {
        own.look_for_departures(change.key);
        vec![change.key.clone()]
    });
    let own = counting.clone();
    controller.on::<Delivery>(move |context, change| own.concerned(context, change.key, change.object));
    // Of those that a list does not have any more, nothing is known.
    controller.on_list::<Delivery>(|context| context.caches.riders.walk_keys());
    let own = counting.clone();
    controller.on::<Order>(move |context, change| own.concerned_by_order(context, change.key));
    controller.run(Shard::own::<Rider>(), StatusReconciler(Riders { context, counting }))
}

struct Riders {
    context: Arc<Context>,
    counting: Arc<Counting<Delivery>>,
}

impl StatusOnly for Riders {
    const NAME: ControllerName = NAME;
    type Machine = CounterMachine<Deliveries>;
    type Copies = Arc<Rider>;

    fn context(&self) -> &Context {
        &self.context
    }

    async fn gather(&self, key: &Key) -> Result<ControlFlow<Outcome, Gathered<Self>>, ReconcileError> {
        Ok(gather(&self.context, &self.counting, key).await?)
    }

    async fn write(
        &self,
        _: &Key,
        rider: Arc<Rider>,
        rest: Rest<StatusOf<Self>>,
    ) -> Result<Outcome, ReconcileError> {
        let (context, count) = (&*self.context, rest.state);
        let old = rider.status.clone().unwrap_or_default();
        let new = RiderStatus::from_count(&count);
        context.write_status(&context.caches.riders, &*rider, &old, &new).await?;
        info!(departing = count.departing.len(), "deliveries counted");
        Ok(wake_at(&context.clock, rest.wake_at))
    }

    fn rested(&self, key: &Key) {
        self.counting.rested(key);
    }

    fn released(&self, key: &Key) {
        self.counting.gone(key);
    }
}
