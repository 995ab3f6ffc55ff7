//! The operator's own port to payment providers, whose calls somebody else carries out.

use std::sync::Arc;

use async_trait::async_trait;
use fooddelivery_providers::resilience::Request;
use fooddelivery_providers::{
    ChargeRequest, Dialect, LookUpRequest, PaymentPort, PrepareRequest, RefundRequest, Traits, VoidRequest,
};
use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, RefundOutcome, VoidOutcome,
};
use futures::future::BoxFuture;

use crate::provider::{Call, CallOutcome};

/// Makes a call, and comes back with its outcome.
pub type Ask = dyn Fn(Call) -> BoxFuture<'static, CallOutcome> + Send + Sync;

/// An adapter that has its calls made by `ask`.
pub fn port(dialect: Dialect, ask: Arc<Ask>) -> Arc<dyn PaymentPort> {
    Arc::new(Port { dialect, ask })
}

struct Port {
    dialect: Dialect,
    ask: Arc<Ask>,
}

impl Port {
    async fn ask(&self, asked: Request) -> CallOutcome {
        (self.ask)(Call { dialect: self.dialect, asked }).await
    }
}

/// What cannot happen: an answer to another question.
fn nonsense() -> CallFailure {
    CallFailure::OutcomeUnknown("answered something else than was asked".into())
}

#[async_trait]
impl PaymentPort for Port {
    fn traits(&self) -> Traits {
        self.dialect.traits()
    }

    async fn prepare(&self, request: &PrepareRequest) -> PrepareOutcome {
        match self.ask(Request::Prepare(request.clone())).await {
            CallOutcome::Prepare(outcome) => outcome,
            _ => PrepareOutcome::CallFailure(nonsense()),
        }
    }

    async fn charge(&self, request: &ChargeRequest) -> ChargeOutcome {
        match self.ask(Request::Charge(request.clone())).await {
            CallOutcome::Charge(outcome) => outcome,
            _ => ChargeOutcome::CallFailure(nonsense()),
        }
    }

    async fn look_up(&self, request: &LookUpRequest) -> LookUpOutcome {
        match self.ask(Request::LookUp(request.clone())).await {
            CallOutcome::LookUp(outcome) => outcome,
            _ => LookUpOutcome::CallFailure(nonsense()),
        }
    }

    async fn void(&self, request: &VoidRequest) -> VoidOutcome {
        match self.ask(Request::Void(request.clone())).await {
            CallOutcome::Void(outcome) => outcome,
            _ => VoidOutcome::CallFailure(nonsense()),
        }
    }

    async fn refund(&self, request: &RefundRequest) -> RefundOutcome {
        match self.ask(Request::Refund(request.clone())).await {
            CallOutcome::Refund(outcome) => outcome,
            _ => RefundOutcome::CallFailure(nonsense()),
        }
    }
}
