//! Payment providers: sets in their status whether they can be called, and why not.

use std::sync::Arc;

use fooddelivery_api::{PaymentProvider, PaymentProviderStatus};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::readiness::{next_look, ready, report};
use crate::shared::state::Shared;

const NAME: ControllerName = ControllerName::PaymentProvider;

/// The controller of payment providers.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: false, register };

fn register(mut controller: Registration<'_>) -> Registered {
    // Each replica has its own clients and circuits.
    controller.on::<PaymentProvider>(|_, change| vec![change.key.clone()]);
    let reconciler =
        PaymentProviders { context: controller.context().clone(), shared: controller.shared().clone() };
    controller.run(Shard::Every, reconciler)
}

struct PaymentProviders {
    context: Arc<Context>,
    shared: Shared,
}

impl Reconciler for PaymentProviders {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &self.context;
        let Some(provider) = context.caches.providers.object(&key) else { return Ok(Outcome::Done) };
        let opened =
            self.shared.payment_clients.open(&context.api, &context.caches.providers, &key.name).await?;
        let not_ready = opened.err();
        let old = provider.status.clone().unwrap_or_default();
        let new = PaymentProviderStatus {
            observed_generation: provider.metadata.generation,
            conditions: vec![ready(&old.conditions, not_ready.as_ref(), context.clock.now())],
            // The circuits' part: see `shared::circuits`.
            ..old.clone()
        };
        if new != old {
            let written = context.api.write_cluster_status(&*provider, &old, &new).await?;
            context.caches.providers.remember(written);
            report(context, "payment provider", &*provider, not_ready.as_ref()).await;
        }
        Ok(next_look(not_ready.as_ref()))
    }
}
