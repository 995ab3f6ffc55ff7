//! The command `local-cluster`: a real Kubernetes control plane on this machine, for trying things.
//! Only reads arguments and prints; the library does the work.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use local_cluster::{Binaries, BinarySource, LocalCluster, NodeOptions, NodeTier, Options, Progress};
use tokio::signal::unix::{SignalKind, signal};

/// How often the running programs are looked at.
const WATCH: Duration = Duration::from_secs(1);

/// A real Kubernetes control plane on this machine, without root and without containers; with nodes as root.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Starts a cluster and stops it on Ctrl-C; prints how to reach it.
    Up {
        /// Directory for every file; by default a temporary one.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Leaves the directory behind, for reading the logs.
        #[arg(long)]
        keep_dir: bool,
        /// A further flag of kube-apiserver, for example `--apiserver-flag=--v=4`; repeatable.
        #[arg(long = "apiserver-flag", value_name = "FLAG", allow_hyphen_values = true)]
        apiserver_flags: Vec<String>,
        /// Starts so many nodes that run pods, too; takes root, containerd and network plugins.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=8))]
        nodes: u8,
        /// An image (docker archive) for the nodes; repeatable.
        #[arg(long = "image", value_name = "ARCHIVE", requires = "nodes")]
        images: Vec<PathBuf>,
    },
    /// Makes sure that the programs are there, and prints where.
    Build {
        /// Those of the node tier, too.
        #[arg(long, conflicts_with = "without_controller_manager")]
        nodes: bool,
        /// All but kube-controller-manager, which takes a sixth of the time; nothing is garbage-collected without it.
        #[arg(long)]
        without_controller_manager: bool,
    },
    /// Runs kubectl of the same version, against what KUBECONFIG says.
    Kubectl {
        /// Arguments for kubectl.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().action).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Every error here says what is missing: a backtrace would only bury that.
            eprintln!("local-cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(action: Action) -> anyhow::Result<()> {
    let progress = Progress::Stderr;
    match action {
        Action::Up { dir, keep_dir, apiserver_flags, nodes, images } => {
            let options =
                Options { dir, keep_dir, apiserver_flags, nodes: nodes > 0, progress, ..Options::default() };
            up(options, nodes, images).await
        }
        Action::Build { nodes, without_controller_manager } => {
            let source = BinarySource::from_env()?.with_controller_manager(!without_controller_manager);
            let found = source.find_or_build(&progress)?;
            let controller_manager = found.kube_controller_manager.as_ref();
            let all =
                [&found.etcd, &found.kube_apiserver, &found.kubectl].into_iter().chain(controller_manager);
            let mut lines: Vec<String> = all.map(|program| program.display().to_string()).collect();
            if nodes {
                let programs = source.node_programs(&progress)?;
                lines.extend(programs.iter().map(|program| program.display().to_string()));
            }
            print(&(lines.join("\n") + "\n"))
        }
        Action::Kubectl { arguments } => {
            let kubectl = BinarySource::from_env()?.kubectl(&progress)?;
            // Only returns when kubectl cannot be run.
            let error = Command::new(&kubectl).args(arguments).exec();
            Err(error).with_context(|| kubectl.display().to_string())
        }
    }
}

async fn up(options: Options, nodes: u8, images: Vec<PathBuf>) -> anyhow::Result<()> {
    if let Some(why) = options.nodes.then(NodeTier::unavailable).flatten() {
        anyhow::bail!(why);
    }
    // While this builds, a signal ends the process at once, and Go with it.
    let binaries = Binaries::find_or_build(&options.progress)?;
    if options.nodes {
        BinarySource::from_env()?.node_programs(&options.progress)?;
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let progress = options.progress.clone();
    let cluster = tokio::task::spawn_blocking(move || LocalCluster::start_with(binaries, &options)).await??;
    let tier = if nodes > 0 {
        let tier = NodeTier::start(&cluster, NodeOptions { nodes, progress: progress.clone() }).await?;
        for image in images {
            tier.import_image(image).await?;
        }
        Some(tier)
    } else {
        None
    };
    print(&format!(
        "export KUBECONFIG='{}'\n# kubectl: {}\n",
        cluster.kubeconfig_path().display(),
        cluster.kubectl_path().display()
    ))?;
    let mut watch = tokio::time::interval(WATCH);
    let ended = loop {
        tokio::select! {
            _ = interrupt.recv() => break Ok(()),
            _ = terminate.recv() => break Ok(()),
            _ = watch.tick() => {
                let nodes = tier.as_ref().map_or(Ok(()), NodeTier::check_running);
                if let Err(error) = nodes.and_then(|()| Ok(cluster.check_running()?)) {
                    break Err(error);
                }
            },
        }
    };
    progress.say("stopping");
    if let Some(tier) = tier {
        tier.stop().await?;
    }
    cluster.stop().await?;
    Ok(ended?)
}

/// In one write, so that a reader who only wants the first line may close the pipe after it.
fn print(text: &str) -> anyhow::Result<()> {
    io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()).context("standard output")
}
