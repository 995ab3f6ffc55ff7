//! What follows when a circuit to a payment provider turns: people see it in the provider's status, and the payments
//! that waited for it come back, a few on trial first, and then spread out.
//!
//! Each replica has its own circuits and writes its own entry, when one turns and stays so; a circuit that is tried and
//! opens again has not turned for anybody who looks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::common::Time;
use fooddelivery_api::{Payment, PaymentProvider};
use fooddelivery_runtime::Key;
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::time::sleep_until;
use fooddelivery_saga::circuit::{self, CallBack, Entry, Precedence};
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
    let precedence = |payment: &Payment| {
        let state = payment.state();
        circuit::precedence(state.phase, state.next_attempt_at, now)
    };
    let payments = context.caches.payments.objects(&context.indexes.payments.unsettled_at(provider));
    let waiting = payments.into_iter().filter_map(|(key, payment)| Some((precedence(&payment)?, key)));
    let mut waiting: Vec<(Precedence, Key)> = waiting.collect();
    waiting.sort();
    waiting.into_iter().map(|(_, key)| key).collect()
}

/// Writes this replica's entry, if it says something else than before.
async fn show(context: &Context, provider: &str, transition: &CircuitTransition) -> Result<(), ApiError> {
    let key = Key::new("", provider);
    let own = Entry {
        replica: context.replica.to_string(),
        circuit: transition.to,
        since: transition.at,
        failure_percent: transition.failure_percent,
        slow_percent: transition.slow_percent,
        without_lease: context.settings.shard_lease_ms == 0,
    };
    let mut known = context.caches.providers.object(&key);
    for _ in 0..5 {
        let Some(object) = known else { return Ok(()) };
        let old = object.status.clone().unwrap_or_default();
        let new = old.with_circuit(&own);
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
