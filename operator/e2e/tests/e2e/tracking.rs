//! Of which objects the API server tracks who set which field (`metadata.managedFields`): of none that the operator makes,
//! and of orders only of those that were created by server-side apply, unless the operator is told otherwise.

use std::time::Instant;

use anyhow::{Result, ensure};
use fooddelivery_api::{Delivery, Order, Payment, Ticket};
use fooddelivery_e2e::namespace::{Kind, NamespaceOptions, TestNamespace};
use fooddelivery_e2e::operator::OperatorOptions;
use fooddelivery_e2e::{LONG, OrderPhase, POLL, TestCluster};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// Who has applied or set fields of an object, by operation and name.
async fn managers<K: Kind>(ns: &TestNamespace, name: &str) -> Result<Vec<String>> {
    let object = ns.get::<K>(name).await?;
    let said = |entry: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry| {
        let (operation, manager) = (entry.operation.as_deref(), entry.manager.as_deref());
        format!("{} {}", operation.unwrap_or_default(), manager.unwrap_or_default())
    };
    Ok(object.managed_fields().iter().map(said).collect())
}

fn document(ns: &TestNamespace, name: &str) -> Value {
    json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Order", "metadata": { "name": name },
        "spec": ns.order_spec(name),
    })
}

/// What kubectl says to `args -f -` with this order.
async fn kubectl(ns: &TestNamespace, args: &[&str], order: &Value) -> Result<String> {
    let all = ["-n", ns.name.as_str()].into_iter().chain(args.iter().copied()).chain(["-f", "-"]);
    ns.cluster.access().kubectl_with_input(all, &order.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_order_that_is_applied_is_tracked() -> Result<()> {
    let cluster = TestCluster::shared().await?;
    if !cluster.installed().stamps_finalizers {
        return Ok(());
    }
    let ns = cluster.namespace("tracking").await?;
    kubectl(&ns, &["create"], &document(&ns, "posted")).await?;
    kubectl(&ns, &["apply"], &document(&ns, "from-a-file")).await?;
    kubectl(&ns, &["apply", "--server-side"], &document(&ns, "applied")).await?;
    for name in ["posted", "from-a-file", "applied"] {
        ns.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
    }
    ns.cook("posted").await?;
    ns.complete("posted").await?;
    // Made, moved by others and shown again by the operator: none of it is tracked.
    assert!(managers::<Order>(&ns, "posted").await?.is_empty());
    assert!(managers::<Payment>(&ns, "posted").await?.is_empty());
    assert!(managers::<Ticket>(&ns, "posted").await?.is_empty());
    assert!(managers::<Delivery>(&ns, "posted").await?.is_empty());
    assert!(managers::<Payment>(&ns, "applied").await?.is_empty(), "children of whatever order");
    let applied = managers::<Order>(&ns, "applied").await?;
    assert!(applied.contains(&"Apply kubectl".to_owned()), "{applied:?}");
    assert!(applied.iter().any(|who| who.starts_with("Update ")), "the operator's status, too: {applied:?}");
    // A file needs no tracking to be applied again: what it said last stands in an annotation.
    kubectl(&ns, &["apply"], &document(&ns, "from-a-file")).await?;
    assert!(managers::<Order>(&ns, "from-a-file").await?.is_empty());
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_not_tracked_can_be_applied_later() -> Result<()> {
    let cluster = TestCluster::shared().await?;
    if !cluster.installed().stamps_finalizers {
        return Ok(());
    }
    let ns = cluster.namespace("tracking-later").await?;
    let order = ns.order("lunch", |_| {}).await?;
    assert!(order.managed_fields().is_empty());
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    // The same again is no conflict, and goes on being none when the order was cancelled.
    kubectl(&ns, &["apply", "--server-side"], &document(&ns, "lunch")).await?;
    ns.cancel("lunch", "no longer hungry").await?;
    kubectl(&ns, &["apply", "--server-side"], &document(&ns, "lunch")).await?;
    let managers = managers::<Order>(&ns, "lunch").await?;
    assert!(managers.iter().any(|who| who.ends_with("before-first-apply")), "{managers:?}");
    // Another value of what was there before is somebody else's.
    let orders = ns.api::<Order>();
    let other = json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Order", "metadata": { "name": "lunch" },
        "spec": { "expectedTotal": 1, "delivery": { "address": "elsewhere" } },
    });
    let params = PatchParams::apply("somebody-else");
    let said = orders.patch("lunch", &params, &Patch::Apply(&other)).await.expect_err("a conflict");
    assert!(said.to_string().contains("conflict"), "{said}");
    ns.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_cancellation_is_refused_by_its_first_apply() -> Result<()> {
    let cluster = TestCluster::shared().await?;
    let ns = cluster.namespace("file-of-acts").await?;
    for way in [&["apply"][..], &["apply", "--server-side"]] {
        let name = format!("lunch-{}", way.len());
        kubectl(&ns, way, &document(&ns, &name)).await?;
        let mut cancelled = document(&ns, &name);
        cancelled["spec"]["cancellation"] = json!({ "reason": "no longer hungry" });
        let said = kubectl(&ns, way, &cancelled).await.expect_err("an act is no file's").to_string();
        assert!(said.contains("cancellation is set with kubectl patch"), "{said}");
        ns.cancel(&name, "no longer hungry").await?;
        // The file goes on being applied, as it was and with what is there.
        kubectl(&ns, way, &document(&ns, &name)).await?;
        kubectl(&ns, way, &cancelled).await?;
        ns.wait_phase(&name, OrderPhase::Cancelled, LONG).await?;
    }
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_is_tracked_where_the_operator_is_told_so() -> Result<()> {
    let cluster = TestCluster::exclusive().await?;
    if !cluster.installed().stamps_finalizers {
        cluster.give_back();
        return Ok(());
    }
    let args = vec!["--track-order-fields".to_owned()];
    let operator = OperatorOptions { args, ..OperatorOptions::default() };
    let options = NamespaceOptions { operator, ..NamespaceOptions::default() };
    let ns = cluster.namespace_with("tracking-all", options).await?;
    let begun = Instant::now();
    let mut number = 0;
    // An API server takes up a policy a moment after it was written.
    let tracked = loop {
        let order = ns.order(&format!("order-{number}"), |_| {}).await?;
        if !order.managed_fields().is_empty() {
            break order.name_any();
        }
        ensure!(begun.elapsed() < LONG, "no order is tracked");
        number += 1;
        tokio::time::sleep(POLL).await;
    };
    ns.wait_phase(&tracked, OrderPhase::AwaitingStore, LONG).await?;
    assert!(managers::<Order>(&ns, &tracked).await?.len() > 1, "the customer and the operator");
    assert!(managers::<Payment>(&ns, &tracked).await?.is_empty(), "nobody applies a payment");
    ns.audit().await
}
