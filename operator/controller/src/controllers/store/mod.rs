//! Stores: counts how many orders had each dish.

use std::sync::Arc;

use fooddelivery_api::{Store, StoreStatus, Ticket};
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use tracing::info;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::counting::{CountSchedule, CountSource, Counted, lines};

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
        let context = &*self.context;
        let Some(store) = context.caches.stores.object(&key) else { return Ok(Outcome::Done) };
        let old = store.status.clone().unwrap_or_default();
        let uid = uid_of(&*store);
        let is_its_own = |ticket: &Ticket| ticket.spec.store_ref.uid == uid;
        let (cache, namespace, recently_counted) =
            (&*context.caches.tickets, &*key.namespace, &*old.recently_counted);
        let source = CountSource { context, cache, namespace, recently_counted };
        let keys = source.uncounted(is_its_own);
        let count = async {
            let counting = source.batch(&keys, is_its_own, lines).await?;
            if let Some(batch) = counting.batch {
                let mut dishes = old.to_dishes();
                for lines in &batch.added {
                    dishes.add(lines);
                }
                dishes.retire(&store.spec.menu.iter().map(|dish| dish.name.clone()).collect());
                let new = StoreStatus::from_dishes(&dishes, &batch.list);
                context.write_status(&context.caches.stores, &*store, &old, &new).await?;
                info!(orders = batch.added.len(), "orders counted");
            }
            Ok(counting.came_further)
        };
        self.schedule.run(&key, &keys, count).await
    }
}
