//! The operator killed at awkward moments, a second replica beside it, an API server that goes away: nothing is lost
//! and nothing is charged twice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fooddelivery_e2e::{
    DeliveryStage, EntryKind, Kitchen, KitchenOptions, LONG, NOT_CONFIGURED, Operator, OperatorOptions,
    Order, OrderPhase, Payment, PaymentPhase, Stage, Ticket, TicketStage,
};
use kube::api::{Patch, PatchParams};
use local_cluster::Shutdown;
use serde_json::{Value, json};

/// A kitchen whose operator waits for the provider, so that a kill falls into the middle of a call also on a busy
/// machine.
async fn kitchen(name: &str) -> Result<Kitchen> {
    let options = KitchenOptions { provider_timeout: Some("10s".into()), ..KitchenOptions::default() };
    Stage::shared().await?.kitchen_with(name, options).await
}

/// As long as the operator waits, nearly.
fn slow(operation: &str, fault: &str) -> Value {
    json!([{ "match": { "operation": operation }, "fault": { "type": fault, "ms": 9000 }, "times": 1 }])
}

/// Kills the operator in the middle of a call: the provider records a call only when it has ended, so what shows that
/// one has begun is the intent, or the money that has moved.
async fn kill_once(begun: impl AsyncFn() -> Result<bool>, kitchen: &Kitchen) -> Result<()> {
    let started = Instant::now();
    while !begun().await? {
        ensure!(started.elapsed() < LONG, "the provider was never asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    kitchen.operator.kill_hard()
}

/// Kills it while the answer about money that has moved is on its way.
async fn kill_unheard(kitchen: &Kitchen, moved: EntryKind) -> Result<()> {
    kill_once(async || Ok(kitchen.ledger().await?.iter().any(|entry| entry.kind == moved)), kitchen).await
}

async fn complete(kitchen: &Kitchen, name: &str) -> Result<()> {
    kitchen.complete(name).await?;
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_intent_and_the_money() -> Result<()> {
    let kitchen = kitchen("kill-before").await?;
    kitchen.sandbox.set_faults(slow("confirm", "DelayBefore")).await?;
    kitchen.order("lunch", |_| {}).await?;
    let intends =
        async || Ok(kitchen.find::<Payment>("lunch").await?.is_some_and(|p| p.state().attempt == 1));
    kill_once(intends, &kitchen).await?;
    kitchen.operator.restart().await?;
    kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    kitchen.cook("lunch").await?;
    complete(&kitchen, "lunch").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_the_money_had_moved_but_nobody_had_heard() -> Result<()> {
    let kitchen = kitchen("kill-after").await?;
    kitchen.sandbox.set_faults(slow("confirm", "DelayAfter")).await?;
    kitchen.order("lunch", |_| {}).await?;
    kill_unheard(&kitchen, EntryKind::Capture).await?;
    let payment = kitchen.get::<Payment>("lunch").await?;
    assert_eq!(
        (payment.state().phase, payment.state().attempt),
        (PaymentPhase::Pending, 1),
        "only the intent"
    );
    kitchen.operator.restart().await?;
    kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    kitchen.cook("lunch").await?;
    complete(&kitchen, "lunch").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_refund_was_under_way() -> Result<()> {
    let kitchen = kitchen("kill-refund").await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    kitchen.sandbox.set_faults(slow("cancel", "DelayAfter")).await?;
    kitchen.cancel("lunch", "changed my mind").await?;
    kill_unheard(&kitchen, EntryKind::Refund).await?;
    kitchen.operator.restart().await?;
    kitchen.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_store_cooked_and_the_customer_asked_to_cancel() -> Result<()> {
    let kitchen = kitchen("kill-cooking").await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.move_ticket("lunch", TicketStage::Accepted).await?;
    kitchen.operator.kill_hard()?;
    // All of this happens while nobody watches; the store was first.
    kitchen.move_ticket("lunch", TicketStage::Cooking).await?;
    kitchen.cancel("lunch", "too late").await?;
    kitchen.move_ticket("lunch", TicketStage::Cooked).await?;
    kitchen.operator.restart().await?;
    let order = kitchen.wait_phase("lunch", OrderPhase::AwaitingRider, LONG).await?;
    let phases: Vec<String> = order.state().history.into_iter().map(|h| h.phase).collect();
    ensure!(phases.contains(&"Cooking".to_owned()), "skipped phases are filled in: {phases:?}");
    complete(&kitchen, "lunch").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_the_way_to_the_customer() -> Result<()> {
    let kitchen = kitchen("kill-delivery").await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.cook("lunch").await?;
    kitchen.claim("lunch", "minjun").await?;
    kitchen.operator.kill_hard()?;
    kitchen.move_delivery("lunch", DeliveryStage::PickedUp).await?;
    kitchen.move_delivery("lunch", DeliveryStage::Delivered).await?;
    kitchen.operator.restart().await?;
    kitchen.wait_phase("lunch", OrderPhase::Delivered, LONG).await?;
    kitchen.confirm("lunch").await?;
    kitchen.wait_phase("lunch", OrderPhase::Completed, LONG).await?;
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_both_work_on_everything_charge_nothing_twice() -> Result<()> {
    let kitchen = kitchen("replicas").await?;
    let second = kitchen.another_operator(OperatorOptions::for_everything()).await?;
    kitchen.sandbox.set_latency("50-300").await?;
    let names: Vec<String> = (0..24).map(|n| format!("order-{n}")).collect();
    for name in &names {
        kitchen.order(name, |_| {}).await?;
    }
    // A third is cancelled in the middle of it, a third cooked, and the first replica is killed on the way.
    for name in names.iter().step_by(3) {
        kitchen.cancel(name, "changed my mind").await?;
    }
    kitchen.operator.kill_hard()?;
    for name in names.iter().skip(1).step_by(3) {
        kitchen.cook(name).await?;
        kitchen.deliver(name, "minjun").await?;
    }
    kitchen.operator.restart().await?;
    for (n, name) in names.iter().enumerate() {
        let phase = match n % 3 {
            0 => OrderPhase::Cancelled,
            1 => OrderPhase::Delivered,
            _ => OrderPhase::AwaitingStore,
        };
        kitchen.wait_phase(name, phase, LONG).await?;
    }
    second.stop().await?;
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_operator_finishes_what_it_began() -> Result<()> {
    let kitchen = kitchen("sigterm").await?;
    kitchen.sandbox.set_latency("200-300").await?;
    for n in 0..8 {
        kitchen.order(&format!("order-{n}"), |_| {}).await?;
    }
    kitchen.wait_until::<Payment>("order-7", "an intent", LONG, |p| p.state().attempt == 1).await?;
    let status = kitchen.operator.stop().await?.expect("it had been running");
    assert!(status.success(), "{status}");
    for payment in kitchen.list::<Payment>().await? {
        let state = payment.state();
        let settled = state.phase == PaymentPhase::Captured || state.attempt == 0;
        assert!(settled, "no charge is left behind unheard: {:?} in attempt {}", state.phase, state.attempt);
    }
    kitchen.operator.restart().await?;
    for n in 0..8 {
        kitchen.wait_phase(&format!("order-{n}"), OrderPhase::AwaitingStore, LONG).await?;
    }
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_goes_away_delays_and_loses_nothing() -> Result<()> {
    // It harms the cluster, so it has one of its own.
    let stage = Stage::local().await?;
    let kitchen = stage.kitchen("restart").await?;
    for n in 0..6 {
        kitchen.order(&format!("order-{n}"), |_| {}).await?;
    }
    let Some(cluster) = stage.access().local_cluster() else { anyhow::bail!("a local cluster") };
    cluster.restart_apiserver(Shutdown::Kill).await?;
    for n in 0..6 {
        let name = format!("order-{n}");
        kitchen.wait_phase(&name, OrderPhase::AwaitingStore, Duration::from_mins(1)).await?;
        kitchen.cook(&name).await?;
        kitchen.wait_phase(&name, OrderPhase::AwaitingRider, Duration::from_mins(1)).await?;
    }
    assert!(kitchen.list::<Order>().await?.len() == 6);
    kitchen.audit().await
}

fn signal(operator: &Operator, name: &str) -> Result<()> {
    let pid = operator.pid().with_context(|| format!("it has ended:\n{}", operator.log_tail(60)))?;
    let pid = pid.to_string();
    let sent = std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status()?;
    ensure!(sent.success(), "kill -{name} {pid}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_frozen_in_the_middle_of_payments_and_thawed_after_their_end_moves_no_money_again()
-> Result<()> {
    let kitchen = kitchen("frozen").await?;
    let stripe = json!({ "dialect": "Stripe", "timeout": "10s" });
    let stripe = kitchen.another_provider("stripe", stripe).await?;
    kitchen.sandbox.set_latency("20-200").await?;
    let mut frozen = 0;
    for round in 0..6 {
        let names: Vec<String> = (0..8).map(|n| format!("order-{round}-{n}")).collect();
        for (n, name) in names.iter().enumerate() {
            kitchen
                .order(name, |o| {
                    if n % 2 == 0 {
                        o.payment.provider_ref.name.clone_from(&stripe);
                    }
                })
                .await?;
        }
        // Somewhere between reading, recording, sending and hearing.
        tokio::time::sleep(Duration::from_millis(40 * (round + 1))).await;
        signal(&kitchen.operator, "STOP")?;
        frozen += 1;
        let second = kitchen.another_operator(OperatorOptions::for_everything()).await?;
        for name in &names {
            kitchen.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
            kitchen.cancel(name, "changed my mind").await?;
        }
        for name in &names {
            kitchen.wait_condition(name, "Settled", LONG).await?;
        }
        signal(&kitchen.operator, "CONT")?;
        // What it had in hand it does now, or finds out that it is too late.
        tokio::time::sleep(Duration::from_secs(2)).await;
        second.stop().await?;
        kitchen.audit().await?;
    }
    let (mut captures, mut refunds) = (0, 0);
    for entry in kitchen.ledger().await? {
        match entry.kind {
            EntryKind::Capture => captures += 1,
            EntryKind::Refund => refunds += 1,
        }
    }
    assert_eq!((captures, refunds), (frozen * 8, frozen * 8), "each once");
    Ok(())
}

/// A policy on the tickets of a namespace whose parameters are of a kind that nobody knows. An API server that has just
/// started is as ignorant of ours, for up to half a minute.
fn unconfigured(namespace: &str) -> String {
    let name = format!("unconfigured-{namespace}");
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": name },
        "spec": {
            "paramKind": { "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Spice" },
            "matchConstraints": {
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
                "resourceRules": [{
                    "apiGroups": ["fooddelivery.dev"], "apiVersions": ["v1alpha1"],
                    "operations": ["UPDATE"], "resources": ["tickets"],
                }],
            },
            "validations": [{ "expression": "true" }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": {
            "policyName": name, "validationActions": ["Deny"],
            "paramRef": { "selector": {}, "parameterNotFoundAction": "Allow" },
        },
    });
    format!("{policy}\n---\n{binding}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_api_server_refuses_that_does_not_know_a_policys_parameters_is_tried_again_later()
-> Result<()> {
    let kitchen = kitchen("unconfigured").await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    let manifest = unconfigured(&kitchen.namespace);
    let access = kitchen.stage.access();
    access.kubectl_with_input(["apply", "-f", "-"], &manifest).await?;
    let tickets = kitchen.api::<Ticket>();
    let trial = PatchParams { dry_run: true, ..PatchParams::default() };
    let accept = Patch::Merge(json!({ "spec": { "stage": "Accepted" } }));
    let started = Instant::now();
    while !matches!(
        tickets.patch("lunch", &trial, &accept).await,
        Err(kube::Error::Api(status)) if status.message.contains(NOT_CONFIGURED)
    ) {
        ensure!(started.elapsed() < LONG, "the policy is not in force");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    kitchen.cancel("lunch", "changed my mind").await?;
    let refused = r#"fooddelivery_api_requests_total{kind="Ticket",verb="patch",result="refused"} "#;
    kitchen.wait_metric(refused).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let metrics = kitchen.operator.metrics().await?;
    let tries = metrics.lines().find_map(|line| line.strip_prefix(refused)).context("refused")?;
    let tries: u32 = tries.parse()?;
    ensure!((1..=8).contains(&tries), "it asked {tries} times, and is to wait longer each time");
    let order = kitchen.get::<Order>("lunch").await?.state();
    assert_eq!((order.phase, order.cancellation), (OrderPhase::AwaitingStore, None), "the ticket decides");
    let log = kitchen.operator.log_tail(usize::MAX);
    let lines = log.lines().filter(|line| line.contains("failed to configure policy")).count();
    ensure!(lines == 1, "it is said once, and not {lines} times:\n{log}");

    access.kubectl_with_input(["delete", "-f", "-"], &manifest).await?;
    kitchen.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    kitchen.audit().await
}
