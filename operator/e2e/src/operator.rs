//! The operator as a process of its own: `fooddelivery-operator run`, as its service account.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use local_cluster::ProcessSpec;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::daemon::{Daemon, free_address, tail, wait_ready};
use crate::http;

/// How often a start is tried when another process takes the port first.
const PORT_ATTEMPTS: usize = 3;
/// Maximum kills in a storm. Where a start takes as long as the life after it, work that is cut off for ever never ends.
const KILLS_MAX: usize = 20;
/// What is said then.
const PORT_TAKEN: &str = "in use";

/// How to run the operator.
#[derive(Debug, Clone, Default)]
pub struct OperatorOptions {
    /// `--namespaces`; empty: all.
    pub namespaces: Vec<String>,
    /// `--controllers`; empty: all.
    pub controllers: Vec<String>,
    /// Further arguments, such as `--deadline-acceptance=2`; they come last.
    pub args: Vec<String>,
    /// Further environment variables, such as `LD_PRELOAD`.
    pub env: Vec<(String, String)>,
}

impl OperatorOptions {
    /// For one namespace.
    pub fn in_namespace(namespace: &str) -> Self {
        Self { namespaces: vec![namespace.to_owned()], ..Self::default() }
    }

    /// For one that works on everything, whoever else is there: what keeps the two apart is compare-and-set alone.
    pub fn for_everything() -> Self {
        Self { args: vec!["--shard-lease-ms=0".to_owned()], ..Self::default() }
    }
}

/// An operator's process. Dropping it kills it. All methods take `&self`.
#[derive(Debug)]
pub struct Operator {
    program: PathBuf,
    kubeconfig: PathBuf,
    log: PathBuf,
    name: String,
    options: Mutex<OperatorOptions>,
    address: Mutex<Option<SocketAddr>>,
    daemon: Daemon,
    http: reqwest::Client,
}

impl Operator {
    /// Starts `program run` with `kubeconfig`; ready (its caches are in sync) when this returns. The log is
    /// `<dir>/<name>.log`.
    ///
    /// # Errors
    /// When it ends or is not ready within [`LONG`](crate::LONG), with the end of its log.
    pub async fn start(
        program: &Path,
        kubeconfig: &Path,
        dir: &Path,
        name: &str,
        options: OperatorOptions,
    ) -> Result<Self> {
        let operator = Self::new(program, kubeconfig, dir, name, options)?;
        operator.restart().await?;
        Ok(operator)
    }

    /// An operator that does not run yet: [`Self::restart`] starts it.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        program: &Path,
        kubeconfig: &Path,
        dir: &Path,
        name: &str,
        options: OperatorOptions,
    ) -> Result<Self> {
        Ok(Self {
            program: program.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            log: dir.join(format!("{name}.log")),
            name: name.to_owned(),
            options: Mutex::new(options),
            address: Mutex::new(None),
            daemon: Daemon::new(name),
            http: http::client()?,
        })
    }

    /// Starts it anew, killing it first if it runs; ready when this returns. The log goes on in the same file.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn restart(&self) -> Result<()> {
        self.start_until("readyz").await
    }

    /// [`Self::restart`] for one that may never be ready: it is alive when this returns.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn restart_unready(&self) -> Result<()> {
        self.start_until("livez").await
    }

    async fn start_until(&self, probe: &str) -> Result<()> {
        for _ in 1..PORT_ATTEMPTS {
            match self.try_start(probe).await {
                Err(error) if format!("{error:#}").contains(PORT_TAKEN) => {}
                other => return other,
            }
        }
        self.try_start(probe).await
    }

    /// [`Self::restart`] with other options.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn restart_with(&self, options: OperatorOptions) -> Result<()> {
        *lock(&self.options) = options;
        self.restart().await
    }

    async fn try_start(&self, probe: &str) -> Result<()> {
        let address = free_address()?;
        *lock(&self.address) = Some(address);
        let process = self.daemon.spawn(&self.spec(address))?;
        let ready = async || self.get(probe).await.ok();
        wait_ready(&process, ready).await?;
        Ok(())
    }

    fn spec(&self, address: SocketAddr) -> ProcessSpec {
        let options = lock(&self.options).clone();
        let mut spec = ProcessSpec::new(&self.name, &self.program)
            .arg("run")
            .arg(format!("--listen={address}"))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("FOODDELIVERY_REPLICA", &self.name)
            // Nobody is to wait half a minute for a count.
            .env("FOODDELIVERY_COUNT_LAG_MS", "300")
            // The end of its log is to say what was wrong, not where in the code.
            .env("RUST_LIB_BACKTRACE", "0")
            .log_file(&self.log);
        if !options.namespaces.is_empty() {
            spec = spec.arg(format!("--namespaces={}", options.namespaces.join(",")));
        }
        if !options.controllers.is_empty() {
            spec = spec.arg(format!("--controllers={}", options.controllers.join(",")));
        }
        for (key, value) in options.env {
            spec = spec.env(key, value);
        }
        spec.args(options.args)
    }

    /// Its name, also as a replica.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The options that it was last started with.
    pub fn options(&self) -> OperatorOptions {
        lock(&self.options).clone()
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

    /// Does `work` while the operator is killed and started again at random moments, twenty times at most;
    /// it runs when this returns. Also says how often it was killed. `seed` decides the pauses.
    ///
    /// # Errors
    /// When the work fails, or a start.
    pub async fn killed_during<T>(
        &self,
        seed: u64,
        work: impl Future<Output = Result<T>>,
    ) -> Result<(T, usize)> {
        let mut rng = StdRng::seed_from_u64(seed);
        let over = AtomicBool::new(false);
        let work = async {
            let done = work.await;
            over.store(true, Ordering::Relaxed);
            done
        };
        let kills = async {
            let mut kills = 0;
            while !over.load(Ordering::Relaxed) && kills < KILLS_MAX {
                tokio::time::sleep(Duration::from_millis(rng.random_range(300..2_500))).await;
                self.kill_hard()?;
                kills += 1;
                self.restart().await?;
            }
            anyhow::Ok(kills)
        };
        let (done, kills) = tokio::join!(work, kills);
        Ok((done?, kills?))
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.daemon.is_running()
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// The body of its `/metrics`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        self.get("metrics").await
    }

    /// The body of a successful GET of `path`, such as `readyz`.
    ///
    /// # Errors
    /// When it does not answer with success.
    pub async fn get(&self, path: &str) -> Result<String> {
        let answer = self.send(path).await?.error_for_status()?;
        answer.text().await.context("the body of an answer of the operator")
    }

    /// The status and the body of any answer to a GET of `path`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn probe(&self, path: &str) -> Result<(u16, String)> {
        let answer = self.send(path).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.context("the body of an answer of the operator")?))
    }

    async fn send(&self, path: &str) -> Result<reqwest::Response> {
        let Some(address) = *lock(&self.address) else { bail!("{} was never started", self.name) };
        Ok(self.http.get(format!("http://{address}/{path}")).send().await?)
    }

    /// The file that its output goes to, over all its lives.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
