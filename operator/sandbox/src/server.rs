//! Starts and stops the sandbox: one listener, the payment API and the control endpoints behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::bank::{Checkout, Payment, Rejection};
use crate::calls::CallRecord;
use crate::config::Config;
use crate::connection::{Cut, CuttableListener};
use crate::faults::{Latency, Rule};
use crate::ledger::{Entry, LedgerError};
use crate::state::App;
use crate::{control, toss};

/// The longest request body, in bytes.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// How long a shutdown waits for requests in execution.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Why the sandbox could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The ledger file cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Starts the sandbox; it serves until the handle is dropped or shut down.
///
/// # Errors
/// When the address is taken or the ledger file cannot be used.
pub async fn serve(config: Config) -> Result<Handle, ServeError> {
    let listen_error = |source| ServeError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    let app = Arc::new(App::open(config)?);
    let stop = CancellationToken::new();
    let router = Router::new()
        .merge(toss::routes())
        .merge(control::routes())
        .fallback(|| async {
            let body = json!({ "code": "NOT_FOUND", "message": "There is no such endpoint." });
            (StatusCode::NOT_FOUND, axum::Json(body))
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::clone(&app))
        .into_make_service_with_connect_info::<Cut>();
    let server = axum::serve(CuttableListener(listener), router)
        .with_graceful_shutdown(stop.clone().cancelled_owned())
        .into_future();
    Ok(Handle { address, app, stop, server: tokio::spawn(server) })
}

/// A running sandbox. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    app: Arc<App>,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

impl Handle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint to configure in a client, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every movement of money so far.
    pub fn ledger(&self) -> Vec<Entry> {
        self.app.lock().ledger.entries().to_vec()
    }

    /// All payments, in order of registration.
    pub fn payments(&self) -> Vec<Payment> {
        self.app.lock().bank.all(Timestamp::now())
    }

    /// The calls that have ended, oldest first, as many as are kept.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.app.lock().calls.all()
    }

    /// Replaces the fault rules.
    ///
    /// # Errors
    /// A sentence when a rule is out of bounds; then the old ones stay.
    pub fn set_faults(&self, rules: Vec<Rule>) -> Result<(), String> {
        self.app.lock().faults.replace(rules)
    }

    /// Sets how long confirm and cancel take from now on.
    pub fn set_latency(&self, latency: Latency) {
        self.app.lock().latency = latency;
    }

    /// Registers what a customer agreed to pay.
    ///
    /// # Errors
    /// As the protocol words them.
    pub fn register_checkout(&self, checkout: &Checkout) -> Result<Payment, Rejection> {
        self.app.lock().bank.register(checkout, Timestamp::now()).cloned()
    }

    /// Forgets payments, ledger, keys, faults and calls.
    ///
    /// # Errors
    /// When the ledger file cannot be truncated.
    pub fn reset(&self) -> Result<(), LedgerError> {
        self.app.lock().reset()
    }

    /// Waits until no request is in execution, with or without a client that still waits for it.
    pub async fn idle(&self) {
        // A closed tracker still takes new tasks; closing only lets `wait` end once there are none.
        self.app.tasks.close();
        self.app.tasks.wait().await;
    }

    /// Stops accepting, and waits a bounded time for the requests in execution.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        let ended = timeout(SHUTDOWN_GRACE, async {
            self.idle().await;
            (&mut self.server).await
        });
        if ended.await.is_err() {
            tracing::warn!("some requests or connections did not end in time");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
        self.server.abort();
    }
}
