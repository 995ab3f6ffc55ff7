//! What the oracle keeps of an object.

use serde_json::Value;

use super::text;

/// An object as it was last seen. Fields that a kind does not have are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) dying: bool,
    /// The uid of the order that a child is of.
    pub(crate) of: String,
    pub(crate) phase: String,
    pub(crate) reason: String,
    /// Of an order.
    pub(crate) verdict: String,
    pub(crate) cancel_asked: bool,
    pub(crate) settled: bool,
    /// Of a payment.
    pub(crate) desired: String,
    pub(crate) reversal: String,
    pub(crate) attempt: i64,
    /// Of a ticket or delivery.
    pub(crate) stage: String,
    pub(crate) rider: String,
    pub(crate) paused: bool,
}

impl Seen {
    pub(super) fn of(object: &Value, version: &str) -> Self {
        let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
        let conditions = status["conditions"].as_array();
        let settled = conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Settled" && condition["status"] == "True");
        Self {
            version: version.to_owned(),
            namespace: text(&metadata["namespace"]).to_owned(),
            name: text(&metadata["name"]).to_owned(),
            dying: metadata["deletionTimestamp"].is_string(),
            of: text(&spec["orderRef"]["uid"]).to_owned(),
            phase: text(&status["phase"]).to_owned(),
            reason: text(&status["reason"]).to_owned(),
            verdict: text(&status["cancellation"]).to_owned(),
            cancel_asked: spec["cancellation"].is_object(),
            settled,
            desired: text(&spec["desired"]).to_owned(),
            reversal: text(&spec["reversal"]["reason"]).to_owned(),
            attempt: status["attempt"].as_i64().unwrap_or(0),
            stage: text(&spec["stage"]).to_owned(),
            rider: text(&spec["riderRef"]["name"]).to_owned(),
            paused: text(&metadata["annotations"][fooddelivery_api::PAUSED_ANNOTATION]) == "true",
        }
    }

    /// Of an order: whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "Completed" | "Cancelled" | "Rejected" | "PaymentFailed")
    }

    /// Of an order: whether it is undone, or somebody wants it to be and has had no answer.
    pub(super) fn is_undone(&self) -> bool {
        let wanted = (self.cancel_asked || self.dying) && self.verdict.is_empty();
        wanted || self.phase == "Cancelling" || self.has_ended()
    }
}
