//! The stage: one cluster with the base installed, for all kitchens of a test process.

use std::env;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use local_cluster::Progress;
use tokio::sync::OnceCell;

use crate::binaries::Programs;
use crate::cluster::{CONTEXT, ClusterAccess};
use crate::identity::operator_kubeconfig;
use crate::install::{Installed, install};
use crate::kitchen::{Kitchen, KitchenOptions};
use crate::operator::{Operator, OperatorOptions};

/// A cluster that is ready for operators.
#[derive(Debug)]
pub struct Stage {
    access: ClusterAccess,
    programs: Programs,
    kubeconfig: std::path::PathBuf,
    installed: Installed,
}

impl Stage {
    /// The one of this process, made at the first call: a local cluster, or the existing one whose context
    /// `FOODDELIVERY_E2E_CONTEXT` names. It dies with the process.
    ///
    /// # Errors
    /// When something does not compile, start or install. The next call tries again.
    pub async fn shared() -> Result<Arc<Self>> {
        static SHARED: OnceCell<Arc<Stage>> = OnceCell::const_new();
        let stage = SHARED.get_or_try_init(async || match env::var(CONTEXT) {
            Ok(context) if !context.is_empty() => {
                Self::on(ClusterAccess::existing(None, Some(context), &Progress::Stderr)?).await
            }
            _ => Self::local().await,
        });
        stage.await.cloned()
    }

    /// One of its own, on a local cluster of its own, for a test that harms the cluster. It dies when it and its
    /// kitchens are dropped.
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub async fn local() -> Result<Arc<Self>> {
        Self::on(ClusterAccess::local(Progress::Stderr).await?).await
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

    /// A fresh namespace with its own sandbox, payment provider, store `hanok`, rider `minjun`, customer `jiwoo`, and
    /// an operator that is limited to it. `name` begins the namespace's name: lower case, at most 40 letters.
    ///
    /// # Errors
    /// When something is refused or does not start.
    pub async fn kitchen(self: &Arc<Self>, name: &str) -> Result<Kitchen> {
        self.kitchen_with(name, KitchenOptions::default()).await
    }

    /// [`Self::kitchen`] with options.
    ///
    /// # Errors
    /// As [`Self::kitchen`].
    pub async fn kitchen_with(self: &Arc<Self>, name: &str, options: KitchenOptions) -> Result<Kitchen> {
        Kitchen::open(Arc::clone(self), name, options).await
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

/// Five random hex digits.
pub(crate) fn suffix() -> String {
    // Every RandomState has its own keys, so hashing anything gives a fresh random number.
    format!("{:05x}", RandomState::new().hash_one(0_u8) & 0xf_ffff)
}
