//! From a payment provider and its Secret to what a decision about its status depends on. Reads only.

use std::sync::Arc;

use fooddelivery_api::PaymentProvider;
use fooddelivery_runtime::api::ApiError;
use fooddelivery_saga::readiness::ReadinessView;
use kube::ResourceExt;

use crate::context::Context;
use crate::shared::state::Shared;

/// What was gathered: the view, and the copy that a decision on it is applied to.
pub(super) struct Gathered {
    pub(super) view: ReadinessView,
    pub(super) provider: Arc<PaymentProvider>,
}

/// Whether a provider can be called: its client is built, if there is none yet.
pub(super) async fn gather(
    context: &Context,
    shared: &Shared,
    provider: Arc<PaymentProvider>,
) -> Result<Gathered, ApiError> {
    let api = &context.api;
    let opened = shared.payment_clients.open(api, &context.caches.providers, &provider.name_any()).await?;
    Ok(Gathered { view: opened.map(drop), provider })
}
