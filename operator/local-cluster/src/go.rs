//! Finds the Go toolchain and says what is wrong with it. Builds nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::find_in_path;

/// The oldest Go that compiles the pinned modules, from the `go` line of their go.mod.
const OLDEST: GoVersion = GoVersion { major: 1, minor: 26 };

/// Why Go cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GoError {
    /// No `go` on PATH.
    #[error(
        "there is no go on PATH: Go 1.26 or later is needed to build the control plane from source \
         (or set KUBEBUILDER_ASSETS to a directory that has etcd, kube-apiserver and kubectl)"
    )]
    Missing,
    /// `go` is older than the pinned modules allow.
    #[error("{} is Go {found}: Go 1.26 or later is needed to build the control plane from source", go.display())]
    TooOld {
        /// The program.
        go: PathBuf,
        /// Its version, for example `1.22`.
        found: String,
    },
    /// `go version` or `go env` failed or said something unexpected.
    #[error("{} {command} cannot be understood: {answer}", go.display())]
    Unexpected {
        /// The program.
        go: PathBuf,
        /// What was asked.
        command: &'static str,
        /// What it said.
        answer: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GoVersion {
    major: u32,
    minor: u32,
}

/// A Go toolchain that is new enough.
#[derive(Debug)]
pub(crate) struct Go {
    pub(crate) program: PathBuf,
    /// `GOCACHE`: compiled packages.
    pub(crate) build_cache: PathBuf,
    /// `GOMODCACHE`: downloaded modules.
    pub(crate) module_cache: PathBuf,
}

impl Go {
    /// The `go` on PATH, or the given one.
    pub(crate) fn find(program: Option<&Path>) -> Result<Self, GoError> {
        let program = find_in_path(program.unwrap_or(Path::new("go"))).ok_or(GoError::Missing)?;
        let answer = ask(&program, "version", &["version"])?;
        let Some(found) = parse_version(&answer) else {
            return Err(GoError::Unexpected { go: program, command: "version", answer });
        };
        if found < OLDEST {
            let found = format!("{}.{}", found.major, found.minor);
            return Err(GoError::TooOld { go: program, found });
        }
        let answer = ask(&program, "env", &["env", "GOCACHE", "GOMODCACHE"])?;
        match answer.lines().collect::<Vec<_>>()[..] {
            [build_cache, module_cache] if !build_cache.is_empty() && !module_cache.is_empty() => {
                Ok(Self { program, build_cache: build_cache.into(), module_cache: module_cache.into() })
            }
            _ => Err(GoError::Unexpected { go: program, command: "env", answer }),
        }
    }
}

fn ask(program: &Path, command: &'static str, args: &[&str]) -> Result<String, GoError> {
    let unexpected = |answer: String| GoError::Unexpected { go: program.to_owned(), command, answer };
    // "local": this Go itself is asked, it must not download and run a newer one.
    let output = Command::new(program).args(args).env("GOTOOLCHAIN", "local").stdin(Stdio::null()).output();
    match output.map_err(|error: io::Error| unexpected(error.to_string()))? {
        output if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        output => Err(unexpected(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// From `go version go1.26.8 linux/amd64`, `go version go1.27rc1 …`, `go version devel go1.27-abc …`.
fn parse_version(answer: &str) -> Option<GoVersion> {
    let version = answer.strip_prefix("go version ")?.split(' ').find_map(|word| word.strip_prefix("go"))?;
    let (major, rest) = version.split_once('.')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some(GoVersion { major: major.parse().ok()?, minor: rest[..digits].parse().ok()? })
}

/// The name that Go has for this operating system.
pub(crate) fn goos() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// The name that Go has for this processor.
pub(crate) fn goarch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_releases_candidates_and_development_builds() {
        let version = |major, minor| Some(GoVersion { major, minor });
        assert_eq!(parse_version("go version go1.26.8 linux/amd64"), version(1, 26));
        assert_eq!(parse_version("go version go1.27rc1 linux/arm64"), version(1, 27));
        assert_eq!(parse_version("go version devel go1.28-2f1a7c3 Mon linux/amd64"), version(1, 28));
        assert_eq!(parse_version("go version go2.0 linux/amd64"), version(2, 0));
        assert_eq!(parse_version("gccgo (GCC) 12"), None);
        assert_eq!(parse_version("go version unknown"), None);
    }

    #[test]
    fn versions_are_ordered_by_number_and_not_by_text() {
        assert!(parse_version("go version go1.9 x").unwrap() < OLDEST);
        assert!(parse_version("go version go1.26.0 x").unwrap() >= OLDEST);
        assert!(parse_version("go version go1.100 x").unwrap() > OLDEST);
    }

    #[test]
    fn a_missing_go_is_said_in_one_sentence_with_the_way_out() {
        let said = Go::find(Some(Path::new("/nonexistent/go"))).unwrap_err().to_string();
        assert!(said.starts_with("there is no go on PATH: Go 1.26 or later is needed"), "{said}");
        assert!(said.contains("KUBEBUILDER_ASSETS") && !said.contains('\n'), "{said}");
    }
}
