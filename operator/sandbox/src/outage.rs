//! The provider as a whole being out, or what receives messages: which way, and what becomes of the calls that meet it.
//!
//! It holds the mode and tells of changes. The listener refuses connections, and the front of the payment API
//! hangs or answers; neither the bank nor the idempotency keys ever hear of such a call.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The name under which the call log shows that an outage met a call.
pub(crate) const NAME: &str = "Outage";

/// How the provider is out. Calls that were in execution before go on to their end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outage {
    /// Not at all.
    #[default]
    None,
    /// Connections are closed as soon as they are accepted, and those from before at their next request. Where only
    /// messages are out: when the request has been read.
    Refuse,
    /// Requests are read, and neither executed nor answered; when the mode changes, their connections close.
    Hang,
    /// Every request gets a 503 before anything is done; nothing is kept under its idempotency key.
    Error,
}

/// What an outage does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// Its connection closes without an answer.
    Cut,
    /// It is answered with this status.
    Status(u16),
}

/// The mode in force.
#[derive(Debug, Default)]
pub(crate) struct Switch(watch::Sender<Outage>);

impl Switch {
    pub(crate) fn get(&self) -> Outage {
        *self.0.borrow()
    }

    /// Sets the mode. Setting the one in force is no change: what hangs goes on hanging.
    pub(crate) fn set(&self, outage: Outage) {
        self.0.send_if_modified(|current| std::mem::replace(current, outage) != outage);
    }

    /// What becomes of a request that arrives now; None when there is no outage. `noted` is called as soon as its
    /// fate is certain, which for a hanging request is long before this returns.
    pub(crate) async fn meet(&self, noted: impl FnOnce(Met)) -> Option<Met> {
        // Subscribed before the mode is read, so that a change in between is not missed.
        let mut changes = self.0.subscribe();
        let outage = *changes.borrow_and_update();
        let met = match outage {
            Outage::None => return None,
            Outage::Refuse | Outage::Hang => Met::Cut,
            Outage::Error => Met::Status(503),
        };
        noted(met);
        if outage == Outage::Hang {
            // An error means that the switch is gone, and the sandbox with it.
            let _ = changes.changed().await;
        }
        Some(met)
    }
}
