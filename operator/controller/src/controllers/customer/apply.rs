//! Writes a customer's log.

use fooddelivery_api::CustomerStatus;
use fooddelivery_runtime::{Key, Outcome, ReconcileError};
use fooddelivery_saga::message_log::Message;
use tracing::debug;

use super::Customers;
use super::gather::Copies;

impl Customers {
    /// Writes the log if it differs; what is in it need not be remembered any more.
    pub(super) async fn record(
        &self,
        key: &Key,
        copies: Copies,
        log: Vec<Message>,
    ) -> Result<Outcome, ReconcileError> {
        let (context, customer) = (&*self.context, &*copies.customer);
        let old = customer.status.clone().unwrap_or_default();
        let new = CustomerStatus { messages: log.into_iter().map(Into::into).collect() };
        if new != old {
            context.write_status(&context.caches.customers, customer, &old, &new).await?;
            debug!(messages = new.messages.len(), "customer message log written");
        }
        self.notifications.mark_logged(key, copies.unlogged);
        Ok(Outcome::Done)
    }
}
