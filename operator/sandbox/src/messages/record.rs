//! What is known of a message that was received: shown by the control API, and compared by tests.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Suffix of phone numbers to which an AlimTalk fails for good.
pub const FAILING_NUMBERS_SUFFIX: &str = "0001";
/// Suffix of phone numbers for which the result of an AlimTalk comes later.
pub const SLOW_NUMBERS_SUFFIX: &str = "0002";

/// The protocol by which a message arrived.
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
    /// The protocol by which it arrived.
    pub channel: Channel,
    /// The id that the sender gave it.
    pub id: String,
    /// Whether it was recognised, and not delivered again.
    pub repeat: bool,
    /// The uid of the order that it is about.
    pub order_uid: Option<String>,
    /// Which step of the order.
    pub step: Option<i64>,
    /// The order's phase, as the message has it: a webhook's in the words of the API, an AlimTalk's in Korean.
    pub phase: Option<String>,
    /// The recipient: the phone number, or a webhook's customer.
    pub recipient: String,
    /// What the customer reads; only of an AlimTalk.
    pub text: Option<String>,
    /// What became of it by now; of a repeat, of what it repeats.
    pub result: MessageResult,
}
