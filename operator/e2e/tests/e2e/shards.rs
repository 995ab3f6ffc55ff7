//! Replicas share the work: each order is one replica's, and when a replica goes the others have its orders at once, or
//! when its Lease has lapsed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fooddelivery_e2e::{
    LONG, NamespaceOptions, Operator, OperatorOptions, OrderPhase, TestCluster, TestNamespace, TicketStage,
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

const ORDERS: usize = 24;

fn names(prefix: &str) -> Vec<String> {
    (0..ORDERS).map(|n| format!("{prefix}-{n}")).collect()
}

/// How many steps of each of these orders an operator made, by its log.
fn moved(ns: &TestNamespace, operator: &Operator, orders: &[String]) -> Result<BTreeMap<String, usize>> {
    let log = std::fs::read_to_string(operator.log_path())?;
    let steps = |name: &String| {
        let order = format!("order={}/{name} ", ns.name);
        log.lines().filter(|line| line.contains("order moved") && line.contains(&order)).count()
    };
    Ok(orders.iter().map(|name| (name.clone(), steps(name))).filter(|(_, steps)| *steps > 0).collect())
}

async fn wait_members(ns: &TestNamespace, operators: &[&Operator]) -> Result<()> {
    let started = Instant::now();
    loop {
        let mut known = 0;
        for operator in operators {
            let log = std::fs::read_to_string(operator.log_path())?;
            let last = log.lines().rfind(|line| line.contains("shard membership")).unwrap_or_default();
            // Replicas of other tests are there, too; they work elsewhere.
            known += usize::from(operators.iter().all(|other| last.contains(other.name())));
        }
        if known == operators.len() {
            return Ok(());
        }
        ensure!(started.elapsed() < LONG, "they do not know each other\n{}", ns.operator.log_tail(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A replica whose Lease does not lapse within any of these tests, however busy the machine is.
fn lasting() -> OperatorOptions {
    OperatorOptions { args: vec!["--shard-lease-ms=3600000".into()], ..OperatorOptions::default() }
}

/// A namespace with two replicas that know each other.
async fn two(name: &str, options: OperatorOptions) -> Result<(TestNamespace, Operator)> {
    let first = NamespaceOptions { operator: options.clone(), ..NamespaceOptions::default() };
    let ns = TestCluster::shared().await?.namespace_with(name, first).await?;
    let second = ns.another_operator(options).await?;
    wait_members(&ns, &[&ns.operator, &second]).await?;
    Ok((ns, second))
}

async fn paid(ns: &TestNamespace, orders: &[String]) -> Result<()> {
    for name in orders {
        ns.order(name, |_| {}).await?;
    }
    for name in orders {
        ns.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
    }
    Ok(())
}

/// All stores accept at one moment; how long until the last order says so. For the reader alone: how long a machine
/// takes that does two dozen things at a time says nothing about a replica (`cargo node-test` measures that).
async fn accepted(ns: &TestNamespace, orders: &[String]) -> Result<Duration> {
    let begun = Instant::now();
    for name in orders {
        ns.move_ticket(name, TicketStage::Accepted).await?;
    }
    for name in orders {
        ns.wait_phase(name, OrderPhase::Accepted, LONG).await?;
    }
    Ok(begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_order_is_one_replicas_and_each_replica_has_some() -> Result<()> {
    let (ns, second) = two("shared-work", lasting()).await?;
    let orders = names("order");
    paid(&ns, &orders).await?;
    accepted(&ns, &orders).await?;
    let (first, other) = (moved(&ns, &ns.operator, &orders)?, moved(&ns, &second, &orders)?);
    let both: Vec<&String> = first.keys().filter(|name| other.contains_key(*name)).collect();
    println!("of {ORDERS} orders one replica had {}, the other {}", first.len(), other.len());
    ensure!(both.is_empty(), "both worked on {both:?}");
    ensure!(first.len() >= 4 && other.len() >= 4, "{} and {}", first.len(), other.len());
    ns.audit().await
}

/// After the Lease's time, as `fooddelivery_runtime::sharding::membership` tests with a clock of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_orders_of_a_replica_that_was_killed_go_on_when_its_lease_has_lapsed() -> Result<()> {
    let (ns, second) = two("killed", OperatorOptions::default()).await?;
    let before = names("before");
    paid(&ns, &before).await?;
    let usual = accepted(&ns, &before).await?;
    let orders = names("order");
    paid(&ns, &orders).await?;
    second.kill_hard()?;
    let took = accepted(&ns, &orders).await?;
    println!(
        "after a kill -9 the last of {ORDERS} orders went on after {:.1} s, else after {:.1} s",
        took.as_secs_f32(),
        usual.as_secs_f32()
    );
    ensure!(!moved(&ns, &second, &orders)?.is_empty(), "it had had some of them");
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_hands_over_at_once_and_one_that_comes_takes_its_part() -> Result<()> {
    let (ns, second) = two("handed-over", lasting()).await?;
    let orders = names("order");
    paid(&ns, &orders).await?;
    second.stop().await?;
    let took = accepted(&ns, &orders).await?;
    // That they went on at all is the proof: a Lease of an hour does not lapse.
    println!("after a SIGTERM the last of {ORDERS} orders went on after {:.1} s", took.as_secs_f32());
    let leases: Api<Lease> = Api::namespaced(ns.client.clone(), fooddelivery_api::OPERATOR_NAMESPACE);
    let left = leases.list(&ListParams::default()).await?;
    ensure!(left.iter().all(|lease| !lease.name_any().ends_with(second.name())), "its Lease is gone");
    let third = ns.another_operator(lasting()).await?;
    wait_members(&ns, &[&ns.operator, &third]).await?;
    let more = names("more");
    paid(&ns, &more).await?;
    ensure!(!moved(&ns, &third, &more)?.is_empty(), "the third has its part");
    ns.audit().await
}
