//! What a dialect must say for its calls to be executed: the seam between the protocols and what they share.
//!
//! A dialect translates; it neither waits, nor keeps idempotency keys, nor applies faults.

use std::fmt;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;

use crate::bank::Bank;
use crate::config::{Config, SecretKey, ServerErrorMemory};
use crate::dialect::Dialect;
use crate::idempotency::Answer;
use crate::ledger::Ledger;

/// What a call is about, as far as it is known when it arrives.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) payment_key: Option<String>,
    pub(crate) payment_method: Option<String>,
    pub(crate) order_id: Option<String>,
}

/// What a request is executed with.
#[derive(Debug)]
pub(crate) struct Desk<'a> {
    pub(crate) bank: &'a mut Bank,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) idempotency_key: Option<&'a str>,
    /// The issuer declines, with that code.
    pub(crate) decline: Option<&'a str>,
    pub(crate) now: Timestamp,
}

/// An answer that is not about the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProtocolError {
    /// Something broke within the provider.
    ServerError(u16),
    /// The first request with this idempotency key still runs.
    InProgress,
    /// The first request with this idempotency key was another one.
    KeyMismatch,
    /// The idempotency key is empty or too long.
    KeyInvalid,
    /// Too many requests.
    TooMany {
        /// The `Retry-After` header, if any.
        retry_after_seconds: Option<u64>,
    },
}

/// A request in some dialect.
pub(crate) trait Protocol: fmt::Debug + Send + Sync + Sized + 'static {
    /// Which.
    const DIALECT: Dialect;
    /// The longest idempotency key, in characters.
    const KEY_CHARS_MAX: usize;
    /// The code of a declined card, unless a fault names another.
    const DECLINE_CODE: &'static str;
    /// Of every answer.
    const CONTENT_TYPE: &'static str;
    /// Whether a replayed answer says so, in the header `Idempotent-Replayed`.
    const MARKS_REPLAYS: bool;

    /// The secret key that a request presents, if it is an accepted one; else the refusal.
    fn authenticate<'a>(headers: &HeaderMap, accepted: &'a [SecretKey]) -> Result<&'a str, Answer>;

    /// What is remembered after a 5xx.
    fn memory(config: &Config) -> ServerErrorMemory;

    /// The response for an error of the protocol.
    fn error_response(error: ProtocolError) -> Answer;

    /// What the request is about.
    fn names(&self, bank: &mut Bank, now: Timestamp) -> Names;

    /// Whether executing it can lead to an answer worth keeping under its idempotency key.
    fn can_be_kept(&self) -> bool;

    /// Asks the bank. This is where money moves.
    fn perform(&self, desk: Desk<'_>) -> Answer;
}

/// User and password of Basic authentication; the password is None when there is not even a colon.
pub(crate) fn basic(headers: &HeaderMap) -> Option<(String, Option<String>)> {
    let encoded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    Some(match text.split_once(':') {
        Some((user, password)) => (user.to_owned(), Some(password.to_owned())),
        None => (text, None),
    })
}
