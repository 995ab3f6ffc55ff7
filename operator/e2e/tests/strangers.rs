//! Objects that this version of the operator does not understand, or that were born before its policies: they wedge
//! nothing but themselves. These tests change CRDs and policies, so the cluster is their own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use fooddelivery_api::crds;
use fooddelivery_e2e::{Kitchen, LONG, Order, OrderPhase, Payment, Stage};
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

async fn apply_until_taken(kitchen: &Kitchen, object: &Value) -> Result<()> {
    for _ in 0..100 {
        if kitchen.apply_yaml(&object.to_string()).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    kitchen.apply_yaml(&object.to_string()).await.map_err(anyhow::Error::msg)
}

fn object(kitchen: &Kitchen, name: &str, change: impl FnOnce(&mut Value)) -> Result<Value> {
    let mut spec = serde_json::to_value(kitchen.order_spec(name))?;
    change(&mut spec);
    let metadata = json!({ "name": name });
    Ok(
        json!({ "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Order", "metadata": metadata, "spec": spec }),
    )
}

async fn goes_through(kitchen: &Kitchen, name: &str) -> Result<()> {
    kitchen.order(name, |_| {}).await?;
    kitchen.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_of_a_newer_version_and_a_malformed_object_wedge_nothing_but_themselves() -> Result<()> {
    let stage: Arc<Stage> = Stage::local().await?;
    let kitchen = stage.kitchen("strangers").await?;
    goes_through(&kitchen, "before").await?;
    a_newer_order_crd(&kitchen.client).await?;
    let unknown =
        object(&kitchen, "unknown-word", |s| s["payment"]["whenUnavailable"] = json!("PayCourier"))?;
    apply_until_taken(&kitchen, &unknown).await?;
    let malformed =
        object(&kitchen, "malformed", |s| drop(s.as_object_mut().expect("a spec").remove("delivery")))?;
    apply_until_taken(&kitchen, &malformed).await?;
    goes_through(&kitchen, "after").await?;
    kitchen.operator.kill_hard()?;
    kitchen.operator.restart().await?;
    goes_through(&kitchen, "after-a-restart").await?;
    kitchen.cook("before").await?;
    kitchen.wait_phase("before", OrderPhase::AwaitingRider, LONG).await?;
    assert!(kitchen.find::<Payment>("unknown-word").await?.is_none(), "hands off");
    assert!(kitchen.find::<Payment>("malformed").await?.is_none(), "hands off");
    let told = kitchen.events("malformed").await?;
    assert!(told.iter().any(|(reason, note)| reason == "Malformed" && note.contains("delivery")), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_born_before_the_policies_gets_its_finalizer_before_anything_else() -> Result<()> {
    let stage = Stage::local().await?;
    let kitchen = stage.kitchen("unstamped").await?;
    stage
        .access()
        .kubectl(["delete", "mutatingadmissionpolicybinding", "fooddelivery-stamp-finalizer"])
        .await?;
    let mut unstamped = None;
    for n in 0..50 {
        kitchen.operator.kill_hard()?;
        let order = kitchen.order(&format!("order-{n}"), |_| {}).await?;
        if order.finalizers().is_empty() {
            unstamped = Some(order.name_any());
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let name = unstamped.expect("the policy is gone after a while");
    kitchen.operator.restart().await?;
    kitchen.wait_phase(&name, OrderPhase::AwaitingStore, LONG).await?;
    let order = kitchen.get::<Order>(&name).await?;
    let payment = kitchen.get::<Payment>(&name).await?;
    assert_eq!(order.finalizers(), ["fooddelivery.dev/saga"]);
    assert_eq!(payment.finalizers(), ["fooddelivery.dev/saga"]);
    let log = std::fs::read_to_string(kitchen.operator.log_path())?;
    assert!(log.contains("created child=Payment"), "{log}");
    kitchen.delete(&name, kube::api::PropagationPolicy::Background).await?;
    kitchen.wait_gone::<Order>(&name, LONG).await?;
    kitchen.audit().await
}
