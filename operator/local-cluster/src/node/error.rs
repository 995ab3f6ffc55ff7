//! What can keep a node from running.

use std::io;
use std::path::PathBuf;

use crate::addresses::MOST_NODES;
use crate::binaries::BinariesError;
use crate::command::CommandError;
use crate::dir::DirError;
use crate::image::ImageError;
use crate::local::ClusterError;
use crate::network::NetworkError;
use crate::pki::PkiError;
use crate::process::ProcessError;

/// Why nodes could not be started, or used.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// They cannot run on this machine.
    #[error("{0}")]
    Unavailable(String),
    /// The cluster was started without [`Options::nodes`](crate::Options::nodes).
    #[error("the cluster was not started for nodes")]
    NotForNodes,
    /// There is no controller manager, without which Services have no endpoints.
    #[error(
        "nodes need a kube-controller-manager: KUBEBUILDER_ASSETS has none, or the cluster was started without"
    )]
    NoControllerManager,
    /// More nodes, or fewer, than there is room for.
    #[error("there can be 1 to {MOST_NODES} nodes, not {0}")]
    Number(u8),
    /// The nodes would not see the cluster's directory.
    #[error("the directory of a cluster with nodes must not be under /run, /var/lib or /var/log: {}", .0.display())]
    HiddenDir(PathBuf),
    /// No node of this name runs.
    #[error("there is no node {0}")]
    NoSuchNode(String),
    /// The programs are missing.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// A file cannot be written.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// A certificate could not be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A program could not be started.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A program has ended.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A node could not be attached to the network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// An image could not be made.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The control group could not be made.
    #[error("the node's control group could not be made: {0}")]
    ControlGroup(io::Error),
    /// The process that a node's namespaces begin with could not be found.
    #[error("the first process of the node's namespaces could not be found")]
    NoFirstProcess,
    /// No port was free.
    #[error("no TCP port is free for the servers of nodes: {0}")]
    NoPort(io::Error),
    /// Something did not become ready in time.
    #[error("{name} was not ready in time: {answer}; the last lines of its log:\n{log}")]
    NotReady {
        /// What.
        name: String,
        /// What was answered last.
        answer: String,
        /// The end of its log.
        log: String,
    },
    /// The runtime shut down before the work on a blocking thread was done.
    #[error("interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}
