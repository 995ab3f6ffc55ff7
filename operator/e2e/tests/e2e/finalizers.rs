//! Finalizers of somebody else on what only the operator may change: none is put on, and one that is there all the same
//! holds nothing up that nobody could let go.

use anyhow::Result;
use fooddelivery_api::{FINALIZER, kinds, policies};
use fooddelivery_e2e::{Delivery, LONG, Order, OrderPhase, Payment, TestCluster, TestNamespace, Ticket};
use kube::ResourceExt;
use serde_json::{Value, json};

const FOREIGN: &str = "example.com/mine";
const NOT_PUT_ON: &str =
    "finalizers of orders and their children are the operator's alone: no other can be put on";
const OURS: &str = "finalizers of orders and their children are the operator's alone";

async fn finalizers(ns: &TestNamespace, plural: &str, name: &str) -> Result<Vec<String>> {
    let shown = ns.kubectl(&["get", plural, name, "-o", "jsonpath={.metadata.finalizers}"]).await?;
    Ok(if shown.is_empty() { Vec::new() } else { serde_json::from_str(&shown)? })
}

fn change(finalizers: &[&str]) -> String {
    json!({ "metadata": { "finalizers": finalizers } }).to_string()
}

/// As an administrator: whether it was done, and what was said.
async fn set(ns: &TestNamespace, plural: &str, name: &str, to: &[&str]) -> Result<String> {
    ns.kubectl(&["patch", plural, name, "--type=merge", "-p", &change(to)]).await
}

/// Past the policies, which spare the operator alone: with its name, and an administrator's rights.
async fn put_on(ns: &TestNamespace, plural: &str, name: &str) -> Result<()> {
    let mut held = finalizers(ns, plural, name).await?;
    held.push(FOREIGN.to_owned());
    let change = change(&held.iter().map(String::as_str).collect::<Vec<_>>());
    let user = policies::operator_user();
    let who = ["--as", &user, "--as-group=system:masters"];
    ns.kubectl(&[&who[..], &["patch", plural, name, "--type=merge", "-p", &change]].concat()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_not_born_with_a_finalizer_that_nobody_would_take_off() -> Result<()> {
    let ns = TestCluster::shared().await?.namespace("born-held").await?;
    for finalizers in [&[FOREIGN][..], &[FINALIZER, FOREIGN], &["foregroundDeletion"]] {
        let mut order = serde_json::to_value(Order::new("held", ns.order_spec("held")))?;
        order["metadata"]["finalizers"] = json!(finalizers);
        let said = ns.apply_yaml(&order.to_string()).await.expect_err("it is born");
        assert!(said.contains(NOT_PUT_ON), "{finalizers:?}: {said}");
    }
    assert!(ns.find::<Order>("held").await?.is_none());
    let mut order = serde_json::to_value(Order::new("ours", ns.order_spec("ours")))?;
    order["metadata"]["finalizers"] = json!([FINALIZER]);
    ns.apply_yaml(&order.to_string()).await.expect("what every order gets may be there already");
    ns.wait_phase("ours", OrderPhase::AwaitingStore, LONG).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_finalizer_on_any_kind_is_taken_off_by_who_may_change_it_and_ours_is_not() -> Result<()> {
    let ns = TestCluster::shared().await?.namespace("held").await?;
    ns.coupon("flat", json!({ "discount": { "amount": 3_000 }, "perCustomer": 1 })).await?;
    ns.order("lunch", |o| o.coupon_code = Some("flat".into())).await?;
    ns.cook("lunch").await?;
    ns.wait_until::<Delivery>("lunch", "a delivery", LONG, |_| true).await?;
    ns.wait_redeemed("flat", 1).await?;
    let mut held = Vec::new();
    for kind in kinds::ALL.iter().filter(|kind| kind.is_guarded()) {
        let list: Value = serde_json::from_str(&ns.kubectl(&["get", kind.plural, "-o", "json"]).await?)?;
        let name = list["items"][0]["metadata"]["name"].as_str().expect(kind.plural).to_owned();
        put_on(&ns, kind.plural, &name).await?;
        held.push((kind.plural, name));
    }
    ns.complete("lunch").await?;
    ns.kubectl(&["delete", "order", "lunch", "--wait=false"]).await?;
    let waits = |p: &Payment| p.metadata.deletion_timestamp.is_some() && p.finalizers() == [FOREIGN];
    ns.wait_until::<Payment>("lunch", "only the foreign finalizer is left", LONG, waits).await?;

    // The order's own goes only after its children.
    assert_eq!(finalizers(&ns, "orders", "lunch").await?, [FINALIZER, FOREIGN]);
    for stripped in [&[][..], &[FOREIGN]] {
        let said = set(&ns, "orders", "lunch", stripped).await.expect_err("ours is gone").to_string();
        assert!(said.contains(OURS) && !said.contains(NOT_PUT_ON), "{said}");
    }
    for (plural, name) in &held {
        let kept = finalizers(&ns, plural, name).await?;
        let kept: Vec<&str> = kept.iter().map(String::as_str).filter(|held| *held != FOREIGN).collect();
        let more = [&kept[..], &[FOREIGN, "example.com/another"]].concat();
        // On its way out it takes no new one, whoever asks.
        let said = set(&ns, plural, name, &more).await.expect_err("another is put on").to_string();
        assert!(said.contains(NOT_PUT_ON) || said.contains("no new finalizers"), "{plural}: {said}");
        set(&ns, plural, name, &kept).await?;
    }
    ns.wait_gone::<Payment>("lunch", LONG).await?;
    ns.wait_gone::<Ticket>("lunch", LONG).await?;
    ns.wait_gone::<Delivery>("lunch", LONG).await?;
    ns.wait_gone::<Order>("lunch", LONG).await?;
    let (_, use_of_coupon) = held.last().expect("a coupon use");
    assert!(finalizers(&ns, "couponuses", use_of_coupon).await?.is_empty());
    ns.audit().await
}
