//! The AlimTalk API of NHN Cloud's KakaoTalk Bizmessage, v2.3: send, and list what was sent.
//!
//! One template is registered, under whatever code is named; its variables must all be given. A request is recognised
//! by its idempotency key for some time and then refused, which says nothing of what became of it; after that time it
//! is sent again, as the real one would. Source:
//! <https://docs.nhncloud.com/en/Notification/KakaoTalk%20Bizmessage/en/alimtalk-api-guide/>.

mod list;
mod protocol;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::exchange::{Call, Desk, respond};
use super::log::{Arrived, Fate, Listing};
use super::record::{Channel, FAILING_NUMBERS_SUFFIX, SLOW_NUMBERS_SUFFIX};
use crate::faults::Operation;
use crate::front::Arrival;
use crate::idempotency::Answer;
use crate::state::App;
use list::Find;
use protocol::{authenticate, head, refused, server_error};

const RECIPIENTS_MAX: usize = 1_000;
const SENDER_KEY_CHARS: usize = 40;
const TEMPLATE_CODE_CHARS_MAX: usize = 20;
const GROUPING_KEY_CHARS_MAX: usize = 100;
const NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
/// The longest text, and the parts of the registered one: words, and variables by name.
const TEXT_CHARS_MAX: usize = 1_300;
const TEMPLATE: [(&str, &str); 5] =
    [("[", "가게"), ("] ", "주문"), (": ", "상태"), (", ", "금액"), (", ", "사유")];
/// The template's variable for the order's phase.
const PHASE: &str = "상태";

/// The endpoints.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/alimtalk/v2.3/appkeys/{app_key}/messages", get(find).post(send))
}

async fn send(arrival: Arrival) -> Response {
    respond::<Send>(arrival).await
}

async fn find(arrival: Arrival) -> Response {
    respond::<Find>(arrival).await
}

/// A request that is authenticated and well-formed.
#[derive(Debug)]
struct Send {
    key: Option<String>,
    body: SendBody,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendBody {
    sender_key: String,
    template_code: String,
    sender_grouping_key: Option<String>,
    recipient_list: Vec<To>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct To {
    #[serde(rename = "recipientNo")]
    number: String,
    #[serde(default)]
    template_parameter: BTreeMap<String, String>,
    #[serde(rename = "recipientGroupingKey")]
    grouping_key: Option<String>,
}

impl Call for Send {
    const OPERATION: Operation = Operation::Message;

    fn read(arrival: &Arrival) -> Result<Self, Answer> {
        authenticate(arrival)?;
        let content_type = arrival.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        if content_type.split(';').next().map(str::trim) != Some("application/json") {
            return Err(refused(400, -9996, "Only application/json Content-type is supported."));
        }
        let body: SendBody =
            serde_json::from_slice(&arrival.body).map_err(|_| refused(400, -3002, "Field is not valid."))?;
        body.check().map_err(|(code, message)| refused(200, code, message))?;
        Ok(Self { key: arrival.header("x-nc-api-idempotency-key"), body })
    }

    fn server_error(status: u16) -> Answer {
        server_error(status)
    }

    fn order_uid(&self) -> Option<&str> {
        self.body.sender_grouping_key.as_deref()
    }

    fn perform(&self, mut desk: Desk<'_>) -> Answer {
        let key = self.key.as_deref();
        let repeat = key.is_some_and(|key| desk.messages.recognises(key, desk.now));
        let request_id = format!("sandbox-{}", desk.messages.count() + 1);
        let recipients = self.body.recipient_list.iter().enumerate();
        let results: Vec<(i64, Value)> = recipients
            .map(|(index, to)| self.deliver(&mut desk, to, index + 1, &request_id, repeat))
            .collect();
        if repeat {
            let why = "The same 'X-NC-API-IDEMPOTENCY-KEY' was used within the last 10 minute.";
            return refused(200, -1005, why);
        }
        let header = if results.iter().all(|(code, _)| *code != 0) {
            head(-1031, "All of receivers are failed to send.")
        } else {
            if let Some(key) = key {
                desk.messages.use_key(key, desk.now);
            }
            head(0, "SUCCESS")
        };
        let send_results: Vec<Value> = results.into_iter().map(|(_, result)| result).collect();
        let message = json!({
            "requestId": request_id,
            "senderGroupingKey": self.body.sender_grouping_key,
            "sendResults": send_results,
        });
        Answer::new(200, json!({ "header": header, "message": message }).to_string())
    }
}

impl Send {
    /// Accepts a message, or says why not; notes what was accepted. With its code, the result as it is shown.
    fn deliver(
        &self,
        desk: &mut Desk<'_>,
        to: &To,
        recipient_seq: usize,
        request_id: &str,
        repeat: bool,
    ) -> (i64, Value) {
        let (code, message) = match to.text() {
            Ok(text) => {
                let arrived = self.arrived(desk, to, text, recipient_seq, request_id);
                desk.messages.note(arrived, repeat, desk.now);
                (0, "SUCCESS")
            }
            Err(why) => why,
        };
        let result = json!({
            "recipientSeq": recipient_seq,
            "recipientNo": to.number,
            "resultCode": code,
            "resultMessage": message,
            "recipientGroupingKey": to.grouping_key,
        });
        (code, result)
    }

    fn arrived(
        &self,
        desk: &Desk<'_>,
        to: &To,
        text: String,
        recipient_seq: usize,
        request_id: &str,
    ) -> Arrived {
        let later = desk.now.saturating_add(desk.config.message_delay).unwrap_or(desk.now);
        let fate = match &to.number {
            _ if desk.decline => Fate::Failed,
            number if number.ends_with(FAILING_NUMBERS_SUFFIX) => Fate::Failed,
            number if number.ends_with(SLOW_NUMBERS_SUFFIX) => Fate::SentBy(later),
            _ => Fate::Sent,
        };
        let id = to.grouping_key.clone().unwrap_or_else(|| format!("{request_id}-{recipient_seq}"));
        let step = id.rsplit_once('-').and_then(|(_, step)| step.parse().ok());
        Arrived {
            channel: Channel::AlimTalk,
            order_uid: self.body.sender_grouping_key.clone(),
            step: step.filter(|_| to.grouping_key.is_some()),
            id,
            phase: to.template_parameter.get(PHASE).cloned(),
            recipient: to.number.clone(),
            text: Some(text),
            fate,
            listing: Some(Listing {
                request_id: request_id.to_owned(),
                recipient_seq,
                sender_key: self.body.sender_key.clone(),
                template_code: self.body.template_code.clone(),
            }),
        }
    }
}

impl SendBody {
    fn check(&self) -> Result<(), (i64, &'static str)> {
        let too_long = |key: &Option<String>| {
            key.as_ref().is_some_and(|key| key.chars().count() > GROUPING_KEY_CHARS_MAX)
        };
        if self.sender_key.chars().count() != SENDER_KEY_CHARS {
            return Err((-2017, "Not exist plus friend."));
        }
        if self.template_code.is_empty() || self.template_code.chars().count() > TEMPLATE_CODE_CHARS_MAX {
            return Err((-3003, "Template does not exist."));
        }
        if self.recipient_list.is_empty() || self.recipient_list.len() > RECIPIENTS_MAX {
            return Err((-4011, "Not found recipientList."));
        }
        if too_long(&self.sender_grouping_key)
            || self.recipient_list.iter().any(|to| too_long(&to.grouping_key))
        {
            return Err((-2000, "The grouping key must be at less than or equal to 100."));
        }
        Ok(())
    }
}

impl To {
    /// What the recipient reads.
    fn text(&self) -> Result<String, (i64, &'static str)> {
        let is_number = NUMBER_DIGITS.contains(&self.number.len())
            && self.number.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number {
            return Err((-5000, "RecipientNo is invalid."));
        }
        let mut text = String::new();
        for (words, variable) in TEMPLATE {
            let value = self.template_parameter.get(variable).filter(|value| !value.is_empty());
            text.push_str(words);
            text.push_str(value.ok_or((-3004, "Please check template parameter."))?);
        }
        if text.chars().count() > TEXT_CHARS_MAX {
            return Err((-2019, "The content can not exceed 1,300 characters."));
        }
        Ok(text)
    }
}
