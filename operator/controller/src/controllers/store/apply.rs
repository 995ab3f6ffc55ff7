//! Writes a store's counts.

use fooddelivery_api::{Store, StoreStatus};
use fooddelivery_runtime::api::ApiError;
use fooddelivery_saga::counter::{Count, MenuCounts};
use tracing::info;

use super::Stores;

impl Stores {
    /// Writes the counts, over the copy that they follow on.
    pub(super) async fn record(&self, store: &Store, count: Count<MenuCounts>) -> Result<(), ApiError> {
        let old = store.status.clone().unwrap_or_default();
        let new = StoreStatus::from_dishes(&count.tally.dishes, &count.list);
        self.context.write_status(&self.context.caches.stores, store, &old, &new).await?;
        info!(orders = count.added, "orders counted");
        Ok(())
    }
}
