//! What happens to an authenticated call: admission by idempotency key, fault, latency, the bank, the answer.
//!
//! A call is executed in a task of its own, so that it runs to its end when the client hangs up. The bank is asked
//! in one locked section; whatever waits, waits outside the lock.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::bank::{Cancel, Checkout, DEFAULT_DECLINE_CODE, Rejection};
use crate::calls::CallRecord;
use crate::config::ServerErrorMemory;
use crate::faults::{Fault, Operation, Subject};
use crate::idempotency::{Admission, Answer, Scope};
use crate::state::{App, Core};
use crate::toss;

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Request {
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

/// A call that has been authenticated.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) request: Request,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) scope: Option<Scope>,
    pub(crate) correlation_id: Option<String>,
}

/// What the client gets to see.
#[derive(Debug, Clone)]
pub(crate) enum Wire {
    /// An HTTP answer.
    Answer(Answer),
    /// A connection that closes.
    Cut,
}

/// Executes a call to its end, whether or not the caller still polls the returned future.
pub(crate) async fn execute(app: &Arc<App>, call: Call) -> Wire {
    let task = app.tasks.spawn(run(Arc::clone(app), call));
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a call did not end");
        Wire::Answer(server_error(500))
    })
}

async fn run(app: Arc<App>, call: Call) -> Wire {
    let (at, started) = (Timestamp::now(), Instant::now());
    let (admission, fault) = {
        let mut core = app.lock();
        let admission = call.admit(&mut core);
        // A call that is turned away for the first one's sake must not use up the fault of another.
        let fault = if admission == Admission::InProgress { None } else { core.take_fault(&call) };
        (admission, fault)
    };
    let name = fault.as_ref().map(Fault::name);
    let (wire, replayed) = if fault == Some(Fault::DuplicateDelivery) {
        call.answer(&app, admission, None).await;
        let again = call.admit(&mut app.lock());
        call.answer(&app, again, None).await
    } else {
        call.answer(&app, admission, fault).await
    };
    call.record(&app, &wire, at, started.elapsed(), replayed, name);
    wire
}

impl Core {
    fn take_fault(&mut self, call: &Call) -> Option<Fault> {
        let (key, order) = match &call.request {
            Request::Confirm(checkout) => {
                (Some(checkout.payment_key.clone()), Some(checkout.order_id.clone()))
            }
            Request::Cancel(Cancel { payment_key: key, .. }) | Request::ByKey(key) => {
                let known = self.bank.by_key(key, Timestamp::now()).ok();
                (Some(key.clone()), known.map(|payment| payment.order_id.clone()))
            }
            Request::ByOrder(order) => {
                let known = self.bank.by_order(order, Timestamp::now()).ok();
                (known.map(|payment| payment.payment_key.clone()), Some(order.clone()))
            }
            Request::Malformed(_) => (None, None),
        };
        let subject =
            Subject { operation: call.operation, payment_key: key.as_deref(), order_id: order.as_deref() };
        self.faults.take(&subject)
    }
}

impl Call {
    fn admit(&self, core: &mut Core) -> Admission {
        match &self.scope {
            Some(scope) => core.keys.begin(scope, Timestamp::now()),
            None => Admission::Execute,
        }
    }

    /// The answer, and whether it is an earlier one.
    async fn answer(&self, app: &App, admission: Admission, fault: Option<Fault>) -> (Wire, bool) {
        match admission {
            Admission::InProgress => (Wire::Answer(in_progress()), false),
            Admission::Replay(answer) => (self.replay(answer, fault).await, true),
            Admission::Execute => (self.execute(app, fault).await, false),
        }
    }

    /// An earlier answer can be delayed, lost or replaced on its way like any other.
    async fn replay(&self, answer: Answer, fault: Option<Fault>) -> Wire {
        match fault {
            Some(Fault::ErrorBefore { status } | Fault::ErrorAfter { status }) => {
                Wire::Answer(server_error(status))
            }
            Some(Fault::DropBefore | Fault::DropAfter) => Wire::Cut,
            Some(Fault::InProgress409) => Wire::Answer(in_progress()),
            Some(Fault::TooManyRequests { retry_after_seconds }) => {
                Wire::Answer(too_many_requests(retry_after_seconds))
            }
            Some(Fault::GarbledAnswer) => Wire::Answer(garbled()),
            Some(Fault::DelayBefore { ms } | Fault::DelayAfter { ms }) => {
                sleep(Duration::from_millis(ms)).await;
                Wire::Answer(answer)
            }
            Some(Fault::Decline { .. } | Fault::DuplicateDelivery) | None => Wire::Answer(answer),
        }
    }

    async fn execute(&self, app: &App, fault: Option<Fault>) -> Wire {
        let memory = app.config.after_server_error;
        let nothing_done = match &fault {
            Some(Fault::ErrorBefore { status }) => Some(Wire::Answer(server_error(*status))),
            Some(Fault::DropBefore) => Some(Wire::Cut),
            Some(Fault::InProgress409) => Some(Wire::Answer(in_progress())),
            Some(Fault::TooManyRequests { retry_after_seconds }) => {
                Some(Wire::Answer(too_many_requests(*retry_after_seconds)))
            }
            _ => None,
        };
        if let Some(wire) = nothing_done {
            self.settle(app, wire.clone().worth_keeping(memory));
            return wire;
        }

        self.wait_before(app, fault.as_ref()).await;
        let truth = self.perform(&mut app.lock(), fault.as_ref());
        if let Some(Fault::DelayAfter { ms }) = fault {
            sleep(Duration::from_millis(ms)).await;
        }
        let (wire, kept) = match fault {
            Some(Fault::ErrorAfter { status }) => {
                let error = server_error(status);
                let kept = match memory {
                    ServerErrorMemory::Result => Wire::Answer(truth).worth_keeping(memory),
                    ServerErrorMemory::Forget => None,
                    ServerErrorMemory::Replay => Some(error.clone()),
                };
                (Wire::Answer(error), kept)
            }
            Some(Fault::DropAfter) => (Wire::Cut, Wire::Answer(truth).worth_keeping(memory)),
            Some(Fault::GarbledAnswer) => {
                (Wire::Answer(garbled()), Wire::Answer(truth).worth_keeping(memory))
            }
            _ => (Wire::Answer(truth.clone()), Wire::Answer(truth).worth_keeping(memory)),
        };
        self.settle(app, kept);
        wire
    }

    async fn wait_before(&self, app: &App, fault: Option<&Fault>) {
        if self.operation != Operation::LookUp {
            let latency = app.lock().latency.sample();
            sleep(latency).await;
        }
        if let Some(Fault::DelayBefore { ms }) = fault {
            sleep(Duration::from_millis(*ms)).await;
        }
    }

    /// Asks the bank. This is where money moves.
    fn perform(&self, core: &mut Core, fault: Option<&Fault>) -> Answer {
        let now = Timestamp::now();
        let key = self.scope.as_ref().map(|scope| scope.key.as_str());
        let decline = match fault {
            Some(Fault::Decline { code }) => Some(code.as_deref().unwrap_or(DEFAULT_DECLINE_CODE)),
            _ => None,
        };
        let Core { bank, ledger, .. } = core;
        let result = match &self.request {
            Request::Confirm(checkout) => bank.confirm(checkout, key, decline, now, ledger),
            Request::Cancel(cancel) => bank.cancel(cancel, key, now, ledger),
            Request::ByKey(key) => bank.by_key(key, now),
            Request::ByOrder(order) => bank.by_order(order, now),
            Request::Malformed(rejection) => Err(rejection.clone()),
        };
        match result {
            Ok(payment) => toss::payment_answer(payment),
            Err(rejection) => toss::rejection_answer(&rejection),
        }
    }

    /// Ends the idempotency key's run: with an answer to replay, or as if it had never been.
    fn settle(&self, app: &App, answer: Option<Answer>) {
        if let Some(scope) = &self.scope {
            let mut core = app.lock();
            match answer {
                Some(answer) => core.keys.finish(scope, answer),
                None => core.keys.forget(scope),
            }
        }
    }

    fn record(
        &self,
        app: &App,
        wire: &Wire,
        at: Timestamp,
        elapsed: Duration,
        replayed: bool,
        fault: Option<&'static str>,
    ) {
        let status = match wire {
            Wire::Answer(answer) => Some(answer.status),
            Wire::Cut => None,
        };
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let correlation_id = self.correlation_id.as_deref().unwrap_or("-");
        tracing::info!(operation = ?self.operation, ?status, replayed, ?fault, elapsed_ms, correlation_id, "call");
        app.lock().calls.push(CallRecord {
            seq: 0,
            at,
            elapsed_ms,
            operation: self.operation,
            method: self.method,
            path: self.path.clone(),
            idempotency_key: self.scope.as_ref().map(|scope| scope.key.clone()),
            correlation_id: self.correlation_id.clone(),
            status,
            replayed,
            fault,
        });
    }
}

impl Wire {
    /// The answer to replay, if it says something lasting: not 409 or 429, and a 5xx only if so configured.
    fn worth_keeping(self, memory: ServerErrorMemory) -> Option<Answer> {
        match self {
            Self::Answer(answer) if answer.status >= 500 => {
                (memory == ServerErrorMemory::Replay).then_some(answer)
            }
            Self::Answer(answer) if answer.status == 409 || answer.status == 429 => None,
            Self::Answer(answer) => Some(answer),
            Self::Cut => None,
        }
    }
}

fn server_error(status: u16) -> Answer {
    let message = "The internal processing failed.";
    toss::rejection_answer(&Rejection::new(status, "FAILED_INTERNAL_SYSTEM_PROCESSING", message))
}

fn in_progress() -> Answer {
    let message = "A request with this idempotency key is being processed.";
    toss::rejection_answer(&Rejection::new(409, "IDEMPOTENT_REQUEST_PROCESSING", message))
}

fn too_many_requests(retry_after_seconds: Option<u64>) -> Answer {
    let rejection = Rejection::new(429, "TOO_MANY_REQUESTS", "Too many requests; try again later.");
    Answer { retry_after_seconds, ..toss::rejection_answer(&rejection) }
}

fn garbled() -> Answer {
    Answer { status: 200, body: "<html>upstream".to_owned(), retry_after_seconds: None }
}
