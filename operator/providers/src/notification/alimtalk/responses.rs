//! What a response of the Bizmessage API means, as a pure function: status and body in, outcome out.
//!
//! The result code in the body decides; most failures come with status 200. A code about this message is final; a code
//! about us or the provider is no reason to give the message up. A response that cannot be read is a
//! [`CallFailure`]. The sentences name neither number nor secret.
//!
//! Source: <https://docs.nhncloud.com/en/Notification/KakaoTalk%20Bizmessage/en/error-code/>. Codes of six digits are
//! those that newer versions of the API give for the same.

use fooddelivery_saga::provider::CallFailure;
use serde::Deserialize;

use crate::http::{HttpResponse, TransportError};
use crate::notification::port::SendOutcome;
use crate::refusal::refusal;

/// Result of submitting a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Submission {
    /// Accepted now.
    Accepted,
    /// It was submitted before: its result is to be looked up.
    Recognised,
    /// Neither: the outcome.
    Ended(SendOutcome),
}

/// Result of looking a message up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Not found: it was not submitted, or is not in the list yet.
    Nothing,
    /// What became of it.
    Outcome(SendOutcome),
    /// The look-up failed.
    CallFailure(CallFailure),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    result_code: i64,
    #[serde(default)]
    result_message: Option<String>,
    is_successful: bool,
}

#[derive(Debug, Deserialize)]
struct SendAnswer {
    header: Header,
    message: Option<SendMessage>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendMessage {
    send_results: Vec<SendResult>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendResult {
    result_code: i64,
    #[serde(default)]
    result_message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListAnswer {
    header: Header,
    message_search_result_response: Option<List>,
}

#[derive(Debug, Deserialize)]
struct List {
    messages: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    recipient_grouping_key: Option<String>,
    message_status: String,
    result_code: Option<String>,
    result_code_name: Option<String>,
}

/// Reads the response to the submission of a message to one recipient.
pub(super) fn submission(result: &Result<HttpResponse, TransportError>, secrets: &[&str]) -> Submission {
    let SendAnswer { header, message } = match read::<SendAnswer>(result) {
        Ok(answer) => answer,
        Err(failure) => return Submission::Ended(failure.into()),
    };
    if is_recognised(header.result_code) {
        return Submission::Recognised;
    }
    let recipient = message.as_ref().and_then(|message| message.send_results.first());
    match recipient {
        Some(recipient) if recipient.result_code != 0 => {
            Submission::Ended(no(recipient.result_code, recipient.result_message.as_deref(), secrets))
        }
        Some(_) if header.is_successful => Submission::Accepted,
        None if header.is_successful => {
            let why = "accepted without a result for the recipient".to_owned();
            Submission::Ended(CallFailure::OutcomeUnknown(why).into())
        }
        _ => Submission::Ended(no(header.result_code, header.result_message.as_deref(), secrets)),
    }
}

/// What became of the message with this id. If it went out more than once, that it arrived is what counts.
pub(super) fn found(result: &Result<HttpResponse, TransportError>, id: &str, secrets: &[&str]) -> Found {
    let ListAnswer { header, message_search_result_response: list } = match read::<ListAnswer>(result) {
        Ok(answer) => answer,
        Err(failure) => return Found::CallFailure(failure),
    };
    if !header.is_successful {
        return match no(header.result_code, header.result_message.as_deref(), secrets) {
            SendOutcome::CallFailure(failure) => Found::CallFailure(failure),
            // A look-up requests nothing that could be refused.
            _ => Found::CallFailure(CallFailure::OutcomeUnknown(format!(
                "the look-up failed with {}",
                header.result_code
            ))),
        };
    }
    let messages = list.map(|list| list.messages).unwrap_or_default();
    let ours = messages.iter().filter(|listed| listed.recipient_grouping_key.as_deref() == Some(id));
    let rank = |outcome: &SendOutcome| match outcome {
        SendOutcome::Sent => 2,
        SendOutcome::Pending => 1,
        SendOutcome::Refused(_) | SendOutcome::CallFailure(_) => 0,
    };
    let best = ours.map(|listed| became(listed, secrets)).max_by_key(rank);
    best.map_or(Found::Nothing, Found::Outcome)
}

fn became(listed: &Listed, secrets: &[&str]) -> SendOutcome {
    let failed = listed.result_code.as_deref() == Some("MRC02");
    match listed.message_status.as_str() {
        "COMPLETED" if !failed => SendOutcome::Sent,
        "COMPLETED" | "FAILED" => {
            let why = listed.result_code_name.as_deref().unwrap_or("without a reason");
            SendOutcome::Refused(refusal("", &format!("not delivered: {why}"), secrets).message)
        }
        "CANCEL" => SendOutcome::Refused("its sending was cancelled at the provider".to_owned()),
        _ => SendOutcome::Pending,
    }
}

/// What a result code other than success says.
fn no(code: i64, message: Option<&str>, secrets: &[&str]) -> SendOutcome {
    let sentence =
        refusal("", &format!("{code}: {}", message.unwrap_or("without a reason")), secrets).message;
    match code {
        // The app key or secret key; the sender; the template; the API.
        -1000 | -1001 | -4004 | -4005 | 400_300 | 400_301 => CallFailure::Unauthorized(sentence).into(),
        -1006 | -1014 | -1024 | -1027 | -2017 | 400_306 | 400_308 | 400_315 | 400_318 => {
            CallFailure::Unauthorized(sentence).into()
        }
        -3003 | -3005 | -9992 | -9998 => CallFailure::Unauthorized(sentence).into(),
        // The daily quota.
        400_309 => CallFailure::Throttled { retry_after_ms: None }.into(),
        -7000 | -9999 => CallFailure::Errored(sentence).into(),
        _ => SendOutcome::Refused(sentence),
    }
}

/// The same key within ten minutes.
fn is_recognised(code: i64) -> bool {
    matches!(code, -1005 | 400_305)
}

/// The body, if it can be read; else what the status says.
fn read<'a, T: Deserialize<'a>>(result: &'a Result<HttpResponse, TransportError>) -> Result<T, CallFailure> {
    let answer = result.as_ref().map_err(CallFailure::from)?;
    let status = answer.status;
    match status {
        429 => return Err(CallFailure::Throttled { retry_after_ms: answer.retry_after_ms() }),
        401 | 403 => return Err(CallFailure::Unauthorized(format!("the provider answered {status}"))),
        500.. => return Err(CallFailure::Errored(format!("the provider answered {status}"))),
        408 | 409 | 425 => {
            return Err(CallFailure::OutcomeUnknown(format!("the provider answered {status}")));
        }
        _ => {}
    }
    // The text of serde could quote the body, so it is not passed on.
    serde_json::from_slice(&answer.body)
        .map_err(|_| CallFailure::OutcomeUnknown(format!("{status} without a result")))
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
