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
use tracing::{Instrument, Span, info_span, warn};

use crate::jitter::Jitter;
use crate::key::Key;
use crate::metrics::Metrics;
use crate::queue::{Popped, Queue};
use crate::time::sleep_until;
use crate::watchdog::LoopWatchdog;

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

    /// The span of everything that is logged while `key` is reconciled.
    fn span(&self, key: &Key) -> Span {
        info_span!("reconcile", kind = self.name(), object = %key)
    }

    /// Brings what belongs to `key` one step nearer to what it should be. `tries` counts the unresolved runs in a row
    /// before this one.
    fn reconcile(&self, key: Key, tries: u32)
    -> impl Future<Output = Result<Outcome, ReconcileError>> + Send;

    /// `key` is another replica's: what was remembered of it, or shown, is forgotten. Called for every key that is due and
    /// not this replica's, also when there is nothing to forget.
    fn released(&self, _key: &Key) {}
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
    /// Maximum duration of a reconcile; one that takes longer is given up and tried again.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 64,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            timeout: Duration::from_mins(1),
        }
    }
}

/// Whether a key is this replica's to work on. What is not is left to the others.
pub type IsMine = dyn Fn(&Key) -> bool + Send + Sync;

/// What a runner works with.
pub struct Runner {
    /// Keys that are due.
    pub queue: Arc<Queue>,
    /// Which of them are this replica's.
    pub is_mine: Arc<IsMine>,
    /// Bounds.
    pub limits: Limits,
    /// Where reconciles are counted.
    pub metrics: Arc<dyn Metrics>,
    /// Random part of every back-off.
    pub jitter: Arc<Jitter>,
    /// Watches over the runner's loop.
    pub watchdog: LoopWatchdog,
}

#[derive(Default)]
struct RetryState {
    tries: u32,
    logged: String,
}

/// Runs until `stop` turns true, then lets what runs come to its end.
pub async fn run<R: Reconciler>(reconciler: Arc<R>, runner: Runner, mut stop: watch::Receiver<bool>) {
    let mut running = JoinSet::new();
    let mut retries: HashMap<Key, RetryState> = HashMap::new();
    while !*stop.borrow() {
        runner.watchdog.stall_point().await;
        let wait_until =
            runner.watchdog.iteration(|| start_due(&reconciler, &runner, &mut retries, &mut running));
        runner.metrics.queue_length(reconciler.name(), runner.queue.len());
        let full = running.len() >= runner.limits.concurrency;
        tokio::select! {
            biased;
            _ = stop.changed() => {}
            Some(ended) = running.join_next(), if !running.is_empty() => {
                settle(ended.ok(), &*reconciler, &runner, &mut retries);
            }
            () = runner.queue.changed(), if !full => {}
            () = sleep_until(wait_until), if !full => {}
        }
    }
    while let Some(ended) = running.join_next().await {
        settle(ended.ok(), &*reconciler, &runner, &mut retries);
    }
    runner.watchdog.stop();
}

type Ended = (Key, Result<Outcome, ReconcileError>, Duration);

/// Starts what is due, as far as the bound allows. Returns when the next key is due.
fn start_due<R: Reconciler>(
    reconciler: &Arc<R>,
    runner: &Runner,
    retries: &mut HashMap<Key, RetryState>,
    running: &mut JoinSet<Ended>,
) -> Option<Instant> {
    let Runner { queue, is_mine, limits, .. } = runner;
    while running.len() < limits.concurrency {
        match queue.pop(Instant::now()) {
            Popped::Key(key) if !is_mine(&key) => {
                retries.remove(&key);
                reconciler.released(&key);
                queue.done(&key, None, None);
            }
            Popped::Key(key) => {
                let tries = retries.get(&key).map_or(0, |t| t.tries);
                let span = reconciler.span(&key);
                running.spawn(one(reconciler.clone(), key, tries, limits.timeout).instrument(span));
            }
            Popped::NotBefore(at) => return Some(at),
            Popped::Empty => return None,
        }
    }
    None
}

async fn one<R: Reconciler>(reconciler: Arc<R>, key: Key, tries: u32, timeout: Duration) -> Ended {
    let begun = Instant::now();
    let work = AssertUnwindSafe(reconciler.reconcile(key.clone(), tries)).catch_unwind();
    let transient = |message: String| ReconcileError { category: Category::Transient, message };
    let result = match tokio::time::timeout(timeout, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(transient("the reconcile panicked; see the message above".into())),
        Err(_) => Err(transient(format!("the reconcile took longer than {} s", timeout.as_secs()))),
    };
    (key, result, begun.elapsed())
}

fn settle<R: Reconciler>(
    ended: Option<Ended>,
    reconciler: &R,
    runner: &Runner,
    retries: &mut HashMap<Key, RetryState>,
) {
    let Some((key, result, took)) = ended else { return };
    let Runner { queue, limits, metrics, jitter, .. } = runner;
    let (limits, kind) = (*limits, reconciler.name());
    let unresolved = !matches!(result, Ok(Outcome::Done | Outcome::After(_)));
    let earliest = unresolved.then(|| Instant::now() + jitter.jittered(limits.backoff_min));
    let next = match result {
        Ok(Outcome::Done) => {
            retries.remove(&key);
            metrics.reconciled(kind, "done", took);
            None
        }
        Ok(Outcome::After(pause)) => {
            retries.remove(&key);
            metrics.reconciled(kind, "waiting", took);
            Some(pause)
        }
        Ok(Outcome::AskAgain(pause)) => {
            let retry = retries.entry(key.clone()).or_default();
            retry.tries = retry.tries.saturating_add(1);
            metrics.reconciled(kind, "unresolved", took);
            Some(pause.unwrap_or_else(|| backoff(limits, jitter, retry.tries)))
        }
        Err(error) if error.category == Category::Conflict => {
            metrics.reconciled(kind, "conflict", took);
            Some(jitter.jittered(Duration::from_millis(20)))
        }
        Err(error) => {
            let retry = retries.entry(key.clone()).or_default();
            retry.tries = retry.tries.saturating_add(1);
            if error.category != Category::Expected && retry.logged != error.message {
                reconciler
                    .span(&key)
                    .in_scope(|| warn!(error = %error.message, "reconcile failed; will retry"));
                retry.logged.clone_from(&error.message);
            }
            metrics.reconciled(kind, "error", took);
            Some(backoff(limits, jitter, retry.tries))
        }
    };
    let next = next.map(|pause| Instant::now() + pause);
    queue.done(&key, next, earliest);
}

/// Doubles from `backoff_min` to `backoff_max`, with jitter.
fn backoff(limits: Limits, jitter: &Jitter, tries: u32) -> Duration {
    let factor = 2_u32.saturating_pow(tries.saturating_sub(1).min(16));
    jitter.jittered(limits.backoff_min.saturating_mul(factor).min(limits.backoff_max))
}
