//! The simulated API server does what a real one does: the table of `fooddelivery_simulation::conformance` has the same
//! outcome on both, word for word, but for what a server of an older version says in other words (`wording`).
//!
//! `CONFORMANCE=watch` runs only the scenarios with that in their name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fooddelivery_api::Order;
use fooddelivery_e2e::cluster::existing_context;
use fooddelivery_e2e::{LONG, POLL, TestCluster};
use fooddelivery_simulation::conformance::{Scenario, Simulated, User, World, all, run};
use futures::StreamExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Resource};
use local_cluster::Shutdown;
use serde_json::json;

use crate::size;
use crate::wording::{comparable, expected};

/// Lines of a difference that are shown.
const MOST_LINES: usize = 60;
/// How often a scenario is tried that differs.
const TRIES: usize = 3;
/// How often [`unrest`] changes its order.
const UNREST: Duration = Duration::from_millis(300);
/// Scenarios that run at the same time.
const AT_ONCE: usize = 4;

/// A real control plane, in a namespace of its own.
struct Real {
    clients: BTreeMap<User, Client>,
    namespace: String,
    cluster: Arc<TestCluster>,
}

impl World for Real {
    fn client(&self, user: User) -> Client {
        self.clients[&user].clone()
    }

    fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The controller manager acts by itself.
    fn settle(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn restart(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            let local = self.cluster.access().local_cluster();
            let local = local.context("only a local cluster can be restarted")?;
            local.restart_apiserver(Shutdown::Kill).await?;
            let orders = Api::<Order>::namespaced(self.client(User::Operator), &self.namespace);
            serves_watches(&orders).await
        })
    }

    fn forget(&self) {}
}

/// Waits until a server that was started anew serves our kinds from its watch caches: it is ready before that.
async fn serves_watches(orders: &Api<Order>) -> Result<()> {
    let begun = Instant::now();
    let params = WatchParams::default().timeout(1);
    loop {
        let refused = match orders.watch(&params, "0").await {
            // Where it serves them, this ends in a second at most.
            Ok(events) => match events.boxed().next().await {
                None | Some(Ok(WatchEvent::Added(_) | WatchEvent::Bookmark(_))) => return Ok(()),
                Some(other) => format!("{other:?}"),
            },
            Err(error) => error.to_string(),
        };
        ensure!(begun.elapsed() < LONG, "it serves no watch of orders: {refused}");
        tokio::time::sleep(POLL).await;
    }
}

/// Every user may do everything but for what the policies say, as in the simulation: they are all administrators.
async fn client_of(cluster: &TestCluster, user: User) -> Result<Client> {
    let cluster = cluster.access().cluster();
    let context = cluster.context().map(str::to_owned);
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let mut config = match cluster.kubeconfig() {
        Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
        None => Config::from_kubeconfig(&options).await?,
    };
    config.default_retry = false;
    if cluster.local().is_some() {
        config.proxy_url = None;
    }
    config.auth_info.impersonate = Some(user.name());
    config.auth_info.impersonate_groups = Some(vec!["system:masters".into()]);
    Ok(Client::try_from(config)?)
}

async fn real(cluster: &Arc<TestCluster>, number: usize) -> Result<Real> {
    let admin = cluster.access().client().await?;
    let metadata = kube::core::ObjectMeta {
        generate_name: Some(format!("conformance-{number}-")),
        ..kube::core::ObjectMeta::default()
    };
    let namespace = Namespace { metadata, ..Namespace::default() };
    let namespace = Api::<Namespace>::all(admin).create(&PostParams::default(), &namespace).await?;
    let namespace = namespace.metadata.name.context("a name")?;
    let mut clients = BTreeMap::new();
    for user in User::ALL {
        clients.insert(user, client_of(cluster, user).await?);
    }
    Ok(Real { clients, namespace, cluster: cluster.clone() })
}

/// What the simulation does, as a server of the real one's version.
async fn simulated(cluster: &TestCluster, scenario: &Scenario) -> Result<String> {
    let world = if cluster.installed().stamps_finalizers {
        Simulated::new()?
    } else {
        Simulated::without_mutating_policies()?
    };
    run(scenario, &world).await
}

/// Changes an order of its own, again and again. A server sends a bookmark only of a version that is newer than what its
/// watch began with: where no order changes anywhere, a quiet watch ends without.
async fn unrest(cluster: Arc<TestCluster>) -> Result<()> {
    let world = real(&cluster, 0).await?;
    let orders = Api::<DynamicObject>::namespaced_with(
        world.client(User::Customer),
        world.namespace(),
        &ApiResource::erase::<Order>(&()),
    );
    let order = json!({
        "apiVersion": Order::api_version(&()), "kind": Order::kind(&()), "metadata": { "name": "restless" },
        "spec": {
            "customerRef": { "name": "c" }, "items": [{ "menuItem": "m", "quantity": 1 }],
            "delivery": { "address": "a", "region": "r" },
            "payment": { "providerRef": { "name": "p" }, "token": "t" },
        },
    });
    orders.create(&PostParams::default(), &serde_json::from_value(order)?).await?;
    for n in 0_u32.. {
        tokio::time::sleep(UNREST).await;
        let change = json!({ "metadata": { "labels": { "n": n.to_string() } } });
        // Some scenarios start the API server anew: it may not answer for a while.
        let _ = orders.patch("restless", &PatchParams::default(), &Patch::Merge(&change)).await;
    }
    Ok(())
}

/// The minor version of Kubernetes that the cluster is of.
async fn minor_version(cluster: &TestCluster) -> Result<u32> {
    let version = cluster.access().client().await?.apiserver_version().await?;
    // Some distributions put a plus sign behind it.
    let minor = version.minor.trim_end_matches('+');
    minor.parse().with_context(|| format!("the minor version {minor}"))
}

/// Where two transcripts part, with the lines before.
fn difference(simulated: &str, real: &str) -> Option<String> {
    if simulated == real {
        return None;
    }
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (simulated.lines().collect(), real.lines().collect());
    // The longest common subsequence of the rest, from every pair of lines on.
    let mut common = vec![vec![0_usize; theirs.len() + 1]; ours.len() + 1];
    for i in (0..ours.len()).rev() {
        for j in (0..theirs.len()).rev() {
            common[i][j] = if ours[i] == theirs[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut head) = (0, 0, "");
    let mut shown: Vec<String> = Vec::new();
    while (i < ours.len() || j < theirs.len()) && shown.len() < MOST_LINES {
        let step_ours = j == theirs.len() || (i < ours.len() && common[i + 1][j] >= common[i][j + 1]);
        if i < ours.len() && j < theirs.len() && ours[i] == theirs[j] {
            head = if ours[i].starts_with(' ') { head } else { ours[i] };
            (i, j) = (i + 1, j + 1);
            continue;
        }
        let after = format!("  after {head}");
        if !shown.contains(&after) {
            shown.push(after);
        }
        if step_ours {
            shown.push(format!("    simulated: {}", ours[i]));
            i += 1;
        } else {
            shown.push(format!("    real:      {}", theirs[j]));
            j += 1;
        }
    }
    Some(shown.join("\n") + "\n")
}

/// What is wrong with a scenario, if anything is, again and again: a real server sends bookmarks by a clock of its own,
/// and a busy machine can make it miss the end of a watch.
async fn compared(cluster: &Arc<TestCluster>, number: usize, scenario: Scenario) -> Option<String> {
    let mut wrong = None;
    for _ in 0..TRIES {
        wrong = compared_once(cluster, number, &scenario).await;
        match &wrong {
            None => break,
            Some(shown) => println!("differs: {shown}"),
        }
    }
    wrong
}

async fn compared_once(cluster: &Arc<TestCluster>, number: usize, scenario: &Scenario) -> Option<String> {
    let both = async {
        let world = real(cluster, number).await?;
        let real = tokio::time::timeout(Duration::from_mins(3), run(scenario, &world)).await;
        let real = real.context("it takes too long")??;
        let minor = minor_version(cluster).await?;
        let simulated = expected(&simulated(cluster, scenario).await?, minor);
        Ok::<_, anyhow::Error>((simulated, comparable(&real, minor)))
    };
    let name = scenario.name;
    match both.await {
        Ok((simulated, real)) => difference(&simulated, &real).map(|shown| format!("{name}\n{shown}")),
        Err(error) => Some(format!("{name}: {error:#}\n")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_api_server_does_what_a_real_one_does() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    // What other tests write would stand in the transcripts, and scenarios restart the API server.
    let own = if existing_context().is_none() { Some(TestCluster::fresh().await?) } else { None };
    let cluster = match &own {
        Some(own) => (**own).clone(),
        None => TestCluster::shared().await?,
    };
    let unrest = tokio::spawn(unrest(cluster.clone()));
    let wanted = std::env::var("CONFORMANCE").unwrap_or_default();
    let scenarios = all().into_iter().enumerate().filter(|(_, s)| s.name.contains(&wanted));
    let (alone, together): (Vec<_>, Vec<_>) = scenarios.partition(|(_, scenario)| scenario.restarts());
    let started = together.into_iter().map(|(number, scenario)| compared(&cluster, number, scenario));
    let mut wrong: Vec<String> = futures::stream::iter(started)
        .buffer_unordered(AT_ONCE)
        .filter_map(futures::future::ready)
        .collect()
        .await;
    if cluster.access().local_cluster().is_some() {
        for (number, scenario) in alone {
            wrong.extend(compared(&cluster, number, scenario).await);
        }
    }
    assert!(!unrest.is_finished(), "{:?}", unrest.await);
    unrest.abort();
    wrong.sort();
    assert!(wrong.is_empty(), "{} scenarios differ:\n\n{}", wrong.len(), wrong.join("\n"));
    if let Some(own) = own {
        own.give_back();
    }
    Ok(())
}
