//! Writes a rider's count.

use fooddelivery_api::{Rider, RiderStatus, convert};
use fooddelivery_runtime::api::ApiError;
use fooddelivery_saga::counter::{Count, Deliveries};
use tracing::info;

use super::Riders;

impl Riders {
    /// Writes the count, over the copy that it follows on.
    pub(super) async fn record(&self, rider: &Rider, count: Count<Deliveries>) -> Result<(), ApiError> {
        let old = rider.status.clone().unwrap_or_default();
        let Deliveries(deliveries) = count.tally;
        let new = RiderStatus { deliveries, recently_counted: convert::references(&count.list) };
        self.context.write_status(&self.context.caches.riders, rider, &old, &new).await?;
        info!(deliveries, "deliveries counted");
        Ok(())
    }
}
