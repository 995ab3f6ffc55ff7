//! What a payment provider can answer, in the words of the domain.
//!
//! The adapters in `providers` translate a protocol into these outcomes; [`crate::payment`] decides on them.
//! The distinction that matters is between an answer that says what became of the money and one that does not:
//! a time-out, a 5xx and a dropped connection are [`ChargeOutcome::Unknown`], never a failure.

/// What came of a request to charge. Amounts are in the currency's smallest unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// The money was taken, now or by an earlier call with the same idempotency key.
    Captured(ProviderPayment),
    /// The provider said no, finally: no money moved, and none will under this idempotency key.
    Refused(Refusal),
    /// The request provably never reached the provider (connection refused, name not found, TLS failed).
    NotSent(String),
    /// An earlier call with the same key still runs (409): ask again soon.
    InProgress,
    /// The provider asks for patience (429). Nothing was done.
    Throttled {
        /// `Retry-After`, in milliseconds, when the provider gave one.
        retry_after_ms: Option<u64>,
    },
    /// The provider does not accept our credentials (401, 403). Nothing was done.
    Unauthorized(String),
    /// Nothing is known about the money (time-out, 5xx, connection dropped, an answer that makes no sense).
    Unknown(String),
}

/// What a look-up told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookUpOutcome {
    /// The provider knows the payment. Whether it is *ours* is for [`crate::payment`] to check.
    Found(ProviderPayment),
    /// The provider knows no such payment. That does not prove that none will come.
    NotFound,
    /// The look-up itself brought no answer; `String` says why, fit for a person.
    Failed(String),
}

/// What came of a request to refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundOutcome {
    /// The money went back; the payment as it stands now.
    Refunded(ProviderPayment),
    /// The provider says that it was given back before: look it up to learn how much.
    AlreadyRefunded,
    /// The provider refuses, finally.
    Refused(Refusal),
    /// The request provably never reached the provider.
    NotSent(String),
    /// An earlier call with the same key still runs (409).
    InProgress,
    /// The provider asks for patience (429). Nothing was done.
    Throttled {
        /// `Retry-After`, in milliseconds, when the provider gave one.
        retry_after_ms: Option<u64>,
    },
    /// The provider does not accept our credentials (401, 403). Nothing was done.
    Unauthorized(String),
    /// Nothing is known about the money.
    Unknown(String),
}

/// A final "no" from the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The provider's code, such as `REJECT_CARD_PAYMENT`.
    pub code: String,
    /// The provider's sentence for a person.
    pub message: String,
}

/// A payment as the provider shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderPayment {
    /// The provider's name for it (Toss: `paymentKey`).
    pub payment_id: String,
    /// The order id that was fixed at checkout.
    pub order_id: String,
    /// The whole amount, in the currency's smallest unit.
    pub amount: i64,
    /// What has been given back so far, same unit; at most `amount`.
    pub refunded: i64,
    /// ISO 4217 code, upper case.
    pub currency: String,
    /// Where it stands.
    pub status: ProviderStatus,
}

/// Where a payment stands at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderStatus {
    /// Not captured yet, and still may be (Toss: READY, IN_PROGRESS, WAITING_FOR_DEPOSIT).
    Open,
    /// The money was taken (Toss: DONE; also CANCELED and PARTIAL_CANCELED, with `refunded` set).
    Captured,
    /// It was refused or aborted, and can never be captured (Toss: ABORTED).
    Failed,
    /// It was not confirmed in time, and can never be captured (Toss: EXPIRED).
    Expired,
    /// A status that this version does not know.
    Unrecognised,
}
