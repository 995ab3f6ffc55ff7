//! How a cluster is started and its API server ended, as a caller says. Does nothing.

use std::path::PathBuf;

use crate::progress::Progress;

/// How to start a [`LocalCluster`](crate::LocalCluster).
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The directory for every file; it must be new, empty or of an earlier cluster, whose files are
    /// removed. `None`: a fresh one among the system's temporary files.
    pub dir: Option<PathBuf>,
    /// Leaves the directory behind when the cluster stops, for reading the logs.
    pub keep_dir: bool,
    /// Further flags of kube-apiserver, `--name=value` each; they override those set here.
    pub apiserver_flags: Vec<String>,
    /// Further flags of kube-controller-manager, `--name=value` each; they override those set here.
    pub controller_manager_flags: Vec<String>,
    /// Makes a network that nodes can be attached to by [`NodeTier::start`](crate::NodeTier::start), and
    /// has the API server listen there instead of on 127.0.0.1. Takes root, see
    /// [`NodeTier::unavailable`](crate::NodeTier::unavailable).
    pub nodes: bool,
    /// Whether there is a controller manager.
    pub controller_manager: ControllerManager,
    /// Where progress is told.
    pub progress: Progress,
}

/// Whether a cluster has a controller manager. Without one no garbage is collected, and no deleted namespace vanishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ControllerManager {
    /// It runs when the cluster is ready.
    #[default]
    AtOnce,
    /// [`LocalCluster::restart_controller_manager`](crate::LocalCluster::restart_controller_manager) starts it: once kinds are installed that it is to know.
    Later,
    /// It is neither built nor started.
    Absent,
}

/// How to end the API server in a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// SIGTERM, and SIGKILL after 30 s.
    Graceful,
    /// SIGKILL at once, as in a crash.
    Kill,
}
