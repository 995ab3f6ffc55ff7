//! What must hold when a provider is called, and when the API server answers the operator.

use fooddelivery_providers::resilience::Request as Asked;
use fooddelivery_saga::phases::PaymentPhase;
use serde_json::Value;

use super::Oracle;
use crate::apiserver::{Request, Response, Server};
use crate::objects::{attempt_of, text};
use crate::provider::Call;

/// The intent first.
pub const INTENT: &str = "nothing is charged before the intent is stored";
/// One key for one operation.
pub const ONE_KEY: &str = "a call's key follows from the payment, the operation and the attempt";
/// Rules are met.
pub const LEGAL: &str = "no rule refuses what the operator decided on fresh data";

impl Oracle {
    /// A call is on its way.
    pub(crate) fn called(&mut self, call: &Call, server: &Server) {
        let Some(key) = call.asked.idempotency_key() else { return };
        let payment = server.objects("payments").find(|p| key.starts_with(text(&p["metadata"]["uid"])));
        let Some(payment) = payment else { return };
        let operation = call.asked.operation();
        let uid = text(&payment["metadata"]["uid"]);
        let is_recorded = payment["status"]["attempt"].as_i64().is_some_and(|attempt| attempt > 0);
        if matches!(call.asked, Asked::Charge(_)) && !is_recorded {
            let (order, name) = (&payment["spec"]["orderRef"]["uid"], &payment["metadata"]["name"]);
            self.charge_begins(text(order), text(name), self.now_ms);
        }
        let attempt = attempt_of(payment);
        // A copy that has grown old still names an attempt that there was.
        let made: Option<i64> = key
            .get(uid.len()..)
            .and_then(|rest| rest.strip_prefix('-')?.strip_prefix(operation)?.strip_prefix('-'))
            .and_then(|rest| rest.split('.').next()?.parse().ok());
        match made {
            None => self.fail(ONE_KEY, format!("{} has the key {key}", call.words())),
            Some(made) if made > attempt || made < 1 => {
                self.fail(INTENT, format!("{} is made in attempt {made} of {attempt}", call.words()));
            }
            Some(made) => self.is_stored(call, made == attempt, payment),
        }
    }

    fn is_stored(&mut self, call: &Call, is_latest: bool, payment: &Value) {
        if let Asked::Charge(charge) = &call.asked
            && let Some(id) = &charge.payment_id
            && is_latest
            && text(&payment["status"]["providerPaymentId"]) != id
        {
            self.fail(INTENT, format!("{} is of a payment that is not stored", call.words()));
        }
        let phase = PaymentPhase::parse(text(&payment["status"]["phase"]));
        let back =
            matches!(phase, PaymentPhase::Refunding | PaymentPhase::Refunded | PaymentPhase::NeedsReview);
        if matches!(call.asked, Asked::Refund(_)) && !back {
            self.fail(INTENT, format!("{} is of a payment that is {phase}", call.words()));
        }
    }

    /// The API server answered the operator. Its writes carry the version that was decided on, so that a rule which
    /// refuses one refuses the decision.
    pub(crate) fn answered(&mut self, request: &Request, response: &Response) {
        if !matches!(response.code, 403 | 422) {
            return;
        }
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let causes = body["details"]["causes"].as_array();
        if causes.into_iter().flatten().any(|cause| cause["reason"] == "NamespaceTerminating") {
            return;
        }
        let (plural, name) = (&request.plural, request.name.clone().unwrap_or_default());
        let why = text(&body["message"]);
        self.fail(LEGAL, format!("{:?} {plural} {name}: {} {why}", request.verb, response.code));
    }
}
