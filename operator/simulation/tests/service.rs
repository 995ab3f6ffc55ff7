//! The simulated API server as a controller sees it: through `kube::Client` and kube's own watcher.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fooddelivery_api::{FINALIZER, Order, Payment, Ticket, policies};
use fooddelivery_simulation::apiserver::faults::{Fault, FaultPlan, NoFaults, RequestInfo};
use fooddelivery_simulation::apiserver::service::Cluster;
use fooddelivery_simulation::apiserver::{Catalog, Server};
use futures::StreamExt;
use jiff::Timestamp;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};

fn now() -> Timestamp {
    Timestamp::from_second(1_780_000_000).unwrap()
}

fn cluster_in(faults: impl FaultPlan + 'static) -> Cluster {
    let cluster = Cluster::new(Server::new(Catalog::shared().unwrap(), 7, now()), now, faults);
    cluster.with(|server| server.add_namespace("food", now()));
    cluster
}

fn operator(cluster: &Cluster) -> Client {
    cluster.client("operator-0", &policies::operator_user())
}

fn order(name: &str) -> Order {
    let order = json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Order", "metadata": { "name": name },
        "spec": {
            "customerRef": { "name": "jiwoo" }, "storeRef": { "name": "hanok" },
            "items": [{ "menuItem": "bibimbap", "quantity": 2, "options": ["egg"] }],
            "delivery": { "address": "12 Wausan-ro", "region": "mapo" },
            "payment": { "providerRef": { "name": "toss" }, "token": "tok" },
        },
    });
    serde_json::from_value(order).unwrap()
}

fn orders(client: &Client) -> Api<Order> {
    Api::namespaced(client.clone(), "food")
}

async fn phase(api: &Api<Order>, name: &str, phase: &str) -> kube::Result<Order> {
    let patch = Patch::Merge(json!({ "status": { "phase": phase } }));
    api.patch_status(name, &PatchParams::default(), &patch).await
}

fn shown(event: &Event<Order>) -> String {
    match event {
        Event::Init => "init".into(),
        Event::InitApply(o) => format!("init {} {}", o.name_any(), o.state().phase),
        Event::InitDone => "done".into(),
        Event::Apply(o) => format!("apply {} {}", o.name_any(), o.state().phase),
        Event::Delete(o) => format!("delete {}", o.name_any()),
    }
}

/// Watches in the background; the events so far.
fn watch(client: &Client) -> Arc<std::sync::Mutex<Vec<String>>> {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = seen.clone();
    let api: Api<Order> = Api::all(client.clone());
    tokio::spawn(async move {
        let mut events = watcher::watcher(api, watcher::Config::default().any_semantic()).boxed();
        while let Some(event) = events.next().await {
            let text = event.as_ref().map_or_else(|_| "error".into(), shown);
            sink.lock().unwrap().push(text);
        }
    });
    seen
}

async fn settled(seen: &Arc<std::sync::Mutex<Vec<String>>>) -> Vec<String> {
    tokio::time::sleep(Duration::from_millis(10)).await;
    std::mem::take(&mut *seen.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_order_is_stamped_defaulted_and_watched_to_its_end() {
    let cluster = cluster_in(NoFaults);
    let customer = orders(&cluster.client_for("jiwoo"));
    let operators = orders(&operator(&cluster));
    let seen = watch(&operator(&cluster));
    let made = customer.create(&PostParams::default(), &order("lunch")).await.unwrap();
    assert_eq!(made.finalizers(), [FINALIZER]);
    assert_eq!(made.metadata.generation, Some(1));
    assert_eq!(made.status.as_ref().unwrap().phase.to_string(), "AwaitingPayment");
    phase(&operators, "lunch", "AwaitingStore").await.unwrap();
    let refused = phase(&operators, "lunch", "AwaitingPayment").await.unwrap_err().to_string();
    assert!(refused.contains("an order cannot go from AwaitingStore to AwaitingPayment"), "{refused}");
    let refused = phase(&customer, "lunch", "Accepted").await.unwrap_err().to_string();
    assert!(refused.contains("status is written by the operator alone"), "{refused}");
    customer.delete("lunch", &DeleteParams::background()).await.unwrap();
    let stripped = json!({ "metadata": { "finalizers": null } });
    operators.patch("lunch", &PatchParams::default(), &Patch::Merge(stripped)).await.unwrap();
    assert!(customer.get_opt("lunch").await.unwrap().is_none());
    let all = settled(&seen).await;
    assert_eq!(
        all,
        [
            "init",
            "done",
            "apply lunch AwaitingPayment",
            "apply lunch AwaitingStore",
            "apply lunch AwaitingStore",
            "delete lunch"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_frozen_watch_brings_nothing_until_it_is_let_and_then_everything_in_order() {
    let cluster = cluster_in(NoFaults);
    let client = operator(&cluster);
    let seen = watch(&client);
    settled(&seen).await;
    cluster.watches("operator-0").of("orders").freeze();
    orders(&client).create(&PostParams::default(), &order("a")).await.unwrap();
    phase(&orders(&client), "a", "AwaitingStore").await.unwrap();
    assert!(settled(&seen).await.is_empty());
    cluster.watches("operator-0").allow(1);
    assert_eq!(settled(&seen).await, ["apply a AwaitingPayment"]);
    phase(&orders(&client), "a", "Accepted").await.unwrap();
    cluster.watches("operator-0").release();
    assert_eq!(settled(&seen).await, ["apply a AwaitingStore", "apply a Accepted"]);
}

#[tokio::test(start_paused = true)]
async fn a_coalescing_watch_brings_only_the_last_of_several_changes() {
    let cluster = cluster_in(NoFaults);
    let client = operator(&cluster);
    let seen = watch(&client);
    settled(&seen).await;
    cluster.watches("operator-0").coalesce(true);
    cluster.watches("operator-0").freeze();
    for name in ["a", "b"] {
        orders(&client).create(&PostParams::default(), &order(name)).await.unwrap();
    }
    for step in ["AwaitingStore", "Accepted", "Cooking"] {
        phase(&orders(&client), "a", step).await.unwrap();
    }
    cluster.watches("operator-0").release();
    assert_eq!(settled(&seen).await, ["apply b AwaitingPayment", "apply a Cooking"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_resumes_and_one_whose_past_is_gone_lists_again() {
    let cluster = cluster_in(NoFaults);
    let client = operator(&cluster);
    let seen = watch(&client);
    orders(&client).create(&PostParams::default(), &order("a")).await.unwrap();
    assert_eq!(settled(&seen).await.last().unwrap(), "apply a AwaitingPayment");
    let watches = cluster.watches("operator-0");
    watches.break_off();
    phase(&orders(&client), "a", "AwaitingStore").await.unwrap();
    assert_eq!(settled(&seen).await, ["apply a AwaitingStore"]);
    watches.gone();
    watches.break_off();
    assert_eq!(settled(&seen).await, ["error", "init", "init a AwaitingStore", "done"]);
    watches.freeze();
    phase(&orders(&client), "a", "Accepted").await.unwrap();
    cluster.with(Server::compact);
    watches.release();
    assert_eq!(settled(&seen).await, ["error", "init", "init a Accepted", "done"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_a_stale_watch_cache_shows_the_past_and_then_catches_up() {
    let cluster = cluster_in(NoFaults);
    let client = operator(&cluster);
    orders(&client).create(&PostParams::default(), &order("a")).await.unwrap();
    let then = cluster.with(|server| server.version());
    phase(&orders(&client), "a", "AwaitingStore").await.unwrap();
    cluster.watches("operator-0").rewind(Some(then));
    cluster.watches("operator-0").freeze();
    let seen = watch(&client);
    assert_eq!(settled(&seen).await, ["init", "init a AwaitingPayment", "done"]);
    cluster.watches("operator-0").release();
    assert_eq!(settled(&seen).await, ["apply a AwaitingStore"]);
    let live = orders(&client).get("a").await.unwrap();
    assert_eq!(live.state().phase.to_string(), "AwaitingStore", "a read of one object is always live");
}

#[tokio::test(start_paused = true)]
async fn bookmarks_move_a_quiet_watch_past_a_compaction() {
    let cluster = cluster_in(NoFaults);
    let client = operator(&cluster);
    let seen = watch(&client);
    settled(&seen).await;
    cluster.with(|server| server.add_namespace("other", now()));
    cluster.watches("operator-0").bookmark();
    settled(&seen).await;
    cluster.with(Server::compact);
    cluster.watches("operator-0").break_off();
    orders(&client).create(&PostParams::default(), &order("a")).await.unwrap();
    assert_eq!(settled(&seen).await, ["apply a AwaitingPayment"]);
}

struct Script {
    faults: Vec<Fault>,
    at: AtomicU64,
}

impl FaultPlan for Script {
    fn before(&self, request: &RequestInfo<'_>) -> Fault {
        if !request.is_write() {
            return Fault::None;
        }
        let at = usize::try_from(self.at.fetch_add(1, Ordering::SeqCst)).unwrap();
        self.faults.get(at).copied().unwrap_or_default()
    }
}

#[tokio::test(start_paused = true)]
async fn faults_come_as_a_client_would_meet_them() {
    let faults = vec![
        Fault::Status(429, Some(3)),
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::Delay(Duration::from_secs(20)),
    ];
    let cluster = cluster_in(Script { faults, at: AtomicU64::new(0) });
    let api = orders(&operator(&cluster));
    let create = |name: &'static str| {
        let api = api.clone();
        async move { api.create(&PostParams::default(), &order(name)).await }
    };
    match create("a").await {
        Err(kube::Error::Api(status)) => {
            assert_eq!((status.code, status.details.unwrap().retry_after_seconds), (429, 3));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(create("a").await, Err(kube::Error::Service(_))));
    assert!(api.get_opt("a").await.unwrap().is_none(), "it broke before the write");
    assert!(matches!(create("a").await, Err(kube::Error::Service(_))));
    assert!(api.get_opt("a").await.unwrap().is_some(), "it broke after the write");
    let given_up = tokio::time::timeout(Duration::from_secs(10), create("b")).await;
    assert!(given_up.is_err() && api.get_opt("b").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn lists_come_in_pages_that_agree_with_each_other() {
    let cluster = cluster_in(NoFaults);
    let api = orders(&operator(&cluster));
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &order(name)).await.unwrap();
    }
    let first = api.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.items.len(), 2);
    phase(&api, "c", "AwaitingStore").await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    let rest = api.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    assert_eq!(rest.items.len(), 1);
    assert_eq!(
        rest.items[0].state().phase.to_string(),
        "AwaitingPayment",
        "as it was when the first page was read"
    );
    let selected = api.list(&ListParams::default().fields("status.phase=AwaitingStore")).await.unwrap();
    assert_eq!(selected.items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_ends_when_what_is_in_it_is_gone() {
    let cluster = cluster_in(NoFaults);
    let api = orders(&operator(&cluster));
    api.create(&PostParams::default(), &order("a")).await.unwrap();
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client_for("admin"));
    namespaces.delete("food", &DeleteParams::default()).await.unwrap();
    match api.create(&PostParams::default(), &order("b")).await {
        Err(kube::Error::Api(status)) => {
            assert_eq!(status.code, 403);
            assert_eq!(status.details.unwrap().causes[0].reason, "NamespaceTerminating");
        }
        other => panic!("{other:?}"),
    }
    while cluster.with(|server| server.advance_namespaces(now())) > 0 {}
    assert!(api.get("a").await.unwrap().metadata.deletion_timestamp.is_some());
    phase(&api, "a", "Cancelling").await.unwrap();
    let stripped = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    api.patch("a", &PatchParams::default(), &stripped).await.unwrap();
    while cluster.with(|server| server.advance_namespaces(now())) > 0 {}
    assert!(namespaces.get_opt("food").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_same_requests_give_the_same_bytes() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let cluster = cluster_in(NoFaults);
        let api = orders(&operator(&cluster));
        for name in ["a", "b"] {
            api.create(&PostParams::default(), &order(name)).await.unwrap();
        }
        let all = api.list(&ListParams::default()).await.unwrap();
        runs.push(serde_json::to_string(&all.items).unwrap());
    }
    assert_eq!(runs[0], runs[1]);
}

fn payment() -> Value {
    json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Payment", "metadata": { "name": "p" },
        "spec": {
            "orderRef": { "name": "o", "uid": "u" }, "providerRef": { "name": "x" }, "providerOrderId": "x",
            "quote": { "storeUid": "", "lines": [], "discount": 0, "total": 5, "currency": "KRW" },
            "token": "t", "whenUnavailable": "Defer", "desired": "Captured",
        },
    })
}

#[tokio::test(start_paused = true)]
async fn children_are_the_operators_alone_and_go_with_their_owner_when_collected() {
    let cluster = cluster_in(NoFaults);
    let made: Payment = serde_json::from_value(payment()).unwrap();
    let as_customer: Api<Payment> = Api::namespaced(cluster.client_for("jiwoo"), "food");
    let refused = as_customer.create(&PostParams::default(), &made).await.unwrap_err().to_string();
    assert!(refused.contains("created and deleted by the operator alone"), "{refused}");
    let api: Api<Payment> = Api::namespaced(operator(&cluster), "food");
    let owner = orders(&operator(&cluster)).create(&PostParams::default(), &order("a")).await.unwrap();
    let mut orphan = made.clone();
    orphan.metadata.owner_references = Some(vec![owner.controller_owner_ref(&()).unwrap()]);
    orphan.metadata.owner_references.as_mut().unwrap()[0].uid = "long gone".into();
    api.create(&PostParams::default(), &orphan).await.unwrap();
    assert_eq!(cluster.with(|server| server.collect_garbage(now())), 1);
    assert!(api.get("p").await.unwrap().metadata.deletion_timestamp.is_some(), "its finalizer holds it");
    let tickets: Api<Ticket> = Api::all(operator(&cluster));
    assert!(tickets.list(&ListParams::default()).await.unwrap().items.is_empty());
}
