//! The message port: the content of a message, and the possible outcomes of sending it.
//!
//! Types only; the adapters implement it.

use std::fmt;

use async_trait::async_trait;
use fooddelivery_saga::provider::CallFailure;
use fooddelivery_saga::time::Timestamp;

/// A message about one step of an order.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// `<order uid>-<step>`: the same for every repeat, and of no other message. At most 64 characters, visible ASCII.
    pub id: String,
    /// The order's namespace.
    pub order_namespace: String,
    /// The order's name.
    pub order_name: String,
    /// The order's uid, which also ties the provider's log to ours.
    pub order_uid: String,
    /// Zero-based number of the step in the order's history.
    pub step: i64,
    /// The order's phase, as it stands in the API, such as `Cooking`.
    pub phase: String,
    /// When the phase was entered.
    pub at: Timestamp,
    /// The customer's name.
    pub customer: String,
    /// The store's name, once it is known.
    pub store: Option<String>,
    /// The order's total, in the currency's smallest unit, once it is known.
    pub total: Option<i64>,
    /// Why the phase was entered, where there is something to say.
    pub reason: Option<String>,
    /// The customer's phone number; see [`MessagePort::needs_contact`].
    pub contact: Option<String>,
}

/// Phone numbers do not belong in logs.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            order_namespace,
            order_name,
            order_uid,
            step,
            phase,
            at,
            customer,
            store,
            total,
            reason,
            contact,
        } = self;
        f.debug_struct("Message")
            .field("id", id)
            .field("order_namespace", order_namespace)
            .field("order_name", order_name)
            .field("order_uid", order_uid)
            .field("step", step)
            .field("phase", phase)
            .field("at", at)
            .field("customer", customer)
            .field("store", store)
            .field("total", total)
            .field("reason", reason)
            .field("contact", &contact.as_ref().map(|_| format_args!("***")))
            .finish()
    }
}

/// A message provider. Every call ends within a few times the configured timeout and never panics; an unknown outcome is
/// reported as unknown.
#[async_trait]
pub trait MessagePort: Send + Sync {
    /// Whether a message without [`Message::contact`] cannot be delivered at all.
    fn needs_contact(&self) -> bool;
    /// Sends a message, or finds out what became of it when it was sent before under the same id.
    async fn send(&self, message: &Message) -> SendOutcome;
}

/// Outcome of sending a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// Delivered, now or when it was sent before. Final.
    Sent,
    /// Accepted; whether it is delivered is not known yet: send it again later, which looks it up.
    Pending,
    /// It will never be delivered; the reason, in a sentence that names neither number nor secret. Final.
    Refused(String),
    /// Not final: send it again later.
    CallFailure(CallFailure),
}

impl From<CallFailure> for SendOutcome {
    fn from(failure: CallFailure) -> Self {
        Self::CallFailure(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_does_not_show_the_telephone_number() {
        let message = Message {
            id: "uid-0".into(),
            order_namespace: "food".into(),
            order_name: "lunch".into(),
            order_uid: "uid".into(),
            step: 0,
            phase: "Cooking".into(),
            at: Timestamp(0),
            customer: "kim".into(),
            store: None,
            total: None,
            reason: None,
            contact: Some("01012345678".into()),
        };
        let shown = format!("{message:?} {message:#?}");
        assert!(shown.contains("lunch") && shown.contains("***"), "{shown}");
        assert!(!shown.contains("1234") && !shown.contains("5678"), "{shown}");
    }
}
