//! Writes the status of a payment provider.

use fooddelivery_api::{PaymentProvider, PaymentProviderStatus};
use fooddelivery_runtime::{Outcome, ReconcileError};
use fooddelivery_saga::machine::Rest;
use fooddelivery_saga::readiness::Readiness;

use super::PaymentProviders;
use crate::shared::machine::wake_at;
use crate::shared::readiness::{condition, report};

impl PaymentProviders {
    /// Writes the condition if anything of it differs, and tells people of it then.
    pub(super) async fn record(
        &self,
        provider: &PaymentProvider,
        rest: Rest<Readiness>,
    ) -> Result<Outcome, ReconcileError> {
        let context = &*self.context;
        let old = provider.status.clone().unwrap_or_default();
        let new = PaymentProviderStatus {
            observed_generation: provider.metadata.generation,
            conditions: vec![condition(&old.conditions, &rest.state, context.clock.now())],
            // The circuits' part: see `shared::circuits`.
            ..old.clone()
        };
        if new != old {
            let written = context.api.write_cluster_status(provider, &old, &new).await?;
            context.caches.providers.remember(written);
            report(context, "payment provider", provider, &rest.state, &rest.notes).await;
        }
        Ok(wake_at(&context.clock, rest.wake_at))
    }
}
