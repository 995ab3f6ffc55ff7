//! A sandbox, an adapter that talks to it, and requests for one payment.
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be set up is a failure")]

use std::sync::Arc;
use std::time::Duration;

use fooddelivery_providers::{
    ChargeRequest, Credential, DEFAULT_TIMEOUT, Dialect, HttpClient, LookUpRequest, PaymentPort,
    RefundRequest, Token, provider,
};
use fooddelivery_saga::provider::{ChargeOutcome, LookUpOutcome, ProviderPayment};
use fooddelivery_sandbox::config::DEFAULT_SECRET_KEY;
use fooddelivery_sandbox::faults::{Fault, Operation, Rule};
use fooddelivery_sandbox::ledger::EntryKind;
use fooddelivery_sandbox::{Config, Handle, serve};

pub(crate) const SECRET: &str = DEFAULT_SECRET_KEY;
pub(crate) const TOKEN: &str = "pk_token_of_the_test";
pub(crate) const AMOUNT: i64 = 21_000;

/// For tests that are not about time, so that a busy machine does not fail them.
const PATIENT: Duration = Duration::from_secs(10);

pub(crate) struct Shop {
    pub(crate) sandbox: Handle,
    pub(crate) port: Arc<dyn PaymentPort>,
}

pub(crate) fn port_to(endpoint: &str, secret: &str) -> Arc<dyn PaymentPort> {
    port_within(endpoint, secret, DEFAULT_TIMEOUT)
}

fn port_within(endpoint: &str, secret: &str, timeout: Duration) -> Arc<dyn PaymentPort> {
    let http = HttpClient::new().unwrap();
    provider(Dialect::Toss, endpoint, Credential::new(secret), timeout, http).unwrap()
}

pub(crate) fn rule(operation: Operation, fault: Fault) -> Rule {
    Rule::once(operation, fault)
}

pub(crate) fn request() -> ChargeRequest {
    ChargeRequest {
        idempotency_key: "charge-1".into(),
        token: Token::new(TOKEN),
        order_id: "order-1".into(),
        amount: AMOUNT,
        currency: "KRW".into(),
        correlation_id: "correlation-1".into(),
    }
}

pub(crate) fn question() -> LookUpRequest {
    let ChargeRequest { token, order_id, correlation_id, .. } = request();
    LookUpRequest { token, order_id, correlation_id }
}

pub(crate) fn refund_request(amount: i64) -> RefundRequest {
    RefundRequest {
        idempotency_key: "refund-1".into(),
        payment_id: TOKEN.into(),
        amount,
        reason: "the store refused".into(),
        correlation_id: request().correlation_id,
    }
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let sandbox = serve(config).await.unwrap();
        let port = port_within(&sandbox.url(), SECRET, PATIENT);
        Self { sandbox, port }
    }

    /// The same shop, whose calls have the usual 610 ms.
    pub(crate) fn in_a_hurry(mut self) -> Self {
        self.port = port_to(&self.sandbox.url(), SECRET);
        self
    }

    pub(crate) async fn with_fault(operation: Operation, fault: Fault) -> Self {
        let shop = Self::open().await;
        shop.fault(operation, fault);
        shop
    }

    pub(crate) fn fault(&self, operation: Operation, fault: Fault) {
        self.faults(vec![rule(operation, fault)]);
    }

    pub(crate) fn faults(&self, rules: Vec<Rule>) {
        self.sandbox.set_faults(rules).unwrap();
    }

    pub(crate) async fn charge(&self) -> ChargeOutcome {
        self.port.charge(&request()).await
    }

    pub(crate) async fn look_up(&self) -> LookUpOutcome {
        self.port.look_up(&question()).await
    }

    pub(crate) async fn found(&self) -> ProviderPayment {
        match self.look_up().await {
            LookUpOutcome::Found(payment) => payment,
            other => panic!("the payment was not found: {other:?}"),
        }
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
