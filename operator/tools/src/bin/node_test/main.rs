//! `cargo node-test`: the operator as a workload on real nodes. An API server, a scheduler, two kubelets with containerd,
//! kube-proxy and metrics-server run on this machine; the manifests are applied as a user would; orders come in all the
//! while; and what is promised of the workload is tried and timed.
//!
//! It needs root and some system programs. Where nodes cannot run it says why, and that nothing was tried.

mod draining;
mod ground;
mod healing;
mod images;
mod install;
mod load;
mod rolling;
mod scaling;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use local_cluster::NodeTier;

use crate::ground::Ground;

/// Tries the operator's workload on real nodes.
#[derive(Debug, Parser)]
#[command(name = "node-test")]
struct Arguments {
    /// What to try after the installation; everything when nothing is said.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Keeps the cluster's directory, with all logs, when something fails.
    #[arg(long)]
    keep_dir: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// The liveness probe heals a stalled operator.
    Heal,
    /// A rolling update, from the version before and within this one.
    Roll,
    /// kill -9 of one of two.
    Kill,
    /// From one replica to three, and back.
    Scale,
    /// A node is drained.
    Drain,
}

/// What was found out, a line each.
type Figures = Vec<String>;

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(why) = NodeTier::unavailable() {
        println!("node-test: SKIPPED, nothing was tried: {why}");
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    match run(&Arguments::parse()).await {
        Ok(figures) => {
            println!();
            for figure in figures {
                println!("  {figure}");
            }
            println!("node-test: passed in {} s", begun.elapsed().as_secs());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("node-test: failed: {error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<Figures> {
    let is_wanted = |scenario| arguments.only.is_empty() || arguments.only.contains(&scenario);
    let images = images::make(is_wanted(Scenario::Roll))?;
    let ground = Ground::open(images, arguments.keep_dir).await?;
    let result = play(&ground, is_wanted).await;
    if result.is_err() {
        ground.show_what_there_is().await;
    }
    ground.close().await?;
    result
}

async fn play(ground: &Ground, is_wanted: impl Fn(Scenario) -> bool) -> Result<Figures> {
    let mut figures = install::install(ground).await.context("installing")?;
    if is_wanted(Scenario::Heal) {
        figures.extend(healing::heal(ground).await.context("healing")?);
    }
    if is_wanted(Scenario::Roll) {
        figures.extend(rolling::roll(ground).await.context("rolling update")?);
    }
    if is_wanted(Scenario::Kill) {
        figures.extend(healing::kill(ground).await.context("kill -9")?);
    }
    if is_wanted(Scenario::Drain) {
        figures.extend(draining::drain(ground).await.context("draining a node")?);
    }
    if is_wanted(Scenario::Scale) {
        figures.extend(scaling::scale(ground).await.context("scaling")?);
    }
    Ok(figures)
}

/// Says what happens, with the time.
pub(crate) fn say(text: &str) {
    println!("{} {text}", jiff::Zoned::now().strftime("%H:%M:%S"));
}
