//! What a payment provider can answer, in the words of the domain.
//!
//! The adapters in `providers` translate a protocol into these outcomes; [`crate::payment`] decides on them.
//! The distinction that matters is between an answer that says what became of the money and one that does not: the
//! latter is a [`CallFailure`], and never a failure of the payment.

/// Why a call brought no answer that settles anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallFailure {
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
    /// The provider answered with an error of its own (5xx). The call has ended; what it did is not known.
    Errored(String),
    /// This idempotency key will never bring anything but this answer: a stored 5xx, or other parameters than those
    /// it was first used with. What the first call did is for a look-up to tell.
    IdempotencyKeyConsumed(String),
    /// Nothing is known (time-out, connection dropped, an answer that makes no sense).
    OutcomeUnknown(String),
}

impl CallFailure {
    /// The same in a sentence, for people.
    pub fn why(&self) -> &str {
        match self {
            Self::InProgress => "an earlier call is still being processed",
            Self::Throttled { .. } => "the provider asks for patience",
            Self::NotSent(why)
            | Self::Unauthorized(why)
            | Self::Errored(why)
            | Self::IdempotencyKeyConsumed(why)
            | Self::OutcomeUnknown(why) => why,
        }
    }

    /// Whether it speaks of a provider that is overloaded or out of reach, rather than of one payment.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::NotSent(_) | Self::Throttled { .. } | Self::Errored(_) | Self::OutcomeUnknown(_) => true,
            Self::InProgress | Self::Unauthorized(_) | Self::IdempotencyKeyConsumed(_) => false,
        }
    }
}

/// What came of preparing a payment, which moves no money (Stripe: an unconfirmed payment intent).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrepareOutcome {
    /// It exists now, or did before, under this key. Its id has to be stored before it is charged.
    Prepared(ProviderPayment),
    /// The provider said no, finally.
    Refused(Refusal),
    /// No answer that settles anything.
    CallFailure(CallFailure),
}

/// What came of a request to charge. Amounts are in the currency's smallest unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// The money was taken, now or by an earlier call with the same idempotency key.
    Captured(ProviderPayment),
    /// The provider said no, finally for this key. Where payments are prepared, the prepared payment may still be
    /// open; it has to be voided before the refusal is final.
    Refused(Refusal),
    /// The provider has dealt with this checkout before, under another key: look it up.
    AlreadyProcessed,
    /// No answer that settles anything.
    CallFailure(CallFailure),
}

/// What a look-up told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookUpOutcome {
    /// The provider knows the payment. Whether it is *ours* is for [`crate::payment`] to check.
    Found(ProviderPayment),
    /// The provider knows no such payment. That does not prove that none will come.
    NotFound,
    /// The look-up itself brought no answer.
    CallFailure(CallFailure),
}

/// What came of a request to void a prepared payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoidOutcome {
    /// It can never be charged any more.
    Voided,
    /// It is past that (charged, or being charged): look it up.
    TooLate,
    /// No answer that settles anything.
    CallFailure(CallFailure),
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
    /// No answer that settles anything.
    CallFailure(CallFailure),
}

/// A final "no" from the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The provider's code, such as `REJECT_CARD_PAYMENT` or `card_declined`.
    pub code: String,
    /// The provider's sentence for a person.
    pub message: String,
}

/// A payment as the provider shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderPayment {
    /// The provider's name for it (Toss: `paymentKey`; Stripe: the payment intent's id).
    pub payment_id: String,
    /// The order id that was fixed at checkout (Stripe: `metadata[order_id]`).
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
    /// Not captured yet, and still may be (Toss: READY, IN_PROGRESS, WAITING_FOR_DEPOSIT; Stripe: all but
    /// `succeeded` and `canceled`).
    Open,
    /// The money was taken (Toss: DONE, also CANCELED and PARTIAL_CANCELED with `refunded` set; Stripe: `succeeded`).
    Captured,
    /// It was refused, aborted or voided, and can never be captured (Toss: ABORTED; Stripe: `canceled`).
    Failed,
    /// It was not confirmed in time, and can never be captured (Toss: EXPIRED).
    Expired,
    /// A status that this version does not know.
    Unrecognised,
}
