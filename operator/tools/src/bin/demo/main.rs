//! The demo: a real control plane on this machine, the operator and a payment sandbox on it, and five orders that
//! are played through with kubectl, as a store, a rider and a customer would.
//!
//! It checks everything that it claims. The last line is `demo: passed`, or `demo: failed:` and what is not true.

mod acts;
mod checks;
mod console;
mod environment;
mod favourites;
mod messages;
mod people;
mod timeline;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Parser;
use fooddelivery_sandbox::faults::Latency;
use tokio::signal::unix::{SignalKind, signal};

use crate::console::Console;
use crate::environment::DemoEnvironment;

/// How many of the operator's last log lines a failure shows.
const SHOWN_LOG_LINES: usize = 40;

/// Plays five orders on a real Kubernetes control plane and checks what became of them.
///
/// Without options it starts etcd and kube-apiserver on this machine, without root and without containers; the first
/// time they are built, which takes some minutes. Nothing is left behind.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
pub(crate) struct Arguments {
    /// Leaves everything up at the end, says how to go on with kubectl, and stops on Ctrl-C. Starts
    /// kube-controller-manager, too: without it nothing is garbage-collected and no deleted namespace vanishes.
    #[arg(long)]
    keep: bool,

    /// Uses the cluster of this context instead of a local one. The operator must not run there yet.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// Uses the cluster of this kubeconfig instead of a local one.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// How long the payment provider takes for a charge or a refund, in ms. Beyond 610 the operator times out, and
    /// asks later what became of it.
    #[arg(long, value_name = "MIN-MAX", value_parser = latency)]
    latency: Option<String>,
}

fn latency(text: &str) -> Result<String, String> {
    text.parse::<Latency>().map(|latency| latency.to_string())
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let console = Arc::new(Console::new());
    let failure = match run(&arguments, &console).await {
        Ok(failed) if failed.is_empty() => {
            console.verdict(true, "demo: passed");
            return ExitCode::SUCCESS;
        }
        Ok(failed) => failed.join("; "),
        Err(error) => format!("{error:#}"),
    };
    console.verdict(false, &format!("demo: failed: {failure}"));
    ExitCode::FAILURE
}

/// Returns what turned out not to be true.
async fn run(arguments: &Arguments, console: &Arc<Console>) -> Result<Vec<String>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let stopped = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(stopped);
    let opening = DemoEnvironment::open(arguments, Arc::clone(console));
    let demo = tokio::select! {
        demo = opening => demo?,
        () = &mut stopped => bail!("interrupted"),
    };
    let played = tokio::select! {
        played = play(&demo) => played,
        () = &mut stopped => bail!("interrupted"),
    };
    if let Err(error) = &played {
        console.check(false, &format!("{error:#}"));
        console.heading("The end of the operator's log");
        console.output(&demo.operator.log_tail(SHOWN_LOG_LINES));
    }
    if arguments.keep {
        demo.say_how_to_go_on();
        stopped.await;
    }
    demo.close(!arguments.keep && played.is_ok()).await?;
    played
}

async fn play(demo: &DemoEnvironment) -> Result<Vec<String>> {
    let counted = acts::to_the_end(demo).await?;
    acts::second_thoughts(demo).await?;
    acts::too_late(demo).await?;
    acts::hard_times(demo).await?;
    favourites::favourites(demo).await?;
    checks::summary(demo, &counted).await
}
