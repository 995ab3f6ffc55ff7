//! The operator's permissions are what it uses: the API server writes down every request of the operator's user while
//! orders go every way that they can, and what was used is held against what was granted.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fooddelivery_api::order::SecretKeyRef;
use fooddelivery_api::policies::operator_user;
use fooddelivery_api::{OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT, TOKEN_SECRETS_ROLE, TokenText};
use fooddelivery_e2e::{
    ClusterAccess, Customer, Delivery, Kitchen, KitchenOptions, LONG, OperatorOptions, Order, OrderPhase,
    POLL, Rider, Stage,
};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;
use kube::api::PropagationPolicy;
use local_cluster::{Options, Progress};
use serde::Deserialize;
use serde_json::json;

/// Removal follows the end of an order by the time to live, and a refund has to come first.
const PATIENCE: Duration = Duration::from_mins(1);

/// API group, resource with its subresource, verb.
type Right = (String, String, String);

/// A line of the audit log, as much of it as matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    verb: String,
    #[serde(default)]
    object_ref: Option<Target>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    #[serde(default)]
    api_group: String,
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    namespace: String,
}

/// An API server that writes down what the operator asks of it.
async fn watched(dir: &Path) -> Result<Arc<Stage>> {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{ "level": "Metadata", "users": [operator_user()] }, { "level": "None" }],
    });
    let path = dir.join("audit-policy.json");
    std::fs::write(&path, policy.to_string())?;
    let flags = vec![
        format!("--audit-policy-file={}", path.display()),
        format!("--audit-log-path={}", log(dir)),
        "--audit-log-mode=blocking".to_owned(),
    ];
    let options = Options { apiserver_flags: flags, progress: Progress::Stderr, ..Options::default() };
    Stage::on(ClusterAccess::local_with(options).await?).await
}

fn log(dir: &Path) -> String {
    dir.join("audit.log").display().to_string()
}

/// Orders that are completed, cancelled, declined, refunded, removed after their time and by people; with coupons,
/// messages, tokens from Secrets, and for what is not there.
async fn everything(kitchen: &Kitchen) -> Result<()> {
    kitchen.message_provider("Webhook").await?;
    kitchen.allow_token_secrets().await?;
    kitchen.kubectl(&["create", "secret", "generic", "card", "--from-literal=token=tok-card"]).await?;
    kitchen.coupon("spring", json!({ "discount": { "amount": 3_000 }, "perCustomer": 1 })).await?;
    kitchen.order_with("lunch", "spring").await?;
    kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    kitchen.order_with("again", "spring").await?;
    kitchen
        .order("from-secret", |o| {
            o.payment.token = None;
            o.payment.token_secret_ref = Some(SecretKeyRef { name: "card".into(), key: "token".into() });
        })
        .await?;
    kitchen.order("declined", |o| o.payment.token = Some(TokenText("decline_1".into()))).await?;
    kitchen.order("preferred", |o| o.store_ref = None).await?;
    kitchen.order("nowhere", |o| o.store_ref.as_mut().expect("one").name = "nowhere".into()).await?;
    kitchen.order("nobody", |o| o.payment.provider_ref.name = "nobody".into()).await?;
    kitchen.wait_phase("from-secret", OrderPhase::AwaitingStore, LONG).await?;
    kitchen.cancel("from-secret", "changed my mind").await?;
    kitchen.wait_condition("from-secret", "Settled", LONG).await?;
    kitchen.wait_phase("declined", OrderPhase::PaymentFailed, LONG).await?;
    kitchen.wait_phase("again", OrderPhase::Cancelled, LONG).await?;
    for name in ["one", "two"] {
        kitchen.order(name, |_| {}).await?;
    }
    for name in ["lunch", "preferred", "one", "two"] {
        kitchen.cook(name).await?;
        kitchen.wait_until::<Delivery>(name, "a delivery", LONG, |_| true).await?;
    }
    // More than she can carry: one of them is given back for her.
    kitchen.claim("one", "sora").await?;
    kitchen.wait_phase("one", OrderPhase::RiderAssigned, LONG).await?;
    kitchen.claim("two", "sora").await?;
    kitchen.wait_event("two", "RiderAtCapacity").await?;
    for name in ["lunch", "preferred"] {
        kitchen.complete(name).await?;
    }
    // Before its rider has counted it.
    kitchen.delete("preferred", PropagationPolicy::Background).await?;
    for name in ["nowhere", "nobody"] {
        kitchen.delete(name, PropagationPolicy::Background).await?;
    }
    for name in ["lunch", "again", "from-secret", "declined", "preferred", "nowhere", "nobody"] {
        kitchen.wait_gone::<Order>(name, PATIENCE).await?;
    }
    let logged = |c: &Customer| c.status.as_ref().is_some_and(|s| !s.messages.is_empty());
    kitchen.wait_until::<Customer>("jiwoo", "messages in the log", PATIENCE, logged).await?;
    let counted = |r: &Rider| r.status.as_ref().is_some_and(|s| s.deliveries == 2);
    kitchen.wait_until::<Rider>("minjun", "two deliveries counted", PATIENCE, counted).await?;
    kitchen.audit().await
}

/// A Lease is renewed every few seconds.
async fn a_lease_is_renewed(dir: &Path) -> Result<()> {
    let renewed = ("coordination.k8s.io".to_owned(), "leases".to_owned(), "patch".to_owned());
    let started = Instant::now();
    while !used(dir)?.at_home.contains_key(&renewed) {
        ensure!(started.elapsed() < PATIENCE, "no Lease was renewed within {PATIENCE:?}");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

fn rights(rules: Option<Vec<PolicyRule>>) -> BTreeSet<Right> {
    let mut all = BTreeSet::new();
    for rule in rules.unwrap_or_default() {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let of = |verb: &String| (group.clone(), resource.clone(), verb.clone());
                all.extend(rule.verbs.iter().map(of));
            }
        }
    }
    all
}

/// What was used in the operator's own namespace, and elsewhere; and what was asked for in vain.
#[derive(Default)]
struct Used {
    at_home: BTreeMap<Right, usize>,
    elsewhere: BTreeMap<Right, usize>,
    denied: BTreeMap<Right, usize>,
}

fn used(dir: &Path) -> Result<Used> {
    let mut used = Used::default();
    for line in std::fs::read_to_string(log(dir)).context("the audit log")?.lines() {
        let entry: Entry = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let Some(Target { api_group, resource, subresource, namespace }) = entry.object_ref else { continue };
        let resource = if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
        let decision = entry.annotations.get("authorization.k8s.io/decision").map(String::as_str);
        let of = match decision {
            Some("allow") if namespace == OPERATOR_NAMESPACE => &mut used.at_home,
            Some("allow") => &mut used.elsewhere,
            _ => &mut used.denied,
        };
        *of.entry((api_group, resource, entry.verb)).or_default() += 1;
    }
    Ok(used)
}

/// A line for each right of a role: how often it was used. Returns those that were not.
fn held_against(role: &str, granted: &BTreeSet<Right>, used: &BTreeMap<Right, usize>) -> Vec<String> {
    let mut unused = Vec::new();
    for right @ (group, resource, verb) in granted {
        let count = used.get(right).copied().unwrap_or_default();
        println!("{role:<38} {group:<20} {resource:<26} {verb:<7} {count:>6}");
        if count == 0 {
            unused.push(format!("{role}: {verb} {resource}.{group} is granted and was not used"));
        }
    }
    unused
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_may_do_what_it_does_and_nothing_else() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let stage = watched(dir.path()).await?;
    // The counts are to lag, so that an order is deleted before it is in them.
    let args = ["--ttl-after-settled=20", "--message-log-lag-ms=300", "--mirror-lag-ms=3000"];
    let args = args.map(str::to_owned).to_vec();
    let operator = OperatorOptions { args, ..OperatorOptions::default() };
    let kitchen =
        stage.kitchen_with("permissions", KitchenOptions { operator, ..KitchenOptions::default() }).await?;
    everything(&kitchen).await?;
    a_lease_is_renewed(dir.path()).await?;
    // After a crash it finds its own Lease, and when it stops it takes it away.
    kitchen.operator.kill_hard()?;
    kitchen.operator.restart().await?;
    kitchen.operator.stop().await?;

    let used = used(dir.path())?;
    let client = kitchen.client.clone();
    let everywhere = Api::<ClusterRole>::all(client.clone()).get(OPERATOR_SERVICE_ACCOUNT).await?;
    let secrets = Api::<ClusterRole>::all(client.clone()).get(TOKEN_SECRETS_ROLE).await?;
    let home = Api::<Role>::namespaced(client, OPERATOR_NAMESPACE).get(OPERATOR_SERVICE_ACCOUNT).await?;
    let mut wrong = Vec::new();
    for (name, rules, used) in [
        ("ClusterRole fooddelivery-operator", everywhere.rules, &used.elsewhere),
        ("ClusterRole …-token-secrets", secrets.rules, &used.elsewhere),
        ("Role in fooddelivery-system", home.rules, &used.at_home),
    ] {
        wrong.extend(held_against(name, &rights(rules), used));
    }
    for ((group, resource, verb), count) in &used.denied {
        wrong.push(format!("{verb} {resource}.{group} was asked for {count} times, and denied"));
    }
    assert!(!used.elsewhere.is_empty() && !used.at_home.is_empty(), "nothing was written down");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
