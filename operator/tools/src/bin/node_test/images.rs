//! The images: of this version, and of the one before, built from its commit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use fooddelivery_e2e::Programs;
use fooddelivery_e2e::binaries::{cargo, workspace};
use fooddelivery_e2e::images::{Images, OPERATOR_IMAGE, VERSION, revision};
use local_cluster::Image;

use crate::say;

/// The commit of the version before: the last one that ran as a process only, and knew nothing of sharing the work.
const PREVIOUS: &str = "c62439384b344831a5d4e211df2267ec22266d1d";
/// Its image's tag.
pub(crate) const PREVIOUS_TAG: &str = "previous";

/// The archives.
pub(crate) struct Archives {
    pub(crate) current: Images,
    /// `None` where it is not wanted, or the history is not there to build it from.
    pub(crate) previous: Option<PathBuf>,
}

/// Where everything of the node test is written.
pub(crate) fn dir() -> PathBuf {
    workspace().join("target/node-test")
}

/// Builds what is missing. `with_previous` costs another build of the operator.
pub(crate) fn make(with_previous: bool) -> Result<Archives> {
    let dir = dir();
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    say("building the operator and the sandbox as they are shipped; some minutes the first time");
    let revision = revision();
    let programs = Programs::for_shipping("release", &revision)?;
    let current = Images::write(&programs, VERSION, &revision, &dir)?;
    let previous = if with_previous { previous(&dir)? } else { None };
    Ok(Archives { current, previous })
}

fn previous(dir: &Path) -> Result<Option<PathBuf>> {
    let program = dir.join(format!("operator-{PREVIOUS}"));
    if !program.exists() {
        let known = git(&["cat-file", "-e", &format!("{PREVIOUS}^{{commit}}")]).status()?.success();
        if !known {
            say(
                "NOT TRIED: the update from the version before, as this checkout lacks its commit (a shallow clone?)",
            );
            return Ok(None);
        }
        say("building the operator of the version before from its commit; some minutes");
        let source = dir.join("previous");
        if source.exists() {
            fs::remove_dir_all(&source)?;
        }
        fs::create_dir_all(&source)?;
        unpack(&source)?;
        let built = build(&source, dir)?;
        fs::copy(&built, &program).with_context(|| built.display().to_string())?;
        fs::remove_dir_all(&source)?;
    }
    let archive = dir.join("fooddelivery-operator-previous.tar");
    Image::new(format!("{OPERATOR_IMAGE}:{PREVIOUS_TAG}"), &program).authorities().write(&archive)?;
    Ok(Some(archive))
}

fn git(args: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.args(args).current_dir(workspace()).stderr(Stdio::null());
    git
}

fn unpack(into: &Path) -> Result<()> {
    let mut archive = git(&["archive", PREVIOUS]).stdout(Stdio::piped()).spawn()?;
    let stream = archive.stdout.take().context("git archive has no output")?;
    let unpacked = Command::new("tar").arg("-x").current_dir(into).stdin(stream).status()?;
    ensure!(archive.wait()?.success() && unpacked.success(), "{PREVIOUS} cannot be unpacked");
    Ok(())
}

/// With build results of its own: cargo tells two checkouts of a workspace apart by the age of their files only.
fn build(source: &Path, dir: &Path) -> Result<PathBuf> {
    let target = dir.join("previous-target");
    let mut cargo = cargo();
    cargo.args(["build", "--locked", "--quiet", "--release", "--package", "fooddelivery-controller"]);
    cargo.arg("--target-dir").arg(&target).current_dir(source);
    ensure!(cargo.status().context("cargo cannot be run")?.success(), "{PREVIOUS} does not compile");
    Ok(target.join("release/fooddelivery-operator"))
}
