//! A sandbox, an adapter that talks to it, and requests for one payment.
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be set up is a failure")]

use std::sync::Arc;
use std::time::Duration;

use fooddelivery_providers::{
    ChargeRequest, Credential, DEFAULT_TIMEOUT, Dialect, HttpClient, LookUpRequest, PaymentPort,
    PrepareRequest, RefundRequest, Token, VoidRequest, payment_provider,
};
use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, ProviderPayment, ProviderStatus, RefundOutcome,
};
use fooddelivery_sandbox::config::DEFAULT_SECRET_KEY;
use fooddelivery_sandbox::faults::{Fault, Operation, Rule};
use fooddelivery_sandbox::ledger::EntryKind;
use fooddelivery_sandbox::{CallRecord, Config, Handle, serve};

pub(crate) const SECRET: &str = DEFAULT_SECRET_KEY;
pub(crate) const TOKEN: &str = "token_of_the_test";
pub(crate) const AMOUNT: i64 = 21_000;

/// For tests that are not about time, so that a busy machine does not fail them.
const PATIENT: Duration = Duration::from_secs(10);

/// A sandbox, and a port to it. Where payments are prepared, that of the test is.
pub(crate) struct Shop {
    pub(crate) sandbox: Handle,
    pub(crate) port: Arc<dyn PaymentPort>,
    dialect: Dialect,
    /// The port that waits for long.
    patient: Arc<dyn PaymentPort>,
    /// What the payment of the test was prepared as.
    payment_id: Option<String>,
}

pub(crate) fn port_to(dialect: Dialect, endpoint: &str, secret: &str) -> Arc<dyn PaymentPort> {
    port_within(dialect, endpoint, secret, PATIENT)
}

pub(crate) fn port_within(
    dialect: Dialect,
    endpoint: &str,
    secret: &str,
    timeout: Duration,
) -> Arc<dyn PaymentPort> {
    let http = HttpClient::new().unwrap();
    payment_provider(dialect, endpoint, Credential::new(secret), timeout, http).unwrap()
}

pub(crate) fn rule(operation: Operation, fault: Fault) -> Rule {
    Rule::once(operation, fault)
}

/// A charge where no sandbox is, or none that has prepared it.
pub(crate) fn request() -> ChargeRequest {
    ChargeRequest {
        idempotency_key: "charge-1".into(),
        token: Token::new(TOKEN),
        payment_id: Some("pi_1".into()),
        order_id: "order-1".into(),
        amount: AMOUNT,
        currency: "KRW".into(),
        correlation_id: "correlation-1".into(),
    }
}

/// The preparation of a charge, under a key of its own.
pub(crate) fn preparation(charge: &ChargeRequest) -> PrepareRequest {
    PrepareRequest {
        idempotency_key: format!("prepare-{}", charge.idempotency_key),
        token: charge.token.clone(),
        order_id: charge.order_id.clone(),
        amount: charge.amount,
        currency: charge.currency.clone(),
        correlation_id: charge.correlation_id.clone(),
    }
}

/// The question about the payment of a charge.
pub(crate) fn question(charge: &ChargeRequest) -> LookUpRequest {
    let ChargeRequest { token, payment_id, order_id, correlation_id, .. } = charge.clone();
    LookUpRequest { token: Some(token), payment_id, order_id, correlation_id }
}

pub(crate) fn refund_of(payment_id: &str, amount: i64) -> RefundRequest {
    RefundRequest {
        idempotency_key: "refund-1".into(),
        payment_id: payment_id.into(),
        amount,
        reason: "the store refused".into(),
        correlation_id: request().correlation_id,
    }
}

pub(crate) fn void_of(payment_id: &str) -> VoidRequest {
    VoidRequest { payment_id: payment_id.into(), correlation_id: request().correlation_id }
}

/// Whether nothing is known of the money, as no answer came, or none that makes sense.
pub(crate) fn is_unknown(outcome: &ChargeOutcome) -> bool {
    matches!(outcome, ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown(_)))
}

/// The same of a refund.
pub(crate) fn refund_is_unknown(outcome: &RefundOutcome) -> bool {
    matches!(outcome, RefundOutcome::CallFailure(CallFailure::OutcomeUnknown(_)))
}

impl Shop {
    pub(crate) async fn open(dialect: Dialect) -> Self {
        Self::with(dialect, Config::default()).await
    }

    pub(crate) async fn with(dialect: Dialect, config: Config) -> Self {
        let sandbox = serve(config).await.unwrap();
        let port = port_to(dialect, &sandbox.url(), SECRET);
        let patient = Arc::clone(&port);
        let mut shop = Self { sandbox, port, dialect, patient, payment_id: None };
        shop.payment_id = shop.ready(request()).await.payment_id;
        shop
    }

    /// The same shop, whose calls have the usual 610 ms.
    pub(crate) fn in_a_hurry(mut self) -> Self {
        self.port = port_within(self.dialect, &self.sandbox.url(), SECRET, DEFAULT_TIMEOUT);
        self
    }

    /// The same shop again, whose calls wait for long.
    pub(crate) fn at_leisure(mut self) -> Self {
        self.port = Arc::clone(&self.patient);
        self
    }

    pub(crate) async fn with_fault(dialect: Dialect, operation: Operation, fault: Fault) -> Self {
        let shop = Self::open(dialect).await;
        shop.fault(operation, fault);
        shop
    }

    pub(crate) fn fault(&self, operation: Operation, fault: Fault) {
        self.faults(vec![rule(operation, fault)]);
    }

    pub(crate) fn faults(&self, rules: Vec<Rule>) {
        self.sandbox.set_faults(rules).unwrap();
    }

    /// The charge, with its payment prepared where that is done.
    pub(crate) async fn ready(&self, charge: ChargeRequest) -> ChargeRequest {
        if !self.port.traits().prepares {
            return ChargeRequest { payment_id: None, ..charge };
        }
        match self.patient.prepare(&preparation(&charge)).await {
            PrepareOutcome::Prepared(payment) => {
                ChargeRequest { payment_id: Some(payment.payment_id), ..charge }
            }
            other => panic!("not prepared: {other:?}"),
        }
    }

    /// The charge of the test.
    pub(crate) fn request(&self) -> ChargeRequest {
        ChargeRequest { payment_id: self.payment_id.clone(), ..request() }
    }

    /// What the provider calls the payment of the test.
    pub(crate) fn payment_id(&self) -> &str {
        self.payment_id.as_deref().unwrap_or(TOKEN)
    }

    /// The payment of the test, of which nothing was refunded.
    pub(crate) fn payment(&self, status: ProviderStatus) -> ProviderPayment {
        ProviderPayment {
            payment_id: self.payment_id().into(),
            order_id: "order-1".into(),
            amount: AMOUNT,
            refunded: 0,
            currency: "KRW".into(),
            status,
        }
    }

    pub(crate) async fn charge(&self) -> ChargeOutcome {
        self.port.charge(&self.request()).await
    }

    pub(crate) async fn charge_as(&self, idempotency_key: &str) -> ChargeOutcome {
        let idempotency_key = idempotency_key.into();
        self.port.charge(&ChargeRequest { idempotency_key, ..self.request() }).await
    }

    pub(crate) fn refund_request(&self, amount: i64) -> RefundRequest {
        refund_of(self.payment_id(), amount)
    }

    pub(crate) async fn refund(&self, amount: i64) -> RefundOutcome {
        self.port.refund(&self.refund_request(amount)).await
    }

    pub(crate) async fn look_up(&self) -> LookUpOutcome {
        self.port.look_up(&question(&self.request())).await
    }

    pub(crate) async fn found(&self) -> ProviderPayment {
        match self.look_up().await {
            LookUpOutcome::Found(payment) => payment,
            other => panic!("the payment was not found: {other:?}"),
        }
    }

    /// Whether a look-up shows no capture: nothing at all, or what was prepared.
    pub(crate) async fn shows_no_capture(&self) -> bool {
        match self.look_up().await {
            LookUpOutcome::NotFound => !self.port.traits().prepares,
            LookUpOutcome::Found(payment) => payment.status == ProviderStatus::Open,
            LookUpOutcome::CallFailure(_) => false,
        }
    }

    pub(crate) fn calls(&self, operation: Operation) -> Vec<CallRecord> {
        self.sandbox.calls().into_iter().filter(|call| call.operation == operation).collect()
    }

    pub(crate) fn captures(&self) -> Vec<i64> {
        self.amounts(EntryKind::Capture)
    }

    pub(crate) fn refunds(&self) -> Vec<i64> {
        self.amounts(EntryKind::Refund)
    }

    fn amounts(&self, kind: EntryKind) -> Vec<i64> {
        let ledger = self.sandbox.ledger();
        ledger.iter().filter(|entry| entry.kind == kind).map(|entry| entry.amount).collect()
    }
}
