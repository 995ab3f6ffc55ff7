//! From a message provider and its Secret to what a decision about its status depends on. Reads only.

use std::sync::Arc;

use fooddelivery_api::MessageProvider;
use fooddelivery_runtime::api::ApiError;
use fooddelivery_saga::readiness::ReadinessView;

use crate::context::Context;
use crate::shared::state::Shared;

/// Whether a provider can be called: its client is built, if there is none yet.
pub(super) async fn gather(
    context: &Context,
    shared: &Shared,
    provider: Arc<MessageProvider>,
) -> Result<(ReadinessView, Arc<MessageProvider>), ApiError> {
    let api = &context.api;
    let opened = shared.message_clients.open(api, &provider).await?;
    Ok((opened.map(drop), provider))
}
