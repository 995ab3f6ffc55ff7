//! The Toss protocol over HTTP: authentication, headers, bodies, and how a payment looks in JSON.
//!
//! It translates; the execution of a call decides. Source: <https://docs.tosspayments.com/reference>.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bank::{Cancel, Checkout, Payment, Rejection, Status};
use crate::config::SecretKey;
use crate::connection::Cut;
use crate::execution::{Call, Request, Wire, execute};
use crate::faults::Operation;
use crate::idempotency::{Answer, MAX_KEY_CHARS, Scope};
use crate::state::App;

/// Where payments are confirmed.
pub(crate) const CONFIRM_PATH: &str = "/v1/payments/confirm";

/// The payment API.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(CONFIRM_PATH, post(confirm))
        .route("/v1/payments/{payment_key}/cancel", post(cancel))
        .route("/v1/payments/{payment_key}", get(by_key))
        .route("/v1/payments/orders/{order_id}", get(by_order))
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

async fn confirm(
    State(app): State<Arc<App>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = match serde_json::from_slice::<ConfirmBody>(&body) {
        Ok(ConfirmBody { payment_key, order_id, amount }) => {
            Request::Confirm(Checkout { payment_key, order_id, amount })
        }
        Err(error) => malformed(&error),
    };
    respond(&app, &cut, Operation::Confirm, request, uri.path(), &headers).await
}

async fn cancel(
    State(app): State<Arc<App>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    uri: Uri,
    Path(payment_key): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = match serde_json::from_slice::<CancelBody>(&body) {
        Ok(CancelBody { cancel_reason: reason, cancel_amount: amount }) => {
            Request::Cancel(Cancel { payment_key, reason, amount })
        }
        Err(error) => malformed(&error),
    };
    respond(&app, &cut, Operation::Cancel, request, uri.path(), &headers).await
}

async fn by_key(
    State(app): State<Arc<App>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    uri: Uri,
    Path(payment_key): Path<String>,
    headers: HeaderMap,
) -> Response {
    respond(&app, &cut, Operation::LookUp, Request::ByKey(payment_key), uri.path(), &headers).await
}

async fn by_order(
    State(app): State<Arc<App>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    uri: Uri,
    Path(order_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    respond(&app, &cut, Operation::LookUp, Request::ByOrder(order_id), uri.path(), &headers).await
}

fn malformed(error: &serde_json::Error) -> Request {
    // The position helps; the text of serde could quote the body.
    let place = format!("The body cannot be read (line {}, column {}).", error.line(), error.column());
    Request::Malformed(Rejection::invalid_request(&place))
}

async fn respond(
    app: &Arc<App>,
    cut: &Cut,
    operation: Operation,
    request: Request,
    path: &str,
    headers: &HeaderMap,
) -> Response {
    let method = if operation == Operation::LookUp { "GET" } else { "POST" };
    let scope = authenticate(headers, &app.config.secret_keys)
        .and_then(|api_key| scope(headers, api_key, method, path, operation));
    let scope = match scope {
        Ok(scope) => scope,
        Err(rejection) => return response(&rejection_answer(&rejection)),
    };
    let correlation_id =
        headers.get("x-correlation-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let call = Call { operation, request, method, path: path.to_owned(), scope, correlation_id };
    match execute(app, call).await {
        Wire::Answer(answer) => response(&answer),
        Wire::Cut => {
            cut.throw();
            // Never seen: the connection is cut before a byte of it is written.
            Response::new(Body::empty())
        }
    }
}

/// The secret key that a request presents, if it is an accepted one.
fn authenticate<'a>(headers: &HeaderMap, accepted: &'a [SecretKey]) -> Result<&'a str, Rejection> {
    let unauthorized = |why: &str| Rejection::new(401, "UNAUTHORIZED_KEY", why);
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|encoded| BASE64_STANDARD.decode(encoded).ok())
        .ok_or_else(|| unauthorized("Basic authentication is required."))?;
    let user = given.strip_suffix(b":").ok_or_else(|| {
        Rejection::new(
            403,
            "INCORRECT_BASIC_AUTH_FORMAT",
            "The secret key is the user; the password is empty.",
        )
    })?;
    let known = accepted.iter().find(|key| key.expose().as_bytes() == user);
    known.map(SecretKey::expose).ok_or_else(|| unauthorized("The secret key is not known."))
}

/// What the answer is kept under; None without a key, and for reads.
fn scope(
    headers: &HeaderMap,
    api_key: &str,
    method: &'static str,
    path: &str,
    operation: Operation,
) -> Result<Option<Scope>, Rejection> {
    let Some(value) = headers.get("idempotency-key").filter(|_| operation != Operation::LookUp) else {
        return Ok(None);
    };
    let invalid = || Rejection::new(400, "INVALID_IDEMPOTENCY_KEY", "The key must have 1 to 300 characters.");
    let key = value.to_str().map_err(|_| invalid())?;
    if key.is_empty() || key.chars().count() > MAX_KEY_CHARS {
        return Err(invalid());
    }
    let (key, api_key, path) = (key.to_owned(), api_key.to_owned(), path.to_owned());
    Ok(Some(Scope { key, api_key, method, path }))
}

/// The path that cancels a payment, percent-encoded: every byte that is not unreserved (RFC 3986).
pub(crate) fn cancel_path(payment_key: &str) -> String {
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

fn response(answer: &Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body.clone()));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    if let Some(seconds) = answer.retry_after_seconds {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A refusal as the protocol words it.
pub(crate) fn rejection_answer(rejection: &Rejection) -> Answer {
    let body = json!({ "code": rejection.code, "message": rejection.message }).to_string();
    Answer { status: rejection.status, body, retry_after_seconds: None }
}

/// A payment as the protocol shows it.
pub(crate) fn payment_answer(payment: &Payment) -> Answer {
    Answer { status: 200, body: payment_json(payment).to_string(), retry_after_seconds: None }
}

/// The Payment object (version 2022-11-16), with the fields that a card payment has.
pub(crate) fn payment_json(payment: &Payment) -> Value {
    let cancels: Vec<Value> = payment
        .cancels
        .iter()
        .enumerate()
        .map(|(index, cancel)| {
            json!({
                "cancelAmount": cancel.amount,
                "cancelReason": cancel.reason,
                "canceledAt": korean_time(cancel.at),
                "refundableAmount": cancel.balance_after,
                "taxFreeAmount": 0,
                "transactionKey": format!("{}-{}", payment.order_id, index + 1),
                "cancelStatus": "DONE",
            })
        })
        .collect();
    // Value-added tax is a tenth on top, so an eleventh of what is left.
    let vat = payment.balance() / 11;
    json!({
        "version": "2022-11-16",
        "mId": "sandbox",
        "type": "NORMAL",
        "paymentKey": payment.payment_key,
        "orderId": payment.order_id,
        "orderName": payment.order_id,
        "currency": "KRW",
        "country": "KR",
        "method": "카드",
        "status": payment.status.as_str(),
        "totalAmount": payment.total,
        "balanceAmount": payment.balance(),
        "suppliedAmount": payment.balance() - vat,
        "vat": vat,
        "taxFreeAmount": 0,
        "requestedAt": korean_time(payment.requested_at),
        "approvedAt": payment.approved_at.map(korean_time),
        "useEscrow": false,
        "isPartialCancelable": payment.status != Status::Canceled,
        "cancels": if cancels.is_empty() { Value::Null } else { Value::from(cancels) },
        "failure": payment.failure.as_ref().map(|why| json!({ "code": why.code, "message": why.message })),
    })
}

/// Toss gives times as `yyyy-MM-dd'T'HH:mm:ss±hh:mm`, in Korea's zone.
fn korean_time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::fixed(Offset::constant(9))).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_korean() {
        assert_eq!(korean_time(Timestamp::UNIX_EPOCH), "1970-01-01T09:00:00+09:00");
    }

    #[test]
    fn a_payment_key_with_a_slash_is_one_path_segment() {
        assert_eq!(cancel_path("a/b c~"), "/v1/payments/a%2Fb%20c~/cancel");
    }

    #[test]
    fn only_an_accepted_key_with_an_empty_password_is_let_in() {
        let accepted = [SecretKey::from("sk_1"), SecretKey::from("sk_2")];
        let with = |user: &str| {
            let mut headers = HeaderMap::new();
            let value = format!("Basic {}", BASE64_STANDARD.encode(user));
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            authenticate(&headers, &accepted).map_err(|rejection| rejection.status)
        };
        assert_eq!(with("sk_2:"), Ok("sk_2"));
        assert_eq!(with("sk_3:"), Err(401));
        assert_eq!(with("sk_1:password"), Err(403));
        assert_eq!(
            authenticate(&HeaderMap::new(), &accepted).map_err(|rejection| rejection.status),
            Err(401)
        );
    }
}
