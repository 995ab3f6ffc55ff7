//! The webhook: CloudEvents in structured mode, signed as Standard Webhooks has it; any of the secret keys may have signed.
//!
//! Sources: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>,
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::Response;
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use ring::hmac;
use serde::Deserialize;
use serde_json::json;

use super::exchange::{Call, Desk, respond};
use super::log::{Arrived, Fate};
use super::record::Channel;
use crate::config::SecretKey;
use crate::faults::Operation;
use crate::front::Arrival;
use crate::idempotency::Answer;
use crate::state::App;

/// How far the time of a signature may be from now, in seconds.
const TOLERANCE_SECONDS: i64 = 5 * 60;
/// The longest id.
const ID_CHARS_MAX: usize = 64;

/// The endpoint.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/webhook", post(respond_to_event))
}

async fn respond_to_event(arrival: Arrival) -> Response {
    respond::<Event>(arrival).await
}

/// An event that is signed and whole.
#[derive(Debug, Deserialize)]
struct Event {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    subject: Option<String>,
    time: Option<String>,
    data: Data,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    order_uid: String,
    step: i64,
    phase: String,
    customer: String,
}

fn refused(status: u16, message: &str) -> Answer {
    Answer::new(status, json!({ "message": message }).to_string())
}

impl Call for Event {
    const OPERATION: Operation = Operation::Message;

    fn read(arrival: &Arrival) -> Result<Self, Answer> {
        let id = arrival.header("webhook-id").unwrap_or_default();
        let timestamp = arrival.header("webhook-timestamp").unwrap_or_default();
        let signatures = arrival.header("webhook-signature").unwrap_or_default();
        let signed = Signed { id: &id, timestamp: &timestamp, body: &arrival.body };
        signed
            .verify(&signatures, &arrival.app.config.secret_keys, Timestamp::now())
            .map_err(|why| refused(401, why))?;
        let content_type = arrival.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        if content_type.split(';').next().map(str::trim) != Some("application/cloudevents+json") {
            return Err(refused(415, "The content type is application/cloudevents+json."));
        }
        let event: Self = serde_json::from_slice(&arrival.body)
            .map_err(|_| refused(400, "The body is not an event with id, source, type and data."))?;
        event.check(&id).map_err(|why| refused(400, why))?;
        Ok(event)
    }

    fn server_error(status: u16) -> Answer {
        refused(status, "Try again later.")
    }

    fn order_uid(&self) -> Option<&str> {
        Some(&self.data.order_uid)
    }

    /// A repeat is answered as the first was.
    fn perform(&self, desk: Desk<'_>) -> Answer {
        let Desk { messages, decline, now, .. } = desk;
        if decline {
            return refused(410, "No such events are wanted.");
        }
        let repeat = messages.has(Channel::Webhook, &self.id);
        let Data { order_uid, step, phase, customer } = &self.data;
        let arrived = Arrived {
            channel: Channel::Webhook,
            id: self.id.clone(),
            order_uid: Some(order_uid.clone()),
            step: Some(*step),
            phase: Some(phase.clone()),
            recipient: customer.clone(),
            text: None,
            fate: Fate::Sent,
            listing: None,
        };
        messages.note(arrived, repeat, now);
        Answer::new(200, json!({ "repeat": repeat }).to_string())
    }
}

impl Event {
    fn check(&self, id: &str) -> Result<(), &'static str> {
        let time = self.time.as_deref().map(str::parse::<Timestamp>);
        if self.specversion != "1.0" {
            return Err("The specversion is 1.0.");
        }
        if self.id != id {
            return Err("The event has the id of the webhook.");
        }
        if self.id.is_empty() || self.id.chars().count() > ID_CHARS_MAX {
            return Err("The id has 1 to 64 characters.");
        }
        if self.source.is_empty() || self.kind.is_empty() || self.subject.as_deref() == Some("") {
            return Err("Source and type are not empty, nor is a subject.");
        }
        if !matches!(time, Some(Ok(_))) {
            return Err("The time is a date and time (RFC 3339).");
        }
        if self.data.order_uid.is_empty() || self.data.phase.is_empty() || self.data.step < 0 {
            return Err("The data has orderUid, phase and step.");
        }
        Ok(())
    }
}

/// What a signature is of.
#[derive(Debug, Clone, Copy)]
struct Signed<'a> {
    id: &'a str,
    timestamp: &'a str,
    body: &'a [u8],
}

impl Signed<'_> {
    fn verify(self, signatures: &str, secrets: &[SecretKey], now: Timestamp) -> Result<(), &'static str> {
        let timestamp: i64 =
            self.timestamp.parse().map_err(|_| "webhook-timestamp is in seconds since the epoch.")?;
        if timestamp.saturating_sub(now.as_second()).saturating_abs() > TOLERANCE_SECONDS {
            return Err("webhook-timestamp is too far from now.");
        }
        let mut content = format!("{}.{timestamp}.", self.id).into_bytes();
        content.extend_from_slice(self.body);
        let tags = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        let tags: Vec<Vec<u8>> = tags.filter_map(|tag| BASE64_STANDARD.decode(tag).ok()).collect();
        let verified = secrets.iter().filter_map(key).any(|key| {
            // In constant time.
            tags.iter().any(|tag| hmac::verify(&key, &content, tag).is_ok())
        });
        if verified { Ok(()) } else { Err("webhook-signature is not by a known secret.") }
    }
}

fn key(secret: &SecretKey) -> Option<hmac::Key> {
    let bytes = match secret.expose().strip_prefix("whsec_") {
        Some(encoded) => BASE64_STANDARD.decode(encoded).ok()?,
        None => secret.expose().as_bytes().to_vec(),
    };
    Some(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the reference implementation.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const SIGNED: Signed<'_> = Signed {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp: "1614265330",
        body: br#"{"test": 2432232314}"#,
    };

    fn verified(signed: Signed<'_>, signatures: &str, secrets: &[&str], later_seconds: i64) -> bool {
        let secrets: Vec<SecretKey> = secrets.iter().map(|secret| SecretKey::from(*secret)).collect();
        let now = Timestamp::from_second(1_614_265_330 + later_seconds).unwrap();
        signed.verify(signatures, &secrets, now).is_ok()
    }

    #[test]
    fn a_signature_by_any_known_secret_is_taken_and_one_of_several_is_enough() {
        assert!(verified(SIGNED, SIGNATURE, &[SECRET], 0));
        assert!(verified(SIGNED, SIGNATURE, &["other", SECRET], 0));
        assert!(verified(SIGNED, &format!("v1,bm9wZQ== v2,x {SIGNATURE}"), &[SECRET], 0));
    }

    #[test]
    fn a_signature_of_something_else_or_by_another_secret_is_not() {
        assert!(!verified(Signed { id: "msg_other", ..SIGNED }, SIGNATURE, &[SECRET], 0));
        assert!(!verified(Signed { timestamp: "1614265331", ..SIGNED }, SIGNATURE, &[SECRET], 0));
        assert!(!verified(Signed { body: b"{}", ..SIGNED }, SIGNATURE, &[SECRET], 0));
        assert!(!verified(SIGNED, SIGNATURE, &["other", "whsec_not base64"], 0));
        for signatures in ["", "v1,", &SIGNATURE.replace("v1", "v2"), &SIGNATURE[3..]] {
            assert!(!verified(SIGNED, signatures, &[SECRET], 0), "{signatures}");
        }
    }

    #[test]
    fn a_signature_is_good_for_five_minutes_either_way() {
        assert!(verified(SIGNED, SIGNATURE, &[SECRET], 300) && verified(SIGNED, SIGNATURE, &[SECRET], -300));
        assert!(
            !verified(SIGNED, SIGNATURE, &[SECRET], 301) && !verified(SIGNED, SIGNATURE, &[SECRET], -301)
        );
        assert!(!verified(Signed { timestamp: "soon", ..SIGNED }, SIGNATURE, &[SECRET], 0));
    }
}
