//! From the caches and live reads to what a decision about a rider's count depends on. Reads only.

use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Delivery, Rider};
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::{Key, Outcome};
use fooddelivery_saga::counter::{CounterView, Deliveries};

use crate::context::Context;
use crate::shared::counting::{CountSchedule, CountSource};
use crate::shared::waiting::is_of_rider;

/// What a rider's count depends on, when it is time to count.
pub(super) async fn gather(
    context: &Context,
    schedule: &CountSchedule,
    key: &Key,
) -> Result<ControlFlow<Outcome, (CounterView<Deliveries>, Arc<Rider>)>, ApiError> {
    let Some(rider) = context.caches.riders.object(key) else {
        return Ok(ControlFlow::Break(Outcome::Done));
    };
    let status = rider.status.clone().unwrap_or_default();
    let is_its_own = |delivery: &Delivery| is_of_rider(delivery, &key.name);
    let (cache, namespace, recently_counted) =
        (&*context.caches.deliveries, &*key.namespace, &*status.recently_counted);
    let source = CountSource { context, cache, namespace, recently_counted };
    let keys = source.uncounted(is_its_own);
    if let ControlFlow::Break(outcome) = schedule.is_due(key, &keys) {
        return Ok(ControlFlow::Break(outcome));
    }
    let tally = Deliveries(status.deliveries);
    let view = source.view(tally, &keys, is_its_own, |_| ()).await?;
    Ok(ControlFlow::Continue((view, rider)))
}
