//! The circuit breaker as its users see it: payments are put off and come back, people read it in the provider's status,
//! and thousands who wait cost nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fooddelivery_api::PaymentProvider;
use fooddelivery_e2e::metrics::{Writes, difference, table, total, writes};
use fooddelivery_e2e::{
    LONG, NamespaceOptions, OperatorOptions, Order, OrderPhase, Payment, PaymentPhase, TestCluster,
    TestNamespace, WhenUnavailable,
};
use fooddelivery_saga::phases::CircuitState;
use futures::future::try_join_all;
use jiff::Timestamp;
use kube::Api;
use serde_json::{Value, json};

use crate::size;

const PATIENCE: Duration = Duration::from_mins(2);
/// Within this time a machine that is busy with something else is quiet again.
const UNTIL_QUIET: Duration = Duration::from_mins(5);

fn options(breaker: &Value) -> NamespaceOptions {
    let args = vec!["--replica=first".to_owned()];
    let operator = OperatorOptions { args, ..OperatorOptions::default() };
    NamespaceOptions { operator, ..NamespaceOptions::default() }.with_provider(json!({ "breaker": breaker }))
}

async fn namespace(name: &str, breaker: &Value) -> Result<TestNamespace> {
    TestCluster::shared().await?.namespace_with(name, options(breaker)).await
}

async fn wait_circuit(
    ns: &TestNamespace,
    circuit: CircuitState,
) -> Result<fooddelivery_api::PaymentProviderStatus> {
    let what = format!("a circuit that is {circuit}");
    ns.wait_provider(ns.provider(), &what, PATIENCE, |status| status.circuit == circuit).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_provider_opens_the_circuit_payments_wait_and_are_made_when_it_is_back() -> Result<()> {
    // Open for longer than it takes to look at what an open circuit does.
    let ns = namespace("outage", &json!({ "minimumCalls": 5, "openFor": "15s", "trials": 2 })).await?;
    let shown = ns.kubectl(&["get", "psp", ns.provider()]).await?;
    assert!(shown.contains("CIRCUIT") && shown.contains("Closed"), "{shown}");
    ns.sandbox.set_outage("error").await?;
    ns.order("first", |_| {}).await?;
    let status = wait_circuit(&ns, CircuitState::Open).await?;
    assert!(status.since.is_some() && status.failure_rate_percent.is_some_and(|p| p >= 50), "{status:?}");
    assert_eq!(status.replicas[0].name, "first");
    let shown = ns.kubectl(&["get", "psp", ns.provider()]).await?;
    assert!(shown.contains("Open"), "{shown}");
    let metrics = ns.operator.metrics().await?;
    let open = format!("fooddelivery_provider_circuit{{provider=\"{}\"}} 2", ns.provider());
    assert!(metrics.contains(&open) || metrics.contains("to=\"Open\""), "{metrics}");

    // With an open circuit nothing is sent: an order that may wait waits, one that will not fails at once.
    ns.sandbox.set_outage("hang").await?;
    ns.order("waits", |_| {}).await?;
    ns.order("fails", |o| o.payment.when_unavailable = WhenUnavailable::Fail).await?;
    ns.wait_phase("waits", OrderPhase::PaymentDeferred, LONG).await?;
    let failed = ns.wait_phase("fails", OrderPhase::PaymentFailed, LONG).await?;
    assert_eq!(failed.state().reason, "ProviderUnavailable");
    ns.wait_condition("fails", "Settled", LONG).await?;
    let payment = ns.get::<Payment>("waits").await?;
    assert!(payment.state().next_attempt_at.is_some(), "visible: {:?}", payment.state());
    let listed = ns.kubectl(&["get", "pay", "waits"]).await?;
    assert!(listed.contains("Deferred") && listed.contains("ProviderUnavailable"), "{listed}");
    assert!(ns.ledger().await?.is_empty());

    ns.sandbox.set_outage("none").await?;
    for name in ["first", "waits"] {
        ns.wait_phase(name, OrderPhase::AwaitingStore, PATIENCE).await?;
    }
    wait_circuit(&ns, CircuitState::Closed).await?;
    assert_eq!(ns.ledger().await?.len(), 2);
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_replica_has_its_own_circuit_and_its_own_entry() -> Result<()> {
    let ns = namespace("replicas", &json!({ "minimumCalls": 4, "openFor": "2s", "trials": 1 })).await?;
    ns.sandbox.set_outage("error").await?;
    ns.order("first", |_| {}).await?;
    wait_circuit(&ns, CircuitState::Open).await?;
    let mut second = OperatorOptions::for_everything();
    second.args.push("--replica=second".into());
    let second = ns.another_operator(second).await?;
    ns.order("second", |_| {}).await?;
    let both = |status: &fooddelivery_api::PaymentProviderStatus| {
        let open =
            |name: &str| status.replicas.iter().any(|r| r.name == name && r.circuit == CircuitState::Open);
        open("first") && open("second")
    };
    ns.wait_provider(ns.provider(), "two open circuits", PATIENCE, both).await?;
    // A replica that starts anew begins with a closed circuit, and says so; the summary is that of the other.
    ns.operator.kill_hard()?;
    ns.sandbox.set_outage("none").await?;
    ns.operator.restart().await?;
    for name in ["first", "second"] {
        ns.wait_phase(name, OrderPhase::AwaitingStore, PATIENCE).await?;
    }
    let none_open = |status: &fooddelivery_api::PaymentProviderStatus| {
        status.replicas.iter().all(|r| r.name != "first" || r.circuit == CircuitState::Closed)
    };
    ns.wait_provider(ns.provider(), "a closed circuit of the first", PATIENCE, none_open).await?;
    second.stop().await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_who_wait_for_a_circuit_write_nothing_and_come_back_spread_out() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    // More by hand: FOODDELIVERY_E2E_WAITING=10000.
    let many = std::env::var("FOODDELIVERY_E2E_WAITING").ok().and_then(|n| n.parse().ok());
    let waiting: usize = many.unwrap_or(200);
    let per_second = waiting / 4;
    // A cluster to itself, so that all writes counted are this test's.
    let cluster = TestCluster::exclusive().await?;
    let breaker = json!({ "minimumCalls": 5, "openFor": "3s", "trials": 2 });
    let options =
        options(&breaker).with_provider(json!({ "rate": { "perSecond": per_second, "burst": 10 } }));
    let ns = cluster.namespace_with("storm", options).await?;
    ns.sandbox.set_outage("error").await?;
    ns.order("first", |_| {}).await?;
    wait_circuit(&ns, CircuitState::Open).await?;
    let names: Vec<String> = (0..waiting).map(|n| format!("order-{n}")).collect();
    for some in names.chunks(20) {
        try_join_all(some.iter().map(|name| ns.order(name, |_| {}))).await?;
    }
    wait_all(&ns, waiting, |p| p.state().phase == PaymentPhase::Deferred).await?;
    let count = async || -> Result<Writes> {
        let scraped = cluster.access().kubectl(["get", "--raw", "/metrics"]).await?;
        let mut all = writes(&scraped, fooddelivery_api::GROUP);
        all.retain(|write, _| write.resource != "events");
        Ok(all)
    };
    // The orders' own status follows their payments'. One quiet moment may be a machine that is held up.
    let (mut before, mut quiet) = (count().await?, 0);
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = count().await?;
        quiet = if total(&now) - total(&before) < 10 { quiet + 1 } else { 0 };
        before = now;
        if quiet == 3 {
            break;
        }
    }
    let calls_before = ns.sandbox.calls().await?.len();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let written = difference(&before, &count().await?, &Writes::new());
    println!("{}", table(&written));
    let (written, called) = (total(&written), ns.sandbox.calls().await?.len() - calls_before);
    println!("{waiting} deferred payments: {written} writes and {called} calls in 10 s of an open circuit");
    // Trials that fail: a few payments record their intent, and are put off again.
    assert!(written <= 40, "{written} writes");
    assert!(called <= 40, "{called} calls");

    let (back, since) = (Instant::now(), Timestamp::now());
    ns.sandbox.set_outage("none").await?;
    wait_all(&ns, waiting, |p| p.state().phase == PaymentPhase::Captured).await?;
    println!("all paid {:.1} s after the provider was back", back.elapsed().as_secs_f64());
    let busiest = busiest_second(&ns).await?;
    println!("at most {busiest} charges in a second, at a rate of {per_second}");
    // Trials may be on their way to the provider when it comes back.
    no_faster_than(&ns, since, per_second, 10 + 2).await?;
    ns.audit().await?;
    drop(ns);
    cluster.give_back();
    Ok(())
}

async fn wait_all(ns: &TestNamespace, count: usize, is_so: impl Fn(&Payment) -> bool) -> Result<()> {
    let started = Instant::now();
    loop {
        let payments = ns.list::<Payment>().await?;
        let there = payments.iter().filter(|p| is_so(p)).count();
        if there >= count {
            return Ok(());
        }
        if started.elapsed() > Duration::from_mins(2) + Duration::from_millis(50) * u32::try_from(count)? {
            let phases: Vec<String> = payments.iter().map(|p| p.state().phase.to_string()).collect();
            bail!("{there} of {count}: {phases:?}\n{}", ns.operator.log_tail(40));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The most captures within one second, by the ledger.
async fn busiest_second(ns: &TestNamespace) -> Result<usize> {
    let at: Vec<i64> = ns.ledger().await?.iter().map(|entry| entry.at.as_millisecond()).collect();
    let within = |from: i64| at.iter().filter(|t| (from..from + 1_000).contains(*t)).count();
    at.iter().map(|from| within(*from)).max().context("an empty ledger")
}

/// That at any time no more money had moved since `since` than the rate allows. Whatever holds up a call makes the
/// money move later, and several calls at once when it lets go: what stands in one second says little about the rate.
async fn no_faster_than(ns: &TestNamespace, since: Timestamp, per_second: usize, burst: usize) -> Result<()> {
    let mut at: Vec<Timestamp> = ns.ledger().await?.iter().map(|entry| entry.at).collect();
    at.sort();
    for (before, at) in at.iter().enumerate() {
        let passed = usize::try_from(at.duration_since(since).as_millis()).context("a clock that was set")?;
        let allowed = burst + per_second * passed / 1_000;
        ensure!(before <= allowed, "{} charges {passed} ms after the first could be made", before + 1);
    }
    Ok(())
}

/// The two latency profiles of the reference services against the limit of 610 ms: nearly all of the first are in
/// time, two in five of the second. Either way everybody is charged, once. What the breaker does about each: the first
/// leaves it closed; the second opens it by its slow calls, and payments are put off until it has been tried.
async fn profile(name: &str, latency: &str) -> Result<CircuitState> {
    let ns = namespace(name, &json!({ "openFor": "3s" })).await?;
    ns.sandbox.set_latency(latency).await?;
    for n in 0..20 {
        ns.order(&format!("order-{n}"), |_| {}).await?;
    }
    for n in 0..20 {
        ns.wait_phase(&format!("order-{n}"), OrderPhase::AwaitingStore, PATIENCE).await?;
    }
    assert_eq!(ns.ledger().await?.len(), 20);
    ns.audit().await?;
    let turned = ns.operator.metrics().await?.contains("to=\"Open\"");
    Ok(if turned { CircuitState::Open } else { CircuitState::Closed })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_takes_400_to_620_ms_is_paid_once_each_with_a_closed_circuit() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    // A machine that is busy with something else for a while makes every call slow: then it is measured again.
    let (started, mut round) = (Instant::now(), 0);
    while profile(&format!("profile-1-{round}"), "400-620").await? == CircuitState::Open {
        round += 1;
        ensure!(started.elapsed() < UNTIL_QUIET, "the circuit opened each of {round} times");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_takes_520_to_740_ms_is_paid_once_each_with_a_circuit_that_opens() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    for round in 0..3 {
        if profile(&format!("profile-2-{round}"), "520-740").await? == CircuitState::Open {
            return Ok(());
        }
    }
    bail!("the circuit stayed closed three times")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_of_calls_is_bounded() -> Result<()> {
    let options =
        NamespaceOptions::default().with_provider(json!({ "rate": { "perSecond": 10, "burst": 2 } }));
    let ns = TestCluster::shared().await?.namespace_with("rate", options).await?;
    let since = Timestamp::now();
    let names: Vec<String> = (0..30).map(|n| format!("order-{n}")).collect();
    try_join_all(names.iter().map(|name| ns.order(name, |_| {}))).await?;
    wait_all(&ns, 30, |p| p.state().phase == PaymentPhase::Captured).await?;
    no_faster_than(&ns, since, 10, 2).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_is_to_go_back_waits_for_the_circuit_and_says_so() -> Result<()> {
    let ns = namespace("refunds", &json!({ "minimumCalls": 4, "openFor": "2s", "trials": 1 })).await?;
    for name in ["lunch", "dinner"] {
        ns.order(name, |_| {}).await?;
        ns.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
    }
    ns.sandbox.set_outage("error").await?;
    ns.cancel("lunch", "changed my mind").await?;
    wait_circuit(&ns, CircuitState::Open).await?;
    ns.cancel("dinner", "changed my mind").await?;
    let waits =
        |p: &Payment| p.state().phase == PaymentPhase::Refunding && p.state().reason == "ProviderUnavailable";
    ns.wait_until::<Payment>("dinner", "the reason why it waits", PATIENCE, waits).await?;
    ns.sandbox.set_outage("none").await?;
    for name in ["lunch", "dinner"] {
        ns.wait_phase(name, OrderPhase::Cancelled, PATIENCE).await?;
        let quiet = |o: &Order| o.state().phase == OrderPhase::Cancelled;
        ns.wait_until::<Order>(name, "its end", LONG, quiet).await?;
    }
    let psp = Api::<PaymentProvider>::all(ns.client.clone()).get(ns.provider()).await?;
    assert!(psp.status.is_some());
    ns.audit().await
}
