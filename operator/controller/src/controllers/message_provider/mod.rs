//! Message providers: sets in their status whether they are configured so that they can be called.

use std::sync::Arc;

use fooddelivery_api::{MessageProvider, MessageProviderStatus};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::readiness::{next_look, ready, report};
use crate::shared::state::Shared;

const NAME: ControllerName = ControllerName::MessageProvider;

/// The controller of message providers.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: false, register };

fn register(mut controller: Registration<'_>) -> Registered {
    // Each replica has its own clients and circuits.
    controller.on::<MessageProvider>(|_, change| vec![change.key.clone()]);
    let reconciler =
        MessageProviders { context: controller.context().clone(), shared: controller.shared().clone() };
    controller.run(Shard::Every, reconciler)
}

struct MessageProviders {
    context: Arc<Context>,
    shared: Shared,
}

impl Reconciler for MessageProviders {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &self.context;
        let Some(provider) = context.caches.message_providers.object(&key) else { return Ok(Outcome::Done) };
        let opened = self.shared.message_clients.open(&context.api, &provider).await?;
        let not_ready = opened.err();
        let old = provider.status.clone().unwrap_or_default();
        let new = MessageProviderStatus {
            observed_generation: provider.metadata.generation,
            conditions: vec![ready(&old.conditions, not_ready.as_ref(), context.clock.now())],
        };
        if new != old {
            let written = context.api.write_cluster_status(&*provider, &old, &new).await?;
            context.caches.message_providers.remember(written);
            report(context, "message provider", &*provider, not_ready.as_ref()).await;
        }
        Ok(next_look(not_ready.as_ref()))
    }
}
