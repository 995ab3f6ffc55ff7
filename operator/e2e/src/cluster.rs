//! A test cluster: a control plane with the base installed, for the namespaces of many tests.
//!
//! Starting one takes a quarter of a minute of CPU, so whatever can share one does. Statics are never dropped: the
//! control plane of a shared cluster is killed by the kernel when the process ends, however it ends.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use local_cluster::{ControllerManager, Options, Progress};
use tokio::sync::{OnceCell, Semaphore};

use crate::access::{CONTEXT, ClusterAccess};
use crate::binaries::Programs;
use crate::identity::operator_kubeconfig;
use crate::install::{Installed, install};
use crate::names::suffix;
use crate::operator::{Operator, OperatorOptions};

/// A cluster that is ready for operators.
#[derive(Debug)]
pub struct TestCluster {
    access: ClusterAccess,
    programs: Programs,
    kubeconfig: PathBuf,
    installed: Installed,
}

impl TestCluster {
    /// The cluster for tests that keep to a namespace, started at the first call: a local cluster, or the existing one
    /// whose context `FOODDELIVERY_E2E_CONTEXT` names.
    ///
    /// # Errors
    /// When something does not compile, start or install. The next call tries again.
    pub async fn shared() -> Result<Arc<Self>> {
        static SHARED: OnceCell<Arc<TestCluster>> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::existing_or_local).await.cloned()
    }

    /// The cluster for tests that create MessageProviders: those are cluster-scoped, so every order of the cluster is
    /// told to them. Else as [`Self::shared`].
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub async fn shared_for_messages() -> Result<Arc<Self>> {
        static SHARED: OnceCell<Arc<TestCluster>> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::existing_or_local).await.cloned()
    }

    async fn existing_or_local() -> Result<Arc<Self>> {
        match existing_context() {
            Some(context) => Self::on(ClusterAccess::existing(None, Some(context), &Progress::Stderr)?).await,
            None => Self::local().await,
        }
    }

    /// A local cluster of its own. It dies when it and its namespaces are dropped. A test that needs the whole cluster
    /// takes [`Self::exclusive`] or [`Self::fresh`] instead, which bound how many there are at once.
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub async fn local() -> Result<Arc<Self>> {
        Self::local_with(Options { progress: Progress::Stderr, ..Options::default() }).await
    }

    /// [`Self::local`] with options, such as further flags of the API server.
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub async fn local_with(options: Options) -> Result<Arc<Self>> {
        // Several at once would take each other's CPU until one of them misses a deadline.
        static STARTS: Semaphore = Semaphore::const_new(1);
        let _start = STARTS.acquire().await.context("the start of a cluster")?;
        Self::on(ClusterAccess::local_with(with_few_controllers(options)).await?).await
    }

    /// Installs the base on a cluster.
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub async fn on(access: ClusterAccess) -> Result<Arc<Self>> {
        let programs = tokio::task::spawn_blocking(Programs::find_or_build).await??;
        let installed = install(&access, |note| eprintln!("e2e: {note}")).await?;
        let kubeconfig = operator_kubeconfig(&access).await?;
        Ok(Arc::new(Self { access, programs, kubeconfig, installed }))
    }

    /// An operator of any scope on this cluster, ready; its log is `<name>-<suffix>.log` in the cluster's directory.
    ///
    /// # Errors
    /// As [`Operator::start`].
    pub async fn operator(&self, name: &str, options: OperatorOptions) -> Result<Operator> {
        let name = format!("{name}-{}", suffix());
        Operator::start(&self.programs.operator, &self.kubeconfig, self.access.dir(), &name, options).await
    }

    /// The cluster: kubectl, clients, restarts of a local one.
    pub fn access(&self) -> &ClusterAccess {
        &self.access
    }

    /// The programs.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The kubeconfig of the operator's service account.
    pub fn operator_kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// What was installed.
    pub fn installed(&self) -> Installed {
        self.installed
    }
}

/// The controllers of Kubernetes that the tests need, from when the base is installed on. All of them, twice, would cost
/// more than many a test.
fn with_few_controllers(mut options: Options) -> Options {
    const CONTROLLERS: &str = "--controllers=garbage-collector-controller,namespace-controller,\
                               resourcequota-controller,serviceaccount-controller";
    options.controller_manager = ControllerManager::Later;
    options.controller_manager_flags.insert(0, CONTROLLERS.to_owned());
    options
}

/// The context of an existing cluster that the tests are to use, where `FOODDELIVERY_E2E_CONTEXT` names one.
pub fn existing_context() -> Option<String> {
    env::var(CONTEXT).ok().filter(|context| !context.is_empty())
}
