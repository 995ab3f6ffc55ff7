//! Payment providers: says in their status whether they can be called, and why not.

use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::PaymentProviderStatus;
use fooddelivery_api::common::Condition;
use fooddelivery_saga::order::Note;
use fooddelivery_saga::reason::Reason;
use fooddelivery_saga::time::Timestamp;
use kube::Resource;
use tracing::{info, warn};

use crate::context::Context;
use crate::engine::{Key, Outcome, ReconcileError, Reconciler};
use crate::gateway::NotReady;
use crate::settings::ControllerName;

/// A provider that is not ready is looked at again this often: its Secret is not watched.
const RECHECK: Duration = Duration::from_secs(15);

/// The provider controller.
pub struct Providers {
    context: Arc<Context>,
}

impl Providers {
    /// Over the shared context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context }
    }
}

impl Reconciler for Providers {
    fn name(&self) -> &'static str {
        ControllerName::Provider.word()
    }

    /// Each replica has its own circuits and says how they stand.
    fn is_mine(&self, _: &Key) -> bool {
        true
    }

    fn is_of_orders(&self) -> bool {
        false
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &self.context;
        let Some(provider) = context.providers.object(&key) else { return Ok(Outcome::Done) };
        let opened = context.gateways.open(&context.api, &context.providers, &key.name).await?;
        let barred = opened.err();
        let old = provider.status.clone().unwrap_or_default();
        let new = PaymentProviderStatus {
            observed_generation: provider.metadata.generation,
            conditions: vec![ready(&old.conditions, barred.as_ref(), context.clock.now())],
            // The circuits' part: see `circuits`.
            ..old.clone()
        };
        if new != old {
            let written = context.api.write_cluster_status(&*provider, &old, &new).await?;
            context.providers.remember(written);
            say(context, "payment provider", &*provider, barred.as_ref()).await;
        }
        Ok(next_look(barred.as_ref()))
    }
}

/// Says whether a provider of some kind can be called, and if not, why.
pub(crate) async fn say<K: Resource<DynamicType = ()>>(
    context: &Context,
    kind: &str,
    provider: &K,
    barred: Option<&NotReady>,
) {
    let Some(NotReady { reason, message }) = barred else {
        info!("{kind} is ready");
        return;
    };
    warn!(%reason, message, "{kind} cannot be called");
    context.events.tell(provider, &Note::warning(reason, message.clone())).await;
}

/// When a provider is looked at again.
pub(crate) fn next_look(barred: Option<&NotReady>) -> Outcome {
    if barred.is_none() { Outcome::Done } else { Outcome::After(RECHECK) }
}

/// The condition `Ready`, which keeps its time until it turns.
pub(crate) fn ready(known: &[Condition], barred: Option<&NotReady>, now: Timestamp) -> Condition {
    let reason = barred.map_or(Reason::Configured, |barred| barred.reason);
    let message = barred.map(|barred| barred.message.clone()).unwrap_or_default();
    Condition::said(known, "Ready", barred.is_none(), reason.as_str(), message, now)
}
