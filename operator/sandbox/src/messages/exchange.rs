//! A call about messages, whatever its protocol: outage, what speaks against it, fault, answer.
//!
//! A call that is accepted runs in a task of its own, to its end, when the client hangs up. What waits, waits outside
//! the lock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use jiff::Timestamp;
use tokio::time::sleep;

use super::log::Messages;
use crate::config::Config;
use crate::execution::{Wire, garbled};
use crate::faults::{Fault, Operation, Subject};
use crate::front::{Arrival, plain_response};
use crate::idempotency::Answer;
use crate::outage::Met;
use crate::state::App;

/// What a call is carried out with.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) messages: &'a mut Messages,
    pub(super) config: &'a Config,
    /// The message goes wrong for good.
    pub(super) decline: bool,
    pub(super) now: Timestamp,
}

/// A call in some protocol, of which nothing more is to be refused before it is carried out.
pub(super) trait Call: fmt::Debug + Send + Sync + Sized + 'static {
    /// What it does.
    const OPERATION: Operation;

    /// Reads it, or says what is wrong with it.
    fn read(arrival: &Arrival) -> Result<Self, Answer>;

    /// The response with this status and no details.
    fn server_error(status: u16) -> Answer;

    /// The uid of the order that it is about.
    fn order_uid(&self) -> Option<&str>;

    /// Accepts the message, or looks for it.
    fn perform(&self, desk: Desk<'_>) -> Answer;
}

/// Has a call carried out, unless something speaks against it, and answers.
pub(super) async fn respond<C: Call>(arrival: Arrival) -> Response {
    let app = Arc::clone(&arrival.app);
    let noted = |_: Met| app.lock().messages.refused += 1;
    let wire = match app.message_outage.meet(noted).await {
        Some(Met::Cut) => Wire::Cut,
        Some(Met::Status(status)) => Wire::Answer(C::server_error(status)),
        None => match C::read(&arrival) {
            Ok(call) => carry_out(&app, call).await,
            Err(refusal) => Wire::Answer(refusal),
        },
    };
    arrival.show_with(&wire, |answer| plain_response(answer, "application/json;charset=UTF-8"))
}

async fn carry_out<C: Call>(app: &Arc<App>, call: C) -> Wire {
    let task = app.tasks.spawn(run(Arc::clone(app), call));
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a call about a message did not end");
        Wire::Answer(C::server_error(500))
    })
}

async fn run<C: Call>(app: Arc<App>, call: C) -> Wire {
    let fault = app.lock().faults.take(&Subject {
        operation: C::OPERATION,
        payment_key: None,
        payment_method: None,
        order_id: call.order_uid(),
    });
    let wire = run_with(&app, &call, fault.as_ref()).await;
    let status = match &wire {
        Wire::Answer(answer) => Some(answer.status),
        Wire::Cut => None,
    };
    let (operation, order, fault) = (C::OPERATION, call.order_uid(), fault.as_ref().map(Fault::name));
    tracing::info!(?operation, ?status, ?fault, ?order, "call about a message");
    wire
}

async fn run_with<C: Call>(app: &App, call: &C, fault: Option<&Fault>) -> Wire {
    match fault {
        Some(Fault::ErrorBefore { status }) => return Wire::Answer(C::server_error(*status)),
        Some(Fault::DropBefore) => return Wire::Cut,
        Some(Fault::InProgress409) => return Wire::Answer(C::server_error(409)),
        Some(Fault::TooManyRequests { retry_after_seconds }) => {
            return Wire::Answer(Answer {
                retry_after_seconds: *retry_after_seconds,
                ..C::server_error(429)
            });
        }
        Some(Fault::DelayBefore { ms }) => sleep(Duration::from_millis(*ms)).await,
        _ => {}
    }
    let mut answer = perform(app, call, fault);
    match fault {
        Some(Fault::DuplicateDelivery) => answer = perform(app, call, fault),
        Some(Fault::DelayAfter { ms }) => sleep(Duration::from_millis(*ms)).await,
        _ => {}
    }
    match fault {
        Some(Fault::ErrorAfter { status }) => Wire::Answer(C::server_error(*status)),
        Some(Fault::DropAfter) => Wire::Cut,
        Some(Fault::GarbledAnswer) => Wire::Answer(garbled()),
        _ => Wire::Answer(answer),
    }
}

fn perform<C: Call>(app: &App, call: &C, fault: Option<&Fault>) -> Answer {
    let decline = matches!(fault, Some(Fault::Decline { .. }));
    let (config, now) = (&app.config, Timestamp::now());
    call.perform(Desk { messages: &mut app.lock().messages, config, decline, now })
}
