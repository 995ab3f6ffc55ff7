//! Every step of an order is told, in order, at least once, whatever is out meanwhile; and nothing waits for it.
//!
//! MessageProviders are cluster-scoped: these tests share a cluster with nobody but `monitoring`, and take turns.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fooddelivery_api::Customer;
use fooddelivery_e2e::sandbox::Message;
use fooddelivery_e2e::{
    LONG, NamespaceOptions, OperatorOptions, Order, OrderPhase, POLL, TestCluster, TestNamespace,
};
use kube::api::PropagationPolicy;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::size;

/// Whose providers there are on the cluster for messages.
pub(crate) static TURN: Mutex<()> = Mutex::const_new(());
const PATIENCE: Duration = Duration::from_mins(2);
const HAPPY: [OrderPhase; 9] = [
    OrderPhase::AwaitingPayment,
    OrderPhase::AwaitingStore,
    OrderPhase::Accepted,
    OrderPhase::Cooking,
    OrderPhase::AwaitingRider,
    OrderPhase::RiderAssigned,
    OrderPhase::PickedUp,
    OrderPhase::Delivered,
    OrderPhase::Completed,
];

/// A namespace whose steps are told, and the turn that it has.
struct Told {
    ns: TestNamespace,
    providers: Vec<String>,
    _turn: MutexGuard<'static, ()>,
}

async fn told(name: &str, transports: &[&str], operator: OperatorOptions) -> Result<Told> {
    let turn = TURN.lock().await;
    forget_others().await?;
    let mut operator = operator;
    operator.args.push("--message-log-lag-ms=300".into());
    let options = NamespaceOptions { operator, ..NamespaceOptions::default() };
    let ns = TestCluster::shared_for_messages().await?.namespace_with(name, options).await?;
    let mut providers = Vec::new();
    for transport in transports {
        providers.push(ns.message_provider(transport).await?);
    }
    let told = Told { ns, providers, _turn: turn };
    for provider in &told.providers {
        let ready = ["wait", "--for=condition=Ready", &format!("msp/{provider}"), "--timeout=30s"];
        told.ns.cluster.access().kubectl(ready).await?;
    }
    Ok(told)
}

/// Removes the providers that a test has left, because it failed or needs them to its end.
pub(crate) async fn forget_others() -> Result<()> {
    let cluster = TestCluster::shared_for_messages().await?;
    let found = cluster.access().kubectl(["get", "msp", "-o", "name"]).await?;
    for name in found.lines().filter(|name| name.contains("/told")) {
        cluster.access().kubectl(["delete", name]).await?;
    }
    Ok(())
}

impl Told {
    async fn complete(&self, name: &str) -> Result<Order> {
        self.ns.order(name, |_| {}).await?;
        self.ns.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
        self.ns.cook(name).await?;
        self.ns.complete(name).await
    }

    /// What arrived of an order by one channel, when each message came for the first time.
    async fn heard(&self, order: &str, channel: &str) -> Result<Vec<Message>> {
        let uid = self.ns.get::<Order>(order).await?.metadata.uid;
        self.heard_of(&uid.context("a uid")?, channel).await
    }

    async fn heard_of(&self, uid: &str, channel: &str) -> Result<Vec<Message>> {
        let all = self.ns.sandbox.messages().await?;
        let ours = |m: &Message| m.channel == channel && m.order_uid.as_deref() == Some(uid) && !m.repeat;
        Ok(all.into_iter().filter(ours).collect())
    }

    async fn wait_heard(&self, order: &str, channel: &str, count: usize) -> Result<Vec<Message>> {
        let started = Instant::now();
        loop {
            let heard = self.heard(order, channel).await?;
            if heard.len() >= count {
                return Ok(heard);
            }
            if started.elapsed() > PATIENCE {
                let log = self.ns.operator.log_tail(40);
                bail!("{order}: {} of {count} messages by {channel}: {heard:#?}\n{log}", heard.len());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn wait_notified(&self, order: &str, status: &str, reason: &str) -> Result<Order> {
        let is_so = |order: &Order| notified(order) == Some((status.to_owned(), reason.to_owned()));
        self.ns.wait_until(order, &format!("Notified={status}, {reason}"), PATIENCE, is_so).await
    }

    /// Removes the providers, so that the next test has its own.
    async fn close(self) -> Result<()> {
        for provider in &self.providers {
            self.ns.cluster.access().kubectl(["delete", "msp", provider]).await?;
        }
        self.ns.audit().await
    }
}

fn notified(order: &Order) -> Option<(String, String)> {
    let conditions = order.status.iter().flat_map(|status| &status.conditions);
    let found = conditions.into_iter().find(|c| c.type_ == "Notified")?;
    Some((found.status.clone(), found.reason.clone()))
}

/// Each step once, in order, under an id made of the order's uid and the step.
fn is_whole(heard: &[Message], phases: &[OrderPhase]) -> Result<()> {
    let uid = heard.first().and_then(|m| m.order_uid.clone()).unwrap_or_default();
    let ids: Vec<String> = heard.iter().map(|m| m.id.clone()).collect();
    let expected: Vec<String> = (0..phases.len()).map(|step| format!("{uid}-{step}")).collect();
    ensure!(ids == expected, "{ids:?}, not {expected:?}");
    if heard.iter().all(|m| m.channel == "Webhook") {
        let told: Vec<&str> = heard.iter().filter_map(|m| m.phase.as_deref()).collect();
        let phases: Vec<&str> = phases.iter().map(|phase| phase.as_str()).collect();
        ensure!(told == phases, "{told:?}, not {phases:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_is_told_to_everybody_in_order_for_one_status_write() -> Result<()> {
    let told = told("told", &["AlimTalk", "Webhook"], OperatorOptions::default()).await?;
    told.complete("lunch").await?;
    let order = told.wait_notified("lunch", "True", "Told").await?;
    is_whole(&told.heard("lunch", "Webhook").await?, &HAPPY)?;
    let read = told.heard("lunch", "AlimTalk").await?;
    is_whole(&read, &HAPPY)?;
    let text = read.last().and_then(|m| m.text.clone()).unwrap_or_default();
    assert!(text.contains("28,500"), "{text}");
    let progress: Vec<i64> = order.status.iter().flat_map(|s| &s.messages).map(|m| m.steps).collect();
    assert_eq!(progress, [9, 9]);
    let metrics = told.ns.operator.metrics().await?;
    let writes = metrics
        .lines()
        .find_map(|line| {
            line.strip_prefix(
                "fooddelivery_api_requests_total{kind=\"Order\",verb=\"patch_status\",result=\"ok\"} ",
            )
        })
        .context("writes are counted")?;
    assert!(writes.parse::<u32>()? <= 9, "8 for the order and one for its messages, not {writes}");
    let logged = |customer: &Customer| customer.status.as_ref().is_some_and(|s| s.messages.len() == 9);
    let customer: Customer =
        told.ns.wait_until("jiwoo", "nine messages in the log", PATIENCE, logged).await?;
    let phases: Vec<String> =
        customer.status.iter().flat_map(|s| &s.messages).map(|m| m.phase.clone()).collect();
    assert_eq!(phases, HAPPY.map(|phase| phase.to_string()));
    told.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_delays_messages_and_nothing_else_also_when_the_operator_dies_in_it() -> Result<()> {
    let told = told("told-out", &["Webhook"], OperatorOptions::default()).await?;
    told.ns.sandbox.set_message_outage("error").await?;
    told.complete("lunch").await?;
    assert_eq!(told.heard("lunch", "Webhook").await?.len(), 0);
    let waits = told.wait_notified("lunch", "False", "MessagesWait").await?;
    assert_eq!(waits.state().phase, OrderPhase::Completed);
    told.ns.operator.kill_hard()?;
    told.ns.operator.restart().await?;
    told.ns.sandbox.set_message_outage("none").await?;
    is_whole(&told.wait_heard("lunch", "Webhook", 9).await?, &HAPPY)?;
    told.wait_notified("lunch", "True", "Told").await?;
    told.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_killed_again_and_again_repeats_messages_and_leaves_none_out() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    let told = told("told-kill", &["Webhook"], OperatorOptions::default()).await?;
    let names: Vec<String> = (0..6).map(|n| format!("order-{n}")).collect();
    for name in &names {
        told.ns.order(name, |_| {}).await?;
    }
    for name in &names {
        told.ns.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
        told.ns.cook(name).await?;
        told.ns.operator.kill_hard()?;
        told.ns.operator.restart().await?;
    }
    for name in &names {
        told.ns.wait_phase(name, OrderPhase::AwaitingRider, LONG).await?;
        told.ns.deliver(name, "nobody-in-particular").await?;
        told.ns.wait_phase(name, OrderPhase::Delivered, LONG).await?;
        told.ns.confirm(name).await?;
        told.ns.wait_phase(name, OrderPhase::Completed, LONG).await?;
    }
    for name in &names {
        is_whole(&told.wait_heard(name, "Webhook", 9).await?, &HAPPY)?;
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for message in told.ns.sandbox.messages().await? {
        *taken.entry(message.id).or_default() += usize::from(!message.repeat);
    }
    assert!(taken.values().all(|first| *first == 1), "{taken:?}");
    told.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_telephone_number_the_order_goes_on_and_says_so_and_is_told_when_there_is_one() -> Result<()>
{
    let told = told("told-mute", &["AlimTalk", "Webhook"], OperatorOptions::default()).await?;
    told.ns.patch::<Customer>("jiwoo", json!({ "spec": { "contact": null } })).await?;
    told.complete("lunch").await?;
    told.wait_notified("lunch", "False", "NoContact").await?;
    is_whole(&told.wait_heard("lunch", "Webhook", 9).await?, &HAPPY)?;
    assert_eq!(told.heard("lunch", "AlimTalk").await?.len(), 0);
    told.ns.patch::<Customer>("jiwoo", json!({ "spec": { "contact": "010-1234-5678" } })).await?;
    is_whole(&told.wait_heard("lunch", "AlimTalk", 9).await?, &HAPPY)?;
    told.wait_notified("lunch", "True", "Told").await?;
    told.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_refused_holds_nothing_up() -> Result<()> {
    let told = told("told-bad", &["AlimTalk"], OperatorOptions::default()).await?;
    told.ns.patch::<Customer>("jiwoo", json!({ "spec": { "contact": "010-0000-0001" } })).await?;
    told.complete("lunch").await?;
    told.wait_notified("lunch", "False", "MessageRefused").await?;
    told.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_deleted_goes_when_its_customer_has_been_told() -> Result<()> {
    let told = told("told-gone", &["Webhook"], OperatorOptions::default()).await?;
    let lunch = told.ns.order("lunch", |_| {}).await?;
    told.ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    told.ns.sandbox.set_message_outage("error").await?;
    told.ns.delete("lunch", PropagationPolicy::Background).await?;
    told.ns.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let stays = told.ns.find::<Order>("lunch").await?;
    assert!(stays.is_some(), "it waits for its messages");
    told.ns.sandbox.set_message_outage("none").await?;
    told.ns.wait_gone::<Order>("lunch", PATIENCE).await?;
    let heard = told.heard_of(&lunch.metadata.uid.context("a uid")?, "Webhook").await?;
    let phases = [
        OrderPhase::AwaitingPayment,
        OrderPhase::AwaitingStore,
        OrderPhase::Cancelling,
        OrderPhase::Cancelled,
    ];
    is_whole(&heard, &phases)?;
    told.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_deleted_in_an_outage_goes_when_the_provider_is_taken_away() -> Result<()> {
    let told = told("told-off", &["Webhook"], OperatorOptions::default()).await?;
    told.ns.sandbox.set_message_outage("refuse").await?;
    told.complete("lunch").await?;
    told.ns.delete("lunch", PropagationPolicy::Foreground).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(told.ns.find::<Order>("lunch").await?.is_some(), "it waits for its messages");
    for provider in &told.providers {
        told.ns.cluster.access().kubectl(["delete", "msp", provider]).await?;
    }
    told.ns.wait_gone::<Order>("lunch", PATIENCE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_message_controllers_off_orders_complete_and_are_told_when_they_are_back() -> Result<()> {
    let controllers = ["order", "payment", "ticket", "delivery", "provider", "coupon", "store", "rider"];
    let controllers: Vec<String> = controllers.map(str::to_owned).to_vec();
    let turn_off = OperatorOptions { controllers, ..OperatorOptions::default() };
    let told = told("told-late", &["Webhook"], OperatorOptions::default()).await?;
    let namespaces = told.ns.operator.options().namespaces;
    told.ns.operator.restart_with(OperatorOptions { namespaces: namespaces.clone(), ..turn_off }).await?;
    told.complete("lunch").await?;
    assert_eq!(told.heard("lunch", "Webhook").await?.len(), 0);
    told.ns.operator.restart_with(OperatorOptions { namespaces, ..OperatorOptions::default() }).await?;
    is_whole(&told.wait_heard("lunch", "Webhook", 9).await?, &HAPPY)?;
    told.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_makes_no_sense_is_refused_and_one_that_cannot_be_called_says_why() -> Result<()> {
    let told = told("told-wrong", &[], OperatorOptions::default()).await?;
    let access = told.ns.cluster.access();
    let name = format!("{}-wrong", told.ns.name);
    let apply = async |value: &Value| {
        access
            .kubectl_with_input(["apply", "-f", "-"], &value.to_string())
            .await
            .map_err(|e| format!("{e:#}"))
    };
    let mut wrong = told.ns.message_provider_object(&name, "AlimTalk");
    wrong["spec"].as_object_mut().context("a spec")?.remove("alimTalk");
    let refused = apply(&wrong).await.expect_err("it has no sender");
    assert!(refused.contains("alimTalk is needed for the transport AlimTalk"), "{refused}");
    let mut lost = told.ns.message_provider_object(&name, "Webhook");
    lost["spec"]["secretRef"]["name"] = "nowhere".into();
    apply(&lost).await.map_err(anyhow::Error::msg)?;
    let path = "--for=jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=ProviderSecretMissing";
    access.kubectl(["wait", &format!("msp/{name}"), path, "--timeout=30s"]).await?;
    // What cannot be told holds nothing up.
    told.complete("lunch").await?;
    access.kubectl(["delete", "msp", &name]).await?;
    told.close().await
}
