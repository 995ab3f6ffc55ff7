//! What follows when a circuit to a payment provider turns: people see it in the provider's status, and the payments
//! that waited for it come back, a few on trial first, and then spread out.
//!
//! Each replica has its own circuits and writes its own entry, when one turns and stays so; a circuit that is tried and
//! opens again has not turned for anybody who looks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::common::Time;
use fooddelivery_api::provider::ReplicaCircuit;
use fooddelivery_api::{Payment, PaymentProvider, PaymentProviderStatus};
use fooddelivery_providers::resilience::{Circuit, Transition};
use fooddelivery_saga::circuit::{self, Entry, Summary};
use fooddelivery_saga::order::Note;
use fooddelivery_saga::phases::{CircuitState, PaymentPhase};
use fooddelivery_saga::reason::Reason;
use fooddelivery_saga::time::{Millis, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::api::ApiError;
use crate::context::Context;
use crate::engine::Key;
use crate::settings::ControllerName;

/// A half-open circuit is worth a write when it stays so.
const HALF_OPEN_LAG: Duration = Duration::from_secs(2);
/// After a failed write it is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// How those who waited for a circuit are to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paces {
    /// How long an open circuit lets nobody through.
    pub open_for: Duration,
    /// So many are let through on trial then.
    pub trials: usize,
    /// So many in a second when it has closed.
    pub per_second: u32,
}

/// A circuit turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turned {
    to: CircuitState,
    at: Timestamp,
    failure_percent: i64,
    slow_percent: i64,
    paces: Paces,
    /// It is a new one, closed from the start.
    begun: bool,
}

/// Whose circuit turned, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    provider: String,
    turned: Turned,
}

impl Turn {
    /// From what the guard of `provider` says.
    pub fn of(provider: &str, transition: &Transition, paces: Paces, at: Timestamp) -> Self {
        let to = match transition.to {
            Circuit::Closed => CircuitState::Closed,
            Circuit::HalfOpen => CircuitState::HalfOpen,
            Circuit::Open { .. } => CircuitState::Open,
        };
        let turned = Turned {
            to,
            at,
            failure_percent: percent(transition.rates.failed),
            slow_percent: percent(transition.rates.slow),
            paces,
            begun: false,
        };
        Self { provider: provider.to_owned(), turned }
    }

    /// A new circuit.
    pub fn begun(provider: &str, paces: Paces, at: Timestamp) -> Self {
        let to = CircuitState::Closed;
        let turned = Turned { to, at, failure_percent: 0, slow_percent: 0, paces, begun: true };
        Self { provider: provider.to_owned(), turned }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a percentage")]
fn percent(rate: f64) -> i64 {
    (rate.clamp(0.0, 1.0) * 100.0).round() as i64
}

/// Where turns are told. Never blocks.
#[derive(Debug, Clone)]
pub struct Told(mpsc::UnboundedSender<Turn>);

impl Told {
    /// Says that a circuit has turned.
    pub fn tell(&self, turn: Turn) {
        // Nobody listens any more only when the process is on its way out.
        let _ = self.0.send(turn);
    }
}

/// Where they are heard.
pub type Turns = mpsc::UnboundedReceiver<Turn>;

/// The two ends.
pub fn channel() -> (Told, Turns) {
    let (told, turns) = mpsc::unbounded_channel();
    (Told(told), turns)
}

/// Hears every turn until `stop` turns true.
pub async fn run(context: Arc<Context>, mut turns: Turns, mut stop: watch::Receiver<bool>) {
    // What is to be shown, by provider, and when.
    let mut due: HashMap<String, (Instant, Turned)> = HashMap::new();
    while !*stop.borrow() {
        let next = due.values().map(|(at, _)| *at).min();
        tokio::select! {
            biased;
            _ = stop.changed() => {}
            turn = turns.recv() => {
                let Some(Turn { provider, turned }) = turn else { return };
                say(&context, &provider, &turned);
                call_back(&context, &provider, &turned);
                let lag = if turned.to == CircuitState::HalfOpen { HALF_OPEN_LAG } else { Duration::ZERO };
                due.insert(provider, (Instant::now() + lag, turned));
            }
            () = sleep_until(next) => {
                let now = Instant::now();
                let mut ripe: Vec<String> =
                    due.iter().filter(|(_, (at, _))| *at <= now).map(|(name, _)| name.clone()).collect();
                ripe.sort();
                for provider in ripe {
                    let Some((_, turned)) = due.remove(&provider) else { continue };
                    if let Err(error) = show(&context, &provider, &turned).await {
                        warn!(provider, %error, "the circuit cannot be shown in status; will retry");
                        due.entry(provider).or_insert((now + RETRY, turned));
                    }
                }
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn say(context: &Context, provider: &str, turned: &Turned) {
    context.metrics.circuit(provider, turned.to);
    let Turned { to, failure_percent, slow_percent, begun, .. } = turned;
    if *begun {
        return;
    }
    match to {
        CircuitState::Open => {
            warn!(provider, failure_percent, slow_percent, "the circuit is open: payments are put off");
        }
        CircuitState::Closed => info!(provider, "the circuit is closed: payments go on"),
        CircuitState::HalfOpen | CircuitState::Unknown => info!(provider, "the circuit is tried"),
    }
}

/// Has payments that wait for the circuit look again: when it may be tried, as many as are let through; when it has
/// closed, all of them, spread out so that the provider is not stormed.
fn call_back(context: &Context, provider: &str, turned: &Turned) {
    let Paces { open_for, trials, per_second } = turned.paces;
    let now = Instant::now();
    if turned.begun {
        return;
    }
    let (from, count, gap) = match turned.to {
        CircuitState::Open => (now + open_for, trials, Duration::ZERO),
        CircuitState::Closed => (now, usize::MAX, Duration::from_secs(1) / per_second.max(1)),
        CircuitState::HalfOpen | CircuitState::Unknown => return,
    };
    let mut at = from;
    for key in waiting(context, provider).into_iter().take(count) {
        context.queues.push_at(ControllerName::Payment, key, at);
        at += gap;
    }
}

/// Payments that wait for a provider: those that are due, and money that is on its way back, which goes first.
fn waiting(context: &Context, provider: &str) -> Vec<Key> {
    let now = context.clock.now();
    let of = |payment: &Payment| payment.spec.provider_ref.name == provider;
    let back = context.payments.keys_where(|payment| {
        let phase = payment.state().phase;
        of(payment) && matches!(phase, PaymentPhase::Refunding | PaymentPhase::Voiding)
    });
    let due = context.payments.keys_where(|payment| {
        let state = payment.state();
        of(payment)
            && state.phase == PaymentPhase::Deferred
            && state.next_attempt_at.is_none_or(|at| at <= now + Millis(1_000))
    });
    back.into_iter().chain(due).collect()
}

/// Writes this replica's entry, if it says something else than before.
async fn show(context: &Context, provider: &str, turned: &Turned) -> Result<(), ApiError> {
    let key = Key::new("", provider);
    let mut known = context.providers.object(&key);
    for _ in 0..5 {
        let Some(object) = known else { return Ok(()) };
        let old = object.status.clone().unwrap_or_default();
        let new = with_entry(&old, &context.replica, turned);
        if new == old {
            return Ok(());
        }
        match context.api.write_cluster_status(&*object, &old, &new).await {
            Ok(written) => {
                context.providers.remember(written);
                tell(context, &object, turned).await;
                return Ok(());
            }
            Err(ApiError::NotFound) => return Ok(()),
            Err(ApiError::Conflict) => {
                known = context.api.read_cluster::<PaymentProvider>(provider).await?.map(Arc::new);
            }
            Err(error) => return Err(error),
        }
    }
    Err(ApiError::Conflict)
}

async fn tell(context: &Context, provider: &PaymentProvider, turned: &Turned) {
    if turned.to != CircuitState::Open {
        return;
    }
    let message = format!(
        "replica {}: {} % of the calls failed and {} % were slow (since {}); payments are put off until it closes",
        context.replica,
        turned.failure_percent,
        turned.slow_percent,
        Time(turned.at)
    );
    context.events.tell(provider, &Note::warning(Reason::CircuitOpen, message)).await;
}

/// The status after this replica's circuit has turned.
fn with_entry(old: &PaymentProviderStatus, replica: &str, turned: &Turned) -> PaymentProviderStatus {
    let entries: Vec<Entry> = old.replicas.iter().map(entry).collect();
    let own = Entry {
        replica: replica.to_owned(),
        circuit: turned.to,
        since: turned.at,
        failure_percent: turned.failure_percent,
        slow_percent: turned.slow_percent,
    };
    let Summary { entries, worst } = circuit::turned(&entries, &own);
    PaymentProviderStatus {
        circuit: worst.as_ref().map_or(CircuitState::Closed, |entry| entry.circuit),
        since: worst.as_ref().map(|entry| Time(entry.since)),
        failure_rate_percent: worst.as_ref().map(|entry| entry.failure_percent),
        slow_call_rate_percent: worst.as_ref().map(|entry| entry.slow_percent),
        replicas: entries.into_iter().map(shown).collect(),
        ..old.clone()
    }
}

fn entry(shown: &ReplicaCircuit) -> Entry {
    Entry {
        replica: shown.name.clone(),
        circuit: shown.circuit,
        since: shown.since.0,
        failure_percent: shown.failure_rate_percent,
        slow_percent: shown.slow_call_rate_percent,
    }
}

fn shown(entry: Entry) -> ReplicaCircuit {
    ReplicaCircuit {
        name: entry.replica,
        circuit: entry.circuit,
        since: Time(entry.since),
        failure_rate_percent: entry.failure_percent,
        slow_call_rate_percent: entry.slow_percent,
    }
}

#[cfg(test)]
mod tests {
    use fooddelivery_saga::circuit::{REPLICAS_MAX, STALE_AFTER};

    use super::*;

    const PACES: Paces = Paces { open_for: Duration::from_secs(10), trials: 3, per_second: 20 };

    fn turned(to: CircuitState, at: i64) -> Turned {
        Turned { to, at: Timestamp(at), failure_percent: 60, slow_percent: 10, paces: PACES, begun: false }
    }

    #[test]
    fn a_circuit_that_never_turned_is_not_worth_a_write() {
        let old = PaymentProviderStatus::default();
        assert_eq!(with_entry(&old, "a", &turned(CircuitState::Closed, 1)), old);
    }

    #[test]
    fn a_circuit_that_opens_again_after_a_trial_is_not_written_again() {
        let open = with_entry(&PaymentProviderStatus::default(), "a", &turned(CircuitState::Open, 1));
        assert_eq!(with_entry(&open, "a", &turned(CircuitState::Open, 9)), open);
        assert_eq!((open.circuit, open.since), (CircuitState::Open, Some(Time(Timestamp(1)))));
    }

    #[test]
    fn the_summary_is_that_of_the_most_open_replica() {
        let one = with_entry(&PaymentProviderStatus::default(), "a", &turned(CircuitState::Open, 1));
        let two = with_entry(&one, "b", &turned(CircuitState::HalfOpen, 2));
        assert_eq!((two.circuit, two.since), (CircuitState::Open, Some(Time(Timestamp(1)))));
        let closed = with_entry(&two, "a", &turned(CircuitState::Closed, 3));
        assert_eq!((closed.circuit, closed.since), (CircuitState::HalfOpen, Some(Time(Timestamp(2)))));
        assert_eq!(closed.replicas.len(), 2);
    }

    #[test]
    fn the_entries_are_bounded_and_those_of_replicas_that_are_gone_do_not_stay_open() {
        let mut status = PaymentProviderStatus::default();
        for n in 0..40 {
            status = with_entry(&status, &format!("r{n}"), &turned(CircuitState::Open, n));
        }
        assert_eq!(status.replicas.len(), REPLICAS_MAX);
        let later = turned(CircuitState::Open, STALE_AFTER.0 + 1_000);
        let status = with_entry(&status, "new", &later);
        assert_eq!(status.replicas.len(), 1, "{status:?}");
    }
}
