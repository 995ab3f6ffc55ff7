//! The sandbox provider as a process of its own, with its ledger on disk, and a client for its control endpoints.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context, Result, bail};
use fooddelivery_sandbox::ledger::Entry;
use local_cluster::ProcessSpec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::daemon::{Daemon, free_address, tail, wait_ready};
use crate::http;

/// What the sandbox prints when it listens, before the address.
const LISTENING: &str = "sandbox: listening on http://";

/// How to run the sandbox.
#[derive(Debug, Clone, Default)]
pub struct SandboxOptions {
    /// Where to listen; `None`: a free port on 127.0.0.1.
    pub listen: Option<SocketAddr>,
    /// How long confirm and cancel take, `MIN-MAX` in ms; `None`: no added time.
    pub latency: Option<String>,
    /// Where the control endpoints listen; `None`: a free port on 127.0.0.1.
    pub admin: Option<SocketAddr>,
    /// Further arguments, such as `--strict-checkout` or `--after-server-error=replay`.
    pub args: Vec<String>,
}

/// A call of the payment API, as the sandbox recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Position, from 1.
    pub seq: u64,
    /// How long it took, in ms.
    pub elapsed_ms: u64,
    /// `prepare`, `confirm`, `cancel`, `void` or `lookup`.
    pub operation: String,
    /// URL path.
    pub path: String,
    /// `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// `X-Correlation-Id` header.
    pub correlation_id: Option<String>,
    /// The answer's HTTP status; `None` when the connection was cut instead.
    pub status: Option<u16>,
    /// Whether the answer was that of an earlier call with the same key.
    pub replayed: bool,
    /// The fault that was applied, by name.
    pub fault: Option<String>,
}

/// A sandbox's process. Dropping it kills it; its ledger file stays in the directory. All methods take `&self`.
#[derive(Debug)]
pub struct Sandbox {
    program: PathBuf,
    options: SandboxOptions,
    name: String,
    log: PathBuf,
    ledger_file: PathBuf,
    address: SocketAddr,
    admin: SocketAddr,
    daemon: Daemon,
    http: reqwest::Client,
}

/// A message that the sandbox took, as it recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Position, from 1.
    pub seq: u64,
    /// `AlimTalk` or `Webhook`.
    pub channel: String,
    /// The order's uid and the step.
    pub id: String,
    /// Whether it had been taken before.
    pub repeat: bool,
    /// The order's uid.
    pub order_uid: Option<String>,
    /// The step; not known of an AlimTalk.
    pub step: Option<i64>,
    /// The phase; in Korean words in an AlimTalk.
    pub phase: Option<String>,
    /// The telephone number.
    pub recipient: Option<String>,
    /// What the customer reads.
    pub text: Option<String>,
}

/// Where the messages of a sandbox can be read.
#[derive(Debug, Clone)]
pub struct MessagesSource {
    url: String,
    http: reqwest::Client,
}

impl MessagesSource {
    /// Every message that was taken, oldest first.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub async fn messages(&self) -> Result<Vec<Message>> {
        #[derive(Deserialize)]
        struct Messages {
            messages: Vec<Message>,
        }
        let answer = self.http.get(&self.url).send().await?.error_for_status()?;
        Ok(answer.json::<Messages>().await.context("the sandbox's messages")?.messages)
    }
}

#[derive(Deserialize)]
struct Ledger {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Calls {
    calls: Vec<Call>,
}

impl Sandbox {
    /// Starts it; it listens when this returns. Its files are `<dir>/<name>.log` and `<dir>/<name>.ledger`.
    ///
    /// # Errors
    /// When it ends or does not listen within [`LONG`](crate::LONG), with the end of its log.
    pub async fn start(program: &Path, dir: &Path, name: &str, options: SandboxOptions) -> Result<Self> {
        let chosen = |given: Option<SocketAddr>| given.map_or_else(free_address, Ok);
        let (address, admin) = (chosen(options.listen)?, chosen(options.admin)?);
        let sandbox = Self {
            program: program.to_owned(),
            name: name.to_owned(),
            log: dir.join(format!("{name}.log")),
            ledger_file: dir.join(format!("{name}.ledger")),
            daemon: Daemon::new(name),
            http: http::client()?,
            address,
            admin,
            options,
        };
        sandbox.restart().await?;
        Ok(sandbox)
    }

    /// Starts it anew on the same address and with the same ledger, killing it first if it runs.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn restart(&self) -> Result<()> {
        let mut spec = ProcessSpec::new(&self.name, &self.program)
            .arg(format!("--listen={}", self.address))
            .arg(format!("--admin-listen={}", self.admin))
            .arg("--ledger-file")
            .arg(&self.ledger_file)
            // The end of its log is to say what was wrong, not where in the code.
            .env("RUST_LIB_BACKTRACE", "0")
            .log_file(&self.log);
        if let Some(latency) = &self.options.latency {
            spec = spec.arg(format!("--latency={latency}"));
        }
        let starts = listening_lines(&self.log);
        let process = self.daemon.spawn(&spec.args(&self.options.args))?;
        wait_ready(&process, async || (listening_lines(&self.log) > starts).then_some(())).await
    }

    /// Ends it in an orderly way: SIGTERM, and after 15 s SIGKILL. `None` when it did not run.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(&self) -> Result<Option<ExitStatus>> {
        self.daemon.stop().await
    }

    /// SIGKILL, as in a crash; it has ended when this returns.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill_hard(&self) -> Result<()> {
        self.daemon.kill()
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.daemon.is_running()
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// Its base URL, without a trailing slash: a PaymentProvider's endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The base URL of its control endpoints, without a trailing slash.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Every movement of money so far, in order. An entry's order id is the order's uid, unless the order names
    /// another.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub async fn ledger(&self) -> Result<Vec<Entry>> {
        Ok(self.get::<Ledger>("sandbox/ledger").await?.entries)
    }

    /// The calls of the payment API that have ended, oldest first.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub async fn calls(&self) -> Result<Vec<Call>> {
        Ok(self.get::<Calls>("sandbox/calls").await?.calls)
    }

    /// Every payment, in the words of its API (Toss: `paymentKey`, `orderId`, `status`, …; Stripe: `id`, `status`, …),
    /// with its `dialect`.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub async fn payments(&self) -> Result<Vec<Value>> {
        #[derive(Deserialize)]
        struct Payments {
            payments: Vec<Value>,
        }
        Ok(self.get::<Payments>("sandbox/payments").await?.payments)
    }

    /// Replaces the fault rules: a list of [`fooddelivery_sandbox::faults::Rule`], or the same as JSON, such as
    /// `json!([{"match": {"operation": "confirm"}, "fault": {"type": "DropAfter"}, "times": 1}])`.
    ///
    /// # Errors
    /// When a rule is refused; then the old ones stay.
    pub async fn set_faults(&self, rules: impl Serialize) -> Result<()> {
        self.put("sandbox/faults", &rules).await
    }

    /// Sets how long confirm and cancel take from now on: `none`, or `MIN-MAX` in ms.
    ///
    /// # Errors
    /// When the text is refused.
    pub async fn set_latency(&self, latency: &str) -> Result<()> {
        self.put("sandbox/latency", &json!({ "profile": latency })).await
    }

    /// Has the provider as a whole go wrong from now on: `none`, `refuse` (connections are cut), `hang` (no answer) or
    /// `error` (503).
    ///
    /// # Errors
    /// When the word is refused.
    pub async fn set_outage(&self, mode: &str) -> Result<()> {
        self.put("sandbox/outage", &json!({ "mode": mode })).await
    }

    /// Every message that was taken, oldest first.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub async fn messages(&self) -> Result<Vec<Message>> {
        self.messages_source().messages().await
    }

    /// Where messages can be read, for a task of its own.
    pub fn messages_source(&self) -> MessagesSource {
        MessagesSource { url: format!("{}/sandbox/messages", self.admin_url()), http: self.http.clone() }
    }

    /// Has the receivers of messages go wrong from now on, as [`Self::set_outage`] does the payment provider.
    ///
    /// # Errors
    /// When the word is refused.
    pub async fn set_message_outage(&self, mode: &str) -> Result<()> {
        self.put("sandbox/message-outage", &json!({ "mode": mode })).await
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer =
            self.http.get(format!("{}/{path}", self.admin_url())).send().await?.error_for_status()?;
        answer.json().await.with_context(|| format!("the sandbox's answer for {path}"))
    }

    async fn put(&self, path: &str, body: &impl Serialize) -> Result<()> {
        let answer = self.http.put(format!("{}/{path}", self.admin_url())).json(body).send().await?;
        let status = answer.status();
        if !status.is_success() {
            bail!("the sandbox answered {status} for {path}: {}", answer.text().await.unwrap_or_default());
        }
        Ok(())
    }
}

/// The ledger of a sandbox that was not started here, by the URL of its control endpoints.
///
/// # Errors
/// When it does not answer.
pub async fn ledger_at(admin: &str) -> Result<Vec<Entry>> {
    let url = format!("{}/sandbox/ledger", admin.trim_end_matches('/'));
    let answer = http::client()?.get(&url).send().await;
    let ledger = answer.and_then(reqwest::Response::error_for_status).with_context(|| url.clone())?;
    Ok(ledger.json::<Ledger>().await.context(url)?.entries)
}

fn listening_lines(log: &Path) -> usize {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter(|line| line.starts_with(LISTENING)).count()
}
