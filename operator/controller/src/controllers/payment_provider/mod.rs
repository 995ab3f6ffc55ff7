//! Payment providers: sets in their status whether they can be called, and why not.

mod gather;

use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{PaymentProvider, PaymentProviderStatus};
use fooddelivery_runtime::{Key, Outcome, ReconcileError};
use fooddelivery_saga::machine::Rest;
use fooddelivery_saga::readiness::ReadinessMachine;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::machine::wake_at;
use crate::shared::readiness::{condition, report};
use crate::shared::state::Shared;
use crate::shared::status_only::{Gathered, StatusOf, StatusOnly, StatusReconciler};

use gather::gather;

const NAME: ControllerName = ControllerName::PaymentProvider;

/// The controller of payment providers.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: false, register };

fn register(mut controller: Registration<'_>) -> Registered {
    // Each replica has its own clients and circuits.
    controller.on::<PaymentProvider>(|_, change| vec![change.key.clone()]);
    let reconciler =
        PaymentProviders { context: controller.context().clone(), shared: controller.shared().clone() };
    controller.run(Shard::Every, StatusReconciler(reconciler))
}

struct PaymentProviders {
    context: Arc<Context>,
    shared: Shared,
}

impl StatusOnly for PaymentProviders {
    const NAME: ControllerName = NAME;
    type Machine = ReadinessMachine;
    type Copies = Arc<PaymentProvider>;

    fn context(&self) -> &Context {
        &self.context
    }

    async fn gather(&self, key: &Key) -> Result<ControlFlow<Outcome, Gathered<Self>>, ReconcileError> {
        let Some(provider) = self.context.caches.providers.object(key) else {
            return Ok(ControlFlow::Break(Outcome::Done));
        };
        Ok(ControlFlow::Continue(gather(&self.context, &self.shared, provider).await?))
    }

    async fn write(
        &self,
        _: &Key,
        provider: Arc<PaymentProvider>,
        rest: Rest<StatusOf<Self>>,
    ) -> Result<Outcome, ReconcileError> {
        let context = &*self.context;
        let old = provider.status.clone().unwrap_or_default();
        let new = PaymentProviderStatus {
            observed_generation: provider.metadata.generation,
            conditions: vec![condition(&old.conditions, &rest.state, context.clock.now())],
            // Each replica adds its own circuit: see `shared::circuits`.
            ..self.shared.sharding.live().map_or_else(|| old.clone(), |live| old.with_live_circuits(&live))
        };
        if new != old {
            let written = context.api.write_cluster_status(&*provider, &old, &new).await?;
            context.caches.providers.remember(written);
            report(context, "payment provider", &*provider, &rest.state, &rest.notes).await;
        }
        Ok(wake_at(&context.clock, rest.wake_at))
    }
}
