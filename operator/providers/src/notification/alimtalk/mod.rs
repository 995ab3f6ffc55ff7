//! The AlimTalk adapter: how a message is submitted to NHN Cloud's KakaoTalk Bizmessage. How responses are read is in
//! [`responses`], what the customer reads in [`template`].
//!
//! A message is submitted (POST), and its result is looked up (GET), as accepted is not delivered; the result may come
//! later. Two fields carry the message's id. As `X-NC-API-IDEMPOTENCY-KEY` it makes a repeat recognised, which alone says
//! neither sent nor failed, and for ten minutes only. As `recipientGroupingKey` it finds the result, for 90 days. So a
//! message that may have been submitted longer ago than the key is kept is looked up before it is submitted. A fallback to
//! SMS has another price and is not requested.
//!
//! Sources: <https://docs.nhncloud.com/en/Notification/KakaoTalk%20Bizmessage/en/alimtalk-api-guide/> (v2.3),
//! <https://docs.nhncloud.com/en/Notification/KakaoTalk%20Bizmessage/en/error-code/>.

mod responses;
mod template;

use std::collections::BTreeMap;

use async_trait::async_trait;
use fooddelivery_saga::provider::CallFailure;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderName;
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use url::Url;

use crate::account::Account;
use crate::config::ConfigError;
use crate::notification::port::{Message, MessagePort, SendOutcome};
use responses::{Found, Submission};

const DIALECT: &str = "alimtalk";
const SECRET_KEY: HeaderName = HeaderName::from_static("x-secret-key");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("x-nc-api-idempotency-key");
/// Age of a step from which its message is looked up before it is submitted. The key is kept for ten minutes; the rest
/// allows for clocks that differ.
const LOOK_UP_FIRST_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// Margin on either side of the time range in which a message is searched.
const SEARCH_MARGIN: SignedDuration = SignedDuration::from_hours(24);
/// Maximum time range of a search; the API allows 30 days.
const SEARCH_RANGE_MAX: SignedDuration = SignedDuration::from_hours(29 * 24);
/// Time zone of the API's dates.
const KOREA: Offset = Offset::constant(9);

/// Maximum length of an app key and a sender key.
const KEY_CHARS_MAX: usize = 100;
/// Maximum length of a template code.
const TEMPLATE_CHARS_MAX: usize = 20;

/// Sender and template of an AlimTalk. The template has the variables `#{가게}`, `#{주문}`, `#{상태}`,
/// `#{금액}` and `#{사유}`: store, order, status, amount and reason, `-` where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlimTalkSender {
    /// NHN Cloud's app key, which is part of each URL.
    pub app_key: String,
    /// The KakaoTalk channel's sender key (40 characters).
    pub sender_key: String,
    /// The code of an approved template, at most 20 characters.
    pub template_code: String,
}

impl AlimTalkSender {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (text, max, name) in [
            (&self.app_key, KEY_CHARS_MAX, "the app key"),
            (&self.sender_key, KEY_CHARS_MAX, "the sender key"),
            (&self.template_code, TEMPLATE_CHARS_MAX, "the template code"),
        ] {
            if text.is_empty() || text.len() > max || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(ConfigError::Sender(name));
            }
        }
        Ok(())
    }
}

/// An account at NHN Cloud, and who sends.
#[derive(Debug)]
pub(crate) struct AlimTalk {
    pub(crate) account: Account,
    pub(crate) sender: AlimTalkSender,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SendBody<'a> {
    sender_key: &'a str,
    template_code: &'a str,
    sender_grouping_key: &'a str,
    recipient_list: [To<'a>; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct To<'a> {
    recipient_no: &'a str,
    template_parameter: BTreeMap<&'static str, String>,
    resend_parameter: Resend,
    recipient_grouping_key: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Resend {
    is_resend: bool,
}

impl AlimTalk {
    fn url(&self) -> Result<Url, CallFailure> {
        let url = self.account.url(&["alimtalk", "v2.3", "appkeys", &self.sender.app_key, "messages"]);
        url.ok_or_else(|| CallFailure::NotSent("the app key cannot be part of a URL".to_owned()))
    }

    fn request(&self, method: Method, url: Url, message: &Message) -> RequestBuilder {
        let request = self.account.request(method, url, &message.order_uid);
        request.header(SECRET_KEY, self.account.credential.expose())
    }

    async fn submit(&self, message: &Message, number: &str) -> Submission {
        let url = match self.url() {
            Ok(url) => url,
            Err(failure) => return Submission::Ended(failure.into()),
        };
        let body = SendBody {
            sender_key: &self.sender.sender_key,
            template_code: &self.sender.template_code,
            sender_grouping_key: &message.order_uid,
            recipient_list: [To {
                recipient_no: number,
                template_parameter: template::parameters(message),
                resend_parameter: Resend { is_resend: false },
                recipient_grouping_key: &message.id,
            }],
        };
        let request = self.request(Method::POST, url, message);
        let request = request.header(IDEMPOTENCY_KEY, &message.id).json(&body);
        let result = self.account.send(DIALECT, "send", &message.order_uid, request).await;
        responses::submission(&result, &self.secrets(number))
    }

    async fn look_up(&self, message: &Message, number: &str, now: Timestamp) -> Found {
        let mut url = match self.url() {
            Ok(url) => url,
            Err(failure) => return Found::CallFailure(failure),
        };
        let [start, end] = search(message.at.0, now);
        url.query_pairs_mut()
            .append_pair("startRequestDate", &start)
            .append_pair("endRequestDate", &end)
            .append_pair("recipientGroupingKey", &message.id);
        let request = self.request(Method::GET, url, message);
        let result = self.account.send(DIALECT, "look_up", &message.order_uid, request).await;
        responses::found(&result, &message.id, &self.secrets(number))
    }

    fn secrets<'a>(&'a self, number: &'a str) -> [&'a str; 3] {
        [self.account.credential.expose(), &self.sender.sender_key, number]
    }
}

#[async_trait]
impl MessagePort for AlimTalk {
    fn needs_contact(&self) -> bool {
        true
    }

    async fn send(&self, message: &Message) -> SendOutcome {
        let Some(number) = message.contact.as_deref().and_then(template::number) else {
            return SendOutcome::Refused("there is no telephone number that could be written to".to_owned());
        };
        let now = Timestamp::now();
        if may_be_forgotten(message.at.0, now) {
            match self.look_up(message, &number, now).await {
                Found::Nothing => {}
                Found::Outcome(outcome) => return outcome,
                Found::CallFailure(failure) => return failure.into(),
            }
        }
        let accepted = match self.submit(message, &number).await {
            Submission::Accepted => true,
            Submission::Recognised => false,
            Submission::Ended(outcome) => return outcome,
        };
        match self.look_up(message, &number, now).await {
            Found::Outcome(outcome) => outcome,
            // A recognised message may not be in the list yet.
            Found::Nothing => SendOutcome::Pending,
            Found::CallFailure(_) if accepted => SendOutcome::Pending,
            Found::CallFailure(failure) => failure.into(),
        }
    }
}

/// Whether the provider may have forgotten the key of an earlier submission for a step at `at_ms`.
fn may_be_forgotten(at_ms: i64, now: Timestamp) -> bool {
    SignedDuration::from_millis(now.as_millisecond().saturating_sub(at_ms)) > LOOK_UP_FIRST_AFTER
}

/// The dates between which a message of a step at `at_ms` was submitted.
fn search(at_ms: i64, now: Timestamp) -> [String; 2] {
    let end = now.saturating_add(SEARCH_MARGIN).unwrap_or(now);
    let earliest = end.saturating_sub(SEARCH_RANGE_MAX).unwrap_or(now);
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(now);
    let start = at.saturating_sub(SEARCH_MARGIN).unwrap_or(at).clamp(earliest, end);
    [start, end].map(|date| KOREA.to_datetime(date).strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_message_is_looked_for_in_korean_time_with_a_day_on_either_side() {
        let now = time("2026-03-10T20:00:00Z");
        let at = time("2026-03-10T15:30:59Z").as_millisecond();
        assert_eq!(search(at, now), ["2026-03-10 00:30", "2026-03-12 05:00"]);
    }

    #[test]
    fn an_old_message_and_an_impossible_time_are_looked_for_within_a_month() {
        let now = time("2026-03-31T00:00:00Z");
        let at = time("2025-01-01T00:00:00Z").as_millisecond();
        assert_eq!(search(at, now), ["2026-03-03 09:00", "2026-04-01 09:00"]);
        assert_eq!(search(i64::MAX, now)[1], "2026-04-01 09:00");
        assert_eq!(search(i64::MIN, now)[1], "2026-04-01 09:00");
    }

    #[test]
    fn what_was_told_a_while_ago_may_be_forgotten_as_a_key() {
        let now = time("2026-03-10T20:00:00Z");
        let ago = |ms: i64| now.as_millisecond() - ms;
        assert!(!may_be_forgotten(ago(0), now));
        assert!(!may_be_forgotten(ago(5 * 60_000), now));
        assert!(may_be_forgotten(ago(5 * 60_000 + 1), now));
        assert!(!may_be_forgotten(ago(-60_000), now), "a clock that is ahead");
    }
}
