//! What replicas show when keys move from one to another.

use std::sync::Arc;
use std::time::Duration;

use fooddelivery_runtime::Metrics;
use serde_json::json;
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
    fn new(bench: &Bench, name: &str) -> Self {
        let (stop, stopping) = watch::channel(false);
        let replica = bench.replica(name, "payment", 9_000, stopping);
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
    let first = Running::new(&bench, "first");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(first.in_review(), PAYMENTS);
    let second = Running::new(&bench, "second");
    sleep(Duration::from_secs(5)).await;
    assert!((1..PAYMENTS).contains(&second.in_review()), "its share: {}", second.in_review());
    assert_eq!(first.in_review() + second.in_review(), PAYMENTS, "each is shown once");
    second.stop.send(true).unwrap();
    second.task.await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(first.in_review(), PAYMENTS, "all of them are the first one's again");
    first.task.abort();
}
