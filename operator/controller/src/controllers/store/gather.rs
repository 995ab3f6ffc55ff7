//! From the caches and live reads to what a decision about a store's counts depends on. Reads only.

use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Store, Ticket};
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Key, Outcome};
use fooddelivery_saga::counter::{CounterView, MenuCounts};

use crate::context::Context;
use crate::shared::counting::{CountSchedule, CountSource, lines};

/// What a store's counts depend on, when it is time to count.
pub(super) async fn gather(
    context: &Context,
    schedule: &CountSchedule,
    key: &Key,
) -> Result<ControlFlow<Outcome, (CounterView<MenuCounts>, Arc<Store>)>, ApiError> {
    let Some(store) = context.caches.stores.object(key) else {
        return Ok(ControlFlow::Break(Outcome::Done));
    };
    let status = store.status.clone().unwrap_or_default();
    let uid = uid_of(&*store);
    let is_its_own = |ticket: &Ticket| ticket.spec.store_ref.uid == uid;
    let (cache, namespace, recently_counted) =
        (&*context.caches.tickets, &*key.namespace, &*status.recently_counted);
    let source = CountSource { context, cache, namespace, recently_counted };
    let keys = source.uncounted(is_its_own);
    if let ControlFlow::Break(outcome) = schedule.is_due(key, &keys) {
        return Ok(ControlFlow::Break(outcome));
    }
    let menu = store.spec.menu.iter().map(|dish| dish.name.clone()).collect();
    let tally = MenuCounts { dishes: status.to_dishes(), menu };
    let view = source.view(tally, &keys, is_its_own, lines).await?;
    Ok(ControlFlow::Continue((view, store)))
}
