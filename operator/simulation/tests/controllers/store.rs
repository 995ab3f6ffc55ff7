//! The store controller.

use serde_json::json;

use super::bench::{Bench, DISH};

#[tokio::test(start_paused = true)]
async fn an_order_counts_for_its_dishes_when_cooking_begins() {
    let bench = Bench::new().order("lunch").paid().ticket(&["Accepted", "Cooking"]);
    assert_eq!(bench.reconcile("store").await, ["patch stores/status"]);
    let status = &bench.get("stores", "hanok")["status"];
    assert_eq!(status["ordersByMenuItem"][0]["menuItem"], DISH);
    assert_eq!(status["ordersByMenuItem"][0]["orders"], 1);
    assert_eq!(status["recentlyCounted"], json!([bench.reference()]));
}

#[tokio::test(start_paused = true)]
async fn an_order_is_counted_once_also_before_its_ticket_says_so() {
    let bench = Bench::new().order("lunch").paid().ticket(&["Accepted", "Cooking"]);
    bench.reconcile("store").await;
    assert!(bench.reconcile("store").await.is_empty(), "after a restart, too");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_only_accepted_does_not_count() {
    let bench = Bench::new().order("lunch").paid().ticket(&["Accepted"]);
    assert!(bench.reconcile("store").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_made_anew_does_not_count_what_its_namesake_cooked() {
    let bench = Bench::new().order("lunch").paid().ticket(&["Accepted", "Cooking"]).store_made_anew();
    assert!(bench.reconcile("store").await.is_empty());
}
