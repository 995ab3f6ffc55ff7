//! Runs the system's own programs (`ip`, `nsenter`, `ctr`, …) to their end, and finds them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::find_in_path;

/// Where programs for root are, which the PATH of others often lacks.
const SYSTEM_DIRS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A program could not be run, or failed.
#[derive(Debug, thiserror::Error)]
#[error("{command}: {said}")]
pub struct CommandError {
    /// The command line.
    pub command: String,
    /// What it said, or why it could not be run.
    pub said: String,
}

/// A program on PATH or where programs for root are.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    find_in_path(name).or_else(|| SYSTEM_DIRS.iter().find_map(|dir| find_in_path(Path::new(dir).join(name))))
}

/// The same, and the bare name where it is not found: whoever runs it says so.
pub(crate) fn program_path(name: &str) -> PathBuf {
    find_program(name).unwrap_or_else(|| PathBuf::from(name))
}

/// PATH with the directories of programs for root, for programs that run further ones.
pub(crate) fn system_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(SYSTEM_DIRS.map(PathBuf::from));
    // A directory with a colon in its name cannot come from PATH.
    std::env::join_paths(dirs).unwrap_or(path)
}

/// Runs a command, and gives its standard output.
pub(crate) fn run(program: &str, args: &[impl AsRef<OsStr>]) -> Result<String, CommandError> {
    let mut command = Command::new(program_path(program));
    command.args(args);
    run_command(command)
}

/// As [`run`], with a command made by the caller; its standard input is empty unless it was set.
pub(crate) fn run_command(mut command: Command) -> Result<String, CommandError> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    let failed = |said: String| CommandError { command: line, said };
    command.env("PATH", system_path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match command.output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(failed(if said.is_empty() { output.status.to_string() } else { said }))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_prints_is_given_and_what_it_complains_of_is_said() {
        assert_eq!(run("echo", &["a", "b"]).unwrap(), "a b\n");
        let said = run("sh", &["-c", "echo no >&2; exit 3"]).unwrap_err().to_string();
        assert!(said.ends_with("sh -c echo no >&2; exit 3: no"), "{said}");
        let said = run("false", &[""; 0]).unwrap_err().to_string();
        assert!(said.ends_with("exit status: 1"), "{said}");
        assert!(run("no-such-program-anywhere", &[""; 0]).is_err());
    }
}
