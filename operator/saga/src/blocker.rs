//! What keeps an order from being paid: missing or wrong, for now or for good.

use crate::reason::Reason;

/// Why an order cannot be priced now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// One word for machines, such as `StoreNotFound`.
    pub reason: Reason,
    /// A sentence for people.
    pub message: String,
    /// Whether waiting may help (something that may still be applied), or nothing will.
    pub retryable: bool,
    /// What the order comes to meanwhile, where that is known: it is not to come to more later.
    pub total: Option<i64>,
}

impl Blocker {
    /// Something that may still appear or change.
    pub fn retryable(reason: Reason, message: String) -> Self {
        Self { reason, message, retryable: true, total: None }
    }

    /// Something that no waiting will change.
    pub fn terminal(reason: Reason, message: String) -> Self {
        Self { reason, message, retryable: false, total: None }
    }
}
