//! Runs cargo, and the program that builds the control plane, and listens to what they say. Prints nothing itself: what
//! is said goes to the board, and into the error of what failed.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::iter;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::progress::{Board, Side};

/// Whatever is selected decides which features shared dependencies have. Always the same, so that nothing is compiled
/// twice; as the demo's own library does when it builds the operator and the sandbox.
const PACKAGES: [&str; 4] =
    ["fooddelivery-controller", "fooddelivery-sandbox", "fooddelivery-tools", "local-cluster"];
/// The program that builds the control plane.
const BUILDER: &str = "local-cluster";
/// Has it leave kube-controller-manager out.
const WITHOUT_CONTROLLER_MANAGER: &str = "--without-controller-manager";
/// What the demo runs.
const PROGRAMS: [&str; 3] = ["demo", "fooddelivery-operator", "fooddelivery-sandbox"];
/// The Go module of the control plane.
const MODULE: &str = "operator/local-cluster/go/kubernetes";
/// Its packages, whose dependencies are downloaded ahead.
const PACKAGES_OF_GO: [&str; 3] =
    ["go.etcd.io/etcd/server/v3", "k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kubectl"];
const CONTROLLER_MANAGER: &str = "k8s.io/kubernetes/cmd/kube-controller-manager";
/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(100);
/// Variables that cargo sets for this package alone: with them, it would build others, such as ring, anew.
const OF_THIS_PACKAGE: [&str; 6] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];

/// What is built, where, and who is told.
pub(crate) struct Build<'a> {
    /// The top folder of the workspace.
    pub(crate) workspace: &'a Path,
    /// Where cargo puts programs.
    pub(crate) programs: &'a Path,
    /// Who is told how far it is.
    pub(crate) board: &'a Board,
}

impl Build<'_> {
    /// The programs of the demo, and the control plane next to them, with a controller manager or without.
    pub(crate) fn both(&self, controller_manager: bool) -> Result<(), String> {
        // Where the builder was built before, the modules most likely are there.
        let is_first = !self.programs.join(BUILDER).exists();
        let ahead = if is_first { self.download_ahead(controller_manager) } else { None };
        let built = self.cargo(&[BUILDER]).and_then(|cargo| self.finish(vec![cargo]));
        let both = built.and_then(|()| {
            let control_plane = Running::start(
                Command::new(self.programs.join(BUILDER))
                    .args(builder_arguments(controller_manager))
                    .stdout(Stdio::null()),
                Side::Kubernetes,
                self.board,
            )?;
            self.finish(vec![control_plane, self.cargo(&PROGRAMS)?])
        });
        if let Some(mut download) = ahead {
            // Ended by now, or of no use any more.
            drop(download.kill());
            drop(download.wait());
        }
        both
    }

    /// The programs of the demo.
    pub(crate) fn programs_alone(&self) -> Result<(), String> {
        self.finish(vec![self.cargo(&PROGRAMS)?])
    }

    fn cargo(&self, programs: &[&str]) -> Result<Running, String> {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.arg("build").current_dir(self.workspace).stdout(Stdio::null());
        cargo.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
        cargo.args(programs.iter().flat_map(|program| ["--bin", program]));
        // Cargo's own bar would be drawn over the board.
        cargo.env("CARGO_TERM_PROGRESS_WHEN", "never");
        for name in env::vars_os().map(|(name, _)| name).filter(|name| is_of_this_package(name)) {
            cargo.env_remove(name);
        }
        Running::start(&mut cargo, Side::Rust, self.board)
    }

    /// Downloads what the control plane is compiled from while the Rust program that compiles it is built. A failure
    /// is not told: that program meets it again, and says more.
    fn download_ahead(&self, controller_manager: bool) -> Option<Child> {
        let mut list = Command::new("go");
        list.args(["list", "-deps"]).args(packages_of_go(controller_manager));
        list.current_dir(self.workspace.join(MODULE));
        list.envs([("GOFLAGS", "-mod=readonly"), ("GOWORK", "off"), ("GOTOOLCHAIN", "local")]);
        list.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
    }

    /// Waits for all of them; when one fails, the others are ended.
    fn finish(&self, mut running: Vec<Running>) -> Result<(), String> {
        while !running.is_empty() {
            thread::sleep(POLL);
            self.board.show();
            let mut still = Vec::new();
            let mut failed = None;
            for mut one in running {
                match one.child.try_wait() {
                    Ok(None) => still.push(one),
                    Ok(Some(status)) if status.success() => self.board.done(one.side),
                    _ => failed = Some(one.said()),
                }
            }
            if let Some(said) = failed {
                for mut other in still {
                    drop(other.child.kill());
                    drop(other.child.wait());
                }
                return Err(said);
            }
            running = still;
        }
        Ok(())
    }
}

fn builder_arguments(controller_manager: bool) -> impl Iterator<Item = &'static str> {
    iter::once("build").chain((!controller_manager).then_some(WITHOUT_CONTROLLER_MANAGER))
}

fn packages_of_go(controller_manager: bool) -> impl Iterator<Item = &'static str> {
    PACKAGES_OF_GO.into_iter().chain(controller_manager.then_some(CONTROLLER_MANAGER))
}

fn is_of_this_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    OF_THIS_PACKAGE.iter().any(|prefix| name.starts_with(prefix))
}

/// A program under way.
struct Running {
    child: Child,
    side: Side,
    listener: Option<JoinHandle<String>>,
}

impl Running {
    fn start(command: &mut Command, side: Side, board: &Board) -> Result<Self, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        let started = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| format!("{name} cannot be run: {error}"))?;
        let board = board.clone();
        let listener = child.stderr.take().map(|said| thread::spawn(move || listen(said, side, &board)));
        Ok(Self { child, side, listener })
    }

    /// Everything that it said, once it has ended.
    fn said(mut self) -> String {
        let said = self.listener.take().and_then(|listener| listener.join().ok()).unwrap_or_default();
        format!("{} was not built:\n{}", self.side, said.trim_end())
    }
}

/// Puts every line on the board; returns them all.
fn listen(said: ChildStderr, side: Side, board: &Board) -> String {
    let mut all = String::new();
    for line in BufReader::new(said).lines().map_while(Result::ok) {
        board.hear(side, &line);
        all.push_str(&line);
        all.push('\n');
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build<T>(run: impl FnOnce(&Build<'_>) -> T) -> T {
        run(&Build { workspace: Path::new("/"), programs: Path::new("/"), board: &Board::default() })
    }

    fn shell(script: &str, board: &Board) -> Running {
        Running::start(Command::new("sh").args(["-c", script]), Side::Kubernetes, board).unwrap()
    }

    #[test]
    fn a_failure_ends_the_other_side_and_is_told_with_all_that_was_said() {
        build(|build| {
            let begun = std::time::Instant::now();
            let running =
                vec![shell("exec sleep 60", build.board), shell("echo why >&2; exit 1", build.board)];
            let said = build.finish(running).unwrap_err();
            assert_eq!(said, "Kubernetes was not built:\nwhy");
            assert!(begun.elapsed() < Duration::from_secs(30));
        });
    }

    #[test]
    fn all_sides_are_waited_for() {
        build(|build| {
            let running = vec![shell("true", build.board), shell("sleep 0.2", build.board)];
            build.finish(running).unwrap();
        });
    }

    #[test]
    fn a_controller_manager_is_built_and_downloaded_for_only_where_it_is_wanted() {
        for wanted in [true, false] {
            assert_eq!(packages_of_go(wanted).any(|package| package == CONTROLLER_MANAGER), wanted);
        }
        assert_eq!(builder_arguments(true).collect::<Vec<_>>(), ["build"]);
        assert_eq!(builder_arguments(false).collect::<Vec<_>>(), ["build", "--without-controller-manager"]);
    }

    #[test]
    fn only_what_cargo_sets_for_this_package_is_kept_from_it() {
        assert!(
            is_of_this_package(OsStr::new("CARGO_PKG_NAME")) && is_of_this_package(OsStr::new("OUT_DIR"))
        );
        assert!(!is_of_this_package(OsStr::new("CARGO_HOME")) && !is_of_this_package(OsStr::new("PATH")));
    }
}
