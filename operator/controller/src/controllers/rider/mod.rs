//! Riders: counts how many deliveries each rider brought.

mod gather;

use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Delivery, Rider, RiderStatus, convert};
use fooddelivery_runtime::{Key, Outcome, ReconcileError};
use fooddelivery_saga::counter::{CounterMachine, Deliveries};
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
    controller.run(Shard::own::<Rider>(), StatusReconciler(reconciler))
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

impl StatusOnly for Riders {
    const NAME: ControllerName = NAME;
    type Machine = CounterMachine<Deliveries>;
    type Copies = Arc<Rider>;

    fn context(&self) -> &Context {
        &self.context
    }

    async fn gather(&self, key: &Key) -> Result<ControlFlow<Outcome, Gathered<Self>>, ReconcileError> {
        Ok(gather(&self.context, &self.schedule, key).await?)
    }

    async fn write(
        &self,
        _: &Key,
        rider: Arc<Rider>,
        rest: Rest<StatusOf<Self>>,
    ) -> Result<Outcome, ReconcileError> {
        let (context, count) = (&*self.context, rest.state);
        let old = rider.status.clone().unwrap_or_default();
        let Deliveries(deliveries) = count.tally;
        let new = RiderStatus { deliveries, recently_counted: convert::references(&count.list) };
        context.write_status(&context.caches.riders, &*rider, &old, &new).await?;
        info!(deliveries, "deliveries counted");
        Ok(wake_at(&context.clock, rest.wake_at))
    }

    fn rested(&self, key: &Key) {
        self.schedule.clear(key);
    }
}
