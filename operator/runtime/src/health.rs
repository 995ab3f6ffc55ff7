//! The HTTP port for probes and scrapes: metrics, liveness, readiness.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::watchdog::LoopWatchdogs;

/// Maximum age of the last heartbeat; beyond it the event loop is taken for dead.
const HEARTBEAT_AGE_MAX: Duration = Duration::from_secs(15);

/// The state behind the probes.
pub struct Health {
    started: Instant,
    last_beat_ms: AtomicU64,
    waiting_for: AtomicUsize,
    joined: AtomicBool,
    stopping: watch::Receiver<bool>,
    watchdogs: Arc<LoopWatchdogs>,
    clock: Arc<Clock>,
}

impl Health {
    /// Not ready until `caches` lists are complete and this replica knows its part of the work.
    pub fn new(
        caches: usize,
        clock: Arc<Clock>,
        watchdogs: Arc<LoopWatchdogs>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            started: Instant::now(),
            last_beat_ms: AtomicU64::new(0),
            waiting_for: AtomicUsize::new(caches),
            joined: AtomicBool::new(false),
            stopping,
            watchdogs,
            clock,
        }
    }

    /// A first list is complete.
    pub fn synced(&self) {
        let _ = self.waiting_for.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    }

    /// This replica knows which part of the work is its own.
    pub fn joined(&self) {
        self.joined.store(true, Ordering::SeqCst);
    }

    /// Whether all first lists are complete.
    pub fn is_synced(&self) -> bool {
        self.waiting_for.load(Ordering::SeqCst) == 0
    }

    /// Why the process is not ready, as a sentence; `None` when it is.
    fn readiness_failure(&self) -> Option<String> {
        if !self.is_synced() || *self.stopping.borrow() {
            return Some("the caches are not complete, or the process is stopping".into());
        }
        // First, as it may be what the replica waits for.
        if let Some(failure) = self.clock.skew_failure() {
            return Some(failure);
        }
        let knows_its_part = self.joined.load(Ordering::SeqCst);
        (!knows_its_part).then(|| "this replica does not know its part of the work yet".into())
    }

    /// Beats until the process ends, which shows that the event loop makes progress. Logs once when the machine's clock goes
    /// wrong, and once when it is right again.
    pub async fn heartbeat(&self) {
        let mut skewed = false;
        loop {
            match self.clock.skew_failure() {
                Some(failure) if !skewed => warn!("not ready: {failure}"),
                None if skewed => info!("the machine's clock agrees with the API server's again"),
                _ => {}
            }
            skewed = self.clock.skew_failure().is_some();
            let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.last_beat_ms.store(ms, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Why the process cannot go on as it is, as a sentence; `None` when it can.
    fn liveness_failure(&self) -> Option<String> {
        let last = Duration::from_millis(self.last_beat_ms.load(Ordering::SeqCst));
        if self.started.elapsed().saturating_sub(last) >= HEARTBEAT_AGE_MAX {
            return Some("the event loop makes no progress".into());
        }
        self.watchdogs.liveness_failure()
    }
}

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    metrics: Arc<dyn Metrics>,
}

/// Serves `/metrics`, `/livez`, `/healthz` and `/readyz` until `stop` turns true; with `debug`, also `POST /debug/stall`.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve(
    address: SocketAddr,
    health: Arc<Health>,
    metrics: Arc<dyn Metrics>,
    debug: bool,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<impl Future<Output = ()>> {
    let listener = TcpListener::bind(address).await?;
    info!(address = %listener.local_addr()?, "serving metrics and probes");
    let router = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/livez", get(live))
        .route("/healthz", get(live))
        .route("/readyz", get(ready));
    let router = if debug { router.route("/debug/stall", post(stall)) } else { router };
    let router = router.with_state(Shared { health, metrics });
    Ok(async move {
        let stopped = async move {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        let _ = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
    })
}

async fn metrics_text(State(shared): State<Shared>) -> impl IntoResponse {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    shared.metrics.clock_skew(shared.health.clock.skew_ms());
    match shared.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn live(State(shared): State<Shared>) -> (StatusCode, String) {
    match shared.health.liveness_failure() {
        None => (StatusCode::OK, "alive\n".into()),
        Some(failure) => (StatusCode::SERVICE_UNAVAILABLE, format!("{failure}\n")),
    }
}

/// What is to be stalled.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stall {
    /// The loops of watches and controllers stand still with their next iteration.
    Loops,
    /// No thread of the process is left to do anything.
    Threads,
}

#[derive(serde::Deserialize)]
struct StallQuery {
    what: Stall,
}

/// Stalls the process, so that one sees its liveness probe heal it.
async fn stall(State(shared): State<Shared>, Query(StallQuery { what }): Query<StallQuery>) -> &'static str {
    warn!(?what, "stalled on request");
    match what {
        Stall::Loops => shared.health.watchdogs.stall(),
        Stall::Threads => {
            for _ in 0..tokio::runtime::Handle::current().metrics().num_workers() {
                tokio::spawn(async {
                    loop {
                        std::thread::sleep(Duration::from_hours(1));
                    }
                });
            }
        }
    }
    "stalled\n"
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    match shared.health.readiness_failure() {
        None => (StatusCode::OK, "ready\n".into()),
        Some(failure) => (StatusCode::SERVICE_UNAVAILABLE, format!("{failure}\n")),
    }
}
