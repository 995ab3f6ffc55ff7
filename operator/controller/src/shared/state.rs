//! State that several controllers share. It is handed to those that register for it, and stands in no context.

use std::sync::Arc;

use fooddelivery_runtime::sharding::Sharding;

use super::fresh_orders::FreshOrders;
use super::intents::FreshIntents;
use super::message_clients::MessageClients;
use super::notification_progress::NotificationProgress;
use super::payment_clients::PaymentClients;

/// Shared by several controllers.
#[derive(Clone)]
pub(crate) struct Shared {
    /// Clients of the payment providers: of the controllers of payments and of payment providers.
    pub(crate) payment_clients: Arc<PaymentClients>,
    /// Intents that were recorded a moment ago: of the controllers of orders and payments.
    pub(crate) intents: Arc<FreshIntents>,
    /// Orders that were written a moment ago: of the controllers of orders, tickets and deliveries.
    pub(crate) fresh_orders: Arc<FreshOrders>,
    /// Clients of the message providers: of the controllers of notifications and of message providers.
    pub(crate) message_clients: Arc<MessageClients>,
    /// How far notifications have come: of the controllers of orders, notifications and customers.
    pub(crate) notifications: Arc<NotificationProgress>,
    /// Which replicas are live: of the controller of payment providers, whose circuits each of them shows.
    pub(crate) sharding: Arc<Sharding>,
}
