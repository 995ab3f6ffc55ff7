//! The cluster that a demo or a test is to use: one that is started here, or one that is there
//! already, which this module never changes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binaries::{BinariesError, BinarySource};
use crate::local::{ClusterError, LocalCluster};
use crate::process::find_in_path;
use crate::progress::Progress;

/// A cluster and how to reach it.
#[derive(Debug)]
pub enum Cluster {
    /// Started by this process, and stopped with it.
    Local(LocalCluster),
    /// Somebody else's.
    Existing(ExistingCluster),
}

/// A cluster that is there already.
#[derive(Clone, Debug)]
pub struct ExistingCluster {
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    kubectl: PathBuf,
}

impl Cluster {
    /// A cluster that is there already: `kubeconfig` and `context` as for kubectl, `None` being what
    /// kubectl would take. Uses the kubectl on PATH; where there is none, one from the cache, or
    /// builds it, which blocks for a minute or two.
    ///
    /// # Errors
    /// When there is no kubectl and it cannot be built.
    pub fn existing(
        kubeconfig: Option<PathBuf>,
        context: Option<String>,
        progress: &Progress,
    ) -> Result<Self, BinariesError> {
        let kubectl = match find_in_path("kubectl") {
            Some(kubectl) => kubectl,
            None => BinarySource::from_env()?.kubectl(progress)?,
        };
        Ok(Self::Existing(ExistingCluster { kubeconfig, context, kubectl }))
    }

    /// The kubeconfig file; `None`: `KUBECONFIG` or `~/.kube/config`, as kubectl finds it.
    pub fn kubeconfig(&self) -> Option<PathBuf> {
        match self {
            Self::Local(local) => Some(local.kubeconfig_path()),
            Self::Existing(existing) => existing.kubeconfig.clone(),
        }
    }

    /// The context in the kubeconfig; `None`: its current one.
    pub fn context(&self) -> Option<&str> {
        match self {
            Self::Local(_) => None,
            Self::Existing(existing) => existing.context.as_deref(),
        }
    }

    /// The kubectl program.
    pub fn kubectl_path(&self) -> &Path {
        match self {
            Self::Local(local) => local.kubectl_path(),
            Self::Existing(existing) => &existing.kubectl,
        }
    }

    /// A kubectl command that reaches this cluster; for async code, convert it into tokio's
    /// `Command` with `into()`.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.kubectl_path());
        if let Some(kubeconfig) = self.kubeconfig() {
            command.arg("--kubeconfig").arg(kubeconfig);
        }
        if let Some(context) = self.context() {
            command.arg("--context").arg(context);
        }
        command
    }

    /// The cluster that was started here, for what only works with that, such as restarts.
    pub fn local(&self) -> Option<&LocalCluster> {
        match self {
            Self::Local(local) => Some(local),
            Self::Existing(_) => None,
        }
    }

    /// Stops a cluster that was started here; leaves an existing one as it is.
    ///
    /// # Errors
    /// As [`LocalCluster::stop`].
    pub async fn stop(self) -> Result<(), ClusterError> {
        match self {
            Self::Local(local) => local.stop().await,
            Self::Existing(_) => Ok(()),
        }
    }

    /// Whether dependents of deleted objects are removed; an existing cluster is taken to do so.
    pub fn has_garbage_collection(&self) -> bool {
        match self {
            Self::Local(local) => local.has_garbage_collection(),
            Self::Existing(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_for_an_existing_cluster_names_only_what_was_given() {
        let existing = |kubeconfig: Option<&str>, context: Option<&str>| {
            let cluster = Cluster::Existing(ExistingCluster {
                kubeconfig: kubeconfig.map(PathBuf::from),
                context: context.map(str::to_owned),
                kubectl: "/bin/kubectl".into(),
            });
            cluster.kubectl().get_args().map(|arg| arg.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert!(existing(None, None).is_empty());
        assert_eq!(existing(Some("/kc"), Some("staging")), ["--kubeconfig", "/kc", "--context", "staging"]);
    }
}
