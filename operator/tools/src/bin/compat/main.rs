//! `cargo compat`: on the control plane of each Kubernetes version, installs by the one command, and runs the demo and
//! those tests that are about what the API server does; then prints a table of what came of it.
//!
//! It builds control planes that are not there yet, which takes minutes each. What failed stays in files that it names.

mod checks;
mod table;

use std::env;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use fooddelivery_e2e::binaries::workspace;
use local_cluster::{BinarySource, kubernetes_versions};

use crate::checks::Bench;
use crate::table::{Row, table};

/// Tries every supported version of Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "compat")]
struct Arguments {
    /// Versions to try, as 1.33.13 or 1.33, with commas between them; all when nothing is said.
    #[arg(long, value_delimiter = ',')]
    versions: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compat: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all of it passed.
fn run(arguments: &Arguments) -> Result<bool> {
    ensure!(
        env::var_os("KUBEBUILDER_ASSETS").is_none_or(|dir| dir.is_empty()),
        "KUBEBUILDER_ASSETS is set: its control plane would be used for every version"
    );
    let asked = if arguments.versions.is_empty() {
        kubernetes_versions().into_iter().map(str::to_owned).collect()
    } else {
        arguments.versions.clone()
    };
    // A version that cannot be built is said before any is.
    let source = BinarySource::from_env()?;
    let sources: Vec<BinarySource> =
        asked.iter().map(|version| source.clone().with_kubernetes(version)).collect::<Result<_, _>>()?;
    let dir = target().join("compat");
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let mut rows: Vec<Row> = Vec::new();
    for source in sources {
        rows.push(Bench { source: &source, dir: &dir }.try_out()?);
        // All that is known, after each: the next one may take a quarter of an hour.
        let text = table(&rows);
        std::io::stdout().write_all(text.as_bytes()).context("standard output")?;
    }
    Ok(rows.iter().all(Row::passed))
}

/// Cargo's target directory.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), |dir| workspace().join(dir))
}
