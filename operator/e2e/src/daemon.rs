//! What the operator's and the sandbox's processes have in common: started, stopped, killed, started again.
//!
//! It knows nothing of what they do.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use local_cluster::{ManagedProcess, ProcessSpec, free_port, spawn_with_parent};

use crate::wait::{LONG, POLL};

/// How long a process may take to end before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(15);
/// How many of a log's last lines an error quotes.
pub(crate) const QUOTED_LINES: usize = 30;

/// A process that can be started again.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: String,
    running: Mutex<Option<Arc<ManagedProcess>>>,
}

impl Daemon {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), running: Mutex::new(None) }
    }

    /// Starts it; one that still runs is killed first.
    pub(crate) fn spawn(&self, spec: &ProcessSpec) -> Result<Arc<ManagedProcess>> {
        self.kill()?;
        let process = Arc::new(spawn_with_parent(spec)?);
        *self.lock() = Some(Arc::clone(&process));
        Ok(process)
    }

    /// SIGKILL, and waits for the end. Nothing happens when it does not run.
    pub(crate) fn kill(&self) -> Result<()> {
        let Some(process) = self.lock().take() else { return Ok(()) };
        process.kill()?;
        if process.wait_timeout(STOP_GRACE)?.is_none() {
            bail!("{} does not end", self.name);
        }
        Ok(())
    }

    /// SIGTERM, and after 15 s SIGKILL. `None` when it did not run.
    pub(crate) async fn stop(&self) -> Result<Option<ExitStatus>> {
        let process = self.lock().take();
        match process {
            Some(process) => Ok(Some(process.stop(STOP_GRACE).await?)),
            None => Ok(None),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.lock().as_ref().is_some_and(|process| process.is_running())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.lock().as_ref().filter(|process| process.is_running()).map(|process| process.pid())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<ManagedProcess>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until `ready` answers something; fails when the process ends or [`LONG`] has passed.
pub(crate) async fn wait_ready<T>(process: &ManagedProcess, ready: impl AsyncFn() -> Option<T>) -> Result<T> {
    let started = Instant::now();
    let failure = loop {
        if let Some(answer) = ready().await {
            return Ok(answer);
        }
        if let Some(status) = process.try_wait()? {
            break format!("{} has ended ({status})", process.name());
        }
        if started.elapsed() >= LONG {
            break format!("{} was not ready after {} s", process.name(), LONG.as_secs());
        }
        tokio::time::sleep(POLL).await;
    };
    bail!("{failure}; the last lines of its log:\n{}", process.log_tail(QUOTED_LINES))
}

/// The last lines of a log file; empty when it cannot be read.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// An address on 127.0.0.1 where nothing listens now, and that this process never picked before; another one may take it
/// before it is used.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let port = free_port(Ipv4Addr::LOCALHOST).context("no TCP port is free on 127.0.0.1")?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}
