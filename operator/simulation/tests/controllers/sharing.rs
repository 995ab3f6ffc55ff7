//! What replicas show when keys move from one to another.

use std::sync::Arc;
use std::time::Duration;

use fooddelivery_runtime::Metrics;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::bench::Bench;

/// A replica that runs, what it counts, and what stops it in peace.
struct Running {
    metrics: Arc<dyn Metrics>,
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Running {
    fn new(bench: &Bench, name: &str, controller: &str) -> Self {
        let (stop, stopping) = watch::channel(false);
        let replica = bench.replica(name, controller, 9_000, stopping);
        let metrics = replica.metrics();
        Self { metrics, task: tokio::spawn(replica.run()), stop }
    }

    fn in_review(&self) -> usize {
        let text = self.metrics.text().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("fooddelivery_payments_in_review "));
        line.unwrap().parse().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_payment_in_review_is_shown_by_the_replica_that_has_it_and_by_no_other() {
    const PAYMENTS: usize = 8;
    let mut bench = Bench::new();
    for n in 0..PAYMENTS {
        let name = format!("lunch-{n}");
        let review = json!({ "phase": "NeedsReview", "attempt": 1, "reason": "OutcomeUnknowable" });
        bench = bench.order(&name).payment().status("payments", &name, &review);
    }
    let first = Running::new(&bench, "first", "payment");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(first.in_review(), PAYMENTS);
    let second = Running::new(&bench, "second", "payment");
    sleep(Duration::from_secs(5)).await;
    assert!((1..PAYMENTS).contains(&second.in_review()), "its share: {}", second.in_review());
    assert_eq!(first.in_review() + second.in_review(), PAYMENTS, "each is shown once");
    second.stop.send(true).unwrap();
    second.task.await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(first.in_review(), PAYMENTS, "all of them are the first one's again");
    first.task.abort();
}

/// The replicas whose circuits a provider shows, and the most open of them.
fn circuits(bench: &Bench) -> (Vec<String>, Value) {
    let status = bench.get("paymentproviders", "toss")["status"].clone();
    let replicas = status["replicas"].as_array().cloned().unwrap_or_default();
    let names = replicas.iter().map(|replica| replica["name"].as_str().unwrap().to_owned());
    (names.collect(), status["circuit"].clone())
}

fn with_open_circuits_of(names: &[&str]) -> Bench {
    let at = "2027-01-15T08:00:00Z";
    let open = |name: &&str| {
        json!({
            "name": name, "circuit": "Open", "since": at, "failureRatePercent": 80, "slowCallRatePercent": 0,
        })
    };
    let replicas: Vec<Value> = names.iter().map(open).collect();
    let status = json!({ "circuit": "Open", "since": at, "replicas": replicas });
    Bench::new().status("paymentproviders", "toss", &status)
}

#[tokio::test(start_paused = true)]
async fn the_circuit_of_a_replica_goes_with_its_lease() {
    let bench = with_open_circuits_of(&["long gone", "second"]);
    let second = Running::new(&bench, "second", "payment");
    let first = Running::new(&bench, "first", "payment-provider");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(circuits(&bench), (vec!["second".to_owned()], json!("Open")), "it is there, and open");
    // As in a crash: its Lease lapses.
    second.task.abort();
    sleep(Duration::from_secs(8)).await;
    assert_eq!(circuits(&bench).1, json!("Open"), "it may come back");
    sleep(Duration::from_secs(8)).await;
    assert_eq!(circuits(&bench), (Vec::new(), json!("Closed")));
    first.task.abort();
}

#[tokio::test(start_paused = true)]
async fn of_a_replica_without_a_lease_nobody_knows_that_it_is_gone() {
    let bench = with_open_circuits_of(&["one", "other"]);
    let mut status = bench.get("paymentproviders", "toss")["status"].clone();
    status["replicas"][1]["withoutLease"] = json!(true);
    bench.write_status("paymentproviders", "toss", &status);
    let first = Running::new(&bench, "first", "payment-provider");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(circuits(&bench), (vec!["other".to_owned()], json!("Open")));
    first.task.abort();
}

#[tokio::test(start_paused = true)]
async fn where_replicas_share_nothing_nobody_is_known_to_be_gone() {
    let bench = with_open_circuits_of(&["somebody"]);
    bench.reconcile("payment-provider").await;
    assert_eq!(circuits(&bench), (vec!["somebody".to_owned()], json!("Open")));
}
