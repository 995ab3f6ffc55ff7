//! The payment port: what the operator asks of a payment provider, in the words of the domain.
//!
//! Types only; the adapters implement it, and so do the decorators around them.

use std::fmt;

use async_trait::async_trait;
use fooddelivery_saga::provider::{ChargeOutcome, LookUpOutcome, RefundOutcome};

use crate::secret::Token;

/// A payment provider. Every call ends within the configured time and never panics; what is not known is said to be
/// unknown.
#[async_trait]
pub trait PaymentPort: Send + Sync {
    /// Takes the money of a checkout, or learns what became of an earlier call with the same key.
    async fn charge(&self, request: &ChargeRequest) -> ChargeOutcome;
    /// Asks what the provider knows of a payment. Moves no money. Whether what is found is the payment that was
    /// meant (id, order id and amount) is for the caller to compare.
    async fn look_up(&self, request: &LookUpRequest) -> LookUpOutcome;
    /// Gives money back, or learns what became of an earlier call with the same key.
    async fn refund(&self, request: &RefundRequest) -> RefundOutcome;
}

/// A charge.
#[derive(Debug, Clone)]
pub struct ChargeRequest {
    /// The last fence against charging twice; the same for every repeat of this attempt. At most 300 characters.
    pub idempotency_key: String,
    /// What the customer's checkout gave (Toss: `paymentKey`).
    pub token: Token,
    /// The order id that was fixed at checkout.
    pub order_id: String,
    /// In the currency's smallest unit; that of the checkout.
    pub amount: i64,
    /// ISO 4217 code, upper case.
    pub currency: String,
    /// Ties the provider's log to ours.
    pub correlation_id: String,
}

/// A question about a payment.
#[derive(Debug, Clone)]
pub struct LookUpRequest {
    /// What the customer's checkout gave.
    pub token: Token,
    /// The order id that was fixed at checkout.
    pub order_id: String,
    /// Ties the provider's log to ours.
    pub correlation_id: String,
}

/// A refund.
#[derive(Clone)]
pub struct RefundRequest {
    /// The same for every repeat of this refund. At most 300 characters.
    pub idempotency_key: String,
    /// The provider's name for the payment, from [`fooddelivery_saga::provider::ProviderPayment`].
    pub payment_id: String,
    /// In the currency's smallest unit.
    pub amount: i64,
    /// Shown to the customer; cut at the length that the provider takes.
    pub reason: String,
    /// Ties the provider's log to ours.
    pub correlation_id: String,
}

/// At Toss the payment's id is the token that was charged, so it is not shown either.
impl fmt::Debug for RefundRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { idempotency_key, payment_id: _, amount, reason, correlation_id } = self;
        f.debug_struct("RefundRequest")
            .field("idempotency_key", idempotency_key)
            .field("payment_id", &format_args!("***"))
            .field("amount", amount)
            .field("reason", reason)
            .field("correlation_id", correlation_id)
            .finish()
    }
}
