//! The sandbox's own endpoints: ledger, payments, calls, messages, faults, latency, outages, checkouts, reset.
//!
//! They have a listener of their own, which no outage touches. They ask for no authentication and show payment keys
//! and telephone numbers in full, for tests and audits: listen where only those can reach it.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use rand::RngExt;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bank::{Checkout, Rejection};
use crate::dialect::Dialect;
use crate::faults::Rule;
use crate::outage::Outage;
use crate::state::App;
use crate::{stripe, toss};

/// The control endpoints.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/sandbox/ledger", get(ledger))
        .route("/sandbox/ledger.txt", get(ledger_table))
        .route("/sandbox/payments", get(payments))
        .route("/sandbox/calls", get(calls))
        .route("/sandbox/faults", get(faults).put(replace_faults))
        .route("/sandbox/latency", get(latency).put(replace_latency))
        .route("/sandbox/outage", get(outage).put(replace_outage))
        .route("/sandbox/messages", get(messages))
        .route("/sandbox/messages.txt", get(messages_table))
        .route("/sandbox/message-outage", get(message_outage).put(replace_message_outage))
        .route("/sandbox/checkouts", post(register))
        .route("/sandbox/reset", post(reset))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CheckoutBody {
    payment_key: Option<String>,
    order_id: String,
    amount: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LatencyBody {
    /// `none` or MIN-MAX, in ms.
    profile: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutageBody {
    mode: Outage,
}

async fn ledger(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "entries": app.lock().ledger.entries() }))
}

async fn ledger_table(State(app): State<Arc<App>>) -> String {
    app.lock().ledger.table()
}

/// Each dialect's own JSON, with its name.
async fn payments(State(app): State<Arc<App>>) -> Json<Value> {
    let mut core = app.lock();
    let toss = core.bank.toss.all(Timestamp::now());
    let stripe = core.bank.stripe.all();
    drop(core);
    let named = |dialect: Dialect, mut payment: Value| {
        payment["dialect"] = json!(dialect);
        payment
    };
    let toss = toss.iter().map(|payment| named(Dialect::Toss, toss::payment_json(payment)));
    let stripe = stripe.iter().map(|intent| named(Dialect::Stripe, stripe::intent_json(intent)));
    Json(json!({ "payments": toss.chain(stripe).collect::<Vec<_>>() }))
}

async fn calls(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "calls": app.lock().calls.all() }))
}

async fn faults(State(app): State<Arc<App>>) -> Json<Vec<Rule>> {
    Json(app.lock().faults.rules())
}

async fn replace_faults(State(app): State<Arc<App>>, Json(rules): Json<Vec<Rule>>) -> Response {
    done(app.lock().faults.replace(rules))
}

async fn latency(State(app): State<Arc<App>>) -> Json<LatencyBody> {
    Json(LatencyBody { profile: app.lock().latency.to_string() })
}

async fn replace_latency(State(app): State<Arc<App>>, Json(body): Json<LatencyBody>) -> Response {
    done(body.profile.parse().map(|latency| app.lock().latency = latency))
}

async fn outage(State(app): State<Arc<App>>) -> Json<OutageBody> {
    Json(OutageBody { mode: app.outage.get() })
}

async fn replace_outage(State(app): State<Arc<App>>, Json(body): Json<OutageBody>) -> Response {
    app.outage.set(body.mode);
    done(Ok(()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessagesQuery {
    /// The uid of the order that they are about.
    order: Option<String>,
}

async fn messages(State(app): State<Arc<App>>, Query(query): Query<MessagesQuery>) -> Json<Value> {
    let mut messages = app.lock().messages.all(Timestamp::now());
    if let Some(order) = query.order {
        messages.retain(|message| message.order_uid.as_ref() == Some(&order));
    }
    Json(json!({ "messages": messages }))
}

async fn messages_table(State(app): State<Arc<App>>) -> String {
    let messages = app.lock().messages.all(Timestamp::now());
    crate::messages::table(&messages)
}

async fn message_outage(State(app): State<Arc<App>>) -> Json<Value> {
    let refused = app.lock().messages.refused;
    Json(json!({ "mode": app.message_outage.get(), "refused": refused }))
}

async fn replace_message_outage(State(app): State<Arc<App>>, Json(body): Json<OutageBody>) -> Response {
    app.set_message_outage(body.mode);
    done(Ok(()))
}

async fn register(State(app): State<Arc<App>>, Json(body): Json<CheckoutBody>) -> Response {
    let CheckoutBody { payment_key, order_id, amount } = body;
    let payment_key = payment_key.unwrap_or_else(new_payment_key);
    let checkout = Checkout { payment_key, order_id, amount };
    match app.lock().bank.toss.register(&checkout, Timestamp::now()) {
        Ok(payment) => (StatusCode::CREATED, Json(toss::payment_json(payment))).into_response(),
        Err(rejection) => refused(&rejection),
    }
}

async fn reset(State(app): State<Arc<App>>) -> Response {
    done(app.reset().map_err(|error| error.to_string()))
}

fn done(result: Result<(), String>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => refused(&Rejection::invalid_request(&why)),
    }
}

fn refused(rejection: &Rejection) -> Response {
    let status = StatusCode::from_u16(rejection.status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, Json(json!({ "code": rejection.code, "message": rejection.message }))).into_response()
}

/// A payment key such as a checkout would give: hard to guess, safe in a path.
fn new_payment_key() -> String {
    let random: String = rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect();
    format!("sandbox_{random}")
}
