//! `fooddelivery-operator drain`: no order slips through, and the kinds go only after it, with nothing left hanging.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use fooddelivery_api::policies::birth;
use fooddelivery_api::policies::drain::{DRAIN_FIRST, NO_NEW_ORDERS};
use fooddelivery_e2e::binaries::workspace;
use fooddelivery_e2e::{LONG, Order, OrderPhase, Payment, TestCluster, TestNamespace};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A drain under way, as the administrator.
struct Drain {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Drain {
    fn start(cluster: &TestCluster, args: &[&str]) -> Result<Self> {
        let kubeconfig = cluster.access().cluster().kubeconfig().context("a kubeconfig")?;
        let mut command = Command::new(&cluster.programs().operator);
        command.arg("drain").args(args).env("KUBECONFIG", kubeconfig).kill_on_drop(true);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        Ok(Self { child, lines })
    }

    /// The first line from here on that has `part` in it.
    async fn line(&mut self, part: &str) -> Result<String> {
        let found = async {
            while let Some(line) = self.lines.next_line().await? {
                if line.contains(part) {
                    return Ok(line);
                }
            }
            let mut said = String::new();
            self.child.stderr.take().context("read before")?.read_to_string(&mut said).await?;
            bail!("it ended without {part}: {said}")
        };
        tokio::time::timeout(LONG, found).await.with_context(|| format!("waited for {part}"))?
    }

    /// Whether it ended well, and the rest of what it said.
    async fn end(mut self) -> Result<(bool, String)> {
        let mut said = String::new();
        let ended = async {
            while let Some(line) = self.lines.next_line().await? {
                said += &line;
                said += "\n";
            }
            if let Some(mut stderr) = self.child.stderr.take() {
                stderr.read_to_string(&mut said).await?;
            }
            anyhow::Ok(self.child.wait().await?.success())
        };
        let ok = tokio::time::timeout(LONG, ended).await.context("the drain does not end")??;
        Ok((ok, said))
    }
}

async fn refused(cluster: &TestCluster, args: &[&str]) -> Result<String> {
    match cluster.access().kubectl(args.iter().copied()).await {
        Ok(done) => bail!("{args:?} was done: {done}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

async fn takes_no_orders(ns: &TestNamespace) -> Result<()> {
    let error = ns.order("late", |_| {}).await.expect_err("no new orders");
    assert!(format!("{error:#}").contains(NO_NEW_ORDERS), "{error:#}");
    Ok(())
}

async fn kinds_stay(cluster: &TestCluster) -> Result<()> {
    for what in ["crd/orders.fooddelivery.dev", "crd/stores.fooddelivery.dev", "ns/fooddelivery-system"] {
        let said = refused(cluster, &["delete", what, "--wait=false"]).await?;
        assert!(said.contains(DRAIN_FIRST), "{what}: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kinds_go_only_when_every_order_is_settled_and_then_nothing_is_left() -> Result<()> {
    let cluster = TestCluster::fresh().await?;
    let ns = cluster.namespace("drain").await?;
    for name in ["lunch", "dinner"] {
        ns.order(name, |_| {}).await?;
        ns.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
    }
    kinds_stay(&cluster).await?;

    let mut drain = Drain::start(&cluster, &[])?;
    let open = drain.line("open orders").await?;
    assert!(open.starts_with("open orders: 2 AwaitingStore (drain-"), "{open}");
    takes_no_orders(&ns).await?;
    kinds_stay(&cluster).await?;
    ns.cancel("dinner", "changed my mind").await?;
    drain.line("open orders: 1 AwaitingStore").await?;
    let (ok, said) = Drain::start(&cluster, &["--timeout=1"])?.end().await?;
    assert!(!ok && said.contains("still not done after 1 s"), "{said}");
    ns.cook("lunch").await?;
    ns.complete("lunch").await?;
    let (ok, said) = drain.end().await?;
    assert!(ok && said.contains("every order is settled; 2 are there still"), "{said}");
    takes_no_orders(&ns).await?;
    kinds_stay(&cluster).await?;

    let (ok, said) = Drain::start(&cluster, &["--undo"])?.end().await?;
    assert!(ok && said.contains("new orders are taken again"), "{said}");
    ns.order("breakfast", |_| {}).await?;
    ns.wait_phase("breakfast", OrderPhase::AwaitingStore, LONG).await?;
    kinds_stay(&cluster).await?;
    ns.cancel("breakfast", "changed my mind").await?;
    ns.wait_phase("breakfast", OrderPhase::Cancelled, LONG).await?;
    ns.audit().await?;
    let (ok, said) = Drain::start(&cluster, &["--delete-orders"])?.end().await?;
    assert!(ok && said.contains("no order is left, and the kinds may be deleted"), "{said}");
    assert!(ns.list::<Order>().await?.is_empty() && ns.list::<Payment>().await?.is_empty());
    uninstall(&cluster).await
}

/// As docs/operate/uninstall.md says.
async fn uninstall(cluster: &TestCluster) -> Result<()> {
    let delete = |folder: &str| {
        let folder = workspace().join(folder);
        let args = ["delete", "--ignore-not-found", "--timeout=60s", "-k"].map(Into::into);
        cluster.access().kubectl(args.into_iter().chain([folder.into_os_string()]))
    };
    delete("crds").await?;
    let kinds = cluster.access().kubectl(["get", "crd", "-o", "name"]).await?;
    assert!(!kinds.contains("fooddelivery.dev"), "{kinds}");
    delete("manifests/default").await?;
    let left = ["get", "ns,clusterroles,clusterrolebindings,validatingadmissionpolicies", "-o", "name"];
    let left = cluster.access().kubectl(left).await?;
    assert!(!left.contains("/fooddelivery-"), "{left}");
    if cluster.installed().stamps_finalizers {
        // What the operator applied at its start is collected after the namespace, which owns it.
        let policy = "mutatingadmissionpolicy,mutatingadmissionpolicybinding";
        let args = ["wait", "--for=delete", policy, birth::NAME, "--timeout=60s"];
        cluster.access().kubectl(args).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_of_a_namespace_concerns_no_other_and_can_take_its_orders_away() -> Result<()> {
    let cluster = TestCluster::shared().await?;
    let (ns, other) = (cluster.namespace("drained").await?, cluster.namespace("not-drained").await?);
    ns.order("lunch", |_| {}).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    let scope = format!("--namespace={}", ns.name);
    let mut drain = Drain::start(&cluster, &[&scope, "--delete-orders"])?;
    drain.line("open orders: 1 AwaitingStore").await?;
    takes_no_orders(&ns).await?;
    other.order("lunch", |_| {}).await?;
    let (ok, said) = Drain::start(&cluster, &[])?.end().await?;
    assert!(!ok && said.contains("is under way"), "{said}");
    ns.cancel("lunch", "changed my mind").await?;
    let (ok, said) = drain.end().await?;
    assert!(ok && said.contains("no order is left"), "{said}");
    assert!(ns.list::<Order>().await?.is_empty() && ns.list::<Payment>().await?.is_empty());
    takes_no_orders(&ns).await?;
    kinds_stay(&cluster).await?;
    Drain::start(&cluster, &["--undo"])?.end().await?;
    ns.order("dinner", |_| {}).await?;
    ns.wait_phase("dinner", OrderPhase::AwaitingStore, LONG).await?;
    ns.audit().await
}
