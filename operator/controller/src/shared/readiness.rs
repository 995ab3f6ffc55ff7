//! Readiness of a provider of any kind, in its status and for people. Whether it is ready is decided in `saga::readiness`.

use fooddelivery_api::common::Condition;
use fooddelivery_saga::machine::Note;
use fooddelivery_saga::readiness::Readiness;
use fooddelivery_saga::time::Timestamp;
use kube::Resource;
use tracing::{info, warn};

use crate::context::Context;

/// Reports what was written: that a provider of some kind can be called, or why not.
pub(crate) async fn report<K: Resource<DynamicType = ()>>(
    context: &Context,
    kind: &str,
    provider: &K,
    readiness: &Readiness,
    notes: &[Note],
) {
    if readiness.holds {
        info!("{kind} is ready");
    } else {
        warn!(reason = %readiness.reason, message = readiness.message, "{kind} cannot be called");
    }
    for note in notes {
        context.record(provider, note).await;
    }
}

/// The condition `Ready`, which keeps its time until it turns.
pub(crate) fn condition(known: &[Condition], readiness: &Readiness, now: Timestamp) -> Condition {
    let Readiness { holds, reason, message } = readiness;
    Condition::said(known, "Ready", *holds, reason.as_str(), message.clone(), now)
}
