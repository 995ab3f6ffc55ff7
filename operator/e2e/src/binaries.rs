//! Builds the operator and the sandbox with cargo, once a process, and says where they are.
//!
//! It runs cargo with the profile and the features that this program was built with, so that after `cargo test
//! --workspace` nothing is left to do.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Names a directory with both programs, so that nothing is built.
pub const BIN_DIR: &str = "FOODDELIVERY_BIN_DIR";
/// `all`, as `cargo test-all` sets it: tests are played at full size, and what takes minutes, too.
pub const TESTS: &str = "FOODDELIVERY_TESTS";

const OPERATOR: &str = "fooddelivery-operator";
const SANDBOX: &str = "fooddelivery-sandbox";

/// The programs, as absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The operator.
    pub operator: PathBuf,
    /// The payment sandbox.
    pub sandbox: PathBuf,
}

impl Programs {
    /// Those of the directory that `FOODDELIVERY_BIN_DIR` names; without it, builds them. The first call blocks for
    /// as long as cargo takes, and cargo's progress goes to standard error; later calls repeat its answer.
    ///
    /// # Errors
    /// When a program is missing or does not compile.
    pub fn find_or_build() -> Result<Self> {
        static FOUND: Mutex<Option<Programs>> = Mutex::new(None);
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(programs) = found.as_ref() {
            return Ok(programs.clone());
        }
        let programs = match env::var_os(BIN_DIR).filter(|dir| !dir.is_empty()) {
            Some(dir) => Self::in_dir(Path::new(&dir))?,
            None => build(&PROGRAMS_WITH_HARNESS, &profile()?, None)?,
        };
        Ok(found.insert(programs).clone())
    }

    /// Builds them as they are shipped: on their own, with `profile` of cargo, and knowing the commit that they come
    /// from. Blocks for as long as cargo takes.
    ///
    /// # Errors
    /// When one does not compile.
    pub fn for_shipping(profile: &str, revision: &str) -> Result<Self> {
        build(&PROGRAMS_ALONE, profile, Some(revision))
    }

    fn in_dir(dir: &Path) -> Result<Self> {
        let program = |name: &str| {
            let path = dir.join(name).canonicalize();
            path.with_context(|| format!("{BIN_DIR} is {}, but there is no {name} in it", dir.display()))
        };
        Ok(Self { operator: program(OPERATOR)?, sandbox: program(SANDBOX)? })
    }
}

/// What cargo says of a thing that it built.
#[derive(Debug, Deserialize)]
struct Artifact {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

/// With this package, so that the features of shared crates are those that it was compiled with itself.
const PROGRAMS_WITH_HARNESS: [&str; 3] =
    ["fooddelivery-controller", "fooddelivery-sandbox", "fooddelivery-e2e"];
/// Other crates ask for features of shared ones that nobody ships.
const PROGRAMS_ALONE: [&str; 2] = ["fooddelivery-controller", "fooddelivery-sandbox"];

fn build(packages: &[&str], profile: &str, revision: Option<&str>) -> Result<Programs> {
    let mut cargo = cargo();
    cargo
        .arg("build")
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .args(["--bin", OPERATOR, "--bin", SANDBOX, "--message-format=json-render-diagnostics"])
        .args(["--profile", profile])
        .args(as_tested()?.iter().flat_map(|setting| ["--config", setting]))
        .current_dir(workspace())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if let Some(revision) = revision {
        cargo.arg("--locked").env("FOODDELIVERY_REVISION", revision);
    }
    let output = cargo.output().context("cargo cannot be run")?;
    if !output.status.success() {
        bail!(
            "the operator and the sandbox do not compile (cargo build {}, {})",
            packages.join(" "),
            output.status
        );
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let program =
        |name: &str| executable(&text, name).with_context(|| format!("cargo built no program {name}"));
    Ok(Programs { operator: program(OPERATOR)?, sandbox: program(SANDBOX)? })
}

/// The settings of `cargo test-all` where that runs this, so that what it has built is not built again without them.
fn as_tested() -> Result<Vec<String>> {
    if env::var_os(TESTS).is_none_or(|tests| tests != "all") {
        return Ok(Vec::new());
    }
    let path = workspace().join(".cargo/config.toml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(profile_settings(&text))
}

/// `profile.dev.package.NAME.opt-level=N` wherever it stands in quotes.
fn profile_settings(config: &str) -> Vec<String> {
    config.split('"').filter(|quoted| quoted.starts_with("profile.")).map(str::to_owned).collect()
}

/// The cargo that runs this, for building something else: what it set for this package would make it build others, such
/// as ring, anew.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for name in env::vars_os().map(|(name, _)| name).filter(is_of_this_package) {
        cargo.env_remove(name);
    }
    cargo
}

fn is_of_this_package(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
        || matches!(&*name, "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR")
}

fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    artifacts.filter(|artifact| artifact.target.name == name).find_map(|artifact| artifact.executable)
}

/// The root of the workspace, where `manifests/` is.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The profile of this program, which stands in `<target>/<profile>/` or, as a test, in `deps/` below.
fn profile() -> Result<String> {
    let program = env::current_exe().context("this program's path is not known")?;
    Ok(profile_of(&program))
}

fn profile_of(program: &Path) -> String {
    let names = program.ancestors().skip(1).filter_map(|dir| dir.file_name()?.to_str());
    match names.into_iter().find(|name| *name != "deps") {
        Some("debug") | None => "dev".to_owned(),
        Some(other) => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_that_of_the_directory_a_program_or_a_test_stands_in() {
        assert_eq!(profile_of(Path::new("/t/debug/demo")), "dev");
        assert_eq!(profile_of(Path::new("/t/debug/deps/faults-0123")), "dev");
        assert_eq!(profile_of(Path::new("/t/release/demo")), "release");
        assert_eq!(profile_of(Path::new("/t/x86_64-unknown-linux-gnu/bench/deps/a")), "bench");
    }

    #[test]
    fn a_program_is_found_among_the_messages_of_cargo() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"libc"},"executable":null}
not json
{"reason":"compiler-artifact","target":{"name":"demo"},"executable":"/t/debug/demo"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "demo"), Some("/t/debug/demo".into()));
        assert_eq!(executable(messages, "libc"), None);
    }

    #[test]
    fn all_tests_are_built_with_the_same_settings() {
        let config = std::fs::read_to_string(workspace().join(".cargo/config.toml")).unwrap();
        let settings = profile_settings(&config);
        let of_the_operator = "profile.dev.package.fooddelivery-controller.opt-level=1";
        assert!(settings.iter().any(|setting| setting == of_the_operator), "{settings:?}");
        assert!(settings.iter().all(|setting| setting.contains(".opt-level=")), "{settings:?}");
    }

    #[test]
    fn the_workspace_is_the_one_with_the_manifests() {
        assert!(workspace().join("manifests/base/kustomization.yaml").is_file());
    }
}
