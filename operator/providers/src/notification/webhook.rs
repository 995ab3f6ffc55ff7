//! The webhook adapter: one CloudEvent a message, in structured mode, signed as Standard Webhooks has it.
//!
//! Every call sends one request. The receiver recognises a repeat by the event's id, which is the message's, and responds
//! as it did to the first. The body of a response is not read.
//!
//! Sources: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>,
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use fooddelivery_saga::provider::CallFailure;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName};
use serde::Serialize;

use super::port::{Message, MessagePort, SendOutcome};
use super::signature::Signer;
use crate::account::Account;
use crate::http::{HttpResponse, TransportError};

const EVENT_TYPE: &str = "dev.fooddelivery.order.phase.v1";
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A webhook and its signer.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) account: Account,
    pub(crate) signer: Signer,
}

#[derive(Debug, Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: String,
    time: String,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    order_uid: &'a str,
    step: i64,
    phase: &'a str,
    customer: &'a str,
    store: Option<&'a str>,
    total: Option<i64>,
    reason: Option<&'a str>,
}

/// The event as JSON; None for a time that no calendar has.
fn event(message: &Message) -> Option<Vec<u8>> {
    let (namespace, name) = (&message.order_namespace, &message.order_name);
    let event = Event {
        specversion: "1.0",
        id: &message.id,
        source: format!("/apis/fooddelivery.dev/v1alpha1/namespaces/{namespace}/orders/{name}"),
        kind: EVENT_TYPE,
        subject: format!("{namespace}/{name}"),
        time: jiff::Timestamp::from_millisecond(message.at.0).ok()?.to_string(),
        datacontenttype: "application/json",
        data: Data {
            order_uid: &message.order_uid,
            step: message.step,
            phase: &message.phase,
            customer: &message.customer,
            store: message.store.as_deref(),
            total: message.total,
            reason: message.reason.as_deref(),
        },
    };
    serde_json::to_vec(&event).ok()
}

#[async_trait]
impl MessagePort for Webhook {
    fn needs_contact(&self) -> bool {
        false
    }

    async fn send(&self, message: &Message) -> SendOutcome {
        let Some(body) = event(message) else {
            return SendOutcome::Refused("the message cannot be written as an event".to_owned());
        };
        // A timestamp before the epoch is too old for any receiver, which says so.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let url = self.account.endpoint.clone();
        let request = self
            .account
            .request(Method::POST, url, &message.order_uid)
            .header(CONTENT_TYPE, "application/cloudevents+json")
            .header(ID, &message.id)
            .header(TIMESTAMP, now)
            .header(SIGNATURE, self.signer.sign(&message.id, now, &body))
            .body(body);
        outcome(&self.account.send("webhook", "send", &message.order_uid, request).await)
    }
}

fn outcome(result: &Result<HttpResponse, TransportError>) -> SendOutcome {
    let answer = match result {
        Ok(answer) => answer,
        Err(transport_error) => return CallFailure::from(transport_error).into(),
    };
    let status = answer.status;
    let said = |what: &str| format!("the receiver answered {status}{what}");
    SendOutcome::CallFailure(match status {
        200..300 => return SendOutcome::Sent,
        401 | 403 => CallFailure::Unauthorized(said("")),
        // These speak of the request's timing, not of the message.
        408 => CallFailure::OutcomeUnknown(said("")),
        409 | 425 => CallFailure::InProgress,
        429 => CallFailure::Throttled { retry_after_ms: answer.retry_after_ms() },
        410 => return SendOutcome::Refused(said(": it wants no such messages")),
        400..500 => return SendOutcome::Refused(said("")),
        500.. => CallFailure::Errored(said("")),
        _ => CallFailure::OutcomeUnknown(said("")),
    })
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
