//! Riders: counts how many deliveries each rider brought.

use std::sync::Arc;

use fooddelivery_api::{Delivery, Rider, RiderStatus, convert};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use tracing::info;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::counting::{CountSchedule, CountSource, Counted};
use crate::shared::waiting::is_of_rider;

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
        let context = &*self.context;
        let Some(rider) = context.caches.riders.object(&key) else { return Ok(Outcome::Done) };
        let old = rider.status.clone().unwrap_or_default();
        let is_its_own = |delivery: &Delivery| is_of_rider(delivery, &key.name);
        let (cache, namespace, recently_counted) =
            (&*context.caches.deliveries, &*key.namespace, &*old.recently_counted);
        let source = CountSource { context, cache, namespace, recently_counted };
        let keys = source.uncounted(is_its_own);
        let count = async {
            let counting = source.batch(&keys, is_its_own, |_| ()).await?;
            if let Some(batch) = counting.batch {
                let added = i64::try_from(batch.added.len()).unwrap_or(i64::MAX);
                let new = RiderStatus {
                    deliveries: old.deliveries.saturating_add(added),
                    recently_counted: convert::references(&batch.list),
                };
                context.write_status(&context.caches.riders, &*rider, &old, &new).await?;
                info!(deliveries = new.deliveries, "deliveries counted");
            }
            Ok(counting.came_further)
        };
        self.schedule.run(&key, &keys, count).await
    }
}
