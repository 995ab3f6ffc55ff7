//! Readiness of a provider of any kind, in its status and for people.

use std::time::Duration;

use fooddelivery_api::common::Condition;
use fooddelivery_runtime::Outcome;
use fooddelivery_saga::order::Note;
use fooddelivery_saga::reason::Reason;
use fooddelivery_saga::time::Timestamp;
use kube::Resource;
use tracing::{info, warn};

use super::credentials::NotReady;
use crate::context::Context;

/// How often a provider that is not ready is looked at again: its Secret is not watched.
const RECHECK_INTERVAL: Duration = Duration::from_secs(15);

/// Reports that a provider of some kind can be called, or why not.
pub(crate) async fn report<K: Resource<DynamicType = ()>>(
    context: &Context,
    kind: &str,
    provider: &K,
    not_ready: Option<&NotReady>,
) {
    let Some(NotReady { reason, message }) = not_ready else {
        info!("{kind} is ready");
        return;
    };
    warn!(%reason, message, "{kind} cannot be called");
    context.record(provider, &Note::warning(*reason, message.clone())).await;
}

/// When a provider is looked at again.
pub(crate) fn next_look(not_ready: Option<&NotReady>) -> Outcome {
    if not_ready.is_none() { Outcome::Done } else { Outcome::After(RECHECK_INTERVAL) }
}

/// The condition `Ready`, which keeps its time until it turns.
pub(crate) fn ready(known: &[Condition], not_ready: Option<&NotReady>, now: Timestamp) -> Condition {
    let reason = not_ready.map_or(Reason::Configured, |not_ready| not_ready.reason);
    let message = not_ready.map(|not_ready| not_ready.message.clone()).unwrap_or_default();
    Condition::said(known, "Ready", not_ready.is_none(), reason.as_str(), message, now)
}
