//! Access to a cluster, local or existing: kubectl, a typed client, and a directory for what is written on the way.
//!
//! It acts as whoever the kubeconfig names, an administrator; the operator's identity is made elsewhere.

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt};
use local_cluster::{Cluster, LocalCluster, Options, Progress};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::http;
use crate::names::suffix;

/// Names the context of an existing cluster for the tests, instead of a local one.
pub const CONTEXT: &str = "FOODDELIVERY_E2E_CONTEXT";

/// A cluster and the means to use it.
#[derive(Debug)]
pub struct ClusterAccess {
    cluster: Cluster,
    dir: PathBuf,
    /// For its drop.
    _own_dir: Option<OwnDir>,
}

/// A directory that is removed with its owner.
#[derive(Debug)]
struct OwnDir(PathBuf);

impl Drop for OwnDir {
    fn drop(&mut self) {
        // Nothing is left to tell of a failure.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl ClusterAccess {
    /// Starts a local cluster, building the control plane first where that is needed.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub async fn local(progress: Progress) -> Result<Self> {
        Self::local_with(Options { progress, ..Options::default() }).await
    }

    /// [`Self::local`] with options, such as further flags of the API server.
    ///
    /// # Errors
    /// As [`Self::local`].
    pub async fn local_with(options: Options) -> Result<Self> {
        let cluster = LocalCluster::start(options).await?;
        let dir = cluster.dir().to_owned();
        Ok(Self { cluster: Cluster::Local(cluster), dir, _own_dir: None })
    }

    /// An existing cluster: `kubeconfig` and `context` as for kubectl. Logs and kubeconfigs go to a fresh directory
    /// among the system's temporary files, which is removed when this is dropped.
    ///
    /// # Errors
    /// When there is no kubectl, or the directory cannot be made.
    pub fn existing(
        kubeconfig: Option<PathBuf>,
        context: Option<String>,
        progress: &Progress,
    ) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("fooddelivery-e2e-{}", suffix()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&dir);
        made.with_context(|| dir.display().to_string())?;
        let own_dir = Some(OwnDir(dir.clone()));
        Ok(Self { cluster: Cluster::existing(kubeconfig, context, progress)?, dir, _own_dir: own_dir })
    }

    /// Where logs, ledgers and kubeconfigs go; of a local cluster its own directory, which vanishes with it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The local cluster, for what only works with that, such as restarts of the API server.
    pub fn local_cluster(&self) -> Option<&LocalCluster> {
        self.cluster.local()
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Stops a local cluster; leaves an existing one as it is.
    ///
    /// # Errors
    /// When a program cannot be ended or the directory cannot be removed.
    pub async fn stop(self) -> Result<()> {
        Ok(self.cluster.stop().await?)
    }

    /// A new client. It belongs to the tokio runtime that calls this, so each test makes its own. It does not retry.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client> {
        http::install_crypto();
        let options = KubeConfigOptions {
            context: self.cluster.context().map(str::to_owned),
            ..KubeConfigOptions::default()
        };
        let config = match self.cluster.kubeconfig() {
            Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
            None => Config::from_kubeconfig(&options).await?,
        };
        self.client_with(config)
    }

    /// A client of whoever this kubeconfig names; as [`Self::client`].
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client_of(&self, kubeconfig: &Path) -> Result<Client> {
        http::install_crypto();
        let file = Kubeconfig::read_from(kubeconfig)?;
        self.client_with(Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?)
    }

    fn client_with(&self, mut config: Config) -> Result<Client> {
        config.default_retry = false;
        if self.cluster.local().is_some() {
            // Proxies are never for the loopback interface.
            config.proxy_url = None;
        }
        Client::try_from(config).context("the Kubernetes client cannot be set up")
    }

    /// Applies the objects of a YAML text, as `kubectl apply --server-side` does. For what a test needs around it: what
    /// people type goes through [`Self::kubectl`], which reads the server's schemas first, for half a second of CPU.
    ///
    /// # Errors
    /// When one is no object, or refused, with the sentence of whoever refuses it.
    pub async fn apply(client: &Client, text: &str) -> Result<()> {
        let params = PatchParams::apply("fooddelivery-tests").force();
        for object in serde_saphyr::from_multiple::<Value>(text)? {
            let object: DynamicObject = serde_json::from_value(object).context("no object")?;
            let types = object.types.as_ref().context("an object without a kind")?;
            let resource = ApiResource::from_gvk(&types.try_into()?);
            let api: Api<DynamicObject> = match &object.metadata.namespace {
                Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
                None => Api::all_with(client.clone(), &resource),
            };
            let applied = api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await;
            applied.with_context(|| format!("{} {}", resource.kind, object.name_any()))?;
        }
        Ok(())
    }

    /// Runs kubectl and returns its standard output.
    ///
    /// # Errors
    /// What kubectl said on standard error, when it fails.
    pub async fn kubectl(&self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Result<String> {
        self.kubectl_with_input(args, "").await
    }

    /// Runs kubectl with `input` as its standard input (for `-f -`) and returns its standard output.
    ///
    /// # Errors
    /// What kubectl said on standard error, when it fails.
    pub async fn kubectl_with_input(
        &self,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        input: &str,
    ) -> Result<String> {
        let mut command = Command::from(self.cluster.kubectl());
        command.args(args.into_iter().map(Into::into)).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("kubectl cannot be run")?;
        if let Some(mut stdin) = child.stdin.take() {
            // A kubectl that fails early closes it; what it says then is below.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.context("kubectl")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
