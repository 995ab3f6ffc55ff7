//! Starts and stops the sandbox: one listener for the payment API in all dialects and for what receives messages, and
//! one for the control endpoints, which an outage does not touch.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::get;
use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::bank::stripe::Intent;
use crate::bank::{Checkout, Payment, Rejection};
use crate::calls::CallRecord;
use crate::config::Config;
use crate::connection::{Cut, CuttableListener};
use crate::faults::{Latency, Rule};
use crate::ledger::{Entry, LedgerError};
use crate::messages::{self, MessageRecord};
use crate::outage::Outage;
use crate::state::App;
use crate::{control, recovery, stripe, toss};

/// The longest request body, in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;
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
/// When an address is taken or the ledger file cannot be used.
pub async fn serve(config: Config) -> Result<Handle, ServeError> {
    let (admin_listener, admin_address) = bind(config.admin_listen).await?;
    let (listener, address) = bind(config.listen).await?;
    let app = Arc::new(recovery::open(config)?);
    let stop = CancellationToken::new();

    let payments = routes(toss::routes().merge(stripe::routes()).merge(messages::routes()), &app);
    let payments = payments.into_make_service_with_connect_info::<Cut>();
    let payments = axum::serve(CuttableListener { listener, app: Arc::clone(&app) }, payments)
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let admin = axum::serve(admin_listener, routes(control::routes(), &app))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let servers = async { tokio::try_join!(payments.into_future(), admin.into_future()).map(|_| ()) };
    Ok(Handle { address, admin_address, app, stop, servers: tokio::spawn(servers) })
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let listen_error = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let bound = listener.local_addr().map_err(listen_error)?;
    Ok((listener, bound))
}

/// What both listeners have in common.
fn routes(own: Router<Arc<App>>, app: &Arc<App>) -> Router {
    own.route("/healthz", get(|| async { "ok\n" }))
        .fallback(|| async {
            let body = json!({ "code": "NOT_FOUND", "message": "There is no such endpoint." });
            (StatusCode::NOT_FOUND, axum::Json(body))
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::clone(app))
}

/// A running sandbox. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    admin_address: SocketAddr,
    app: Arc<App>,
    stop: CancellationToken,
    servers: JoinHandle<std::io::Result<()>>,
}

impl Handle {
    /// Where the payment API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint to configure in a client, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the control endpoints listen.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The base of the control endpoints, without a trailing slash.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin_address)
    }

    /// Every movement of money so far.
    pub fn ledger(&self) -> Vec<Entry> {
        self.app.lock().ledger.entries().to_vec()
    }

    /// All Toss payments, in order of registration.
    pub fn payments(&self) -> Vec<Payment> {
        self.app.lock().bank.toss.all(Timestamp::now())
    }

    /// All Stripe payment intents, in order of creation.
    pub fn payment_intents(&self) -> Vec<Intent> {
        self.app.lock().bank.stripe.all()
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

    /// Sets how long every POST of the payment API takes from now on.
    pub fn set_latency(&self, latency: Latency) {
        self.app.lock().latency = latency;
    }

    /// How the provider is out as a whole.
    pub fn outage(&self) -> Outage {
        self.app.outage.get()
    }

    /// Begins, changes or ends an outage of the provider as a whole.
    pub fn set_outage(&self, outage: Outage) {
        self.app.outage.set(outage);
    }

    /// The messages that were accepted, oldest first, as many as are kept.
    pub fn messages(&self) -> Vec<MessageRecord> {
        self.app.lock().messages.all(Timestamp::now())
    }

    /// How what receives messages is out.
    pub fn message_outage(&self) -> Outage {
        self.app.message_outage.get()
    }

    /// Begins, changes or ends an outage of what receives messages; payments go on.
    pub fn set_message_outage(&self, outage: Outage) {
        self.app.set_message_outage(outage);
    }

    /// How many calls about messages met the outage of messages that is, or the last one.
    pub fn messages_refused(&self) -> u64 {
        self.app.lock().messages.refused
    }

    /// Registers what a Toss customer agreed to pay.
    ///
    /// # Errors
    /// As the protocol words them.
    pub fn register_checkout(&self, checkout: &Checkout) -> Result<Payment, Rejection> {
        self.app.lock().bank.toss.register(checkout, Timestamp::now()).cloned()
    }

    /// Forgets payments, ledger, keys, faults, calls and messages, and ends outages.
    ///
    /// # Errors
    /// When the ledger file cannot be truncated.
    pub fn reset(&self) -> Result<(), LedgerError> {
        self.app.reset()
    }

    /// Waits until no request is in execution, with or without a client that still waits for it.
    pub async fn idle(&self) {
        // A closed tracker still takes new tasks; closing only lets `wait` end once there are none.
        self.app.tasks.close();
        self.app.tasks.wait().await;
    }

    /// Stops accepting, and waits a bounded time for the requests in execution.
    pub async fn shutdown(mut self) {
        self.stop_accepting();
        let ended = timeout(SHUTDOWN_GRACE, async {
            self.idle().await;
            (&mut self.servers).await
        });
        if ended.await.is_err() {
            tracing::warn!("some requests or connections did not end in time");
        }
    }

    fn stop_accepting(&self) {
        self.stop.cancel();
        // What hangs in an outage would hang for ever.
        self.app.outage.set(Outage::Refuse);
        self.app.message_outage.set(Outage::Refuse);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop_accepting();
        self.servers.abort();
    }
}
