//! Runs one reconciler: bounded concurrency, per-object back-off with jitter, and one log line per new kind of
//! failure rather than one per try.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{Instrument, info_span, warn};

use super::queue::Popped;
use super::{Dice, Key, Pulse, Queue};
use crate::metrics::Metrics;

/// What a reconcile came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing more to do until something changes.
    Done,
    /// Look again after this time.
    After(Duration),
    /// Not resolved yet, and nobody's fault: ask again with back-off, or after the time that was asked for.
    AskAgain(Option<Duration>),
}

/// What kind of failure it is, and so what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// Somebody else wrote first: read again at once.
    Conflict,
    /// It will pass: retry with back-off.
    Transient,
    /// It will pass, and is nothing that anybody should hear of: retry with back-off.
    Expected,
}

/// Why a reconcile did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ReconcileError {
    /// What follows.
    pub category: Category,
    /// For the log.
    pub message: String,
}

/// One controller.
pub trait Reconciler: Send + Sync + 'static {
    /// Its name, as in `--controllers`.
    fn name(&self) -> &'static str;

    /// Whether its keys are those of orders and what belongs to them.
    fn is_of_orders(&self) -> bool {
        true
    }

    /// Whether `key` is this replica's to work on. What is not is left to the others.
    fn is_mine(&self, key: &Key) -> bool;

    /// Brings what belongs to `key` one step nearer to what it should be. `tries` counts the unresolved runs in a row
    /// before this one.
    fn reconcile(&self, key: Key, tries: u32)
    -> impl Future<Output = Result<Outcome, ReconcileError>> + Send;
}

/// Bounds of a runner.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Reconciles at a time.
    pub concurrency: usize,
    /// First pause after a failure; doubles.
    pub backoff_min: Duration,
    /// Longest pause between tries.
    pub backoff_max: Duration,
    /// A reconcile that takes longer is given up and tried again.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 64,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            patience: Duration::from_mins(1),
        }
    }
}

#[derive(Default)]
struct CallFailure {
    tries: u32,
    said: String,
}

/// Runs until `stop` turns true, then lets what runs come to its end.
pub async fn run<R: Reconciler>(
    reconciler: Arc<R>,
    queue: Arc<Queue>,
    limits: Limits,
    metrics: Arc<Metrics>,
    dice: Arc<Dice>,
    pulse: Pulse,
    mut stop: watch::Receiver<bool>,
) {
    let mut running = JoinSet::new();
    let mut troubles: HashMap<Key, CallFailure> = HashMap::new();
    while !*stop.borrow() {
        pulse.jam_point().await;
        let wait_until = pulse.turn(|| start_due(&reconciler, &queue, limits, &mut troubles, &mut running));
        metrics.queue_length(reconciler.name(), queue.len());
        let full = running.len() >= limits.concurrency;
        tokio::select! {
            biased;
            _ = stop.changed() => {}
            Some(ended) = running.join_next(), if !running.is_empty() => {
                settle(ended.ok(), &reconciler, &queue, limits, &metrics, &dice, &mut troubles);
            }
            () = queue.changed(), if !full => {}
            () = sleep_until(wait_until), if !full => {}
        }
    }
    while let Some(ended) = running.join_next().await {
        settle(ended.ok(), &reconciler, &queue, limits, &metrics, &dice, &mut troubles);
    }
    pulse.stop();
}

type Ended = (Key, Result<Outcome, ReconcileError>, Duration);

/// Starts what is due, as far as the bound allows. Returns when the next key is due.
fn start_due<R: Reconciler>(
    reconciler: &Arc<R>,
    queue: &Queue,
    limits: Limits,
    troubles: &mut HashMap<Key, CallFailure>,
    running: &mut JoinSet<Ended>,
) -> Option<Instant> {
    while running.len() < limits.concurrency {
        match queue.pop(Instant::now()) {
            Popped::Key(key) if !reconciler.is_mine(&key) => {
                troubles.remove(&key);
                queue.done(&key, None, None);
            }
            Popped::Key(key) => {
                let tries = troubles.get(&key).map_or(0, |t| t.tries);
                let kind = reconciler.name();
                let span = if reconciler.is_of_orders() {
                    info_span!("reconcile", kind, order = %key, correlation = tracing::field::Empty)
                } else {
                    info_span!("reconcile", kind, object = %key)
                };
                running.spawn(one(reconciler.clone(), key, tries, limits.patience).instrument(span));
            }
            Popped::NotBefore(at) => return Some(at),
            Popped::Empty => return None,
        }
    }
    None
}

async fn one<R: Reconciler>(reconciler: Arc<R>, key: Key, tries: u32, patience: Duration) -> Ended {
    let begun = Instant::now();
    let work = AssertUnwindSafe(reconciler.reconcile(key.clone(), tries)).catch_unwind();
    let transient = |message: String| ReconcileError { category: Category::Transient, message };
    let result = match tokio::time::timeout(patience, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(transient("the reconcile panicked; see the message above".into())),
        Err(_) => Err(transient(format!("the reconcile took longer than {} s", patience.as_secs()))),
    };
    (key, result, begun.elapsed())
}

fn settle<R: Reconciler>(
    ended: Option<Ended>,
    reconciler: &Arc<R>,
    queue: &Queue,
    limits: Limits,
    metrics: &Metrics,
    dice: &Dice,
    troubles: &mut HashMap<Key, CallFailure>,
) {
    let Some((key, result, took)) = ended else { return };
    let kind = reconciler.name();
    let unresolved = !matches!(result, Ok(Outcome::Done | Outcome::After(_)));
    let earliest = unresolved.then(|| Instant::now() + dice.jittered(limits.backoff_min));
    let next = match result {
        Ok(Outcome::Done) => {
            troubles.remove(&key);
            metrics.reconciled(kind, "done", took);
            None
        }
        Ok(Outcome::After(pause)) => {
            troubles.remove(&key);
            metrics.reconciled(kind, "waiting", took);
            Some(pause)
        }
        Ok(Outcome::AskAgain(pause)) => {
            let trouble = troubles.entry(key.clone()).or_default();
            trouble.tries = trouble.tries.saturating_add(1);
            metrics.reconciled(kind, "unresolved", took);
            Some(pause.unwrap_or_else(|| backoff(limits, dice, trouble.tries)))
        }
        Err(error) if error.category == Category::Conflict => {
            metrics.reconciled(kind, "conflict", took);
            Some(dice.jittered(Duration::from_millis(20)))
        }
        Err(error) => {
            let trouble = troubles.entry(key.clone()).or_default();
            trouble.tries = trouble.tries.saturating_add(1);
            if error.category != Category::Expected && trouble.said != error.message {
                if reconciler.is_of_orders() {
                    warn!(kind, order = %key, error = %error.message, "cannot go on; will retry");
                } else {
                    warn!(kind, object = %key, error = %error.message, "cannot go on; will retry");
                }
                trouble.said.clone_from(&error.message);
            }
            metrics.reconciled(kind, "error", took);
            Some(backoff(limits, dice, trouble.tries))
        }
    };
    let next = next.map(|pause| Instant::now() + pause);
    queue.done(&key, next, earliest);
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Doubles from `backoff_min` to `backoff_max`, with jitter.
fn backoff(limits: Limits, dice: &Dice, tries: u32) -> Duration {
    let factor = 2_u32.saturating_pow(tries.saturating_sub(1).min(16));
    dice.jittered(limits.backoff_min.saturating_mul(factor).min(limits.backoff_max))
}
