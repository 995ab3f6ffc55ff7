//! Which provider's protocol a call, a payment or a movement of money belongs to.
//!
//! A name only: how a dialect is spoken is in its own module, and what it allows is in the bank.

use serde::{Deserialize, Serialize};

/// A protocol that the sandbox speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// Toss Payments.
    Toss,
    /// Stripe.
    Stripe,
}
