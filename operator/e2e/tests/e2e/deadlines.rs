//! Deadlines on the real control plane: they run only while somebody could act, over restarts and by the API server's
//! clock, and each has an outcome with everything undone.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use fooddelivery_e2e::{
    DeliveryStage, LONG, NamespaceOptions, OperatorOptions, Order, OrderPhase, Store, TestCluster,
    TestNamespace, Ticket, TicketStage,
};
use fooddelivery_saga::time::RESTART_GRACE;
use local_cluster::Shutdown;
use serde_json::json;

use crate::size;

/// A controller that is silent for longer was away.
const GAP: &str = "--availability-gap-ms=1500";
const PATIENCE: Duration = Duration::from_mins(2);

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

async fn namespace(name: &str, controllers: &[&str], args: &[&str]) -> Result<TestNamespace> {
    let operator =
        OperatorOptions { controllers: words(controllers), args: words(args), ..OperatorOptions::default() };
    TestCluster::shared()
        .await?
        .namespace_with(name, NamespaceOptions { operator, ..Default::default() })
        .await
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn deadline_ms(order: &Order) -> Option<i64> {
    order.state().deadline.map(|at| at.0)
}

/// Waits until an order stands in `phase` with a deadline that is at least `from_now_ms` away.
async fn wait_deadline(ns: &TestNamespace, name: &str, phase: OrderPhase, from_now_ms: i64) -> Result<Order> {
    let runs =
        |o: &Order| o.state().phase == phase && deadline_ms(o).is_some_and(|at| at > now_ms() + from_now_ms);
    ns.wait_until(name, "a deadline ahead", LONG, runs).await
}

async fn wait_no_deadline(ns: &TestNamespace, name: &str) -> Result<Order> {
    ns.wait_until(name, "no deadline", LONG, |o| deadline_ms(o).is_none()).await
}

/// Waits until an operator that was started at `since` may fire deadlines.
async fn outlast_grace(since: Instant) {
    let grace = Duration::from_millis(RESTART_GRACE.0.unsigned_abs()) + Duration::from_secs(2);
    tokio::time::sleep(grace.saturating_sub(since.elapsed())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stores_side_is_off_for_longer_than_the_deadline_and_every_waiting_order_goes_on() -> Result<()> {
    let acceptance = "--deadline-acceptance=15";
    let controllers = ["order", "payment", "delivery", "provider"];
    let ns = namespace("store-off", &controllers, &[GAP, acceptance]).await?;
    let started = Instant::now();
    let of_tickets =
        OperatorOptions { controllers: words(&["ticket"]), args: words(&[GAP]), ..Default::default() };
    let tickets = ns.another_operator(of_tickets).await?;
    let names = ["a", "b", "c"];
    for name in names {
        ns.order(name, |_| {}).await?;
        ns.wait_until::<Ticket>(name, "to be in the queue", LONG, |_| true).await?;
        wait_deadline(&ns, name, OrderPhase::AwaitingStore, 5_000).await?;
    }
    tickets.kill_hard()?;
    for name in names {
        wait_no_deadline(&ns, name).await?;
    }
    // The order's controller has been there all the time, and could have fired since long.
    outlast_grace(started).await;
    for name in names {
        let order = ns.get::<Order>(name).await?;
        ensure!(order.state().phase == OrderPhase::AwaitingStore, "{name} is {}", order.state().phase);
    }
    tickets.restart().await?;
    for name in names {
        wait_deadline(&ns, name, OrderPhase::AwaitingStore, 5_000).await?;
        ns.move_ticket(name, TicketStage::Accepted).await?;
    }
    for name in names {
        ns.wait_phase(name, OrderPhase::Accepted, LONG).await?;
    }
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_operator_is_off_for_longer_than_the_deadline_and_every_waiting_order_goes_on() -> Result<()>
{
    let ns = namespace("all-off", &[], &[GAP, "--deadline-acceptance=8", "--deadline-rider=8"]).await?;
    let names = ["waits-for-the-store", "waits-for-a-rider"];
    for name in names {
        ns.order(name, |_| {}).await?;
    }
    ns.cook("waits-for-a-rider").await?;
    let first = wait_deadline(&ns, names[0], OrderPhase::AwaitingStore, 0).await?;
    let second = wait_deadline(&ns, names[1], OrderPhase::AwaitingRider, 0).await?;
    ns.operator.kill_hard()?;
    tokio::time::sleep(Duration::from_secs(9)).await;
    ensure!(deadline_ms(&first).max(deadline_ms(&second)) < Some(now_ms()), "both have passed");
    ns.operator.restart().await?;
    wait_deadline(&ns, names[0], OrderPhase::AwaitingStore, 0).await?;
    wait_deadline(&ns, names[1], OrderPhase::AwaitingRider, 0).await?;
    ns.move_ticket(names[0], TicketStage::Accepted).await?;
    ns.wait_phase(names[0], OrderPhase::Accepted, LONG).await?;
    ns.deliver(names[1], "minjun").await?;
    ns.wait_phase(names[1], OrderPhase::Delivered, LONG).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_was_away_gives_every_waiting_order_its_whole_deadline_again() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    // It harms the cluster, so it has one to itself.
    let cluster = TestCluster::exclusive().await?;
    let args = words(&[GAP, "--deadline-acceptance=90"]);
    let operator = OperatorOptions { args, ..OperatorOptions::default() };
    let ns = cluster.namespace_with("away", NamespaceOptions { operator, ..Default::default() }).await?;
    ns.order("lunch", |_| {}).await?;
    let before = wait_deadline(&ns, "lunch", OrderPhase::AwaitingStore, 0).await?;
    let before = deadline_ms(&before).unwrap();
    let Some(local) = cluster.access().local_cluster() else { anyhow::bail!("a local cluster") };
    local.stop_apiserver(Shutdown::Kill).await?;
    // A deadline that is to move by less than 5 s stays where it is, to save the write.
    tokio::time::sleep(Duration::from_secs(8)).await;
    local.restart_apiserver(Shutdown::Kill).await?;
    let later = |o: &Order| deadline_ms(o).is_some_and(|at| at > before + 8_000);
    ns.wait_until("lunch", "a later deadline", LONG, later).await?;
    ns.move_ticket("lunch", TicketStage::Accepted).await?;
    ns.wait_phase("lunch", OrderPhase::Accepted, LONG).await?;
    ns.audit().await?;
    drop(ns);
    cluster.give_back();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_closes_and_an_order_that_is_stopped_go_on_with_a_whole_deadline() -> Result<()> {
    let ns = namespace("closes", &[], &["--deadline-acceptance=15", "--deadline-cooking=15"]).await?;
    let started = Instant::now();
    let (waiting, stopped) = ("waiting", "stopped");
    for name in [waiting, stopped] {
        ns.order(name, |_| {}).await?;
    }
    ns.move_ticket(stopped, TicketStage::Accepted).await?;
    ns.move_ticket(stopped, TicketStage::Cooking).await?;
    wait_deadline(&ns, waiting, OrderPhase::AwaitingStore, 5_000).await?;
    wait_deadline(&ns, stopped, OrderPhase::Cooking, 5_000).await?;
    ns.patch::<Store>("hanok", json!({ "spec": { "open": false } })).await?;
    ns.kubectl(&["annotate", "ord", stopped, "fooddelivery.dev/paused=true"]).await?;
    wait_no_deadline(&ns, waiting).await?;
    let order = wait_no_deadline(&ns, stopped).await?;
    assert_eq!(order.state().reason, "Paused");
    let version = order.metadata.resource_version;
    outlast_grace(started).await;
    let order = ns.get::<Order>(stopped).await?;
    assert_eq!(order.metadata.resource_version, version, "one write, and no other");
    ns.patch::<Store>("hanok", json!({ "spec": { "open": true } })).await?;
    ns.kubectl(&["annotate", "ord", stopped, "fooddelivery.dev/paused-"]).await?;
    wait_deadline(&ns, waiting, OrderPhase::AwaitingStore, 5_000).await?;
    let order = wait_deadline(&ns, stopped, OrderPhase::Cooking, 5_000).await?;
    assert_eq!(order.state().reason, "", "it says no longer that it is stopped");
    ns.move_ticket(waiting, TicketStage::Accepted).await?;
    ns.move_ticket(stopped, TicketStage::Cooked).await?;
    ns.wait_phase(waiting, OrderPhase::Accepted, LONG).await?;
    ns.wait_phase(stopped, OrderPhase::AwaitingRider, LONG).await?;
    ns.audit().await
}

/// Brings orders to where they wait for somebody, each under the name of the reason that it will be given.
async fn bring_all(ns: &TestNamespace) -> Result<()> {
    ns.order("unpaid", |o| o.store_ref.as_mut().unwrap().name = "nowhere".into()).await?;
    let waiting =
        ["unanswered", "accepted", "cooking", "cooked", "claimed", "picked-up", "delivered"].into_iter();
    for (n, name) in waiting.enumerate() {
        ns.order(name, |_| {}).await?;
        let stages = [TicketStage::Accepted, TicketStage::Cooking, TicketStage::Cooked];
        for stage in stages.into_iter().take(n) {
            ns.move_ticket(name, stage).await?;
        }
        if n > 3 {
            ns.claim(name, "minjun").await?;
            ns.wait_phase(name, OrderPhase::RiderAssigned, LONG).await?;
        }
        for stage in [DeliveryStage::PickedUp, DeliveryStage::Delivered].into_iter().take(n.saturating_sub(4))
        {
            ns.move_delivery(name, stage).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_deadline_has_its_outcome_and_everything_is_undone() -> Result<()> {
    let spans =
        ["payment", "deferral", "acceptance", "cooking", "rider", "pickup", "delivery", "confirmation"];
    let ns = namespace("outcomes", &[], &[]).await?;
    bring_all(&ns).await?;
    // Only now, and not while people are still at it, is everybody late.
    let args = spans.iter().map(|span| format!("--deadline-{span}=3")).collect();
    let short = OperatorOptions { args, ..OperatorOptions::in_namespace(&ns.name) };
    ns.operator.restart_with(short).await?;
    // The provider goes away: from now on nothing is paid, and nothing given back.
    ns.sandbox.kill_hard()?;
    ns.order("deferred", |_| {}).await?;
    wait_deadline(&ns, "deferred", OrderPhase::PaymentDeferred, -60_000).await?;
    ns.wait_phase("deferred", OrderPhase::Cancelling, PATIENCE).await?;
    ns.sandbox.restart().await?;
    for (name, reason) in [
        ("unpaid", "StoreNotFound"),
        ("deferred", "PaymentTimedOut"),
        ("unanswered", "StoreDidNotAnswer"),
        ("accepted", "CookingTimedOut"),
        ("cooking", "CookingTimedOut"),
        ("cooked", "NoRider"),
        ("claimed", "NoRider"),
        ("picked-up", "DeliveryTimedOut"),
    ] {
        let order = ns.wait_condition(name, "Settled", PATIENCE).await?;
        assert_eq!(order.state().phase, OrderPhase::Cancelled, "{name}");
        assert_eq!((order.state().reason.as_str(), order.state().deadline), (reason, None), "{name}");
    }
    let history = ns.get::<Order>("claimed").await?.state().history;
    let lost = history.windows(2).any(|w| w[0].phase == "RiderAssigned" && w[1].phase == "AwaitingRider");
    assert!(lost, "the claim was released first: {history:?}");
    assert_eq!(ns.get::<Ticket>("cooking").await?.spec.stage, TicketStage::Abandoned);
    ns.wait_phase("delivered", OrderPhase::Completed, PATIENCE).await?;
    ns.audit().await
}

/// A library that gives a process another wall clock; tests that need it are skipped where it is not installed.
fn faketime() -> Option<PathBuf> {
    let found = std::fs::read_dir("/usr/lib").ok()?.flatten();
    found.map(|dir| dir.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

/// A wall clock that is set by hand while the process runs.
struct WallClock(PathBuf);

impl WallClock {
    fn set(&self, offset: &str) -> Result<()> {
        let next = self.0.with_extension("next");
        std::fs::write(&next, format!("{offset}\n"))?;
        std::fs::rename(&next, &self.0).context("the file of the wall clock")
    }

    fn env(&self, library: &std::path::Path) -> Vec<(String, String)> {
        let text = |path: &std::path::Path| path.display().to_string();
        [
            ("LD_PRELOAD", text(library)),
            ("FAKETIME_TIMESTAMP_FILE", text(&self.0)),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec()
    }
}

async fn wait_readiness(ns: &TestNamespace, status: u16, sentence: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let said = ns.operator.probe("readyz").await?;
        if said.0 == status && said.1.contains(sentence) {
            return Ok(());
        }
        ensure!(begun.elapsed() < LONG, "waited for {status} {sentence:?}, but it says {said:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_is_wrong_and_jumps_neither_fires_a_deadline_nor_holds_it_up() -> Result<()> {
    let Some(library) = faketime() else {
        eprintln!("skipped: libfaketime is not installed (apt-get install faketime)");
        return Ok(());
    };
    let cluster = TestCluster::shared().await?;
    let wall = WallClock(cluster.access().dir().join("jumping-clock"));
    wall.set("+3600")?;
    // Later than the grace after a start, so that the deadline itself is what fires.
    let operator = OperatorOptions {
        args: words(&["--deadline-acceptance=32"]),
        env: wall.env(&library),
        ..OperatorOptions::default()
    };
    let options = NamespaceOptions { operator, operator_stopped: true, ..NamespaceOptions::default() };
    let ns = cluster.namespace_with("clock", options).await?;
    ns.operator.restart_unready().await?;
    wait_readiness(&ns, 503, "s ahead of the API server's").await?;
    let metrics = ns.operator.metrics().await?;
    ensure!(metrics.contains("fooddelivery_clock_skew_seconds 3600") || metrics.contains("_seconds 3599"));
    ns.order("lunch", |_| {}).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let order = ns.get::<Order>("lunch").await?;
    let untouched = order.status.as_ref().is_none_or(|status| status.history.is_empty());
    ensure!(untouched, "nothing is decided while two clocks contradict each other: {:?}", order.status);
    wall.set("+0")?;
    wait_readiness(&ns, 200, "ready").await?;
    let order = wait_deadline(&ns, "lunch", OrderPhase::AwaitingStore, 20_000).await?;
    let deadline = deadline_ms(&order).unwrap();
    ensure!(deadline < now_ms() + 34_000, "it is set by the API server's time");
    for (offset, sentence) in [("+86400", "ahead of"), ("-3600", "behind")] {
        wall.set(offset)?;
        wait_readiness(&ns, 503, sentence).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let order = ns.get::<Order>("lunch").await?;
        ensure!(order.state().phase == OrderPhase::AwaitingStore, "too early: {}", order.state().phase);
        assert_eq!(deadline_ms(&order), Some(deadline), "it stands where it stood");
    }
    let order = ns.wait_phase("lunch", OrderPhase::Cancelled, PATIENCE).await?;
    assert_eq!(order.state().reason, "StoreDidNotAnswer");
    let ended = order.state().history.last().unwrap().at.0;
    // The API server tells full seconds; a busy machine takes its time.
    ensure!(ended >= deadline && ended < deadline + 10_000, "due {deadline}, done {ended}");
    ns.audit().await
}
