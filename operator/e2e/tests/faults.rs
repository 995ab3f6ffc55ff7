//! What the payment provider can do to an order, over real HTTP: unknown outcomes are resolved by asking, and the
//! money moves exactly once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::Result;
use fooddelivery_e2e::{EntryKind, Kitchen, LONG, Order, OrderPhase, Payment, PaymentPhase, Stage};
use kube::api::PropagationPolicy;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(1);

async fn kitchen(name: &str) -> Result<Kitchen> {
    Stage::shared().await?.kitchen(name).await
}

fn once(operation: &str, order: &Order, fault: &Value) -> Value {
    json!({ "match": { "operation": operation, "orderId": order.metadata.uid }, "fault": fault, "times": 1 })
}

fn faults() -> Vec<(&'static str, Value)> {
    vec![
        ("error-before", json!({ "type": "ErrorBefore", "status": 503 })),
        ("error-after", json!({ "type": "ErrorAfter", "status": 500 })),
        ("drop-before", json!({ "type": "DropBefore" })),
        ("drop-after", json!({ "type": "DropAfter" })),
        ("too-slow", json!({ "type": "DelayAfter", "ms": 900 })),
        ("in-progress", json!({ "type": "InProgress409" })),
        ("too-many", json!({ "type": "TooManyRequests", "retryAfterSeconds": 1 })),
        ("twice", json!({ "type": "DuplicateDelivery" })),
        ("garbled", json!({ "type": "GarbledAnswer" })),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_charge_ends_in_one_capture() -> Result<()> {
    let kitchen = kitchen("charge").await?;
    // The store is away, so that faults can be laid before anything is charged.
    kitchen.patch::<fooddelivery_api::Store>("hanok", json!({ "spec": { "open": false } })).await?;
    let mut rules = Vec::new();
    for (name, fault) in faults() {
        let order = kitchen.order(name, |_| {}).await?;
        rules.push(once("confirm", &order, &fault));
    }
    kitchen.sandbox.set_faults(rules).await?;
    kitchen.patch::<fooddelivery_api::Store>("hanok", json!({ "spec": { "open": true } })).await?;
    for (name, _) in faults() {
        kitchen.wait_phase(name, OrderPhase::AwaitingStore, PATIENCE).await?;
    }
    // The sandbox writes a call down when it has ended, which the operator did not wait for.
    let mut met = 0;
    for _ in 0..100 {
        met = kitchen.sandbox.calls().await?.iter().filter(|c| c.fault.is_some()).count();
        if met == faults().len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(met, faults().len(), "every fault was met");
    let ledger = kitchen.ledger().await?;
    assert_eq!(ledger.len(), faults().len(), "one capture each: {ledger:?}");
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_refund_ends_in_one_refund() -> Result<()> {
    let kitchen = kitchen("refund").await?;
    let mut rules = Vec::new();
    for (name, fault) in faults() {
        let order = kitchen.order(name, |_| {}).await?;
        kitchen.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
        rules.push(once("cancel", &order, &fault));
    }
    kitchen.sandbox.set_faults(rules).await?;
    for (name, _) in faults() {
        kitchen.delete(name, PropagationPolicy::Background).await?;
    }
    for (name, _) in faults() {
        kitchen.wait_gone::<Order>(name, PATIENCE).await?;
    }
    let refunds = kitchen.ledger().await?.iter().filter(|e| e.kind == EntryKind::Refund).count();
    assert_eq!(refunds, faults().len(), "one refund each");
    kitchen.audit().await
}

/// The two latency profiles of the reference services against the limit of 610 ms: nearly all of the first are in
/// time, two in five of the second. Either way everybody is charged, once.
async fn profile(name: &str, latency: &str) -> Result<()> {
    let kitchen = kitchen(name).await?;
    kitchen.sandbox.set_latency(latency).await?;
    for n in 0..20 {
        kitchen.order(&format!("order-{n}"), |_| {}).await?;
    }
    for n in 0..20 {
        kitchen.wait_phase(&format!("order-{n}"), OrderPhase::AwaitingStore, PATIENCE).await?;
    }
    assert_eq!(kitchen.ledger().await?.len(), 20);
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_takes_400_to_620_ms_is_paid_once_each() -> Result<()> {
    profile("profile-1", "400-620").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_takes_520_to_740_ms_is_paid_once_each() -> Result<()> {
    profile("profile-2", "520-740").await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_amount_than_was_due_waits_for_a_person_and_says_so() -> Result<()> {
    let kitchen = kitchen("review").await?;
    // The money of this token was taken in a checkout for another sum, long before the order.
    kitchen.patch::<fooddelivery_api::Store>("hanok", json!({ "spec": { "open": false } })).await?;
    kitchen
        .order("lunch", |o| {
            o.payment.token = Some(fooddelivery_api::TokenText("tok-shared".into()));
            o.payment.provider_order_id = Some("shared-order-1".into());
        })
        .await?;
    kitchen
        .order("other", |o| {
            o.items.truncate(1);
            o.payment.token = Some(fooddelivery_api::TokenText("tok-shared".into()));
            o.payment.provider_order_id = Some("shared-order-1".into());
        })
        .await?;
    kitchen.patch::<fooddelivery_api::Store>("hanok", json!({ "spec": { "open": true } })).await?;
    let decided = |p: &Payment| p.state().phase != PaymentPhase::Pending;
    let lunch = kitchen.wait_until::<Payment>("lunch", "an outcome", PATIENCE, decided).await?;
    let other = kitchen.wait_until::<Payment>("other", "an outcome", PATIENCE, decided).await?;
    let phases = [lunch.state().phase, other.state().phase];
    assert!(phases.contains(&PaymentPhase::Captured), "the first is paid: {phases:?}");
    let second = if lunch.state().phase == PaymentPhase::Captured { other } else { lunch };
    let settled_otherwise = [PaymentPhase::NeedsReview, PaymentPhase::Declined];
    assert!(settled_otherwise.contains(&second.state().phase), "{:?}", second.state());
    assert_eq!(kitchen.ledger().await?.len(), 1, "one capture for one token");
    Ok(())
}
