//! Objects that this version of the operator does not understand, or that were born before its policies: they wedge
//! nothing but themselves. These tests change CRDs and policies, so the cluster is their own.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fooddelivery_api::policies::birth::{self, Tracking};
use fooddelivery_api::{OPERATOR_NAMESPACE, crds, policies};
use fooddelivery_e2e::access::ClusterAccess;
use fooddelivery_e2e::install::wait_stamped;
use fooddelivery_e2e::{LONG, Order, OrderPhase, POLL, Payment, TestCluster, TestNamespace};
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

/// The stamping policy and its binding under another name, as a list for kubectl.
fn stamp_under(name: &str) -> String {
    let mut documents = birth::documents(Tracking::Applied);
    for document in &mut documents {
        document["metadata"]["name"] = json!(name);
    }
    json!({ "apiVersion": "v1", "kind": "List", "items": documents }).to_string()
}

/// What the operator may write of admission policies: its own by server-side apply, which names what it creates.
async fn only_its_own_policy(access: &ClusterAccess) -> Result<()> {
    let user = policies::operator_user();
    let apply = ["--as", &user, "apply", "--server-side", "--force-conflicts", "-f", "-"];
    let refused = access.kubectl_with_input(apply, &stamp_under("another")).await.unwrap_err().to_string();
    assert!(refused.contains("forbidden"), "{refused}");
    // A name in a role bounds no POST: there, it is not part of the request.
    let create = ["--as", &user, "create", "-f", "-"];
    let refused = access.kubectl_with_input(create, &stamp_under(birth::NAME)).await.unwrap_err();
    assert!(format!("{refused:#}").contains("forbidden"), "{refused:#}");
    let delete = ["--as", &user, "delete", "mutatingadmissionpolicy", birth::NAME];
    assert!(access.kubectl(delete).await.is_err(), "it may not be deleted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stamping_policy_that_was_changed_is_put_right_at_the_start_and_no_other_can_be_written()
-> Result<()> {
    let cluster = TestCluster::exclusive().await?;
    let access = cluster.access();
    let ns = cluster.namespace("repaired").await?;
    let policy = ["mutatingadmissionpolicy", birth::NAME];
    let changed = r#"{"spec":{"failurePolicy":"Ignore","reinvocationPolicy":"Never"}}"#;
    access.kubectl(["patch", policy[0], policy[1], "--type=merge", "-p", changed]).await?;
    only_its_own_policy(access).await?;
    ns.operator.kill_hard()?;
    ns.operator.restart().await?;
    let begun = Instant::now();
    let path =
        "jsonpath={.spec.failurePolicy} {.spec.reinvocationPolicy} {.metadata.ownerReferences[*].name}";
    loop {
        let found = access.kubectl(["get", policy[0], policy[1], "-o", path]).await?;
        if found.trim() == format!("Fail IfNeeded {OPERATOR_NAMESPACE}") {
            break;
        }
        ensure!(begun.elapsed() < LONG, "it is still {found}");
        tokio::time::sleep(POLL).await;
    }
    goes_through(&ns, "lunch").await?;
    let order = ns.get::<Order>("lunch").await?;
    assert_eq!(order.finalizers(), ["fooddelivery.dev/saga"]);
    ns.audit().await?;
    // As it was: the operator has put the policy back.
    drop(ns);
    cluster.give_back();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_born_before_the_policies_gets_its_finalizer_before_anything_else() -> Result<()> {
    let cluster = TestCluster::exclusive().await?;
    let ns = cluster.namespace("unstamped").await?;
    cluster.access().kubectl(["delete", "mutatingadmissionpolicybinding", birth::NAME]).await?;
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
    ns.audit().await?;
    // As it was: the operator has put the policy back.
    drop(ns);
    cluster.give_back();
    Ok(())
}
