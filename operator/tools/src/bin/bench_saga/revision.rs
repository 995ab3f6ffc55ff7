//! A revision of the project with its operator: this one, or another one in a worktree.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fooddelivery_e2e::Programs;
use fooddelivery_e2e::binaries::{cargo, workspace};

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Revision {
    /// As it is called in the report.
    pub(crate) name: String,
    /// Where its manifests are.
    pub(crate) root: PathBuf,
    /// Its operator.
    pub(crate) operator: PathBuf,
    /// The provider, the same for all: this one's.
    pub(crate) sandbox: PathBuf,
}

impl Revision {
    /// This one, as this program is compiled.
    pub(crate) fn current() -> Result<Self> {
        let programs = Programs::find_or_build()?;
        let (operator, sandbox) = (programs.operator, programs.sandbox);
        Ok(Self { name: "this".to_owned(), root: workspace(), operator, sandbox })
    }

    /// Another one, built with its own lock file, in release, below `target/bench`; what was built once stays.
    pub(crate) fn in_worktree(name: &str) -> Result<Self> {
        let commit = git(&["rev-parse", "--verify", &format!("{name}^{{commit}}")])?;
        let place = workspace().join("target/bench");
        std::fs::create_dir_all(&place)?;
        let root = place.join(&commit[..12]);
        if !root.exists() {
            let place = root.display().to_string();
            git(&["worktree", "prune"])?;
            git(&["worktree", "add", "--detach", "--quiet", &place, &commit])?;
        }
        let target = place.join(format!("{}-target", &commit[..12]));
        let built = cargo()
            .args(["build", "--release", "--locked", "--workspace", "--bin", "fooddelivery-operator"])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(&root)
            .status()
            .context("cargo cannot be run")?;
        ensure!(built.success(), "{name} does not compile");
        let operator = target.join("release/fooddelivery-operator");
        Ok(Self { name: name.to_owned(), root, operator, sandbox: Programs::find_or_build()?.sandbox })
    }
}

fn git(arguments: &[&str]) -> Result<String> {
    let output =
        Command::new("git").args(arguments).current_dir(workspace()).output().context("git cannot be run")?;
    ensure!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
