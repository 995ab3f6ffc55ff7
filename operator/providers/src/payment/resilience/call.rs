//! One call under the policy, until it is resolved, and how it is scored.
//!
//! A timeout is not a failure of the provider when the money moved all the same: a charge whose outcome is unknown is
//! looked up, at once and then a few times more, and scored only then. So a provider that is slow but works opens its
//! circuit by slow calls, and one that is down by failures. What a response says about one payment (refused, in progress,
//! key consumed) or about us (not authorised) is no failure of the provider.

use std::time::Duration;

use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, ProviderPayment, ProviderStatus,
    RefundOutcome, VoidOutcome,
};
use tokio::time::sleep;

use crate::payment::port::{
    ChargeRequest, LookUpRequest, PaymentPort, PrepareRequest, RefundRequest, VoidRequest,
};

/// Delays between the look-ups of a charge whose outcome is unknown, so that a provider that is a little slower than the
/// time limit is found to have made it. Less than a second in all.
const LOOK_UP_DELAYS: [Duration; 3] =
    [Duration::from_millis(80), Duration::from_millis(160), Duration::from_millis(320)];

/// A call of the port.
#[derive(Debug, Clone)]
pub enum Request {
    /// [`PaymentPort::prepare`].
    Prepare(PrepareRequest),
    /// [`PaymentPort::charge`], and a look-up when its outcome is unknown.
    Charge(ChargeRequest),
    /// [`PaymentPort::look_up`].
    LookUp(LookUpRequest),
    /// [`PaymentPort::void`].
    Void(VoidRequest),
    /// [`PaymentPort::refund`].
    Refund(RefundRequest),
}

impl Request {
    /// The operation's name in logs and metrics.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Prepare(_) => "prepare",
            Self::Charge(_) => "charge",
            Self::LookUp(_) => "look_up",
            Self::Void(_) => "void",
            Self::Refund(_) => "refund",
        }
    }

    /// Its idempotency key, where it carries one.
    pub fn idempotency_key(&self) -> Option<&str> {
        match self {
            Self::Prepare(request) => Some(&request.idempotency_key),
            Self::Charge(request) => Some(&request.idempotency_key),
            Self::Refund(request) => Some(&request.idempotency_key),
            Self::LookUp(_) | Self::Void(_) => None,
        }
    }
}

/// The response of the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// To [`Request::Prepare`].
    Prepare(PrepareOutcome),
    /// To [`Request::Charge`].
    Charge {
        /// Outcome of the charge itself.
        outcome: ChargeOutcome,
        /// Outcome of the last look-up, where that of the charge was [`CallFailure::OutcomeUnknown`].
        resolved: Option<LookUpOutcome>,
    },
    /// To [`Request::LookUp`].
    LookUp(LookUpOutcome),
    /// To [`Request::Void`].
    Void(VoidOutcome),
    /// To [`Request::Refund`].
    Refund(RefundOutcome),
}

/// A response, and whether the provider failed.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) response: Response,
    pub(super) failed: bool,
}

/// Makes the call and resolves it.
pub(super) async fn run(port: &dyn PaymentPort, request: Request) -> Resolved {
    match request {
        Request::Prepare(request) => {
            let outcome = port.prepare(&request).await;
            let failed = matches!(&outcome, PrepareOutcome::CallFailure(failure) if failure.is_outage());
            Resolved { response: Response::Prepare(outcome), failed }
        }
        Request::Charge(request) => charge(port, request).await,
        Request::LookUp(request) => {
            let outcome = port.look_up(&request).await;
            let failed = matches!(&outcome, LookUpOutcome::CallFailure(failure) if failure.is_outage());
            Resolved { response: Response::LookUp(outcome), failed }
        }
        Request::Void(request) => {
            let outcome = port.void(&request).await;
            let failed = matches!(&outcome, VoidOutcome::CallFailure(failure) if failure.is_outage());
            Resolved { response: Response::Void(outcome), failed }
        }
        Request::Refund(request) => {
            let outcome = port.refund(&request).await;
            let failed = matches!(&outcome, RefundOutcome::CallFailure(failure) if failure.is_outage());
            Resolved { response: Response::Refund(outcome), failed }
        }
    }
}

async fn charge(port: &dyn PaymentPort, request: ChargeRequest) -> Resolved {
    let outcome = port.charge(&request).await;
    let (resolved, failed) = match &outcome {
        ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown(_)) => {
            let (found, settled) = resolve(port, &request).await;
            (Some(found), !settled)
        }
        ChargeOutcome::CallFailure(failure) => (None, failure.is_outage()),
        ChargeOutcome::Captured(_) | ChargeOutcome::Refused(_) | ChargeOutcome::AlreadyProcessed => {
            (None, false)
        }
    };
    Resolved { response: Response::Charge { outcome, resolved }, failed }
}

/// What became of a charge, and whether that settles it. A provider that fails the look-up, too, is not asked again.
async fn resolve(port: &dyn PaymentPort, request: &ChargeRequest) -> (LookUpOutcome, bool) {
    let question = question(request);
    let mut pauses = LOOK_UP_DELAYS.iter();
    loop {
        let found = port.look_up(&question).await;
        let settled = matches!(&found, LookUpOutcome::Found(payment) if settles(payment, request));
        match pauses.next() {
            Some(pause) if !settled && !matches!(found, LookUpOutcome::CallFailure(_)) => sleep(*pause).await,
            _ => return (found, settled),
        }
    }
}

/// The look-up of the payment of a charge.
fn question(charge: &ChargeRequest) -> LookUpRequest {
    LookUpRequest {
        token: Some(charge.token.clone()),
        payment_id: charge.payment_id.clone(),
        order_id: charge.order_id.clone(),
        correlation_id: charge.correlation_id.clone(),
    }
}

/// Whether it settles what became of the charge: it is that payment, and in a final state.
fn settles(payment: &ProviderPayment, charge: &ChargeRequest) -> bool {
    let id = charge.payment_id.as_deref().unwrap_or(charge.token.expose());
    let ours = payment.payment_id == id
        && payment.order_id == charge.order_id
        && payment.amount == charge.amount
        && payment.currency == charge.currency;
    ours && match payment.status {
        ProviderStatus::Captured | ProviderStatus::Failed | ProviderStatus::Expired => true,
        ProviderStatus::Open | ProviderStatus::Unrecognised => false,
    }
}
