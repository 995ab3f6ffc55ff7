//! `fooddelivery-operator recount`: counts that were lost, as in a restore, are found; the operator writes those of stores and
//! riders anew, and those of coupons are raised to what exists.

use std::process::Output;

use anyhow::{Context, Result};
use fooddelivery_api::Coupon;
use fooddelivery_e2e::market::dishes;
use fooddelivery_e2e::namespace::Kind;
use fooddelivery_e2e::{OrderPhase, Rider, Store, TestCluster, TestNamespace};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::process::Command;

async fn recount(ns: &TestNamespace, further: &[&str]) -> Result<Output> {
    let program = &ns.cluster.programs().operator;
    let mut command = Command::new(program);
    command.args(["recount", "--namespace", &ns.name]).args(further);
    command.env("KUBECONFIG", ns.cluster.operator_kubeconfig());
    command.output().await.with_context(|| program.display().to_string())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// As somebody who restores objects without what stood in their status.
async fn lose<K: Kind>(ns: &TestNamespace, name: &str, status: serde_json::Value) -> Result<()> {
    let client = ns.cluster.access().client_of(ns.cluster.operator_kubeconfig()).await?;
    let api: Api<K> = Api::namespaced(client, &ns.name);
    let change = Patch::Merge(json!({ "status": status }));
    api.patch_status(name, &PatchParams::default(), &change).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_were_lost_are_found_and_raised_to_what_exists() -> Result<()> {
    let ns = TestCluster::shared().await?.namespace("recount").await?;
    ns.coupon("spring", json!({ "discount": { "percent": 10 } })).await?;
    for name in ["lunch", "dinner"] {
        ns.order_with(name, "spring").await?;
        ns.cook(name).await?;
        ns.complete(name).await?;
    }
    ns.order_with("undone", "spring").await?;
    ns.wait_phase("undone", OrderPhase::AwaitingStore, fooddelivery_e2e::LONG).await?;
    ns.cancel("undone", "changed my mind").await?;
    let whole = dishes(&[("bibimbap", 2, 4), ("kimchi-jjigae", 2, 2)]);
    assert_eq!(ns.dishes("hanok").await?, whole);
    assert_eq!(ns.brought("minjun").await?, 2);
    ns.wait_redeemed("spring", 2).await?;
    let right = recount(&ns, &[]).await?;
    assert!(right.status.success() && said(&right).contains("none below what exists"), "{}", said(&right));

    // Nobody is to write them anew before they are looked at.
    ns.operator.stop().await?;
    lose::<Store>(&ns, "hanok", json!({ "ordersByMenuItem": null })).await?;
    lose::<Rider>(&ns, "minjun", json!({ "deliveries": 1 })).await?;
    lose::<Coupon>(&ns, "spring", json!({ "redeemed": 0, "releasing": null })).await?;
    let wrong = recount(&ns, &[]).await?;
    assert!(!wrong.status.success(), "{}", said(&wrong));
    for line in [
        "shows orders of bibimbap 0, and comes to 2",
        "shows orders of kimchi-jjigae 0, and comes to 2",
        "shows deliveries 1, and comes to 2",
        "redemptions 0, and 2 exist",
    ] {
        assert!(said(&wrong).contains(line), "{line} in\n{}", said(&wrong));
    }

    let raised = recount(&ns, &["--repair"]).await?;
    assert!(raised.status.success(), "{}", said(&raised));
    ns.operator.restart().await?;
    assert_eq!(ns.dishes("hanok").await?, whole);
    assert_eq!(ns.brought("minjun").await?, 2);
    ns.wait_redeemed("spring", 2).await?;
    let again = recount(&ns, &[]).await?;
    assert!(again.status.success(), "{}", said(&again));
    // What stood there beside the counts is unharmed.
    assert!(ns.get::<Store>("hanok").await?.spec.open);
    ns.audit().await
}
