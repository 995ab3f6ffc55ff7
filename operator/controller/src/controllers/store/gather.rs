//! From the caches and live reads to what a decision about a store's counts depends on. Reads only.

use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Store, StoreStatus, Ticket};
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::{Key, Outcome};
use fooddelivery_saga::counter::{CounterView, Dishes};

use crate::context::Context;
use crate::shared::counting::Counting;

/// What a store's counts depend on, when it is time to count.
pub(super) async fn gather(
    context: &Context,
    counting: &Counting<Ticket>,
    key: &Key,
) -> Result<ControlFlow<Outcome, (CounterView<Dishes>, Arc<Store>)>, ApiError> {
    let Some(store) = context.caches.stores.object(key) else {
        counting.gone(key);
        return Ok(ControlFlow::Break(Outcome::Done));
    };
    let count = store.status.as_ref().map(StoreStatus::to_count).unwrap_or_default();
    let menu = store.spec.menu.iter().map(|dish| dish.name.clone()).collect();
    let view = counting.view(context, key, &store, count, menu).await?;
    Ok(view.map_continue(|view| (view, store)))
}
