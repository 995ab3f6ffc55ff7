//! Message providers: says in their status whether they are configured so that they can be called.

use std::sync::Arc;

use fooddelivery_api::MessageProviderStatus;

use crate::context::Context;
use crate::engine::{Key, Outcome, ReconcileError, Reconciler};
use crate::provider::{next_look, ready, say};
use crate::settings::ControllerName;

/// The controller of message providers.
pub struct MessageProviders {
    context: Arc<Context>,
}

impl MessageProviders {
    /// Over the shared context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context }
    }
}

impl Reconciler for MessageProviders {
    fn name(&self) -> &'static str {
        ControllerName::MessageProvider.word()
    }

    /// Each replica has its own ways to the providers.
    fn is_mine(&self, _: &Key) -> bool {
        true
    }

    fn is_of_orders(&self) -> bool {
        false
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &self.context;
        let Some(provider) = context.message_providers.object(&key) else { return Ok(Outcome::Done) };
        let opened = context.ways.open(&context.api, &provider).await?;
        let barred = opened.err();
        let old = provider.status.clone().unwrap_or_default();
        let new = MessageProviderStatus {
            observed_generation: provider.metadata.generation,
            conditions: vec![ready(&old.conditions, barred.as_ref(), context.clock.now())],
        };
        if new != old {
            let written = context.api.write_cluster_status(&*provider, &old, &new).await?;
            context.message_providers.remember(written);
            say(context, "message provider", &*provider, barred.as_ref()).await;
        }
        Ok(next_look(barred.as_ref()))
    }
}
