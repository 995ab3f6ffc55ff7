//! Objects that this version of the operator does not understand, or that were born before its policies: they wedge
//! nothing but themselves. These tests change CRDs and policies, so the cluster is their own.

use std::time::Duration;

use anyhow::Result;
use fooddelivery_api::{crds, policies};
use fooddelivery_e2e::install::wait_stamped;
use fooddelivery_e2e::{LONG, Order, OrderPhase, Payment, TestCluster, TestNamespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

/// A later version of the Order CRD: a word more, and a field no longer required.
async fn a_newer_order_crd(client: &Client) -> Result<()> {
    let ours = crds::all()?.into_iter().find(|c| c.spec.names.kind == "Order").expect("the Order CRD");
    let mut newer = serde_json::to_value(&ours)?;
    let schema = &mut newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let words = schema["properties"]["payment"]["properties"]["whenUnavailable"]["enum"].as_array_mut();
    words.expect("an enum").push(json!("PayCourier"));
    schema["required"].as_array_mut().expect("a list").retain(|field| field != "delivery");
    let rules = schema["x-kubernetes-validations"].as_array_mut().expect("rules");
    rules.retain(|rule| !rule["rule"].as_str().unwrap_or_default().contains("self.delivery"));
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    newer["metadata"]["resourceVersion"] = json!(api.get(&ours.name_any()).await?.resource_version());
    api.replace(&ours.name_any(), &PostParams::default(), &serde_json::from_value(newer)?).await?;
    Ok(())
}

async fn apply_until_taken(ns: &TestNamespace, object: &Value) -> Result<()> {
    for _ in 0..100 {
        if ns.apply_yaml(&object.to_string()).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ns.apply_yaml(&object.to_string()).await.map_err(anyhow::Error::msg)
}

fn object(ns: &TestNamespace, name: &str, change: impl FnOnce(&mut Value)) -> Result<Value> {
    let mut spec = serde_json::to_value(ns.order_spec(name))?;
    change(&mut spec);
    let metadata = json!({ "name": name });
    Ok(
        json!({ "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Order", "metadata": metadata, "spec": spec }),
    )
}

async fn goes_through(ns: &TestNamespace, name: &str) -> Result<()> {
    ns.order(name, |_| {}).await?;
    ns.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_of_a_newer_version_and_a_malformed_object_wedge_nothing_but_themselves() -> Result<()> {
    let cluster = TestCluster::fresh().await?;
    let ns = cluster.namespace("unknown-values").await?;
    goes_through(&ns, "before").await?;
    a_newer_order_crd(&ns.client).await?;
    let unknown = object(&ns, "unknown-word", |s| s["payment"]["whenUnavailable"] = json!("PayCourier"))?;
    apply_until_taken(&ns, &unknown).await?;
    let malformed =
        object(&ns, "malformed", |s| drop(s.as_object_mut().expect("a spec").remove("delivery")))?;
    apply_until_taken(&ns, &malformed).await?;
    goes_through(&ns, "after").await?;
    ns.operator.kill_hard()?;
    ns.operator.restart().await?;
    goes_through(&ns, "after-a-restart").await?;
    ns.cook("before").await?;
    ns.wait_phase("before", OrderPhase::AwaitingRider, LONG).await?;
    assert!(ns.find::<Payment>("unknown-word").await?.is_none(), "hands off");
    assert!(ns.find::<Payment>("malformed").await?.is_none(), "hands off");
    let told = ns.events("malformed").await?;
    assert!(told.iter().any(|(reason, note)| reason == "Malformed" && note.contains("delivery")), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_born_before_the_policies_gets_its_finalizer_before_anything_else() -> Result<()> {
    let cluster = TestCluster::fresh().await?;
    let ns = cluster.namespace("unstamped").await?;
    cluster.access().kubectl(["delete", "mutatingadmissionpolicybinding", policies::STAMP]).await?;
    let mut unstamped = None;
    for n in 0..50 {
        ns.operator.kill_hard()?;
        let order = ns.order(&format!("order-{n}"), |_| {}).await?;
        if order.finalizers().is_empty() {
            unstamped = Some(order.name_any());
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let name = unstamped.expect("the policy is gone after a while");
    ns.operator.restart().await?;
    ns.wait_phase(&name, OrderPhase::AwaitingStore, LONG).await?;
    let order = ns.get::<Order>(&name).await?;
    let payment = ns.get::<Payment>(&name).await?;
    assert_eq!(order.finalizers(), ["fooddelivery.dev/saga"]);
    assert_eq!(payment.finalizers(), ["fooddelivery.dev/saga"]);
    // The operator puts the policy back at its start.
    wait_stamped(cluster.access()).await?;
    let log = std::fs::read_to_string(ns.operator.log_path())?;
    assert!(log.contains("created child=Payment"), "{log}");
    ns.delete(&name, kube::api::PropagationPolicy::Background).await?;
    ns.wait_gone::<Order>(&name, LONG).await?;
    ns.audit().await
}
