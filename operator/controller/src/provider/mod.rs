//! Payment providers: says in their status whether they can be called, and why not.

use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::PaymentProviderStatus;
use fooddelivery_api::common::{Condition, Time};
use fooddelivery_saga::order::Note;
use tracing::{info, warn};

use crate::context::Context;
use crate::engine::{Key, Outcome, ReconcileError, Reconciler};

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

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &self.context;
        let Some(provider) = context.providers.object(&key) else { return Ok(Outcome::Done) };
        let opened = context.gateways.open(&context.api, &context.providers, &key.name).await?;
        let (ready, reason, message) = match opened {
            Ok(_) => (true, "Configured", String::new()),
            Err(barred) => (false, barred.reason, barred.message),
        };
        let old = provider.status.clone().unwrap_or_default();
        let status = if ready { "True" } else { "False" };
        let known = old.conditions.iter().find(|c| c.type_ == "Ready");
        let since = known
            .filter(|c| c.status == status)
            .map_or(Time(context.clock.now()), |c| c.last_transition_time);
        let condition = Condition {
            type_: "Ready".into(),
            status: status.into(),
            reason: reason.into(),
            message: message.clone(),
            last_transition_time: since,
        };
        let new = PaymentProviderStatus {
            observed_generation: provider.metadata.generation,
            conditions: vec![condition],
            // The circuits' part: see `circuits`.
            ..old.clone()
        };
        if new != old {
            let written = context.api.write_cluster_status(&*provider, &old, &new).await?;
            context.providers.remember(written);
            if ready {
                info!("payment provider is ready");
            } else {
                warn!(reason, message, "payment provider cannot be called");
                context.events.tell(&*provider, &Note::warning(reason, message)).await;
            }
        }
        Ok(if ready { Outcome::Done } else { Outcome::After(RECHECK) })
    }
}
