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
use fooddelivery_runtime::Key;
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::time::sleep_until;
use fooddelivery_saga::circuit::{self, CallBack, Entry, Precedence, Summary};
use fooddelivery_saga::order::Note;
use fooddelivery_saga::phases::CircuitState;
use fooddelivery_saga::reason::Reason;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::circuit_events::{CircuitEvent, CircuitReceiver, CircuitTransition};
use crate::context::Context;
use crate::names::ControllerName;

/// How long a circuit has to stay half-open before that is written.
const HALF_OPEN_WRITE_DELAY: Duration = Duration::from_secs(2);
/// Pause before a failed write is tried again.
const WRITE_RETRY_AFTER: Duration = Duration::from_secs(2);

/// Hears every turn until `stop` turns true.
pub(crate) async fn run(context: Arc<Context>, mut events: CircuitReceiver, mut stop: watch::Receiver<bool>) {
    // What is to be shown, by provider, and when.
    let mut due: HashMap<String, (Instant, CircuitTransition)> = HashMap::new();
    while !*stop.borrow() {
        let next = due.values().map(|(at, _)| *at).min();
        tokio::select! {
            biased;
            _ = stop.changed() => {}
            event = events.recv() => {
                let Some(CircuitEvent { provider, transition }) = event else { return };
                log(&context, &provider, &transition);
                call_back(&context, &provider, &transition);
                let lag = if transition.to == CircuitState::HalfOpen { HALF_OPEN_WRITE_DELAY } else { Duration::ZERO };
                due.insert(provider, (Instant::now() + lag, transition));
            }
            () = sleep_until(next) => {
                let now = Instant::now();
                let mut ripe: Vec<String> =
                    due.iter().filter(|(_, (at, _))| *at <= now).map(|(name, _)| name.clone()).collect();
                ripe.sort();
                for provider in ripe {
                    let Some((_, transition)) = due.remove(&provider) else { continue };
                    if let Err(error) = show(&context, &provider, &transition).await {
                        warn!(provider, %error, "cannot write the circuit to status; will retry");
                        due.entry(provider).or_insert((now + WRITE_RETRY_AFTER, transition));
                    }
                }
            }
        }
    }
}

fn log(context: &Context, provider: &str, transition: &CircuitTransition) {
    context.metrics.circuit(provider, transition.to);
    let CircuitTransition { to, failure_percent, slow_percent, begun, .. } = transition;
    if *begun {
        return;
    }
    match to {
        CircuitState::Open => {
            warn!(provider, failure_percent, slow_percent, "circuit opened; payments are deferred");
        }
        CircuitState::Closed => info!(provider, "circuit closed; payments continue"),
        CircuitState::HalfOpen | CircuitState::Unknown => info!(provider, "circuit half-open"),
    }
}

/// Has payments that wait for the circuit look again.
fn call_back(context: &Context, provider: &str, transition: &CircuitTransition) {
    if transition.begun {
        return;
    }
    let Some(CallBack { after, payments_max, gap }) = circuit::call_back(transition.to, transition.rate)
    else {
        return;
    };
    let mut at = Instant::now() + after;
    for key in waiting(context, provider).into_iter().take(payments_max) {
        context.queues.push_at(ControllerName::Payment, key, at);
        at += gap;
    }
}

/// Payments that wait for a provider, in the order in which they are called back.
fn waiting(context: &Context, provider: &str) -> Vec<Key> {
    let now = context.clock.now();
    let is_called_back = |payment: &Payment, precedence| {
        let state = payment.state();
        payment.spec.provider_ref.name == provider
            && circuit::precedence(state.phase, state.next_attempt_at, now) == Some(precedence)
    };
    let payments = &context.caches.payments;
    Precedence::ALL
        .into_iter()
        .flat_map(|precedence| payments.keys_where(|payment| is_called_back(payment, precedence)))
        .collect()
}

/// Writes this replica's entry, if it says something else than before.
async fn show(context: &Context, provider: &str, transition: &CircuitTransition) -> Result<(), ApiError> {
    let key = Key::new("", provider);
    let mut known = context.caches.providers.object(&key);
    for _ in 0..5 {
        let Some(object) = known else { return Ok(()) };
        let old = object.status.clone().unwrap_or_default();
        let new = with_entry(&old, &context.replica, transition);
        if new == old {
            return Ok(());
        }
        match context.api.write_cluster_status(&*object, &old, &new).await {
            Ok(written) => {
                context.caches.providers.remember(written);
                record(context, &object, transition).await;
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

async fn record(context: &Context, provider: &PaymentProvider, transition: &CircuitTransition) {
    if transition.to != CircuitState::Open {
        return;
    }
    let message = format!(
        "replica {}: {} % of the calls failed and {} % were slow (since {}); payments are put off until it closes",
        context.replica,
        transition.failure_percent,
        transition.slow_percent,
        Time(transition.at)
    );
    context.record(provider, &Note::warning(Reason::CircuitOpen, message)).await;
}

/// The status after this replica's circuit has turned.
fn with_entry(
    old: &PaymentProviderStatus,
    replica: &str,
    transition: &CircuitTransition,
) -> PaymentProviderStatus {
    let entries: Vec<Entry> = old.replicas.iter().map(entry).collect();
    let own = Entry {
        replica: replica.to_owned(),
        circuit: transition.to,
        since: transition.at,
        failure_percent: transition.failure_percent,
        slow_percent: transition.slow_percent,
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
    use super::*;
    use fooddelivery_saga::circuit::{REPLICAS_MAX, ReturnRate, STALE_AFTER};
    use fooddelivery_saga::time::Timestamp;

    const RATE: ReturnRate = ReturnRate { open_for: Duration::from_secs(10), trials: 3, per_second: 20 };

    fn transition(to: CircuitState, at: i64) -> CircuitTransition {
        CircuitTransition {
            to,
            at: Timestamp(at),
            failure_percent: 60,
            slow_percent: 10,
            rate: RATE,
            begun: false,
        }
    }

    #[test]
    fn a_circuit_that_never_turned_is_not_worth_a_write() {
        let old = PaymentProviderStatus::default();
        assert_eq!(with_entry(&old, "a", &transition(CircuitState::Closed, 1)), old);
    }

    #[test]
    fn a_circuit_that_opens_again_after_a_trial_is_not_written_again() {
        let open = with_entry(&PaymentProviderStatus::default(), "a", &transition(CircuitState::Open, 1));
        assert_eq!(with_entry(&open, "a", &transition(CircuitState::Open, 9)), open);
        assert_eq!((open.circuit, open.since), (CircuitState::Open, Some(Time(Timestamp(1)))));
    }

    #[test]
    fn the_summary_is_that_of_the_most_open_replica() {
        let one = with_entry(&PaymentProviderStatus::default(), "a", &transition(CircuitState::Open, 1));
        let two = with_entry(&one, "b", &transition(CircuitState::HalfOpen, 2));
        assert_eq!((two.circuit, two.since), (CircuitState::Open, Some(Time(Timestamp(1)))));
        let closed = with_entry(&two, "a", &transition(CircuitState::Closed, 3));
        assert_eq!((closed.circuit, closed.since), (CircuitState::HalfOpen, Some(Time(Timestamp(2)))));
        assert_eq!(closed.replicas.len(), 2);
    }

    #[test]
    fn the_entries_are_bounded_and_those_of_replicas_that_are_gone_do_not_stay_open() {
        let mut status = PaymentProviderStatus::default();
        for n in 0..40 {
            status = with_entry(&status, &format!("r{n}"), &transition(CircuitState::Open, n));
        }
        assert_eq!(status.replicas.len(), REPLICAS_MAX);
        let later = transition(CircuitState::Open, STALE_AFTER.0 + 1_000);
        let status = with_entry(&status, "new", &later);
        assert_eq!(status.replicas.len(), 1, "{status:?}");
    }
}
