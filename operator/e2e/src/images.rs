//! Container images of the operator and the sandbox, made without a container engine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use local_cluster::Image;

use crate::binaries::{Programs, workspace};

/// The tag of an image for which none is asked: the version of all crates here.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The name of the operator's image, without its tag.
pub const OPERATOR_IMAGE: &str = "fooddelivery/operator";
/// The name of the sandbox's image, without its tag.
pub const SANDBOX_IMAGE: &str = "fooddelivery/sandbox";

/// Two images as docker archives, which `docker load`, `podman load`, `ctr images import` and
/// [`local_cluster::NodeTier::import_image`] take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The file with the operator's image.
    pub operator: PathBuf,
    /// The file with the sandbox's image.
    pub sandbox: PathBuf,
    /// The tag of both.
    pub tag: String,
}

impl Images {
    /// Writes `fooddelivery-operator.tar` and `fooddelivery-sandbox.tar` into `dir`, which is made where it is
    /// missing; `revision` is the commit that the programs were built from.
    ///
    /// # Errors
    /// When a program or one of its libraries is missing, or a file cannot be written.
    pub fn write(programs: &Programs, tag: &str, revision: &str, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let image = |name: &str, program: &Path, title: &str, file: &str| {
            let archive = dir.join(file);
            Image::new(format!("{name}:{tag}"), program)
                .label("org.opencontainers.image.title", title)
                .label("org.opencontainers.image.version", VERSION)
                .label("org.opencontainers.image.revision", revision)
                .label("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE"))
                .authorities()
                .write(&archive)?;
            anyhow::Ok(archive)
        };
        let title = "Food-delivery saga operator";
        let operator = image(OPERATOR_IMAGE, &programs.operator, title, "fooddelivery-operator.tar")?;
        let title = "Payment and message provider to try the operator with";
        let sandbox = image(SANDBOX_IMAGE, &programs.sandbox, title, "fooddelivery-sandbox.tar")?;
        Ok(Self { operator, sandbox, tag: tag.to_owned() })
    }
}

/// The commit of this workspace, with `-dirty` behind it where files were changed since; `unknown` without git.
pub fn revision() -> String {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]).current_dir(workspace());
    let said = git.output().ok().filter(|output| output.status.success());
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.filter(|revision| !revision.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}
