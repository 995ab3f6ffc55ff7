//! The customer controller.

use super::bench::{Bench, listener};

fn with_provider() -> Bench {
    Bench::new().with("messageproviders", "MessageProvider", "listener", &listener())
}

#[tokio::test(start_paused = true)]
async fn the_log_shows_what_a_customer_was_told() {
    let bench = with_provider().order("lunch").phase("PaymentFailed");
    bench.reconcile("notification").await;
    assert_eq!(bench.reconcile("customer").await, ["patch customers/status"]);
    let messages = bench.get("customers", "jiwoo")["status"]["messages"].clone();
    assert_eq!((&messages[0]["order"], &messages[0]["phase"]), (&"lunch".into(), &"AwaitingPayment".into()));
    assert!(bench.reconcile("customer").await.is_empty(), "each message once");
}

#[tokio::test(start_paused = true)]
async fn who_was_told_nothing_has_no_log() {
    let bench = with_provider().order("lunch");
    assert!(bench.reconcile("customer").await.is_empty());
}
