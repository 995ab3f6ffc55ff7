//! The Toss protocol over HTTP: authentication, headers, bodies.
//!
//! It translates; the execution of a call decides. Source: <https://docs.tosspayments.com/reference>.

mod json;

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use jiff::Timestamp;
use serde::Deserialize;

use crate::bank::toss::{Cancel, DEFAULT_DECLINE_CODE};
use crate::bank::{Bank, Checkout, Payment, Rejection};
use crate::config::{Config, SecretKey, ServerErrorMemory};
use crate::dialect::Dialect;
use crate::faults::Operation;
use crate::front::Arrival;
use crate::idempotency::Answer;
use crate::ledger::EntryKind;
use crate::protocol::{Desk, Names, Protocol, ProtocolError, basic};
use crate::state::App;

pub(crate) use json::payment_json;
use json::{payment_answer, rejection_answer};

/// Where payments are confirmed.
const CONFIRM_PATH: &str = "/v1/payments/confirm";

/// The payment API.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(CONFIRM_PATH, post(confirm))
        .route("/v1/payments/{payment_key}/cancel", post(cancel))
        .route("/v1/payments/{payment_key}", get(by_key))
        .route("/v1/payments/orders/{order_id}", get(by_order))
}

/// What is asked for.
#[derive(Debug)]
enum Request {
    /// Capture.
    Confirm(Checkout),
    /// Refund.
    Cancel(Cancel),
    /// Read by payment key.
    ByKey(String),
    /// Read by order id.
    ByOrder(String),
    /// A body that cannot be read; the refusal is an answer like any other, and replayed like any other.
    Malformed(Rejection),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfirmBody {
    payment_key: String,
    order_id: String,
    amount: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelBody {
    cancel_reason: String,
    cancel_amount: Option<i64>,
}

async fn confirm(arrival: Arrival) -> Response {
    let request = match serde_json::from_slice::<ConfirmBody>(&arrival.body) {
        Ok(ConfirmBody { payment_key, order_id, amount }) => {
            Request::Confirm(Checkout { payment_key, order_id, amount })
        }
        Err(error) => malformed(&error),
    };
    respond(arrival, Operation::Confirm, request).await
}

async fn cancel(Path(payment_key): Path<String>, arrival: Arrival) -> Response {
    let request = match serde_json::from_slice::<CancelBody>(&arrival.body) {
        Ok(CancelBody { cancel_reason: reason, cancel_amount: amount }) => {
            Request::Cancel(Cancel { payment_key, reason, amount })
        }
        Err(error) => malformed(&error),
    };
    respond(arrival, Operation::Cancel, request).await
}

async fn by_key(Path(payment_key): Path<String>, arrival: Arrival) -> Response {
    respond(arrival, Operation::LookUp, Request::ByKey(payment_key)).await
}

async fn by_order(Path(order_id): Path<String>, arrival: Arrival) -> Response {
    respond(arrival, Operation::LookUp, Request::ByOrder(order_id)).await
}

fn malformed(error: &serde_json::Error) -> Request {
    // The position helps; the text of serde could quote the body.
    let place = format!("The body cannot be read (line {}, column {}).", error.line(), error.column());
    Request::Malformed(Rejection::invalid_request(&place))
}

/// With Toss, a repeat is not compared by its body.
async fn respond(arrival: Arrival, operation: Operation, request: Request) -> Response {
    arrival.respond(operation, request, String::new()).await
}

impl Protocol for Request {
    const DIALECT: Dialect = Dialect::Toss;
    const KEY_CHARS_MAX: usize = 300;
    const DECLINE_CODE: &'static str = DEFAULT_DECLINE_CODE;
    const CONTENT_TYPE: &'static str = "application/json;charset=UTF-8";
    const MARKS_REPLAYS: bool = false;

    fn authenticate<'a>(headers: &HeaderMap, accepted: &'a [SecretKey]) -> Result<&'a str, Answer> {
        let refused = |status, code, why| rejection_answer(&Rejection::new(status, code, why));
        let unauthorized = |why| refused(401, "UNAUTHORIZED_KEY", why);
        let (user, password) =
            basic(headers).ok_or_else(|| unauthorized("Basic authentication is required."))?;
        if password.as_deref() != Some("") {
            let why = "The secret key is the user; the password is empty.";
            return Err(refused(403, "INCORRECT_BASIC_AUTH_FORMAT", why));
        }
        let known = accepted.iter().map(SecretKey::expose).find(|key| *key == user);
        known.ok_or_else(|| unauthorized("The secret key is not known."))
    }

    fn memory(config: &Config) -> ServerErrorMemory {
        config.after_server_error
    }

    fn error_response(error: ProtocolError) -> Answer {
        let (status, code, message) = match error {
            ProtocolError::ServerError(status) => {
                (status, "FAILED_INTERNAL_SYSTEM_PROCESSING", "The internal processing failed.")
            }
            ProtocolError::InProgress => (
                409,
                "IDEMPOTENT_REQUEST_PROCESSING",
                "A request with this idempotency key is being processed.",
            ),
            // Toss compares what is in the key's scope only, so this does not happen.
            ProtocolError::KeyMismatch => (400, "INVALID_REQUEST", "The key was used for another request."),
            ProtocolError::KeyInvalid => {
                (400, "INVALID_IDEMPOTENCY_KEY", "The key must have 1 to 300 characters.")
            }
            ProtocolError::TooMany { .. } => {
                (429, "TOO_MANY_REQUESTS", "Too many requests; try again later.")
            }
        };
        let answer = rejection_answer(&Rejection::new(status, code, message));
        match error {
            ProtocolError::TooMany { retry_after_seconds } => Answer { retry_after_seconds, ..answer },
            _ => answer,
        }
    }

    fn names(&self, bank: &mut Bank, now: Timestamp) -> Names {
        let book = &mut bank.toss;
        let (payment_key, order_id) = match self {
            Self::Confirm(checkout) => (Some(checkout.payment_key.clone()), Some(checkout.order_id.clone())),
            Self::Cancel(Cancel { payment_key: key, .. }) | Self::ByKey(key) => {
                let known = book.by_key(key, now).ok();
                (Some(key.clone()), known.map(|payment| payment.money.order_id().to_owned()))
            }
            Self::ByOrder(order) => {
                let known = book.by_order(order, now).ok();
                (known.map(|payment| payment.money.payment_key().to_owned()), Some(order.clone()))
            }
            Self::Malformed(_) => (None, None),
        };
        Names { payment_key, payment_method: None, order_id }
    }

    fn can_be_kept(&self) -> bool {
        true
    }

    fn perform(&self, desk: Desk<'_>) -> Answer {
        let Desk { bank, ledger, idempotency_key: key, decline, now } = desk;
        let book = &mut bank.toss;
        let result = match self {
            Self::Confirm(checkout) => book.confirm(checkout, key, decline, now, ledger),
            Self::Cancel(cancel) => book.cancel(cancel, key, now, ledger),
            Self::ByKey(key) => book.by_key(key, now),
            Self::ByOrder(order) => book.by_order(order, now),
            Self::Malformed(rejection) => Err(rejection.clone()),
        };
        result.map_or_else(|rejection| rejection_answer(&rejection), payment_answer)
    }
}

/// The paths that a movement of an earlier run can have come by, and what was answered.
pub(crate) fn restored(payment: &Payment, kind: EntryKind) -> (Vec<String>, Answer) {
    let path = match kind {
        EntryKind::Capture => CONFIRM_PATH.to_owned(),
        EntryKind::Refund => cancel_path(payment.money.payment_key()),
    };
    (vec![path], payment_answer(payment))
}

/// The path that cancels a payment, percent-encoded: every byte that is not unreserved (RFC 3986).
fn cancel_path(payment_key: &str) -> String {
    let mut path = String::from("/v1/payments/");
    for byte in payment_key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path + "/cancel"
}

#[cfg(test)]
mod tests {
    use axum::http::header;
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    #[test]
    fn a_payment_key_with_a_slash_is_one_path_segment() {
        assert_eq!(cancel_path("a/b c~"), "/v1/payments/a%2Fb%20c~/cancel");
    }

    #[test]
    fn only_an_accepted_key_with_an_empty_password_is_let_in() {
        let accepted = [SecretKey::from("sk_1"), SecretKey::from("sk_2")];
        let status =
            |headers: &HeaderMap| Request::authenticate(headers, &accepted).map_err(|refusal| refusal.status);
        let with = |user: &str| {
            let mut headers = HeaderMap::new();
            let value = format!("Basic {}", BASE64_STANDARD.encode(user));
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            status(&headers)
        };
        assert_eq!(with("sk_2:"), Ok("sk_2"));
        assert_eq!(with("sk_3:"), Err(401));
        assert_eq!(with("sk_1:password"), Err(403));
        assert_eq!(with("sk_1"), Err(403));
        assert_eq!(status(&HeaderMap::new()), Err(401));
    }
}
