//! What a run is played on: a control plane of its own with a revision's base, its operator, a provider, and a marketplace of
//! two stores, riders and customers. Everybody but the operator acts as an administrator.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fooddelivery_api::{GROUP, VERSION};
use fooddelivery_e2e::ClusterAccess;
use fooddelivery_e2e::identity::operator_kubeconfig;
use fooddelivery_e2e::install::{install_base, wait_stamped};
use fooddelivery_e2e::operator::{Operator, OperatorOptions};
use fooddelivery_e2e::samples::{provider, provider_secret};
use fooddelivery_e2e::sandbox::{Sandbox, SandboxOptions};
use kube::Client;
use local_cluster::{ControllerManager, CpuShare, Options, Progress};
use serde_json::{Map, Value, json};

use crate::arm::Arm;
use crate::crowd;
use crate::meter::{LOAD, OPERATOR};

/// The namespace of everything.
pub(crate) const NAMESPACE: &str = "food";
/// The payment provider.
pub(crate) const PROVIDER: &str = "bench";
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
    /// That of the operator's service account.
    pub(crate) operator_client: Client,
    /// How many riders there are.
    pub(crate) riders: usize,
    /// The replicas of the operator.
    pub(crate) operators: Vec<Operator>,
    sandbox: Sandbox,
    /// How long the last replica took from its start to being ready.
    pub(crate) last_start: Duration,
    /// Ended after the replicas that are held by it.
    shares: Vec<CpuShare>,
    /// Last, so that it ends last.
    access: ClusterAccess,
}

impl Stage {
    /// All of it, the crowd there and every replica of the operator ready.
    pub(crate) async fn set(
        arm: &Arm,
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
        let revision = &arm.revision;
        let access = ClusterAccess::local_with(options).await?;
        install_base(&access, &revision.root, |_| {}).await?;
        let (client, dir) = (access.client().await?, access.dir());
        let of_sandbox = SandboxOptions { latency: latency.map(str::to_owned), ..SandboxOptions::default() };
        let sandbox = Sandbox::start(&revision.sandbox, dir, "sandbox", of_sandbox).await?;
        let riders = RIDERS_MIN.max(open.div_ceil(CAPACITY) * 2);
        let objects: Vec<String> = marketplace(&sandbox.url(), riders).iter().map(Value::to_string).collect();
        ClusterAccess::apply(&client, &objects.join("\n---\n")).await?;
        let kubeconfig = operator_kubeconfig(&access).await?;
        let operator_client = access.client_of(&kubeconfig).await?;
        let name = |number: usize| format!("operator-{number}");
        let operator = |number| {
            Operator::new(&revision.operator, &kubeconfig, dir, &name(number), OperatorOptions::default())
        };
        let operators: Vec<Operator> = (0..arm.replicas).map(operator).collect::<Result<_>>()?;
        if let Some(size) = arm.crowd {
            // With counts that do not lag.
            let first = operators.first().context("a replica")?;
            first.restart().await?;
            wait_stamped(&access).await?;
            crowd::fill(&access, &client, size, async || first.stop().await.map(drop)).await?;
        }
        let mut last_start = Duration::ZERO;
        for operator in &operators {
            let begun = Instant::now();
            operator.restart_with(as_shipped()).await?;
            last_start = begun.elapsed();
        }
        wait_stamped(&access).await?;
        let shares = Vec::new();
        Ok(Self { client, operator_client, riders, operators, sandbox, last_start, shares, access })
    }

    /// Ends all replicas.
    pub(crate) async fn stop_replicas(&self) -> Result<()> {
        for operator in &self.operators {
            operator.stop().await?;
        }
        Ok(())
    }

    /// Gives each replica so much of a processor from now on; `None`: what there is.
    pub(crate) fn hold_replicas(&mut self, cores: Option<f64>) -> Result<()> {
        let Some(cores) = cores else { return Ok(()) };
        for operator in &self.operators {
            let share = CpuShare::new(operator.name(), cores)?;
            share.hold(operator.pid().context("an operator that runs")?)?;
            self.shares.push(share);
        }
        Ok(())
    }

    /// Every process by name: etcd, API server, controller manager, every replica of the operator, sandbox, and this program.
    pub(crate) fn processes(&self) -> Result<Vec<(&'static str, u32)>> {
        let cluster = self.access.local_cluster().context("a local cluster")?;
        let names = ["etcd", "API server", "controller manager"];
        let mut all: Vec<_> = names.into_iter().zip(cluster.pids()).collect();
        all.extend(self.operators.iter().filter_map(Operator::pid).map(|pid| (OPERATOR, pid)));
        all.extend(self.sandbox.pid().map(|pid| ("provider", pid)));
        all.push((LOAD, std::process::id()));
        Ok(all)
    }
}

fn marketplace(endpoint: &str, riders: usize) -> Vec<Value> {
    let fields = Map::from_iter([("timeout".to_owned(), json!("5s")), ("concurrency".to_owned(), json!(64))]);
    let mut all = vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        provider_secret(PROVIDER),
        provider(PROVIDER, PROVIDER, endpoint, &fields),
    ];
    all.extend((0..STORES).map(|n| store(&format!("store-{n}"))));
    all.extend((0..riders).map(|n| rider(&format!("rider-{n}"))));
    all.extend((0..CUSTOMERS).map(|n| customer(&format!("customer-{n}"))));
    all
}

/// A store with what orders ask for.
pub(crate) fn store(name: &str) -> Value {
    let menu = json!([{ "name": "bibimbap", "price": 9_500 }, { "name": "kimchi-jjigae", "price": 8_500 }]);
    object("Store", name, &json!({ "region": "mapo", "menu": menu }))
}

/// A rider of the store's region.
pub(crate) fn rider(name: &str) -> Value {
    object("Rider", name, &json!({ "region": "mapo", "capacity": CAPACITY }))
}

/// A customer.
pub(crate) fn customer(name: &str) -> Value {
    object("Customer", name, &json!({ "contact": "010-0000-0000" }))
}

/// An object of the group.
pub(crate) fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind,
        "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec,
    })
}

/// Counts lag as they do where nobody waits for them.
fn as_shipped() -> OperatorOptions {
    let env = vec![("FOODDELIVERY_COUNT_LAG_MS".to_owned(), "30000".to_owned())];
    OperatorOptions { env, ..OperatorOptions::default() }
}
