//! What several controllers share, so that no controller imports another. It may import the context and what is below it,
//! and no controller.

pub(crate) mod children;
pub(crate) mod circuit_events;
pub(crate) mod circuits;
pub(crate) mod concerns;
pub(crate) mod correlation;
pub(crate) mod counting;
pub(crate) mod coupon_keys;
pub(crate) mod credentials;
pub(crate) mod fresh_orders;
pub(crate) mod in_hand;
pub(crate) mod intents;
pub(crate) mod machine;
pub(crate) mod message_clients;
pub(crate) mod notification_progress;
pub(crate) mod notifications;
pub(crate) mod payment_clients;
pub(crate) mod readiness;
pub(crate) mod resolve;
pub(crate) mod state;
pub(crate) mod status_only;
pub(crate) mod waiting;
