//! One line for both builds: how far each is, and how long it has taken. On a terminal it is overwritten each second,
//! elsewhere it is told every ten; a run with nothing to build tells nothing.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Less than this is not worth a word.
const QUIET: Duration = Duration::from_secs(3);
/// How often it is told where lines cannot be overwritten.
const REPEAT_EVERY: Duration = Duration::from_secs(10);
/// What cargo says when it begins with a crate.
const COMPILING: &str = "Compiling ";
/// What the builder of the control plane begins its lines with.
const BUILDER: &str = "local-cluster: ";

/// One of the two builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The operator, the sandbox and the demo.
    Rust,
    /// The control plane.
    Kubernetes,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "the demo",
            Self::Kubernetes => "Kubernetes",
        })
    }
}

/// How far both are. Clones are the same board.
#[derive(Clone)]
pub(crate) struct Board {
    state: Arc<Mutex<State>>,
}

struct State {
    crates: usize,
    rust_done: bool,
    kubernetes: Option<String>,
    started: Instant,
    told: Instant,
    shown: bool,
    overwrites: bool,
}

impl Default for Board {
    fn default() -> Self {
        let now = Instant::now();
        let overwrites = io::stderr().is_terminal();
        let state = State {
            crates: 0,
            rust_done: false,
            kubernetes: None,
            started: now,
            told: now,
            shown: false,
            overwrites,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }
}

impl Board {
    /// Takes in a line that one of them said.
    pub(crate) fn hear(&self, side: Side, line: &str) {
        self.with(|state| match side {
            Side::Rust if line.trim_start().starts_with(COMPILING) => {
                state.crates += 1;
                state.rust_done = false;
            }
            Side::Rust => {}
            Side::Kubernetes => {
                state.kubernetes = Some(line.strip_prefix(BUILDER).unwrap_or(line).to_owned());
            }
        });
    }

    /// Takes in that one of them is done.
    pub(crate) fn done(&self, side: Side) {
        self.with(|state| match side {
            Side::Rust => state.rust_done = true,
            Side::Kubernetes => state.kubernetes = state.kubernetes.take().map(|_| "built".to_owned()),
        });
    }

    /// Tells how far they are, when it is time to.
    pub(crate) fn show(&self) {
        self.with(|state| {
            let every = if state.overwrites { Duration::from_secs(1) } else { REPEAT_EVERY };
            let due =
                if state.shown { state.told.elapsed() >= every } else { state.started.elapsed() >= QUIET };
            if due {
                state.told = Instant::now();
                state.shown = true;
                let line = state.line();
                // Progress must not fail the work: a closed standard error is ignored.
                drop(if state.overwrites {
                    write!(io::stderr(), "\r\x1b[2K{line}").and_then(|()| io::stderr().flush())
                } else {
                    writeln!(io::stderr(), "{line}")
                });
            }
        });
    }

    /// Ends the line.
    pub(crate) fn close(&self) {
        self.with(|state| {
            if state.shown {
                let before = if state.overwrites { "\r\x1b[2K" } else { "" };
                let after = time(state.started.elapsed());
                drop(writeln!(io::stderr(), "{before}demo: builds ended after {after}"));
            }
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn line(&self) -> String {
        let rust = if self.rust_done { "built".to_owned() } else { format!("{} crates", self.crates) };
        let kubernetes =
            self.kubernetes.as_deref().map(|it| format!("; Kubernetes: {it}")).unwrap_or_default();
        format!(
            "demo: building, {} so far (only once); Rust: {rust}{kubernetes}",
            time(self.started.elapsed())
        )
    }
}

/// `45 s` or `3 min 20 s`.
fn time(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_has_both_sides() {
        let board = Board::default();
        board.hear(Side::Rust, "   Compiling libc v0.2.1");
        board.hear(Side::Rust, "   Compiling kube v5.0.0");
        board.hear(Side::Rust, "warning: unused");
        let line = || board.with(|state| state.line());
        assert_eq!(line(), "demo: building, 0 s so far (only once); Rust: 2 crates");
        board.hear(Side::Kubernetes, "local-cluster: [2/3] compiling etcd, 30 of 611 packages");
        board.done(Side::Rust);
        assert_eq!(
            line(),
            "demo: building, 0 s so far (only once); Rust: built; Kubernetes: [2/3] compiling etcd, 30 of 611 packages"
        );
        board.done(Side::Kubernetes);
        assert!(line().ends_with("Kubernetes: built"));
    }

    #[test]
    fn times_are_written_for_people() {
        assert_eq!([59, 200].map(|s| time(Duration::from_secs(s))), ["59 s", "3 min 20 s"]);
    }
}
