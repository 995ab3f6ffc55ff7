//! The payment port: the requests that the operator makes of a payment provider, in the domain's terms.
//!
//! Types only; the adapters implement it, and so do the decorators around them.

use std::fmt;

use std::time::Duration;

use async_trait::async_trait;
use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, RefundOutcome, VoidOutcome,
};

use crate::secret::Token;

/// The properties of a protocol that decisions depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// Whether a payment is prepared, and its id stored, before it is charged. Such a payment is voided by
    /// [`PaymentPort::void`]; any other by repeating its charge under its key.
    pub prepares: bool,
    /// Minimum time for which the first response is replayed for an idempotency key, from its first use.
    pub key_retention: Duration,
    /// Maximum time for which a checkout's token can be charged, with a margin; `None`: forever.
    pub token_lifetime: Option<Duration>,
}

/// A payment provider. Every call ends within a few times the configured timeout (which limits one request; an adapter may
/// need several for a call) and never panics; an unknown outcome is reported as unknown.
#[async_trait]
pub trait PaymentPort: Send + Sync {
    /// The properties of its protocol.
    fn traits(&self) -> Traits;
    /// Makes a payment that can be charged, and moves no money; only where [`Traits::prepares`].
    async fn prepare(&self, _: &PrepareRequest) -> PrepareOutcome {
        PrepareOutcome::CallFailure(CallFailure::NotSent("this provider's payments are not prepared".into()))
    }
    /// Takes the money of a checkout or a prepared payment, or finds out what became of an earlier call with the
    /// same key.
    async fn charge(&self, request: &ChargeRequest) -> ChargeOutcome;
    /// Looks a payment up at the provider. Moves no money. Whether what is found is the payment that was
    /// meant (id, order id and amount) is for the caller to compare.
    async fn look_up(&self, request: &LookUpRequest) -> LookUpOutcome;
    /// Makes it impossible that a prepared payment is ever charged; only where [`Traits::prepares`].
    async fn void(&self, _: &VoidRequest) -> VoidOutcome {
        VoidOutcome::CallFailure(CallFailure::NotSent("this provider's payments are not prepared".into()))
    }
    /// Gives money back, or finds out what became of an earlier call with the same key.
    async fn refund(&self, request: &RefundRequest) -> RefundOutcome;
}

/// A payment that is to be prepared.
#[derive(Debug, Clone)]
pub struct PrepareRequest {
    /// The same for every repeat of this attempt. At most 255 characters.
    pub idempotency_key: String,
    /// The token of the customer's checkout (Stripe: a payment method's id).
    pub token: Token,
    /// The order id by which it is found later.
    pub order_id: String,
    /// In the currency's smallest unit.
    pub amount: i64,
    /// ISO 4217 code, upper case.
    pub currency: String,
    /// Correlates the provider's log with ours.
    pub correlation_id: String,
}

/// A charge.
#[derive(Debug, Clone)]
pub struct ChargeRequest {
    /// The last fence against charging twice; the same for every repeat of this attempt. At most 255 characters.
    pub idempotency_key: String,
    /// The token of the customer's checkout (Toss: `paymentKey`; Stripe: a payment method's id).
    pub token: Token,
    /// The provider's id of the payment, where it was prepared.
    pub payment_id: Option<String>,
    /// The order id that was fixed at checkout.
    pub order_id: String,
    /// In the currency's smallest unit; that of the checkout.
    pub amount: i64,
    /// ISO 4217 code, upper case.
    pub currency: String,
    /// Correlates the provider's log with ours.
    pub correlation_id: String,
}

/// A look-up of a payment.
#[derive(Debug, Clone)]
pub struct LookUpRequest {
    /// The token of the customer's checkout, while it is available.
    pub token: Option<Token>,
    /// The provider's id of the payment, where it is known.
    pub payment_id: Option<String>,
    /// The order id that was fixed at checkout.
    pub order_id: String,
    /// Correlates the provider's log with ours.
    pub correlation_id: String,
}

/// A prepared payment that must never be charged. It has no idempotency key: to void twice is to void, and a stored
/// error under a key would keep it from ever being voided.
#[derive(Debug, Clone)]
pub struct VoidRequest {
    /// The provider's id of the payment.
    pub payment_id: String,
    /// Correlates the provider's log with ours.
    pub correlation_id: String,
}

/// A refund.
#[derive(Clone)]
pub struct RefundRequest {
    /// The same for every repeat of this refund. At most 255 characters.
    pub idempotency_key: String,
    /// The provider's id of the payment, from [`fooddelivery_saga::provider::ProviderPayment`].
    pub payment_id: String,
    /// In the currency's smallest unit.
    pub amount: i64,
    /// Shown to the customer; cut at the length that the provider takes.
    pub reason: String,
    /// Correlates the provider's log with ours.
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
