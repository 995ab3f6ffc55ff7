//! `cargo demo`: builds what the demo needs and becomes the demo.
//!
//! On a first run most of the time goes into compiling, Kubernetes with Go and the operator with Rust. This program has
//! no dependencies, so it runs after a second, and has both done side by side: first the Rust program that builds the
//! control plane, whose dependencies the demo needs too; then the control plane and the rest at the same time. It knows
//! nothing of what the programs do.

mod build;
mod progress;

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use build::Build;
use progress::Board;

/// Tells the demo where the operator and the sandbox are, so that it does not build them.
const BIN_DIR: &str = "FOODDELIVERY_BIN_DIR";
/// With this the demo has a controller manager: a person goes on with the cluster, and may delete things.
const KEEP: &str = "--keep";
/// With these the demo uses a cluster that is there already.
const EXISTING: [&str; 2] = ["--context", "--kubeconfig"];

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match prepare(Needs::of(&arguments)) {
        Ok(programs) => {
            let mut demo = Command::new(programs.join("demo"));
            demo.args(arguments).env(BIN_DIR, programs);
            // Only returns when it cannot be run.
            eprintln!("demo: it cannot be started: {}", demo.exec());
        }
        Err(said) => eprintln!("demo: {said}"),
    }
    ExitCode::FAILURE
}

/// Builds everything; the directory that the programs are in.
fn prepare(needs: Needs) -> Result<PathBuf, String> {
    let program = env::current_exe().map_err(|error| format!("this program's path is not known: {error}"))?;
    let programs = program.parent().unwrap_or(Path::new(".")).to_owned();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let board = Board::default();
    let build = Build { workspace: &workspace, programs: &programs, board: &board };
    let done = match needs {
        Needs::ProgramsAlone => build.programs_alone(),
        Needs::ControlPlane { controller_manager } => build.both(controller_manager),
    };
    board.close();
    done.map(|()| programs)
}

/// What a demo with these arguments runs that is to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    ProgramsAlone,
    ControlPlane { controller_manager: bool },
}

impl Needs {
    fn of(arguments: &[OsString]) -> Self {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let existing = arguments.iter().any(|argument| {
            let argument = argument.to_string_lossy();
            EXISTING.iter().any(|flag| argument.split('=').next() == Some(flag))
        });
        let only_told = arguments
            .iter()
            .any(|argument| argument == "--help" || argument == "-h" || argument == "--version");
        if existing || only_told || set("KUBEBUILDER_ASSETS") {
            return Self::ProgramsAlone;
        }
        Self::ControlPlane { controller_manager: arguments.iter().any(|argument| argument == KEEP) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(arguments: &[&str]) -> Needs {
        Needs::of(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_cluster_that_is_there_already_needs_no_control_plane() {
        for arguments in [["--context", "kind"], ["--keep", "--kubeconfig=/a"], ["--latency=1-2", "--help"]] {
            assert_eq!(needs(&arguments), Needs::ProgramsAlone, "{arguments:?}");
        }
    }

    #[test]
    fn only_a_demo_that_stays_up_needs_a_controller_manager() {
        if env::var_os("KUBEBUILDER_ASSETS").is_none() {
            assert_eq!(needs(&[]), Needs::ControlPlane { controller_manager: false });
            assert_eq!(needs(&["--latency=1-2", "--keep"]), Needs::ControlPlane { controller_manager: true });
        }
    }
}
