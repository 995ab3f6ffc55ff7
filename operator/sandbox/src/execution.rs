//! What happens to an authenticated call: admission by idempotency key, fault, latency, the bank, the answer.
//!
//! The same for all dialects; what they say is in their [`Protocol`]. A call is executed in a task of its own, so
//! that it runs to its end when the client hangs up. The bank is asked in one locked section; whatever waits, waits
//! outside the lock.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::calls::CallRecord;
use crate::config::ServerErrorMemory;
use crate::faults::{Fault, Operation, Subject};
use crate::idempotency::{Admission, Answer, Presented};
use crate::protocol::{Desk, Protocol, ProtocolError};
use crate::state::{App, Core};

/// A call that has been authenticated.
#[derive(Debug)]
pub(crate) struct Call<P> {
    pub(crate) operation: Operation,
    pub(crate) request: P,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    /// Its idempotency key.
    pub(crate) presented: Option<Presented>,
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
pub(crate) async fn execute<P: Protocol>(app: &Arc<App>, call: Call<P>) -> Wire {
    let task = app.tasks.spawn(run(Arc::clone(app), call));
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a call did not end");
        Wire::Answer(P::error_response(ProtocolError::ServerError(500)))
    })
}

async fn run<P: Protocol>(app: Arc<App>, call: Call<P>) -> Wire {
    let (at, started) = (Timestamp::now(), Instant::now());
    let (admission, fault) = {
        let mut core = app.lock();
        let admission = call.admit(&mut core);
        // A call that is turned away for the first one's sake must not use up the fault of another.
        let turned_away = matches!(admission, Admission::InProgress | Admission::Mismatch);
        let fault = if turned_away { None } else { core.take_fault(&call) };
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
    fn take_fault<P: Protocol>(&mut self, call: &Call<P>) -> Option<Fault> {
        let names = call.request.names(&mut self.bank, Timestamp::now());
        self.faults.take(&Subject {
            operation: call.operation,
            payment_key: names.payment_key.as_deref(),
            payment_method: names.payment_method.as_deref(),
            order_id: names.order_id.as_deref(),
        })
    }
}

impl<P: Protocol> Call<P> {
    fn admit(&self, core: &mut Core) -> Admission {
        match &self.presented {
            Some(presented) => core.keys.of(P::DIALECT).begin(presented, Timestamp::now()),
            None => Admission::Execute,
        }
    }

    /// The answer, and whether it is an earlier one.
    async fn answer(&self, app: &App, admission: Admission, fault: Option<Fault>) -> (Wire, bool) {
        match admission {
            Admission::InProgress => (error_response::<P>(ProtocolError::InProgress), false),
            Admission::Mismatch => (error_response::<P>(ProtocolError::KeyMismatch), false),
            Admission::Replay(answer) => (self.replay(answer, fault).await, true),
            Admission::Execute => (self.execute(app, fault).await, false),
        }
    }

    /// An earlier answer can be delayed, lost or replaced on its way like any other.
    async fn replay(&self, answer: Answer, fault: Option<Fault>) -> Wire {
        let answer = Wire::Answer(Answer { replayed: true, ..answer });
        match fault {
            Some(Fault::ErrorBefore { status } | Fault::ErrorAfter { status }) => {
                error_response::<P>(ProtocolError::ServerError(status))
            }
            Some(Fault::DropBefore | Fault::DropAfter) => Wire::Cut,
            Some(Fault::InProgress409) => error_response::<P>(ProtocolError::InProgress),
            Some(Fault::TooManyRequests { retry_after_seconds }) => {
                error_response::<P>(ProtocolError::TooMany { retry_after_seconds })
            }
            Some(Fault::GarbledAnswer) => Wire::Answer(garbled()),
            Some(Fault::DelayBefore { ms } | Fault::DelayAfter { ms }) => {
                sleep(Duration::from_millis(ms)).await;
                answer
            }
            Some(Fault::Decline { .. } | Fault::DuplicateDelivery) | None => answer,
        }
    }

    async fn execute(&self, app: &App, fault: Option<Fault>) -> Wire {
        let memory = P::memory(&app.config);
        let nothing_done = match &fault {
            Some(Fault::ErrorBefore { status }) => {
                Some(error_response::<P>(ProtocolError::ServerError(*status)))
            }
            Some(Fault::DropBefore) => Some(Wire::Cut),
            Some(Fault::InProgress409) => Some(error_response::<P>(ProtocolError::InProgress)),
            Some(Fault::TooManyRequests { retry_after_seconds }) => {
                Some(error_response::<P>(ProtocolError::TooMany {
                    retry_after_seconds: *retry_after_seconds,
                }))
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
                let error = error_response::<P>(ProtocolError::ServerError(status));
                let kept = match memory {
                    ServerErrorMemory::Result => Wire::Answer(truth).worth_keeping(memory),
                    ServerErrorMemory::Forget => None,
                    ServerErrorMemory::Replay => error.clone().worth_keeping(memory),
                };
                (error, kept)
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

    fn perform(&self, core: &mut Core, fault: Option<&Fault>) -> Answer {
        let decline = match fault {
            Some(Fault::Decline { code }) => Some(code.as_deref().unwrap_or(P::DECLINE_CODE)),
            _ => None,
        };
        let Core { bank, ledger, .. } = core;
        let idempotency_key = self.presented.as_ref().map(|presented| presented.key.as_str());
        self.request.perform(Desk { bank, ledger, idempotency_key, decline, now: Timestamp::now() })
    }

    /// Ends the idempotency key's run: with an answer to replay, or as if it had never been.
    fn settle(&self, app: &App, answer: Option<Answer>) {
        if let Some(presented) = &self.presented {
            let mut core = app.lock();
            let keys = core.keys.of(P::DIALECT);
            match answer.filter(|_| self.request.can_be_kept()) {
                Some(answer) => keys.finish(presented, answer),
                None => keys.forget(presented),
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
        tracing::info!(dialect = ?P::DIALECT, operation = ?self.operation, ?status, replayed, ?fault, elapsed_ms, correlation_id, "call");
        app.lock().calls.push(CallRecord {
            seq: 0,
            at,
            elapsed_ms,
            dialect: P::DIALECT,
            operation: self.operation,
            method: self.method,
            path: self.path.clone(),
            idempotency_key: self.presented.as_ref().map(|presented| presented.key.clone()),
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

fn error_response<P: Protocol>(error: ProtocolError) -> Wire {
    Wire::Answer(P::error_response(error))
}

/// What makes no sense to anybody.
pub(crate) fn garbled() -> Answer {
    Answer::new(200, "<html>upstream".to_owned())
}
