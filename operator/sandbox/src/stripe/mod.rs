//! The Stripe protocol over HTTP: authentication, headers, parameters; payment intents and refunds, in KRW.
//!
//! It translates; the execution of a call decides. Source: <https://docs.stripe.com/api>.

mod form;
mod json;
mod requests;
mod search;

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::{get, post};
use jiff::Timestamp;
use rand::RngExt;
use rand::distr::Alphanumeric;

use crate::bank::Bank;
use crate::bank::stripe::{Book, DEFAULT_DECLINE_CODE, Intent, NewIntent, ORDER_ID, Refusal, RefusalKind};
use crate::config::{Config, SecretKey, ServerErrorMemory};
use crate::dialect::Dialect;
use crate::faults::Operation;
use crate::front::Arrival;
use crate::idempotency::Answer;
use crate::ledger::EntryKind;
use crate::protocol::{Desk, Names, Protocol, ProtocolError, basic};
use crate::state::App;

use form::canonical;
pub(crate) use json::intent_json;
use json::{intent_answer, refund_answer, refusal_answer, search_answer};
use requests::Request;
use search::{SEARCH_PATH, Search};

const INTENTS_PATH: &str = "/v1/payment_intents";
const REFUNDS_PATH: &str = "/v1/refunds";

/// The payment API.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(INTENTS_PATH, post(create))
        .route(SEARCH_PATH, get(find))
        .route("/v1/payment_intents/{id}", get(by_id))
        .route("/v1/payment_intents/{id}/confirm", post(confirm))
        .route("/v1/payment_intents/{id}/cancel", post(cancel))
        .route(REFUNDS_PATH, post(refund))
}

async fn create(arrival: Arrival) -> Response {
    let request = requests::create(&arrival);
    let operation = match &request {
        Ok(Request::Create { confirm: true, .. }) => Operation::Confirm,
        _ => Operation::Prepare,
    };
    respond(arrival, operation, request).await
}

async fn confirm(Path(id): Path<String>, arrival: Arrival) -> Response {
    let request = requests::confirm(id, &arrival);
    respond(arrival, Operation::Confirm, request).await
}

async fn cancel(Path(id): Path<String>, arrival: Arrival) -> Response {
    let request = requests::cancel(id, &arrival);
    respond(arrival, Operation::Void, request).await
}

async fn refund(arrival: Arrival) -> Response {
    let request = requests::refund(&arrival);
    respond(arrival, Operation::Cancel, request).await
}

async fn by_id(Path(id): Path<String>, arrival: Arrival) -> Response {
    respond(arrival, Operation::LookUp, Ok(Request::ById(id))).await
}

async fn find(arrival: Arrival) -> Response {
    let request = Search::of(arrival.query()).map(Request::Find);
    respond(arrival, Operation::LookUp, request).await
}

async fn respond(arrival: Arrival, operation: Operation, request: Result<Request, Refusal>) -> Response {
    let parameters = canonical(&arrival.body);
    arrival.respond(operation, request.unwrap_or_else(Request::Malformed), parameters).await
}

impl Protocol for Request {
    const DIALECT: Dialect = Dialect::Stripe;
    const KEY_CHARS_MAX: usize = 255;
    const DECLINE_CODE: &'static str = DEFAULT_DECLINE_CODE;
    const CONTENT_TYPE: &'static str = "application/json";
    const MARKS_REPLAYS: bool = true;

    /// Bearer, or Basic with the key as the user; whatever the password is, it is not looked at.
    fn authenticate<'a>(headers: &HeaderMap, accepted: &'a [SecretKey]) -> Result<&'a str, Answer> {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = value.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
        let given = bearer.or_else(|| basic(headers).map(|(user, _)| user));
        let known = given
            .and_then(|given| accepted.iter().map(SecretKey::expose).find(|accepted| *accepted == given));
        known.ok_or_else(|| {
            let message = "The secret API key is missing or not known.";
            refusal_answer(&Refusal::new(401, RefusalKind::InvalidRequest, None, message))
        })
    }

    fn memory(_: &Config) -> ServerErrorMemory {
        ServerErrorMemory::Replay
    }

    fn error_response(error: ProtocolError) -> Answer {
        let refusal = match error {
            ProtocolError::ServerError(status) => {
                Refusal::new(status, RefusalKind::Api, None, "Something went wrong on the provider's end.")
            }
            ProtocolError::InProgress => Refusal::new(
                409,
                RefusalKind::Idempotency,
                Some("idempotency_key_in_use"),
                "A request with this idempotency key is being executed.",
            ),
            ProtocolError::KeyMismatch => Refusal::new(
                400,
                RefusalKind::Idempotency,
                None,
                "Keys for idempotent requests can only be used for the same endpoint and with the same \
                 parameters they were first used with.",
            ),
            ProtocolError::KeyInvalid => {
                Refusal::invalid(None, "The idempotency key must have 1 to 255 characters.")
            }
            ProtocolError::TooMany { .. } => Refusal::new(
                429,
                RefusalKind::InvalidRequest,
                Some("rate_limit"),
                "Too many requests; try again later.",
            ),
        };
        let answer = refusal_answer(&refusal);
        match error {
            ProtocolError::TooMany { retry_after_seconds } => Answer { retry_after_seconds, ..answer },
            _ => answer,
        }
    }

    fn names(&self, bank: &mut Bank, _: Timestamp) -> Names {
        match self {
            Self::Create { new, .. } => Names {
                payment_key: None,
                payment_method: new.payment_method.clone(),
                order_id: new.metadata.get(ORDER_ID).cloned(),
            },
            Self::Confirm { id, payment_method } => {
                let known = names(&bank.stripe, id);
                Names { payment_method: payment_method.clone().or(known.payment_method), ..known }
            }
            Self::Cancel { id, .. } | Self::ById(id) => names(&bank.stripe, id),
            Self::Refund(refund) => names(&bank.stripe, &refund.intent),
            Self::Find(search) => Names { order_id: Some(search.order_id.clone()), ..Names::default() },
            Self::Malformed(_) => Names::default(),
        }
    }

    fn can_be_kept(&self) -> bool {
        !matches!(self, Self::Malformed(_))
    }

    fn perform(&self, desk: Desk<'_>) -> Answer {
        let result = match self {
            Self::Create { new, confirm } => create_intent(new, *confirm, desk),
            Self::Confirm { id, payment_method } => confirm_intent(id, payment_method.as_deref(), desk),
            Self::Cancel { id, reason } => {
                desk.bank.stripe.cancel(id, reason.as_deref(), desk.now).map(intent_answer)
            }
            Self::Refund(refund) => {
                let Desk { bank, ledger, idempotency_key: key, now, .. } = desk;
                bank.stripe.refund(refund, key, now, ledger).map(refund_answer)
            }
            Self::ById(id) => desk.bank.stripe.get(id).map(intent_answer),
            Self::Find(search) => Ok(page(search, &desk.bank.stripe, desk.now)),
            Self::Malformed(refusal) => Err(refusal.clone()),
        };
        result.unwrap_or_else(|refusal| refusal_answer(&refusal))
    }
}

/// Where the intent is known: its id, payment method and order id.
fn names(book: &Book, id: &str) -> Names {
    let known = book.get(id).ok();
    Names {
        payment_key: Some(id.to_owned()),
        payment_method: known.and_then(|intent| intent.payment_method.clone()),
        order_id: known.map(|intent| intent.money.order_id().to_owned()),
    }
}

fn create_intent(new: &NewIntent, confirm: bool, desk: Desk<'_>) -> Result<Answer, Refusal> {
    let random: String = rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect();
    let id = format!("pi_{random}");
    let created = intent_answer(desk.bank.stripe.create(&id, new, desk.now));
    if confirm { confirm_intent(&id, None, desk) } else { Ok(created) }
}

fn confirm_intent(id: &str, payment_method: Option<&str>, desk: Desk<'_>) -> Result<Answer, Refusal> {
    let Desk { bank, ledger, idempotency_key: key, decline, now } = desk;
    bank.stripe.confirm(id, payment_method, key, decline, now, ledger).map(intent_answer)
}

fn page(search: &Search, book: &Book, now: Timestamp) -> Answer {
    let found = book.search(&search.order_id, now);
    let (start, end) = (search.offset.min(found.len()), (search.offset + search.limit).min(found.len()));
    search_answer(&found[start..end], (end < found.len()).then_some(end))
}

/// The paths that a movement of an earlier run can have come by, and what was answered.
pub(crate) fn restored(intent: &Intent, kind: EntryKind) -> (Vec<String>, Answer) {
    match kind {
        EntryKind::Capture => {
            let confirm = format!("{INTENTS_PATH}/{}/confirm", intent.id());
            (vec![INTENTS_PATH.to_owned(), confirm], intent_answer(intent))
        }
        EntryKind::Refund => (vec![REFUNDS_PATH.to_owned()], refund_answer(intent)),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    #[test]
    fn an_accepted_key_is_let_in_as_a_bearer_or_as_the_user_of_basic_authentication() {
        let accepted = [SecretKey::from("sk_1"), SecretKey::from("sk_2")];
        let with = |value: &str| {
            let headers =
                HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())]);
            Request::authenticate(&headers, &accepted).map_err(|refusal| refusal.status)
        };
        assert_eq!(with("Bearer sk_2"), Ok("sk_2"));
        assert_eq!(with(&format!("Basic {}", BASE64_STANDARD.encode("sk_1:"))), Ok("sk_1"));
        assert_eq!(with("Bearer sk_3"), Err(401));
        assert_eq!(with("sk_1"), Err(401));
        let refusal = Request::authenticate(&HeaderMap::new(), &accepted).unwrap_err();
        let body: serde_json::Value = serde_json::from_str(&refusal.body).unwrap();
        assert_eq!((refusal.status, &body["error"]["type"]), (401, &"invalid_request_error".into()));
    }
}
