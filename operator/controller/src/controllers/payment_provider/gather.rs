//! From a payment provider and its Secret to what a decision about its status depends on. Reads only.

use std::sync::Arc;

use fooddelivery_api::PaymentProvider;
use fooddelivery_runtime::api::ApiError;
use fooddelivery_saga::readiness::ReadinessView;
use kube::ResourceExt;

use crate::context::Context;
use crate::shared::state::Shared;

/// Whether a provider can be called: its client is built, if there is none yet.
pub(super) async fn gather(
    context: &Context,
    shared: &Shared,
    provider: Arc<PaymentProvider>,
) -> Result<(ReadinessView, Arc<PaymentProvider>), ApiError> {
    let api = &context.api;
    let opened = shared.payment_clients.open(api, &context.caches.providers, &provider.name_any()).await?;
    Ok((opened.map(drop), provider))
}
