//! From the caches and live reads to what a decision about a rider's count depends on. Reads only.

use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Delivery, Rider, RiderStatus};
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::{Key, Outcome};
use fooddelivery_saga::counter::{CounterView, Deliveries};

use crate::context::Context;
use crate::shared::counting::Counting;

/// What a rider's count depends on, when it is time to count.
pub(super) async fn gather(
    context: &Context,
    counting: &Counting<Delivery>,
    key: &Key,
) -> Result<ControlFlow<Outcome, (CounterView<Deliveries>, Arc<Rider>)>, ApiError> {
    let Some(rider) = context.caches.riders.object(key) else {
        counting.gone(key);
        return Ok(ControlFlow::Break(Outcome::Done));
    };
    let count = rider.status.as_ref().map(RiderStatus::to_count).unwrap_or_default();
    let view = counting.view(context, key, &rider, count, ()).await?;
    Ok(view.map_continue(|view| (view, rider)))
}
