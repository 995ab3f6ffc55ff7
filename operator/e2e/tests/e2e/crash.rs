//! The operator killed at awkward moments, a second replica beside it, an API server that goes away: nothing is lost
//! and nothing is charged twice.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fooddelivery_e2e::{
    DeliveryStage, EntryKind, LONG, NOT_CONFIGURED, NamespaceOptions, Operator, OperatorOptions, Order,
    OrderPhase, Payment, PaymentPhase, TestCluster, TestNamespace, Ticket, TicketStage,
};
use kube::api::{Patch, PatchParams};
use local_cluster::Shutdown;
use serde_json::{Value, json};

use crate::size;

/// A namespace whose operator waits for the provider, so that a kill falls into the middle of a call also on a busy
/// machine.
async fn namespace(name: &str) -> Result<TestNamespace> {
    let options = NamespaceOptions { provider_timeout: Some("10s".into()), ..NamespaceOptions::default() };
    TestCluster::shared().await?.namespace_with(name, options).await
}

/// As long as the operator waits, nearly.
fn slow(operation: &str, fault: &str) -> Value {
    json!([{ "match": { "operation": operation }, "fault": { "type": fault, "ms": 9000 }, "times": 1 }])
}

/// Kills the operator in the middle of a call: the provider records a call only when it has ended, so what shows that
/// one has begun is the intent, or the money that has moved.
async fn kill_once(begun: impl AsyncFn() -> Result<bool>, ns: &TestNamespace) -> Result<()> {
    let started = Instant::now();
    while !begun().await? {
        ensure!(started.elapsed() < LONG, "the provider was never asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ns.operator.kill_hard()
}

/// Kills it while the answer about money that has moved is on its way.
async fn kill_unheard(ns: &TestNamespace, moved: EntryKind) -> Result<()> {
    kill_once(async || Ok(ns.ledger().await?.iter().any(|entry| entry.kind == moved)), ns).await
}

async fn complete(ns: &TestNamespace, name: &str) -> Result<()> {
    ns.complete(name).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_intent_and_the_money() -> Result<()> {
    let ns = namespace("kill-before").await?;
    ns.sandbox.set_faults(slow("confirm", "DelayBefore")).await?;
    ns.order("lunch", |_| {}).await?;
    let intends = async || Ok(ns.find::<Payment>("lunch").await?.is_some_and(|p| p.state().attempt == 1));
    kill_once(intends, &ns).await?;
    ns.operator.restart().await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    ns.cook("lunch").await?;
    complete(&ns, "lunch").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_the_money_had_moved_but_nobody_had_heard() -> Result<()> {
    let ns = namespace("kill-after").await?;
    ns.sandbox.set_faults(slow("confirm", "DelayAfter")).await?;
    ns.order("lunch", |_| {}).await?;
    kill_unheard(&ns, EntryKind::Capture).await?;
    let payment = ns.get::<Payment>("lunch").await?;
    assert_eq!(
        (payment.state().phase, payment.state().attempt),
        (PaymentPhase::Pending, 1),
        "only the intent"
    );
    ns.operator.restart().await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    ns.cook("lunch").await?;
    complete(&ns, "lunch").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_refund_was_under_way() -> Result<()> {
    let ns = namespace("kill-refund").await?;
    ns.order("lunch", |_| {}).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    ns.sandbox.set_faults(slow("cancel", "DelayAfter")).await?;
    ns.cancel("lunch", "changed my mind").await?;
    kill_unheard(&ns, EntryKind::Refund).await?;
    ns.operator.restart().await?;
    ns.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_store_cooked_and_the_customer_asked_to_cancel() -> Result<()> {
    let ns = namespace("kill-cooking").await?;
    ns.order("lunch", |_| {}).await?;
    ns.move_ticket("lunch", TicketStage::Accepted).await?;
    ns.operator.kill_hard()?;
    // All of this happens while nobody watches; the store was first.
    ns.move_ticket("lunch", TicketStage::Cooking).await?;
    ns.cancel("lunch", "too late").await?;
    ns.move_ticket("lunch", TicketStage::Cooked).await?;
    ns.operator.restart().await?;
    let order = ns.wait_phase("lunch", OrderPhase::AwaitingRider, LONG).await?;
    let phases: Vec<String> = order.state().history.into_iter().map(|h| h.phase).collect();
    ensure!(phases.contains(&"Cooking".to_owned()), "skipped phases are filled in: {phases:?}");
    complete(&ns, "lunch").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_the_way_to_the_customer() -> Result<()> {
    let ns = namespace("kill-delivery").await?;
    ns.order("lunch", |_| {}).await?;
    ns.cook("lunch").await?;
    ns.claim("lunch", "minjun").await?;
    ns.operator.kill_hard()?;
    ns.move_delivery("lunch", DeliveryStage::PickedUp).await?;
    ns.move_delivery("lunch", DeliveryStage::Delivered).await?;
    ns.operator.restart().await?;
    ns.wait_phase("lunch", OrderPhase::Delivered, LONG).await?;
    ns.confirm("lunch").await?;
    ns.wait_phase("lunch", OrderPhase::Completed, LONG).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_both_work_on_everything_charge_nothing_twice() -> Result<()> {
    let ns = namespace("replicas").await?;
    let second = ns.another_operator(OperatorOptions::for_everything()).await?;
    ns.sandbox.set_latency("50-300").await?;
    let names: Vec<String> = (0..24).map(|n| format!("order-{n}")).collect();
    for name in &names {
        ns.order(name, |_| {}).await?;
    }
    // A third is cancelled in the middle of it, a third cooked, and the first replica is killed on the way.
    for name in names.iter().step_by(3) {
        ns.cancel(name, "changed my mind").await?;
    }
    ns.operator.kill_hard()?;
    for name in names.iter().skip(1).step_by(3) {
        ns.cook(name).await?;
        ns.deliver(name, "minjun").await?;
    }
    ns.operator.restart().await?;
    for (n, name) in names.iter().enumerate() {
        let phase = match n % 3 {
            0 => OrderPhase::Cancelled,
            1 => OrderPhase::Delivered,
            _ => OrderPhase::AwaitingStore,
        };
        ns.wait_phase(name, phase, LONG).await?;
    }
    second.stop().await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_operator_finishes_what_it_began() -> Result<()> {
    let ns = namespace("sigterm").await?;
    ns.sandbox.set_latency("200-300").await?;
    for n in 0..8 {
        ns.order(&format!("order-{n}"), |_| {}).await?;
    }
    ns.wait_until::<Payment>("order-7", "an intent", LONG, |p| p.state().attempt == 1).await?;
    let status = ns.operator.stop().await?.expect("it had been running");
    assert!(status.success(), "{status}");
    for payment in ns.list::<Payment>().await? {
        let state = payment.state();
        let settled = state.phase == PaymentPhase::Captured || state.attempt == 0;
        assert!(settled, "no charge is left behind unheard: {:?} in attempt {}", state.phase, state.attempt);
    }
    ns.operator.restart().await?;
    for n in 0..8 {
        ns.wait_phase(&format!("order-{n}"), OrderPhase::AwaitingStore, LONG).await?;
    }
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_goes_away_delays_and_loses_nothing() -> Result<()> {
    // It harms the cluster, so it has one to itself.
    let cluster = TestCluster::exclusive().await?;
    let ns = cluster.namespace("restart").await?;
    for n in 0..6 {
        ns.order(&format!("order-{n}"), |_| {}).await?;
    }
    let Some(local) = cluster.access().local_cluster() else { anyhow::bail!("a local cluster") };
    local.restart_apiserver(Shutdown::Kill).await?;
    for n in 0..6 {
        let name = format!("order-{n}");
        ns.wait_phase(&name, OrderPhase::AwaitingStore, Duration::from_mins(1)).await?;
        ns.cook(&name).await?;
        ns.wait_phase(&name, OrderPhase::AwaitingRider, Duration::from_mins(1)).await?;
    }
    assert!(ns.list::<Order>().await?.len() == 6);
    ns.audit().await?;
    drop(ns);
    cluster.give_back();
    Ok(())
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
    if size::is_left_to_test_all() {
        return Ok(());
    }
    let ns = namespace("frozen").await?;
    let stripe = json!({ "dialect": "Stripe", "timeout": "10s" });
    let stripe = ns.another_provider("stripe", stripe).await?;
    ns.sandbox.set_latency("20-200").await?;
    let mut frozen = 0;
    for round in 0..6 {
        let names: Vec<String> = (0..8).map(|n| format!("order-{round}-{n}")).collect();
        for (n, name) in names.iter().enumerate() {
            ns.order(name, |o| {
                if n % 2 == 0 {
                    o.payment.provider_ref.name.clone_from(&stripe);
                }
            })
            .await?;
        }
        // Somewhere between reading, recording, sending and hearing.
        tokio::time::sleep(Duration::from_millis(40 * (round + 1))).await;
        signal(&ns.operator, "STOP")?;
        frozen += 1;
        let second = ns.another_operator(OperatorOptions::for_everything()).await?;
        for name in &names {
            ns.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
            ns.cancel(name, "changed my mind").await?;
        }
        for name in &names {
            ns.wait_condition(name, "Settled", LONG).await?;
        }
        signal(&ns.operator, "CONT")?;
        // What it had in hand it does now, or finds out that it is too late.
        tokio::time::sleep(Duration::from_secs(2)).await;
        second.stop().await?;
        ns.audit().await?;
    }
    let (mut captures, mut refunds) = (0, 0);
    for entry in ns.ledger().await? {
        match entry.kind {
            EntryKind::Capture => captures += 1,
            EntryKind::Refund => refunds += 1,
        }
    }
    assert_eq!((captures, refunds), (frozen * 8, frozen * 8), "each once");
    Ok(())
}

/// A policy on the tickets of a namespace whose parameters are of a kind that nobody knows. With policies of somebody
/// else's an API server that has just started is as ignorant, for up to half a minute.
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
    let ns = namespace("unconfigured").await?;
    ns.order("lunch", |_| {}).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    let manifest = unconfigured(&ns.name);
    let access = ns.cluster.access();
    access.kubectl_with_input(["apply", "-f", "-"], &manifest).await?;
    let tickets = ns.api::<Ticket>();
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

    ns.cancel("lunch", "changed my mind").await?;
    let refused = r#"fooddelivery_api_requests_total{kind="Ticket",verb="patch",result="refused"} "#;
    ns.wait_metric(refused).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let metrics = ns.operator.metrics().await?;
    let tries = metrics.lines().find_map(|line| line.strip_prefix(refused)).context("refused")?;
    let tries: u32 = tries.parse()?;
    ensure!((1..=8).contains(&tries), "it asked {tries} times, and is to wait longer each time");
    let order = ns.get::<Order>("lunch").await?.state();
    assert_eq!((order.phase, order.cancellation), (OrderPhase::AwaitingStore, None), "the ticket decides");
    let log = ns.operator.log_tail(usize::MAX);
    let lines = log.lines().filter(|line| line.contains("failed to configure policy")).count();
    ensure!(lines == 1, "it is said once, and not {lines} times:\n{log}");

    access.kubectl_with_input(["delete", "-f", "-"], &manifest).await?;
    ns.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    ns.audit().await
}
