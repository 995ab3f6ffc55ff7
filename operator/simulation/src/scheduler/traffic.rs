//! What is on its way arrives, or does not: requests, calls, events.

use bytes::Bytes;
use fooddelivery_api::policies::operator_user;
use serde_json::json;
use tokio::sync::oneshot;

use super::Scheduler;
use super::replicas::name;
use crate::apiserver::{Pulled, Request, Response, Verb};
use crate::oracle::ends::MESSAGES_IN_ORDER;
use crate::provider::ProviderFault;
use crate::world::{Pending, Stream, What};

/// Outcome of a request to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestOutcome {
    Arrives,
    /// It is carried out, and the connection breaks.
    AnswerLost,
    /// It is carried out, and the answer takes its time (of what changes something: the oracle takes it that what was
    /// read is known at once).
    AnswerLate,
    /// The connection breaks before.
    Lost,
    /// It is refused with this status.
    Refused(u16),
}

pub(super) const REQUEST_OUTCOMES: [RequestOutcome; 6] = [
    RequestOutcome::Arrives,
    RequestOutcome::AnswerLost,
    RequestOutcome::Lost,
    RequestOutcome::Refused(500),
    RequestOutcome::Refused(429),
    RequestOutcome::AnswerLate,
];

impl Scheduler {
    /// Something on its way comes to its end: a request by `outcome`, a call by `fault`.
    pub(super) fn carry_out(&mut self, number: u64, outcome: RequestOutcome, fault: ProviderFault) {
        let Some(pending) = self.shared.lock().pending.remove(&number) else { return };
        let (replica, sent) = (pending.replica, pending.sent);
        let is_effect = pending.is_effect();
        self.shared.lock().oracle.sent = sent;
        let outcome = if outcome == RequestOutcome::AnswerLate && !is_effect {
            RequestOutcome::Arrives
        } else {
            outcome
        };
        let done = match pending.what {
            What::Api { request, reply } => {
                let response = self.request(replica, &request, outcome);
                let hears = self.hears(replica, is_effect && response.is_some());
                if hears {
                    self.answer(
                        number,
                        Pending { replica, sent, what: What::Answer { answer: response, reply } },
                        outcome,
                    );
                }
                return;
            }
            What::Answer { answer, reply } => {
                self.shared.lock().say(name(replica), || "… its answer arrives".into());
                let _ = reply.send(answer.filter(|_| outcome == RequestOutcome::Arrives));
                return;
            }
            What::Message { message, reply } => {
                let pending = Pending { replica, sent, what: What::Message { message, reply } };
                self.message(number, pending, fault);
                return;
            }
            What::Call { call, reply } => (call, reply),
        };
        let (call, reply) = done;
        let told = {
            let mut world = self.shared.lock();
            let now = world.now();
            let told = world.providers.carry_out(&call, fault, now);
            world.say(name(replica), || format!("{} [{fault:?}] → {told:?}", call.words()));
            world.look();
            told
        };
        if fault == ProviderFault::Stalled {
            // It is on its way still, and nobody waits for it.
            let (closed, _) = oneshot::channel();
            let what = What::Call { call, reply: closed };
            self.shared.lock().pending.insert(number, Pending { replica, sent, what });
        }
        self.calls += 1;
        if self.hears(replica, is_effect) {
            let _ = reply.send(told);
        }
    }

    /// A message is heard, or is not.
    fn message(&mut self, number: u64, pending: Pending, fault: ProviderFault) {
        let Pending { replica, sent, what } = pending;
        let What::Message { message, reply } = what else { return };
        let outcome = {
            let mut world = self.shared.lock();
            let outcome = world.inbox.carry_out(&message, fault);
            world.say(name(replica), || {
                format!(
                    "tells step {} ({}) of {} [{fault:?}]",
                    message.step, message.phase, message.order_name
                )
            });
            if let Some(sentence) = world.inbox.out_of_order().map(str::to_owned) {
                world.oracle.fail(MESSAGES_IN_ORDER, sentence);
            }
            outcome
        };
        if fault == ProviderFault::Stalled {
            // It is on its way still, and nobody waits for it.
            let (closed, _) = oneshot::channel();
            let what = What::Message { message, reply: closed };
            self.shared.lock().pending.insert(number, Pending { replica, sent, what });
        }
        if self.hears(replica, true) {
            let _ = reply.send(outcome);
        }
    }

    /// The answer to a request goes back, now or later, or is lost.
    fn answer(&mut self, number: u64, pending: Pending, outcome: RequestOutcome) {
        if outcome == RequestOutcome::AnswerLate {
            self.shared.lock().pending.insert(number, pending);
        } else if let What::Answer { answer, reply } = pending.what {
            // Nobody listens any more when the replica has crashed, or has given up.
            let _ = reply.send(answer.filter(|_| outcome != RequestOutcome::AnswerLost));
        }
    }

    fn request(&mut self, replica: usize, request: &Request, outcome: RequestOutcome) -> Option<Response> {
        let mut world = self.shared.lock();
        match outcome {
            RequestOutcome::Lost => {
                world.say(name(replica), || {
                    format!("{:?} {} is lost on its way", request.verb, request.plural)
                });
                None
            }
            RequestOutcome::Refused(code) => {
                let code = if code == 500 && is_of_actors(request) { 422 } else { code };
                world.say(name(replica), || format!("{:?} {} → {code}", request.verb, request.plural));
                Some(refusal(code))
            }
            RequestOutcome::Arrives | RequestOutcome::AnswerLost | RequestOutcome::AnswerLate => {
                let before = world.server.version();
                let response = world.request(name(replica), &operator_user(), request);
                world.oracle.answered(request, &response);
                self.writes += u64::from(world.server.version() != before);
                match outcome {
                    RequestOutcome::AnswerLost => {
                        world.say(name(replica), || "… and the answer is lost".into());
                    }
                    RequestOutcome::AnswerLate => {
                        world.say(name(replica), || "… and the answer takes its time".into());
                    }
                    _ => {}
                }
                Some(response)
            }
        }
    }

    /// Counts the operator's writes and calls for the crash after the n-th. False when the replica crashes before it
    /// hears of this one.
    fn hears(&mut self, replica: usize, is_effect: bool) -> bool {
        self.effects += u64::from(is_effect);
        if !is_effect || self.plan.crash_after != Some(self.effects) {
            return true;
        }
        self.crash_is_due = Some(replica);
        self.plan.crash_hears
    }

    /// Something that nobody waits for is lost.
    pub(super) fn lose(&mut self, number: u64) {
        let mut world = self.shared.lock();
        if let Some(pending) = world.pending.remove(&number) {
            world.say(name(pending.replica), || "something that was on its way is lost".into());
        }
    }

    /// Delivers what a watch has to bring: `most` events at most. Says whether there were any.
    pub(super) fn deliver(&mut self, stream: u64, most: usize, coalesce: bool) -> bool {
        let mut world = self.shared.lock();
        let world = &mut *world;
        let Some(stream) = world.streams.get_mut(&stream) else { return false };
        let version = world.server.version();
        if stream.delivered == Some(version) {
            return false;
        }
        match world.server.pull(&mut stream.cursor, most, coalesce) {
            Pulled::Nothing => {
                stream.delivered = Some(version);
                false
            }
            Pulled::Lines(lines) => {
                let _ = stream.lines.send(Bytes::from(lines.concat()));
                true
            }
            Pulled::Expired(line) => {
                let _ = stream.lines.send(line);
                let (closed, _) = tokio::sync::mpsc::unbounded_channel();
                stream.lines = closed;
                true
            }
        }
    }

    /// Delivers everything that watches may bring. Says whether there was anything.
    pub(super) fn deliver_all(&mut self) -> bool {
        let open: Vec<u64> = {
            let world = self.shared.lock();
            let is_frozen =
                |s: &Stream| self.replicas.get(s.replica).is_some_and(|r| r.frozen.stops(&s.plural));
            world.streams.iter().filter(|(_, s)| !is_frozen(s)).map(|(n, _)| *n).collect()
        };
        let coalesce = self.plan.coalesces;
        let mut any = false;
        for stream in open {
            any |= self.deliver(stream, usize::MAX, coalesce);
        }
        any
    }
}

/// Whether the request is for what actors change, too. A policy of somebody else's may be about those, with parameters
/// of a kind that the server has not found yet: it then refuses all that the policy is about, as unprocessable.
fn is_of_actors(request: &Request) -> bool {
    request.verb == Verb::Patch
        && request.subresource.is_none()
        && matches!(request.plural.as_str(), "orders" | "tickets" | "deliveries")
}

fn refusal(code: u16) -> Response {
    let (reason, message) = match code {
        422 => ("Invalid", "failed to configure policy: failed to find resource referenced by paramKind"),
        429 => ("TooManyRequests", "the simulation does not want to"),
        _ => ("InternalError", "the simulation does not want to"),
    };
    let body = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason,
        "message": message,
    });
    Response { code, body: Bytes::from(body.to_string()) }
}
