//! What receives messages for customers: the AlimTalk API of NHN Cloud, and a webhook.
//!
//! Each has a strict protocol of its own and translates; an exchange is the same for both: outage, fault, answer.
//! Whatever is accepted is in the log before it is answered. Nobody is really written to.

mod alimtalk;
mod exchange;
mod log;
mod webhook;

use std::sync::Arc;

use axum::Router;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::state::App;

pub(crate) use log::{Messages, table};

/// AlimTalks to numbers that end so go wrong for good.
pub const NUMBERS_THAT_FAIL: &str = "0001";
/// Those to numbers that end so have their result later.
pub const NUMBERS_THAT_TAKE_TIME: &str = "0002";

/// The way a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Channel {
    /// Kakao AlimTalk.
    AlimTalk,
    /// A CloudEvent.
    Webhook,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageResult {
    /// The customer has it.
    Sent,
    /// Not known yet.
    Pending,
    /// The customer will never have it.
    Failed,
}

/// A message that was accepted, or recognised as a repeat of one that was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRecord {
    /// Position, from 1, counted also for messages that the log has dropped since.
    pub seq: u64,
    /// When it arrived.
    pub at: Timestamp,
    /// The way it came.
    pub channel: Channel,
    /// The sender's id of it.
    pub id: String,
    /// Whether it was recognised, and not delivered again.
    pub repeat: bool,
    /// The uid of the order that it is about.
    pub order_uid: Option<String>,
    /// Which step of the order.
    pub step: Option<i64>,
    /// The order's phase, as the message has it: a webhook's in the words of the API, an AlimTalk's in Korean.
    pub phase: Option<String>,
    /// Whom it went to: the telephone number, or a webhook's customer.
    pub recipient: String,
    /// What the customer reads; only of an AlimTalk.
    pub text: Option<String>,
    /// What became of it by now; of a repeat, of what it repeats.
    pub result: MessageResult,
}

/// The endpoints.
pub(crate) fn routes() -> Router<Arc<App>> {
    alimtalk::routes().merge(webhook::routes())
}
