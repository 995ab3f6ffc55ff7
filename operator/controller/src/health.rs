//! The HTTP port for machines: metrics, liveness, readiness.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::metrics::Metrics;

/// The event loop is taken for dead when its heart has not beaten for so long.
const HEART_STOPS_AFTER: Duration = Duration::from_secs(15);

/// What the probes ask about.
pub struct Health {
    started: Instant,
    last_beat_ms: AtomicU64,
    waiting_for: AtomicUsize,
    stopping: watch::Receiver<bool>,
    clock: Arc<Clock>,
}

impl Health {
    /// Not ready until `caches` lists are complete.
    pub fn new(caches: usize, clock: Arc<Clock>, stopping: watch::Receiver<bool>) -> Self {
        Self {
            started: Instant::now(),
            last_beat_ms: AtomicU64::new(0),
            waiting_for: AtomicUsize::new(caches),
            stopping,
            clock,
        }
    }

    /// A first list is complete.
    pub fn synced(&self) {
        let _ = self.waiting_for.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    }

    /// Whether all first lists are complete.
    pub fn is_synced(&self) -> bool {
        self.waiting_for.load(Ordering::SeqCst) == 0
    }

    /// Why the process is not ready, as a sentence; `None` when it is.
    fn complaint(&self) -> Option<String> {
        if !self.is_synced() || *self.stopping.borrow() {
            return Some("the caches are not complete, or the process is stopping".into());
        }
        self.clock.complaint()
    }

    /// Beats until the process ends: it shows that the event loop turns. Says once when the machine's clock goes wrong,
    /// and once when it is right again.
    pub async fn beat(&self) {
        let mut skewed = false;
        loop {
            match self.clock.complaint() {
                Some(complaint) if !skewed => warn!("not ready: {complaint}"),
                None if skewed => info!("the machine's clock is right again"),
                _ => {}
            }
            skewed = self.clock.complaint().is_some();
            let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.last_beat_ms.store(ms, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn is_alive(&self) -> bool {
        let last = Duration::from_millis(self.last_beat_ms.load(Ordering::SeqCst));
        self.started.elapsed().saturating_sub(last) < HEART_STOPS_AFTER
    }
}

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Serves `/metrics`, `/livez`, `/healthz` and `/readyz` until `stop` turns true.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve(
    address: SocketAddr,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<impl Future<Output = ()>> {
    let listener = TcpListener::bind(address).await?;
    info!(address = %listener.local_addr()?, "serving metrics and probes");
    let router = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/livez", get(live))
        .route("/healthz", get(live))
        .route("/readyz", get(ready))
        .with_state(Shared { health, metrics });
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

async fn live(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.health.is_alive() {
        (StatusCode::OK, "alive\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the event loop does not turn\n")
    }
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    match shared.health.complaint() {
        None => (StatusCode::OK, "ready\n".into()),
        Some(complaint) => (StatusCode::SERVICE_UNAVAILABLE, format!("{complaint}\n")),
    }
}
