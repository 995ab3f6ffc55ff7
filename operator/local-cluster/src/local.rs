//! Starts, restarts and stops one control plane on this machine.
//!
//! The work is done in blocking code; the async functions run it on tokio's blocking threads. If
//! one of their futures is dropped, the work goes on to its end in the background, and a cluster
//! that nobody holds any more is killed then.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::addresses::Addresses;
use crate::binaries::{Binaries, BinariesError, BinarySource};
use crate::dir::{ClusterDir, DirError};
use crate::flags::{self, CONTROLLER_MANAGER_KUBECONFIG, Endpoints};
use crate::kubeconfig::kubeconfig;
use crate::network::{Network, NetworkError};
use crate::options::{ControllerManager, Options, Shutdown};
use crate::pki::{Pki, PkiError};
use crate::ports::free_port;
use crate::probe::{Probe, ProbeError};
use crate::process::{ManagedProcess, ProcessError, ProcessSpec, spawn_with_parent};
use crate::progress::minutes;

/// How long the API server, and after it the controller manager, may take to become ready.
const READY_DEADLINE: Duration = Duration::from_mins(1);
/// How often readiness is asked for.
const READY_POLL: Duration = Duration::from_millis(50);
/// How long a program may take to end before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// The same where its end itself is wanted.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
/// How many pairs of ports are tried when others take them first.
const PORT_ATTEMPTS: usize = 5;
/// How many of a log's last lines an error quotes.
const QUOTED_LINES: usize = 15;
/// What Go programs say when a port is taken.
const PORT_TAKEN: &str = "address already in use";
/// The controller manager makes it, so it being there shows that the controllers run.
const DEFAULT_SERVICE_ACCOUNT: &str = "/api/v1/namespaces/default/serviceaccounts/default";

/// Why a cluster could not be started, restarted or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The programs are missing.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// The directory cannot be used.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The certificates could not be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The readiness probe could not be set up.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// A program could not be started or ended.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The network for nodes could not be made.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// No port was free.
    #[error("no TCP port is free on this machine: {0}")]
    NoPort(io::Error),
    /// A program ended by itself.
    #[error("{name} has ended ({status}); the last lines of its log:\n{log}")]
    Ended {
        /// The program.
        name: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// A program did not become ready in time.
    #[error(
        "{name} was not ready after {}: {answer}; the last lines of its log:\n{log}",
        minutes(READY_DEADLINE)
    )]
    NotReady {
        /// The program.
        name: String,
        /// What was answered last.
        answer: String,
        /// The end of its log.
        log: String,
    },
    /// The cluster is stopped, or an earlier restart failed.
    #[error("the cluster is not running")]
    NotRunning,
    /// The runtime shut down before the work on a blocking thread was done.
    #[error("interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// A control plane that runs on this machine: etcd, kube-apiserver and, where there is one,
/// kube-controller-manager. Dropping it kills them and removes its directory.
#[derive(Debug)]
pub struct LocalCluster {
    pub(crate) inner: Arc<Inner>,
}

impl LocalCluster {
    /// Starts a cluster; it is ready for use when this returns. Builds the programs first where that
    /// is needed, which takes minutes.
    ///
    /// # Errors
    /// When a program is missing or does not become ready within 60 s; nothing is left behind then.
    pub async fn start(options: Options) -> Result<Self, ClusterError> {
        tokio::task::spawn_blocking(move || Self::start_blocking(&options)).await?
    }

    /// [`Self::start`] for blocking code.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_blocking(options: &Options) -> Result<Self, ClusterError> {
        let source = BinarySource::from_env()?
            .with_controller_manager(options.controller_manager != ControllerManager::Absent);
        Self::start_with(source.find_or_build(&options.progress)?, options)
    }

    /// [`Self::start_blocking`] with programs that were found before.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(mut binaries: Binaries, options: &Options) -> Result<Self, ClusterError> {
        let started = Instant::now();
        if options.controller_manager == ControllerManager::Absent {
            binaries.kube_controller_manager = None;
        }
        let dir = ClusterDir::create(options.dir.as_deref(), options.keep_dir)?;
        let network = options.nodes.then(|| Network::create(&dir)).transpose()?;
        let addresses = network.as_ref().map_or_else(Addresses::loopback, Network::addresses);
        let pki = Pki::generate(addresses)?;
        dir.write_pki(&pki)?;
        let (endpoints, mut processes, probe) = start_servers(&binaries, &dir, &pki, addresses, options)?;
        let server_url = format!("https://{}", endpoints.apiserver());
        let admin = kubeconfig(&server_url, &pki.ca_pem, "kubernetes-admin", &pki.admin);
        dir.write_private("kubeconfig", &admin)?;
        let user = "system:kube-controller-manager";
        let manager = kubeconfig(&server_url, &pki.ca_pem, user, &pki.controller_manager);
        dir.write_private(CONTROLLER_MANAGER_KUBECONFIG, &manager)?;
        let manager_spec = flags::controller_manager(&binaries, &dir, &options.controller_manager_flags);
        match (&manager_spec, options.controller_manager) {
            (Some(spec), ControllerManager::AtOnce) => {
                let manager = processes.controller_manager.insert(spawn_with_parent(spec)?);
                wait_ready(&probe, DEFAULT_SERVICE_ACCOUNT, &[manager])?;
            }
            (Some(_), _) | (None, ControllerManager::Absent) => {}
            (None, _) => options.progress.say(
                "there is no kube-controller-manager in KUBEBUILDER_ASSETS: without it nothing is \
                 garbage-collected and no deleted namespace vanishes",
            ),
        }
        options.progress.say(&format!("ready after {:.1} s: {server_url}", started.elapsed().as_secs_f32()));
        let apiserver_spec = flags::apiserver(&binaries, &dir, endpoints, &options.apiserver_flags);
        Ok(Self {
            inner: Arc::new(Inner {
                processes: Mutex::new(processes),
                apiserver_spec,
                manager_spec,
                probe,
                etcd_url: endpoints.etcd_url(),
                server_url,
                pki,
                binaries,
                network,
                dir,
            }),
        })
    }

    /// Ends the API server until [`Self::restart_apiserver`]: it then was away for as long as its user
    /// wants. A restart alone can take less than a second.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn stop_apiserver(&self, shutdown: Shutdown) -> Result<(), ClusterError> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.processes().stop_apiserver(shutdown)).await?
    }

    /// Ends the API server, if it runs, and starts it anew on the same port, with the same data; ready
    /// when this returns.
    ///
    /// # Errors
    /// When it does not become ready within 60 s; it can be restarted again then.
    pub async fn restart_apiserver(&self, shutdown: Shutdown) -> Result<(), ClusterError> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.restart_apiserver(shutdown)).await?
    }

    /// [`Self::restart_apiserver`] for blocking code.
    ///
    /// # Errors
    /// As [`Self::restart_apiserver`].
    pub fn restart_apiserver_blocking(&self, shutdown: Shutdown) -> Result<(), ClusterError> {
        self.inner.restart_apiserver(shutdown)
    }

    /// Starts the controller manager anew, if there is one. It looks for new kinds only every 30 s, so
    /// without this it takes up to a minute until owners and dependents of a CRD that was just
    /// installed are garbage-collected; with it, within a few seconds.
    ///
    /// # Errors
    /// When it cannot be ended or started.
    pub async fn restart_controller_manager(&self) -> Result<(), ClusterError> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.restart_controller_manager()).await?
    }

    /// [`Self::restart_controller_manager`] for blocking code.
    ///
    /// # Errors
    /// As [`Self::restart_controller_manager`].
    pub fn restart_controller_manager_blocking(&self) -> Result<(), ClusterError> {
        self.inner.restart_controller_manager()
    }

    /// Ends all programs, each with SIGTERM and after 5 s with SIGKILL, and removes the directory.
    ///
    /// # Errors
    /// When a program cannot be ended or the directory cannot be removed.
    pub async fn stop(self) -> Result<(), ClusterError> {
        tokio::task::spawn_blocking(move || self.inner.stop()).await?
    }

    /// [`Self::stop`] for blocking code.
    ///
    /// # Errors
    /// As [`Self::stop`].
    pub fn stop_blocking(self) -> Result<(), ClusterError> {
        self.inner.stop()
    }

    /// Whether all programs still run.
    ///
    /// # Errors
    /// [`ClusterError::Ended`] with the log of one that does not.
    pub fn check_running(&self) -> Result<(), ClusterError> {
        self.inner.processes().iter().try_for_each(check_running)
    }

    /// The administrator's kubeconfig, with the context `local-cluster`.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.inner.dir.kubeconfig()
    }

    /// For example `https://127.0.0.1:20123`.
    pub fn server_url(&self) -> &str {
        &self.inner.server_url
    }

    /// Where etcd is asked, without a certificate: for example `http://127.0.0.1:20124`.
    pub fn etcd_url(&self) -> &str {
        &self.inner.etcd_url
    }

    /// The kubectl of the same version.
    pub fn kubectl_path(&self) -> &Path {
        &self.inner.binaries.kubectl
    }

    /// A kubectl command with the administrator's kubeconfig set; for async code, convert it into
    /// tokio's `Command` with `into()`.
    pub fn kubectl(&self) -> Command {
        self.inner.kubectl()
    }

    /// The certificate of the authority that signed the API server's.
    pub fn ca_pem(&self) -> &str {
        &self.inner.pki.ca_pem
    }

    /// The directory of every file: `kubeconfig`, `pki/`, `etcd/` and the programs' `*.log`.
    pub fn dir(&self) -> &Path {
        self.inner.dir.path()
    }

    /// Whether a controller manager runs, so that dependents of deleted objects and contents of
    /// deleted namespaces are removed.
    pub fn has_garbage_collection(&self) -> bool {
        self.inner.binaries.has_garbage_collection()
    }

    /// The process ids, in the order in which the programs were started.
    pub fn pids(&self) -> Vec<u32> {
        self.inner.processes().iter().map(ManagedProcess::pid).collect()
    }
}

/// The programs that run. On a drop all are killed first and awaited then.
#[derive(Debug, Default)]
struct Processes {
    etcd: Option<ManagedProcess>,
    apiserver: Option<ManagedProcess>,
    controller_manager: Option<ManagedProcess>,
}

impl Processes {
    fn iter(&self) -> impl Iterator<Item = &ManagedProcess> {
        [&self.etcd, &self.apiserver, &self.controller_manager].into_iter().flatten()
    }

    fn stop_apiserver(&mut self, shutdown: Shutdown) -> Result<(), ClusterError> {
        // Dropping it waits for its end, so that the port is free then.
        let Some(running) = self.apiserver.take() else { return Ok(()) };
        match shutdown {
            Shutdown::Graceful => drop(running.stop_blocking(SHUTDOWN_GRACE)?),
            Shutdown::Kill => running.kill()?,
        }
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // Each process is killed again, and awaited, when it is dropped itself.
        self.iter().for_each(|process| drop(process.kill()));
    }
}

/// The fields are dropped in this order: the directory goes when the processes have ended.
pub(crate) struct Inner {
    processes: Mutex<Processes>,
    apiserver_spec: ProcessSpec,
    manager_spec: Option<ProcessSpec>,
    probe: Probe,
    etcd_url: String,
    pub(crate) server_url: String,
    pub(crate) pki: Pki,
    pub(crate) binaries: Binaries,
    /// Only of a cluster for nodes.
    pub(crate) network: Option<Network>,
    pub(crate) dir: ClusterDir,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("server_url", &self.server_url)
            .field("dir", &self.dir.path())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// A kubectl command with the administrator's kubeconfig set.
    pub(crate) fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.binaries.kubectl);
        command.arg("--kubeconfig").arg(self.dir.kubeconfig());
        command
    }

    /// Writes a kubeconfig for a user, of a group where one is named, and gives its path.
    pub(crate) fn write_kubeconfig(
        &self,
        file: &str,
        user: &str,
        group: Option<&str>,
    ) -> Result<PathBuf, ClusterError> {
        let credential = self.pki.client(user, group)?;
        let text = kubeconfig(&self.server_url, &self.pki.ca_pem, user, &credential);
        self.dir.write_private(file, &text)?;
        Ok(self.dir.path().join(file))
    }

    fn processes(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn restart_apiserver(&self, shutdown: Shutdown) -> Result<(), ClusterError> {
        let mut processes = self.processes();
        if processes.etcd.is_none() {
            return Err(ClusterError::NotRunning);
        }
        processes.stop_apiserver(shutdown)?;
        let apiserver = processes.apiserver.insert(spawn_with_parent(&self.apiserver_spec)?);
        wait_ready(&self.probe, "/readyz", &[apiserver])
    }

    fn restart_controller_manager(&self) -> Result<(), ClusterError> {
        let mut processes = self.processes();
        if processes.etcd.is_none() {
            return Err(ClusterError::NotRunning);
        }
        let Some(spec) = &self.manager_spec else { return Ok(()) };
        if let Some(running) = processes.controller_manager.take() {
            running.stop_blocking(STOP_GRACE)?;
        }
        processes.controller_manager = Some(spawn_with_parent(spec)?);
        Ok(())
    }

    fn stop(&self) -> Result<(), ClusterError> {
        let mut processes = self.processes();
        // An API server whose etcd goes first hangs and keeps its port.
        let order = [processes.controller_manager.take(), processes.apiserver.take(), processes.etcd.take()];
        for process in order.into_iter().flatten() {
            process.stop_blocking(STOP_GRACE)?;
        }
        Ok(self.dir.remove()?)
    }
}

/// Starts etcd and the API server on free ports and waits until both are ready.
fn start_servers(
    binaries: &Binaries,
    dir: &ClusterDir,
    pki: &Pki,
    addresses: Addresses,
    options: &Options,
) -> Result<(Endpoints, Processes, Probe), ClusterError> {
    let mut attempt = 1;
    loop {
        let endpoints = Endpoints {
            addresses,
            etcd: free_port(Ipv4Addr::LOCALHOST).map_err(ClusterError::NoPort)?,
            apiserver: free_port(addresses.host()).map_err(ClusterError::NoPort)?,
        };
        let probe = Probe::new(pki, endpoints.apiserver())?;
        let mut processes = Processes::default();
        processes.etcd = Some(spawn_with_parent(&flags::etcd(binaries, dir, endpoints))?);
        let spec = flags::apiserver(binaries, dir, endpoints, &options.apiserver_flags);
        // At once: it waits for etcd itself.
        processes.apiserver = Some(spawn_with_parent(&spec)?);
        let both: Vec<&ManagedProcess> = processes.iter().collect();
        match wait_ready(&probe, "/readyz", &both) {
            Ok(()) => return Ok((endpoints, processes, probe)),
            Err(ClusterError::Ended { log, .. }) if log.contains(PORT_TAKEN) && attempt < PORT_ATTEMPTS => {
                attempt += 1;
                drop(processes);
                dir.forget_attempt()?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Waits until a GET of `path` succeeds; the last of `processes` is the one waited for, the others
/// must not end meanwhile either.
fn wait_ready(probe: &Probe, path: &str, processes: &[&ManagedProcess]) -> Result<(), ClusterError> {
    let started = Instant::now();
    loop {
        processes.iter().try_for_each(|process| check_running(process))?;
        let answer = match probe.get(path) {
            Ok((200, _)) => return Ok(()),
            Ok((status, body)) => format!("{path} answered {status} {body}"),
            Err(error) => format!("{path} could not be asked: {error}"),
        };
        if started.elapsed() >= READY_DEADLINE {
            let last = processes.last();
            return Err(ClusterError::NotReady {
                name: last.map(|process| process.name().to_owned()).unwrap_or_default(),
                log: last.map(|process| process.log_tail(QUOTED_LINES)).unwrap_or_default(),
                answer,
            });
        }
        thread::sleep(READY_POLL);
    }
}

pub(crate) fn check_running(process: &ManagedProcess) -> Result<(), ClusterError> {
    match process.try_wait()? {
        None => Ok(()),
        Some(status) => Err(ClusterError::Ended {
            name: process.name().to_owned(),
            status,
            log: process.log_tail(QUOTED_LINES),
        }),
    }
}
