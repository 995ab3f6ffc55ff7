//! `cargo image`: builds the operator and the sandbox and makes a container image of each, without a container engine.

use std::env;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use fooddelivery_e2e::binaries::{Programs, workspace};
use fooddelivery_e2e::images::{Images, OPERATOR_IMAGE, SANDBOX_IMAGE, VERSION, revision};

/// Makes container images of the operator and the sandbox, as docker archives.
#[derive(Debug, Parser)]
#[command(name = "image")]
struct Arguments {
    /// The tag of both.
    #[arg(long, default_value = VERSION)]
    tag: String,
    /// Cargo's profile to build with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Where the archives go; `images` in cargo's target directory when nothing is said.
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), |dir| workspace().join(dir));
    let dir = arguments.dir.unwrap_or_else(|| target.join("images"));
    let revision = revision();
    let programs = Programs::for_shipping(&arguments.profile, &revision)?;
    let images = Images::write(&programs, &arguments.tag, &revision, &dir)?;
    let lines = [(OPERATOR_IMAGE, &images.operator), (SANDBOX_IMAGE, &images.sandbox)]
        .map(|(name, archive)| format!("{name}:{} {}\n", images.tag, archive.display()));
    std::io::stdout().write_all(lines.concat().as_bytes()).context("standard output")
}
