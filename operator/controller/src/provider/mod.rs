//! Payment providers: says in their status whether they can be called, and why not.

use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::PaymentProviderStatus;
use fooddelivery_api::common::{Condition, Time};
use fooddelivery_saga::order::Note;
use fooddelivery_saga::time::Timestamp;
use tracing::{info, warn};

use crate::context::Context;
use crate::engine::{Key, Outcome, ReconcileError, Reconciler};
use crate::gateway::Barred;

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
        "provider"
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
            match &barred {
                None => info!("payment provider is ready"),
                Some(barred) => {
                    let Barred { reason, message } = barred;
                    warn!(reason, message, "payment provider cannot be called");
                    context.events.tell(&*provider, &Note::warning(reason, message.clone())).await;
                }
            }
        }
        Ok(if barred.is_none() { Outcome::Done } else { Outcome::After(RECHECK) })
    }
}

/// The condition `Ready`, which keeps its time until it turns.
pub(crate) fn ready(known: &[Condition], barred: Option<&Barred>, now: Timestamp) -> Condition {
    let status = if barred.is_none() { "True" } else { "False" };
    let same = known.iter().find(|c| c.type_ == "Ready" && c.status == status);
    Condition {
        type_: "Ready".into(),
        status: status.into(),
        reason: barred.map_or("Configured", |barred| barred.reason).into(),
        message: barred.map(|barred| barred.message.clone()).unwrap_or_default(),
        last_transition_time: same.map_or(Time(now), |c| c.last_transition_time),
    }
}
