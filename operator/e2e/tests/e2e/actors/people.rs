//! The cluster whose API server takes the issuer's tokens, a marketplace with actors in it, and what they do.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use fooddelivery_e2e::namespace::Kind;
use fooddelivery_e2e::{LONG, Order, OrderSpec, POLL, TestCluster, TestNamespace};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use local_cluster::{BinarySource, Options, Progress};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::issuer::{AUDIENCE, Issuer};

/// How long a token lasts, in seconds: longer than any test.
const LASTS: i64 = 3_600;

/// The cluster of these tests and the issuer that it believes.
pub(crate) struct World {
    pub(crate) issuer: Issuer,
    cluster: Arc<TestCluster>,
    _configuration: TempDir,
}

impl World {
    async fn shared() -> Result<Arc<Self>> {
        static SHARED: OnceCell<Arc<World>> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await.cloned()
    }

    async fn start() -> Result<Arc<Self>> {
        let issuer = Issuer::start()?;
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("authentication.json");
        std::fs::write(&path, authentication(&issuer, version()?).to_string())?;
        let flags = vec![format!("--authentication-config={}", path.display())];
        let options = Options { apiserver_flags: flags, progress: Progress::Stderr, ..Options::default() };
        let cluster = TestCluster::local_with(options).await?;
        Ok(Arc::new(Self { issuer, cluster, _configuration: dir }))
    }
}

/// The version of the configuration: `v1` from Kubernetes 1.34 on.
fn version() -> Result<&'static str> {
    let is_beta = BinarySource::from_env()?.kubernetes_version().starts_with("1.33.");
    Ok(if is_beta { "apiserver.config.k8s.io/v1beta1" } else { "apiserver.config.k8s.io/v1" })
}

/// Users are those of the issuer, under a prefix that keeps them apart from the cluster's own. Only probes need no
/// token: without a token, or with one that is not believed, the answer is 401.
fn authentication(issuer: &Issuer, version: &str) -> Value {
    let probes = ["/livez", "/readyz", "/healthz"].map(|path| json!({ "path": path }));
    json!({
        "apiVersion": version, "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {
                "url": issuer.url(), "audiences": [AUDIENCE], "certificateAuthority": issuer.certificate(),
            },
            "claimMappings": {
                "username": { "claim": "sub", "prefix": "food:" },
                "groups": { "claim": "groups", "prefix": "food:" },
            },
        }],
        "anonymous": { "enabled": true, "conditions": probes },
    })
}

/// A namespace in which each actor has the role of the samples.
pub(crate) struct Market {
    pub(crate) world: Arc<World>,
    pub(crate) ns: TestNamespace,
}

impl Market {
    pub(crate) async fn open(name: &str) -> Result<Self> {
        let world = World::shared().await?;
        let ns = world.cluster.namespace(name).await?;
        let namespace = &ns.name;
        let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/samples/actors.yaml");
        let roles = std::fs::read_to_string(samples).context(samples)?;
        let roles = roles.replace("namespace: food\n", &format!("namespace: {namespace}\n"));
        ns.apply_yaml(&roles).await.map_err(anyhow::Error::msg)?;
        for (kind, name, spec) in
            [("Store", "sushi", json!({ "region": "mapo", "menu": [] })), ("Customer", "minsu", json!({}))]
        {
            let object = json!({
                "apiVersion": "fooddelivery.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec,
            });
            ns.apply_yaml(&object.to_string()).await.map_err(anyhow::Error::msg)?;
        }
        Ok(Self { world, ns })
    }

    /// Whoever has a token of the issuer for this user, with these groups in it.
    pub(crate) async fn person(&self, user: &str, groups: &[&str]) -> Result<Person> {
        self.holder_of(Some(self.world.issuer.token(user, groups, LASTS)?)).await
    }

    /// A person with the role that the samples give to `group`, who acts for all of `whom`: `customer:jiwoo`,
    /// `store:hanok`, … in this namespace.
    pub(crate) async fn actor(&self, user: &str, group: &str, whom: &[&str]) -> Result<Person> {
        let acting: Vec<String> = whom.iter().map(|whom| format!("{}:{whom}", self.ns.name)).collect();
        let groups: Vec<&str> = std::iter::once(group).chain(acting.iter().map(String::as_str)).collect();
        self.person(user, &groups).await
    }

    /// Whoever holds a token, or none.
    pub(crate) async fn holder_of(&self, token: Option<String>) -> Result<Person> {
        self.as_said_by(AuthInfo { token: token.map(Into::into), ..AuthInfo::default() }).await
    }

    /// Whoever says so of themselves to the API server.
    pub(crate) async fn as_said_by(&self, auth: AuthInfo) -> Result<Person> {
        let path = self.world.cluster.access().cluster().kubeconfig().context("a kubeconfig")?;
        let mut file = Kubeconfig::read_from(path)?;
        for named in &mut file.auth_infos {
            named.auth_info = Some(auth.clone());
        }
        let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        config.proxy_url = None;
        Ok(Person { client: Client::try_from(config)?, namespace: self.ns.name.clone() })
    }
}

/// An actor with a token of theirs.
pub(crate) struct Person {
    client: Client,
    namespace: String,
}

impl Person {
    /// Access to a kind in the market's namespace.
    pub(crate) fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Places an order: the namespace's usual one, changed.
    pub(crate) async fn order(
        &self,
        ns: &TestNamespace,
        name: &str,
        change: impl FnOnce(&mut OrderSpec),
    ) -> Result<(), String> {
        let mut spec = ns.order_spec(name);
        change(&mut spec);
        let created = self.api::<Order>().create(&PostParams::default(), &Order::new(name, spec)).await;
        created.map(drop).map_err(|error| error.to_string())
    }

    /// Merge-patches an object.
    pub(crate) async fn patch<K: Kind>(&self, name: &str, change: Value) -> Result<(), String> {
        let patched = self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(&change)).await;
        patched.map(drop).map_err(|error| error.to_string())
    }

    /// Merge-patches a status.
    pub(crate) async fn patch_status<K: Kind>(&self, name: &str, change: Value) -> Result<(), String> {
        let params = PatchParams::default();
        let patched = self.api::<K>().patch_status(name, &params, &Patch::Merge(&change)).await;
        patched.map(drop).map_err(|error| error.to_string())
    }
}

/// Tries until it may be done: roles that were just written are not known at once.
pub(crate) async fn allowed<T, E: Display>(what: &str, act: impl AsyncFn() -> Result<T, E>) -> Result<T> {
    let started = Instant::now();
    loop {
        match act().await {
            Ok(done) => return Ok(done),
            Err(error) if started.elapsed() >= LONG => bail!("{what}: {error}"),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// It was refused, and the reason that people read has this sentence in it.
#[track_caller]
pub(crate) fn refused(answer: Result<(), String>, sentence: &str) {
    let said = answer.expect_err(sentence);
    assert!(said.contains(sentence), "{sentence:?} is not what was said: {said}");
}
