//! Child processes that die together with this process, also when it is killed with SIGKILL.
//!
//! The kernel ends a child whose PDEATHSIG is set when the *thread* that spawned it ends, and tests
//! run on short-lived threads. So one thread, which lives as long as the process, spawns them all;
//! `setpriv` of util-linux sets the signal, because setting it here would take unsafe code.
//! This module starts, signals and awaits processes; it knows nothing of what they do.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How often a process is looked at while waiting for its end.
const POLL: Duration = Duration::from_millis(10);
/// How much of the end of a log is read for its last lines.
const TAIL_BYTES: u64 = 16 * 1024;

/// Why a process could not be started, signalled or awaited.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program is not an executable file and is not on PATH.
    #[error("there is no program {0}")]
    NotFound(String),
    /// The log file could not be opened for appending.
    #[error("the log file {} cannot be written: {source}", path.display())]
    Log {
        /// The log file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused to start, signal or await the process.
    #[error("{name}: {source}")]
    System {
        /// The name of the process, from its [`ProcessSpec`].
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

/// What to run. Standard input is empty; output goes to the log file or, without one, to where this
/// process's own output goes.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    current_dir: Option<PathBuf>,
    log_file: Option<PathBuf>,
}

impl ProcessSpec {
    /// `name` is for messages; `program` is a path, or a name that is looked up on PATH.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            envs: Vec::new(),
            current_dir: None,
            log_file: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable, on top of the environment of this process.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.envs.push((key.into(), value.into()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(dir.into());
        self
    }

    /// Appends standard output and standard error to this file, which is created where missing.
    #[must_use]
    pub fn log_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.log_file = Some(path.into());
        self
    }

    /// The name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that receives the output, if one is set.
    pub fn log_path(&self) -> Option<&Path> {
        self.log_file.as_deref()
    }

    fn command(&self) -> Result<Command, ProcessError> {
        let program = find_in_path(&self.program)
            .ok_or_else(|| ProcessError::NotFound(self.program.display().to_string()))?;
        let mut command = match setpriv() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(&self.args).stdin(Stdio::null());
        command.envs(self.envs.iter().map(|(key, value)| (key, value)));
        if let Some(dir) = &self.current_dir {
            command.current_dir(dir);
        }
        // A group of its own: Ctrl-C in a terminal must reach only this process, which then stops
        // its children in the right order.
        command.process_group(0);
        if let Some(path) = &self.log_file {
            let log_error = |source| ProcessError::Log { path: path.clone(), source };
            let log = OpenOptions::new().create(true).append(true).open(path).map_err(log_error)?;
            command.stdout(log.try_clone().map_err(log_error)?).stderr(log);
        }
        Ok(command)
    }
}

/// Starts a process that the kernel kills when this process ends, however it ends.
///
/// Where `setpriv` with `--pdeathsig` is missing, one warning is written to standard error and the
/// process is only ended by [`ManagedProcess`] being dropped.
///
/// # Errors
/// When the program does not exist, the log cannot be written or the system refuses.
pub fn spawn_with_parent(spec: &ProcessSpec) -> Result<ManagedProcess, ProcessError> {
    let command = spec.command()?;
    let child = spawn_on_lasting_thread(command).map_err(|source| system_error(&spec.name, source))?;
    Ok(ManagedProcess {
        name: spec.name.clone(),
        pid: child.id(),
        log_file: spec.log_file.clone(),
        child: Mutex::new(child),
    })
}

/// A running or ended child process. All methods take `&self`. Dropping it kills the process and
/// waits for its end.
#[derive(Debug)]
pub struct ManagedProcess {
    name: String,
    pid: u32,
    log_file: Option<PathBuf>,
    child: Mutex<Child>,
}

impl ManagedProcess {
    /// The name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id; it may belong to another process once this one has ended and been awaited.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The exit status, or `None` while it runs.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn try_wait(&self) -> Result<Option<ExitStatus>, ProcessError> {
        self.child().try_wait().map_err(|source| system_error(&self.name, source))
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        matches!(self.try_wait(), Ok(None))
    }

    /// Asks it to end (SIGTERM); nothing happens when it has ended already.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn terminate(&self) -> Result<(), ProcessError> {
        let mut child = self.child();
        // The lock and this look make sure that the id is not that of a later process.
        match child.try_wait() {
            Ok(Some(_)) => Ok(()),
            Ok(None) => kill_process(Pid::from_child(&child), Signal::TERM).map_err(io::Error::from),
            Err(error) => Err(error),
        }
        .map_err(|source| system_error(&self.name, source))
    }

    /// Ends it at once (SIGKILL), without waiting; nothing happens when it has ended already.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&self) -> Result<(), ProcessError> {
        self.child().kill().map_err(|source| system_error(&self.name, source))
    }

    /// Waits for its end, blocking, at most for `timeout`; `None` when it still runs then.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<ExitStatus>, ProcessError> {
        let started = Instant::now();
        loop {
            let status = self.try_wait()?;
            if status.is_some() || started.elapsed() >= timeout {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
    }

    /// Waits for its end without blocking the runtime; cancelling the wait changes nothing.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub async fn wait(&self) -> Result<ExitStatus, ProcessError> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends it, blocking: SIGTERM, then SIGKILL when it still runs after `grace`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stop_blocking(&self, grace: Duration) -> Result<ExitStatus, ProcessError> {
        self.terminate()?;
        if let Some(status) = self.wait_timeout(grace)? {
            return Ok(status);
        }
        self.kill()?;
        self.child().wait().map_err(|source| system_error(&self.name, source))
    }

    /// Ends it without blocking the runtime: SIGTERM, then SIGKILL when it still runs after `grace`.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(&self, grace: Duration) -> Result<ExitStatus, ProcessError> {
        self.terminate()?;
        if let Ok(ended) = tokio::time::timeout(grace, self.wait()).await {
            return ended;
        }
        self.kill()?;
        self.wait().await
    }

    /// The last `lines` lines of its log; empty without a log file or when that cannot be read.
    pub fn log_tail(&self, lines: usize) -> String {
        self.log_file.as_deref().map(|path| log_tail(path, lines)).unwrap_or_default()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ManagedProcess {
    fn drop(&mut self) {
        let mut child = self.child();
        // Nothing is left to tell of a failure; SIGKILL to an own child is not refused.
        drop(child.kill());
        drop(child.wait());
    }
}

/// The last lines of a log file; empty when it cannot be read.
pub(crate) fn log_tail(path: &Path, lines: usize) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&end);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The program as an executable file: a path as it is given, a bare name from PATH.
pub fn find_in_path(program: impl AsRef<Path>) -> Option<PathBuf> {
    let program = program.as_ref();
    if program.components().count() > 1 || program.is_absolute() {
        return is_executable(program).then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

/// `setpriv`, where it is there and knows `--pdeathsig` (that of busybox does not).
fn setpriv() -> Option<&'static OsStr> {
    static SETPRIV: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = SETPRIV.get_or_init(|| {
        let works = |setpriv: &PathBuf| {
            let mut trial = Command::new(setpriv);
            trial.args(["--pdeathsig", "KILL", "--", "true"]);
            trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            trial.status().is_ok_and(|status| status.success())
        };
        let setpriv = find_in_path("setpriv").filter(works);
        if setpriv.is_none() {
            drop(writeln!(
                io::stderr(),
                "local-cluster: no setpriv (util-linux) with --pdeathsig on PATH: processes started \
                 here stay behind if this one is killed with SIGKILL"
            ));
        }
        setpriv
    });
    found.as_ref().map(|path| path.as_os_str())
}

struct SpawnRequest {
    command: Command,
    reply: mpsc::SyncSender<io::Result<Child>>,
}

fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    // The sender is never dropped, so the thread's loop ends only with the process.
    static SPAWNER: Mutex<Option<mpsc::Sender<SpawnRequest>>> = Mutex::new(None);
    let (reply, answer) = mpsc::sync_channel(1);
    let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    let requests = if let Some(requests) = spawner.as_ref() {
        requests
    } else {
        let (sender, requests) = mpsc::channel::<SpawnRequest>();
        thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            for mut request in requests {
                let child = request.command.spawn();
                // The other end waits below and never goes away first.
                drop(request.reply.send(child));
            }
        })?;
        spawner.insert(sender)
    };
    requests.send(SpawnRequest { command, reply }).map_err(io::Error::other)?;
    drop(spawner);
    answer.recv().map_err(io::Error::other)?
}

fn system_error(name: &str, source: io::Error) -> ProcessError {
    ProcessError::System { name: name.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> ProcessSpec {
        ProcessSpec::new("sleeper", "sleep").arg("60")
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let process = thread::spawn(|| spawn_with_parent(&sleeper()).unwrap()).join().unwrap();
        assert_eq!(process.wait_timeout(Duration::from_millis(100)).unwrap(), None);
        assert!(Path::new(&format!("/proc/{}", process.pid())).exists());
    }

    #[test]
    fn dropping_a_process_kills_and_reaps_it() {
        let process = spawn_with_parent(&sleeper()).unwrap();
        let proc_entry = PathBuf::from(format!("/proc/{}", process.pid()));
        drop(process);
        assert!(!proc_entry.exists());
    }

    #[test]
    fn stopping_ends_with_the_term_signal_where_that_suffices() {
        use std::os::unix::process::ExitStatusExt;
        let process = spawn_with_parent(&sleeper()).unwrap();
        // setpriv must have become sleep before the signal means what it says.
        thread::sleep(Duration::from_millis(50));
        assert_eq!(process.stop_blocking(Duration::from_secs(5)).unwrap().signal(), Some(15));
        process.terminate().unwrap();
        process.kill().unwrap();
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_term_signal_is_killed_after_the_grace_time() {
        use std::os::unix::process::ExitStatusExt;
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let spec = ProcessSpec::new("stubborn", "sh")
            .args(["-c", "trap '' TERM; echo ready $WORD; while :; do sleep 0.05; done"])
            .env("WORD", "now")
            .log_file(&log);
        let process = spawn_with_parent(&spec).unwrap();
        while process.log_tail(1) != "ready now" {
            tokio::time::sleep(POLL).await;
        }
        let status = process.stop(Duration::from_millis(200)).await.unwrap();
        assert_eq!(status.signal(), Some(9));
        assert!(!process.is_running());
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = spawn_with_parent(&ProcessSpec::new("x", "no-such-program-anywhere")).unwrap_err();
        assert_eq!(error.to_string(), "there is no program no-such-program-anywhere");
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "one\ntwo\nthree\n").unwrap();
        assert_eq!(log_tail(&log, 2), "two\nthree");
        assert_eq!(log_tail(&dir.path().join("missing"), 2), "");
    }
}
