//! The notification controller.

use std::time::Duration;

use fooddelivery_simulation::provider::ProviderFault;
use serde_json::json;

use super::bench::{Bench, listener};

fn with_provider() -> Bench {
    Bench::new().with("messageproviders", "MessageProvider", "listener", &listener())
}

#[tokio::test(start_paused = true)]
async fn every_step_of_an_order_is_told_once_and_in_order() {
    let bench = with_provider().order("lunch").paid();
    assert!(bench.reconcile("notification").await.is_empty(), "an order on its way is not written for it");
    assert_eq!(bench.heard(), ["AwaitingPayment", "AwaitingStore"]);
    bench.reconcile("notification").await;
    assert_eq!(bench.heard(), ["AwaitingPayment", "AwaitingStore"], "what is told again is heard once");
}

#[tokio::test(start_paused = true)]
async fn without_a_provider_nobody_is_told() {
    let bench = Bench::new().order("lunch").paid();
    assert!(bench.reconcile("notification").await.is_empty());
    assert!(bench.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_arrive_is_sent_again() {
    let bench = with_provider().order("lunch").faults(&[ProviderFault::Lost]);
    bench.reconcile_for("notification", Duration::from_mins(1)).await;
    assert_eq!(bench.heard(), ["AwaitingPayment"]);
}

#[tokio::test(start_paused = true)]
async fn where_messages_have_waited_for_long_the_order_says_so() {
    let bench = with_provider().order("lunch").faults(&[ProviderFault::Lost; 64]);
    let writes = bench.reconcile_for("notification", Duration::from_mins(1)).await;
    assert_eq!(writes, ["patch orders/status"]);
    let conditions = bench.get("orders", "lunch")["status"]["conditions"].clone();
    let notified = conditions.as_array().unwrap().iter().find(|condition| condition["type"] == "Notified");
    assert_eq!(notified.unwrap()["status"], "False");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_has_ended_says_how_far_everybody_was_told() {
    let bench = with_provider().order("lunch").phase("PaymentFailed");
    assert_eq!(bench.reconcile("notification").await, ["patch orders/status"]);
    assert_eq!(bench.get("orders", "lunch")["status"]["messages"][0]["provider"], json!("listener"));
}
