//! From a payment provider and its Secret to what a decision about its status depends on. Reads only.

use std::sync::Arc;

use fooddelivery_api::PaymentProvider;
use fooddelivery_runtime::api::ApiError;
use fooddelivery_saga::readiness::ReadinessView;
use kube::ResourceExt;

use super::PaymentProviders;

/// What was gathered: the view, and the copy that a decision on it is applied to.
pub(super) struct Gathered {
    pub(super) view: ReadinessView,
    pub(super) provider: Arc<PaymentProvider>,
}

impl PaymentProviders {
    /// Whether a provider can be called: its client is built, if there is none yet.
    pub(super) async fn gather(&self, provider: Arc<PaymentProvider>) -> Result<Gathered, ApiError> {
        let api = &self.context.api;
        let opened = self
            .shared
            .payment_clients
            .open(api, &self.context.caches.providers, &provider.name_any())
            .await?;
        Ok(Gathered { view: opened.map(drop), provider })
    }
}
