//! Mutants between a replica and the payment providers.

use fooddelivery_providers::resilience::Request;
use fooddelivery_saga::provider::{CallFailure, ChargeOutcome};
use serde_json::json;

use super::mutant::Mutant;
use crate::apiserver::Verb;
use crate::objects::{attempt_of, request, text};
use crate::provider::CallOutcome;
use crate::world::Shared;

/// Changes a call that is about to be made.
pub(crate) fn before_call(shared: &Shared, request: &mut Request) {
    if shared.mutant != Some(Mutant::FreshKey) {
        return;
    }
    let key = match request {
        Request::Prepare(request) => &mut request.idempotency_key,
        Request::Charge(request) => &mut request.idempotency_key,
        Request::Refund(request) => &mut request.idempotency_key,
        Request::LookUp(_) | Request::Void(_) => return,
    };
    *key = format!("{key}-{}", shared.lock().elapsed_ms());
}

/// Does what follows on a call, before the replica hears of its outcome.
pub(crate) async fn after_call(shared: &Shared, replica: usize, request: &Request, outcome: &CallOutcome) {
    let is_unknown =
        matches!(outcome, CallOutcome::Charge(ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown(_))));
    if shared.mutant == Some(Mutant::CountedTwice)
        && is_unknown
        && let Request::Charge(charge) = request
    {
        count_again(shared, replica, &charge.order_id).await;
    }
}

/// The payment's attempt goes up by one, though nobody knows what became of the last.
async fn count_again(shared: &Shared, replica: usize, order_id: &str) {
    let change = {
        let world = shared.lock();
        let mut payments = world.server.objects("payments");
        let payment = payments.find(|payment| text(&payment["spec"]["providerOrderId"]) == order_id);
        let Some(payment) = payment.filter(|payment| payment["status"]["phase"] == "Pending") else { return };
        let attempt = attempt_of(payment) + 1;
        let status = json!({ "status": { "attempt": attempt, "providerPaymentId": null } });
        let mut request = request(Verb::Patch, "payments", text(&payment["metadata"]["name"]), &status);
        request.subresource = Some("status".into());
        request
    };
    // Whatever comes of it, the mistake was made.
    let _ = shared.send(replica, change).await;
}
