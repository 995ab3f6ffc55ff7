//! A real Kubernetes control plane (etcd, kube-apiserver, kube-controller-manager, 1.33 to 1.37) on this
//! machine, without root and without containers, for the demo and the tests; and, as root, nodes that
//! run pods.
//!
//! - [`Binaries`] finds the programs (`KUBEBUILDER_ASSETS`, else a cache) or builds them once from
//!   pinned Go modules;
//! - [`LocalCluster`] starts, restarts and stops them, every file under one directory;
//! - [`Cluster`] is either that or a cluster which is there already, reached through a kubeconfig;
//! - [`NodeTier`] adds nodes (containerd, kubelet, kube-proxy), a scheduler, metrics-server and CoreDNS;
//! - [`Image`] makes a container image of one program, without a container engine;
//! - [`spawn_with_parent`] starts any other process so that it dies together with this one.
//!
//! Everything works from blocking code (`…_blocking`) and from async code under tokio.
//!
//! This crate knows nothing of the operator and its resources, and has no Kubernetes client: it
//! hands out a kubeconfig and a kubectl.

mod addresses;
mod binaries;
mod build;
mod cache;
mod cluster;
mod command;
mod cpu_share;
mod dir;
#[cfg(test)]
mod fake_go;
mod flags;
mod go;
mod image;
mod kubeconfig;
mod local;
mod network;
mod node;
mod options;
mod part;
mod pki;
mod ports;
mod probe;
mod process;
mod progress;

pub use binaries::{Binaries, BinariesError, BinarySource, KUBERNETES_VERSION, kubernetes_versions};
pub use build::BuildError;
pub use cache::CacheError;
pub use cluster::{Cluster, ExistingCluster};
pub use command::CommandError;
pub use cpu_share::CpuShare;
pub use dir::DirError;
pub use go::GoError;
pub use image::{Image, ImageError};
pub use local::{ClusterError, LocalCluster};
pub use network::NetworkError;
pub use node::{NodeError, NodeOptions, NodeTier};
pub use options::{ControllerManager, Options, Shutdown};
pub use pki::PkiError;
pub use ports::{free_port, try_port};
pub use probe::ProbeError;
pub use process::{ManagedProcess, ProcessError, ProcessSpec, find_in_path, spawn_with_parent};
pub use progress::Progress;
