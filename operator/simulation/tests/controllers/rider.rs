//! The rider controller.

use serde_json::json;

use super::bench::Bench;

fn with_rider() -> Bench {
    Bench::new()
        .with("riders", "Rider", "minsu", &json!({ "region": "mapo", "capacity": 2 }))
        .order("lunch")
        .paid()
}

#[tokio::test(start_paused = true)]
async fn a_delivery_counts_for_its_rider_when_it_has_arrived() {
    let bench = with_rider().delivery(Some("minsu"), &["PickedUp", "Delivered"]);
    assert_eq!(bench.reconcile("rider").await, ["patch riders/status"]);
    assert_eq!(bench.get("riders", "minsu")["status"], json!({ "deliveries": 1 }));
    assert!(bench.reconcile("rider").await.is_empty(), "and counts once");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_of_an_order_that_leaves_is_kept() {
    let bench = with_rider().delivery(Some("minsu"), &["PickedUp", "Delivered"]);
    let bench = bench.phase("Completed").deleted();
    assert_eq!(bench.reconcile("rider").await, ["patch riders/status"]);
    let status = &bench.get("riders", "minsu")["status"];
    let kept = (&status["deliveries"], &status["departed"], &status["departing"]);
    assert_eq!(kept, (&json!(1), &json!(1), &json!([bench.reference()])));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_on_its_way_does_not_count() {
    let bench = with_rider().delivery(Some("minsu"), &["PickedUp"]);
    assert!(bench.reconcile("rider").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rider_who_is_only_a_name_is_not_counted_for() {
    let bench = with_rider().delivery(Some("sora"), &["PickedUp", "Delivered"]);
    assert!(bench.reconcile("rider").await.is_empty());
}
