//! From a message provider and its Secret to what a decision about its status depends on. Reads only.

use std::sync::Arc;

use fooddelivery_api::MessageProvider;
use fooddelivery_runtime::api::ApiError;
use fooddelivery_saga::readiness::ReadinessView;

use super::MessageProviders;

/// What was gathered: the view, and the copy that a decision on it is applied to.
pub(super) struct Gathered {
    pub(super) view: ReadinessView,
    pub(super) provider: Arc<MessageProvider>,
}

impl MessageProviders {
    /// Whether a provider can be called: its client is built, if there is none yet.
    pub(super) async fn gather(&self, provider: Arc<MessageProvider>) -> Result<Gathered, ApiError> {
        let api = &self.context.api;
        let opened = self.shared.message_clients.open(api, &provider).await?;
        Ok(Gathered { view: opened.map(drop), provider })
    }
}
