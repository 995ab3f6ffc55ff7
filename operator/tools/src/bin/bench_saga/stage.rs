//! What a run is played on: a control plane of its own with a revision's base, its operator, a provider, and a marketplace of
//! two stores, riders and customers. Everybody but the operator acts as an administrator.

use anyhow::{Context, Result};
use fooddelivery_api::OPERATOR_NAMESPACE;
use fooddelivery_e2e::ClusterAccess;
use fooddelivery_e2e::identity::operator_kubeconfig;
use fooddelivery_e2e::install::{install_base, wait_stamped};
use fooddelivery_e2e::operator::{Operator, OperatorOptions};
use fooddelivery_e2e::sandbox::{Sandbox, SandboxOptions};
use kube::Client;
use local_cluster::{ControllerManager, Options, Progress};
use serde_json::{Value, json};

use crate::revision::Revision;

/// The namespace of everything.
pub(crate) const NAMESPACE: &str = "food";
/// Stores.
pub(crate) const STORES: usize = 2;
/// Customers.
pub(crate) const CUSTOMERS: usize = 8;
/// What a rider carries at once, at most.
const CAPACITY: usize = 20;
/// Riders where few orders are in flight.
const RIDERS_MIN: usize = 8;

/// A control plane and all programs on it. Dropping it ends them.
pub(crate) struct Stage {
    /// An administrator's.
    pub(crate) client: Client,
    /// How many riders there are.
    pub(crate) riders: usize,
    pub(crate) operator: Option<Operator>,
    sandbox: Sandbox,
    /// Last, so that it ends last.
    access: ClusterAccess,
}

impl Stage {
    /// With an operator, ready.
    pub(crate) async fn set(
        revision: &Revision,
        latency: Option<&str>,
        open: usize,
        flags: Vec<String>,
    ) -> Result<Self> {
        let mut stage = Self::without_operator(revision, latency, open, flags).await?;
        let kubeconfig = operator_kubeconfig(&stage.access).await?;
        let dir = stage.access.dir().to_owned();
        let options = OperatorOptions::default();
        stage.operator =
            Some(Operator::start(&revision.operator, &kubeconfig, &dir, "operator", options).await?);
        wait_stamped(&stage.access).await?;
        Ok(stage)
    }

    /// Without one.
    pub(crate) async fn without_operator(
        revision: &Revision,
        latency: Option<&str>,
        open: usize,
        apiserver_flags: Vec<String>,
    ) -> Result<Self> {
        let options = Options {
            apiserver_flags,
            controller_manager: ControllerManager::Later,
            progress: Progress::Stderr,
            ..Options::default()
        };
        let access = ClusterAccess::local_with(options).await?;
        install_base(&access, &revision.root, |_| {}).await?;
        let latency = latency.map(str::to_owned);
        let sandbox = Sandbox::start(
            &revision.sandbox,
            access.dir(),
            "sandbox",
            SandboxOptions { latency, ..SandboxOptions::default() },
        )
        .await?;
        let client = access.client().await?;
        let riders = RIDERS_MIN.max(open.div_ceil(CAPACITY) * 2);
        let objects = marketplace(&sandbox.url(), riders);
        let text: Vec<String> = objects.iter().map(Value::to_string).collect();
        ClusterAccess::apply(&client, &text.join("\n---\n")).await?;
        Ok(Self { client, riders, operator: None, sandbox, access })
    }

    /// The client of the operator's service account.
    pub(crate) async fn operator_client(&self) -> Result<Client> {
        let path = operator_kubeconfig(&self.access).await?;
        let kubeconfig = kube::config::Kubeconfig::read_from(path)?;
        let mut config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
                .await?;
        config.default_retry = false;
        config.proxy_url = None;
        Ok(Client::try_from(config)?)
    }

    /// Every process by name: etcd, API server, controller manager, operator, sandbox, and this program.
    pub(crate) fn processes(&self) -> Result<Vec<(&'static str, u32)>> {
        let cluster = self.access.local_cluster().context("a local cluster")?;
        let names = ["etcd", "API server", "controller manager"];
        let mut all: Vec<_> = names.into_iter().zip(cluster.pids()).collect();
        all.extend(self.operator.as_ref().and_then(Operator::pid).map(|pid| ("operator", pid)));
        all.extend(self.sandbox.pid().map(|pid| ("provider", pid)));
        all.push(("load", std::process::id()));
        Ok(all)
    }
}

fn marketplace(provider: &str, riders: usize) -> Vec<Value> {
    let food = |kind: &str, name: String, spec: Value| {
        json!({
            "apiVersion": "fooddelivery.dev/v1alpha1", "kind": kind,
            "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec,
        })
    };
    let mut all = vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "bench", "namespace": OPERATOR_NAMESPACE },
            "stringData": { "secretKey": fooddelivery_sandbox::config::DEFAULT_SECRET_KEY },
        }),
        json!({
            "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "PaymentProvider", "metadata": { "name": "bench" },
            "spec": {
                "dialect": "Toss", "endpoint": provider, "allowPlainHttp": true, "timeout": "5s",
                "concurrency": 64, "secretRef": { "name": "bench" },
            },
        }),
    ];
    all.extend((0..STORES).map(|n| {
        let menu =
            json!([{ "name": "bibimbap", "price": 9_500 }, { "name": "kimchi-jjigae", "price": 8_500 }]);
        let spec = json!({ "region": "mapo", "menu": menu });
        food("Store", format!("store-{n}"), spec)
    }));
    all.extend(
        (0..riders)
            .map(|n| food("Rider", format!("rider-{n}"), json!({ "region": "mapo", "capacity": CAPACITY }))),
    );
    all.extend(
        (0..CUSTOMERS)
            .map(|n| food("Customer", format!("customer-{n}"), json!({ "contact": "010-0000-0000" }))),
    );
    all
}
