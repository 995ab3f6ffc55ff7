//! The operator's permissions are what it uses: the API server writes down every request of the operator's user while
//! orders go every way that they can, and what was used is held against what was granted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fooddelivery_api::order::SecretKeyRef;
use fooddelivery_api::policies::{birth, operator_user};
use fooddelivery_api::{OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT, TOKEN_SECRETS_ROLE, TokenText};
use fooddelivery_e2e::requests::{AuditLog, Level};
use fooddelivery_e2e::{
    Customer, Delivery, ExclusiveCluster, LONG, NamespaceOptions, OperatorOptions, Order, OrderPhase, POLL,
    Rider, TestCluster, TestNamespace, Ticket,
};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;
use kube::api::PropagationPolicy;
use local_cluster::{Options, Progress};
use serde_json::json;

/// Removal follows the end of an order by the time to live, and a refund has to come first.
const PATIENCE: Duration = Duration::from_mins(2);

/// API group, resource with its subresource, verb.
type Right = (String, String, String);

/// An API server that writes down what the operator asks of it.
async fn watched(dir: &Path) -> Result<(ExclusiveCluster, AuditLog)> {
    let (log, apiserver_flags) = AuditLog::new(dir, Level::Metadata, &[operator_user()])?;
    let options = Options { apiserver_flags, progress: Progress::Stderr, ..Options::default() };
    Ok((TestCluster::fresh_with(options).await?, log))
}

/// Orders that are completed, cancelled, declined, refunded, removed after their time and by people; with coupons,
/// messages, tokens from Secrets, and for what is not there.
async fn everything(ns: &TestNamespace) -> Result<()> {
    ns.message_provider("Webhook").await?;
    ns.allow_token_secrets().await?;
    ns.kubectl(&["create", "secret", "generic", "card", "--from-literal=token=tok-card"]).await?;
    ns.coupon("spring", json!({ "discount": { "amount": 3_000 }, "perCustomer": 1 })).await?;
    ns.order_with("lunch", "spring").await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    ns.order_with("again", "spring").await?;
    ns.order("from-secret", |o| {
        o.payment.token = None;
        o.payment.token_secret_ref = Some(SecretKeyRef { name: "card".into(), key: "token".into() });
    })
    .await?;
    ns.order("declined", |o| o.payment.token = Some(TokenText("decline_1".into()))).await?;
    ns.order("preferred", |o| o.store_ref = None).await?;
    ns.order("nowhere", |o| o.store_ref.as_mut().expect("one").name = "nowhere".into()).await?;
    ns.order("nobody", |o| o.payment.provider_ref.name = "nobody".into()).await?;
    // Which the operator withdraws; without one it would make one that is withdrawn.
    ns.wait_until::<Ticket>("from-secret", "a ticket", LONG, |_| true).await?;
    ns.cancel("from-secret", "changed my mind").await?;
    ns.wait_condition("from-secret", "Settled", LONG).await?;
    ns.wait_phase("declined", OrderPhase::PaymentFailed, LONG).await?;
    ns.wait_phase("again", OrderPhase::Cancelled, LONG).await?;
    for name in ["one", "two"] {
        ns.order(name, |_| {}).await?;
    }
    for name in ["lunch", "preferred", "one", "two"] {
        ns.cook(name).await?;
        ns.wait_until::<Delivery>(name, "a delivery", LONG, |_| true).await?;
    }
    // More than she can carry: one of them is given back for her.
    ns.claim("one", "sora").await?;
    ns.wait_phase("one", OrderPhase::RiderAssigned, LONG).await?;
    ns.claim("two", "sora").await?;
    ns.wait_event("two", "RiderAtCapacity").await?;
    for name in ["lunch", "preferred"] {
        ns.complete(name).await?;
    }
    // Before its rider has counted it.
    ns.delete("preferred", PropagationPolicy::Background).await?;
    for name in ["nowhere", "nobody"] {
        ns.delete(name, PropagationPolicy::Background).await?;
    }
    for name in ["lunch", "again", "from-secret", "declined", "preferred", "nowhere", "nobody"] {
        ns.wait_gone::<Order>(name, PATIENCE).await?;
    }
    let logged = |c: &Customer| c.status.as_ref().is_some_and(|s| !s.messages.is_empty());
    ns.wait_until::<Customer>("jiwoo", "messages in the log", PATIENCE, logged).await?;
    let counted = |r: &Rider| r.status.as_ref().is_some_and(|s| s.deliveries == 2);
    ns.wait_until::<Rider>("minjun", "two deliveries counted", PATIENCE, counted).await?;
    ns.audit().await
}

/// A Lease is renewed every few seconds.
async fn a_lease_is_renewed(log: &AuditLog) -> Result<()> {
    let renewed = ("coordination.k8s.io".to_owned(), "leases".to_owned(), "patch".to_owned());
    let started = Instant::now();
    while !used(log)?.at_home.contains_key(&renewed) {
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

fn used(log: &AuditLog) -> Result<Used> {
    let mut used = Used::default();
    for request in log.read()? {
        let Some(target) = &request.object_ref else { continue };
        let of = match (request.is_allowed(), target.namespace == OPERATOR_NAMESPACE) {
            (true, true) => &mut used.at_home,
            (true, false) => &mut used.elsewhere,
            (false, _) => &mut used.denied,
        };
        let mut count = |verb: &str| {
            *of.entry((target.api_group.clone(), target.resource(), verb.to_owned())).or_default() += 1;
        };
        if request.verb == "patch" && request.code() == 201 {
            // A server-side apply of what is not there yet: the API server asks for both rights.
            count("create");
        }
        count(&request.verb);
    }
    Ok(used)
}

/// A line for each right of a role: how often it was used. Returns those that were not.
fn held_against(role: &str, granted: &BTreeSet<Right>, used: &BTreeMap<Right, usize>) -> Vec<String> {
    let mut unused = Vec::new();
    for right @ (group, resource, verb) in granted {
        let mut count = used.get(right).copied().unwrap_or_default();
        if verb == "list" && count == 0 {
            // A watch begins with what is there; it asks for a list where the server cannot do that.
            let watch = (group.clone(), resource.clone(), "watch".to_owned());
            count = used.get(&watch).copied().unwrap_or_default();
        }
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
    let (cluster, log) = watched(dir.path()).await?;
    // The counts are to lag, so that an order is deleted before they show it.
    let args = ["--ttl-after-settled=20", "--message-log-lag-ms=300", "--count-lag-ms=3000"];
    let args = args.map(str::to_owned).to_vec();
    let operator = OperatorOptions { args, ..OperatorOptions::default() };
    let stamps = cluster.installed().stamps_finalizers;
    if stamps {
        // As after an installation by hand: the operator is the first to apply it.
        let policy = "mutatingadmissionpolicy,mutatingadmissionpolicybinding";
        cluster.access().kubectl(["delete", policy, birth::NAME]).await?;
    }
    let ns = cluster
        .namespace_with("permissions", NamespaceOptions { operator, ..NamespaceOptions::default() })
        .await?;
    everything(&ns).await?;
    a_lease_is_renewed(&log).await?;
    // After a crash it finds its own Lease, and when it stops it takes it away.
    ns.operator.kill_hard()?;
    ns.operator.restart().await?;
    ns.operator.stop().await?;

    let used = used(&log)?;
    let client = ns.client.clone();
    let everywhere = Api::<ClusterRole>::all(client.clone()).get(OPERATOR_SERVICE_ACCOUNT).await?;
    let stamp = if stamps {
        let name = format!("{OPERATOR_SERVICE_ACCOUNT}-stamp");
        Api::<ClusterRole>::all(client.clone()).get(&name).await?.rules
    } else {
        None
    };
    let secrets = Api::<ClusterRole>::all(client.clone()).get(TOKEN_SECRETS_ROLE).await?;
    let home = Api::<Role>::namespaced(client, OPERATOR_NAMESPACE).get(OPERATOR_SERVICE_ACCOUNT).await?;
    let mut wrong = Vec::new();
    for (name, rules, used) in [
        ("ClusterRole fooddelivery-operator", everywhere.rules, &used.elsewhere),
        ("ClusterRole …-stamp", stamp, &used.elsewhere),
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
