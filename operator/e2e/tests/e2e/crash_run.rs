//! A short run of `cargo crash-test`: the operator killed at random moments while orders live their lives.

use anyhow::Result;
use fooddelivery_e2e::TestCluster;
use fooddelivery_e2e::crash::{Plan, run};

use crate::size;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_when_the_ledger_is_right() -> Result<()> {
    let plan = Plan { orders: size::of(16, 40), seed: rand::random_range(0..1_000_000) };
    eprintln!("crash-test: again with: cargo crash-test --orders {} --seed {}", plan.orders, plan.seed);
    let cluster = TestCluster::exclusive().await?;
    let report = run(&cluster, plan, |line| eprintln!("crash-test: {line}")).await?;
    assert!(report.kills >= size::of(1, 2), "it was killed: {report:?}");
    assert!(report.findings.is_empty(), "seed {}: {:#?}", plan.seed, report.findings);
    cluster.give_back();
    Ok(())
}
