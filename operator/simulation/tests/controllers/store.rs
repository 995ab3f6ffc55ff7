//! The store controller.

use serde_json::{Value, json};

use super::bench::{Bench, DISH};

/// The counts of a store that has cooked an order of one portion.
fn once() -> Value {
    json!([{ "menuItem": DISH, "orders": 1, "quantity": 1 }])
}

#[tokio::test(start_paused = true)]
async fn an_order_counts_for_its_dishes_when_cooking_begins() {
    let bench = Bench::new().order("lunch").paid().ticket(&["Accepted", "Cooking"]);
    assert_eq!(bench.reconcile("store").await, ["patch stores/status"]);
    assert_eq!(bench.get("stores", "hanok")["status"], json!({ "ordersByMenuItem": once() }));
    assert!(bench.reconcile("store").await.is_empty(), "and counts once");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_leaves_is_kept_and_one_that_does_not_is_not() {
    let bench = Bench::new().order("lunch").paid().ticket(&["Accepted", "Cooking", "Cooked"]);
    let bench = bench.phase("Completed").deleted();
    let reference = bench.reference();
    let bench = bench.order("dinner").paid().ticket(&["Accepted", "Cooking"]);
    assert_eq!(bench.reconcile("store").await, ["patch stores/status"]);
    let status = &bench.get("stores", "hanok")["status"];
    assert_eq!(status["ordersByMenuItem"][0]["orders"], 2);
    assert_eq!(status["departed"], json!({ "ordersByMenuItem": once() }));
    assert_eq!(status["departing"], json!([reference]));
    assert!(bench.reconcile("store").await.is_empty(), "once");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_has_vanished_is_kept() {
    let bench = Bench::new().order("lunch").paid().ticket(&["Accepted", "Cooking"]);
    let reference = bench.reference();
    let bench = bench.vanished();
    assert_eq!(bench.reconcile("store").await, ["patch stores/status"]);
    let status = &bench.get("stores", "hanok")["status"];
    assert_eq!((&status["ordersByMenuItem"], &status["departing"]), (&once(), &json!([reference])));
}

/// A store with this list, which keeps as many orders.
fn with_list(listed: usize) -> Bench {
    let departing: Vec<Value> =
        (0..listed).map(|n| json!({ "name": format!("gone-{n}"), "uid": format!("uid-{n}") })).collect();
    let dishes = json!([{ "menuItem": DISH, "orders": listed, "quantity": listed }]);
    let status = json!({
        "ordersByMenuItem": dishes, "departed": { "ordersByMenuItem": dishes }, "departing": departing,
    });
    Bench::new().status("stores", "hanok", &status)
}

#[tokio::test(start_paused = true)]
async fn orders_whose_tickets_are_gone_leave_a_long_list_and_stay_in_the_counts() {
    assert!(with_list(50).reconcile("store").await.is_empty(), "a short one is left alone");
    let bench = with_list(51);
    let counts = bench.get("stores", "hanok")["status"]["departed"].clone();
    assert_eq!(bench.reconcile("store").await, ["patch stores/status"]);
    assert_eq!(
        bench.get("stores", "hanok")["status"],
        json!({ "ordersByMenuItem": counts["ordersByMenuItem"], "departed": counts })
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_list_makes_room_for_who_leaves() {
    let bench = with_list(100).order("lunch").paid().ticket(&["Accepted", "Cooking", "Cooked"]);
    let bench = bench.phase("Completed").deleted();
    let writes = bench.reconcile("store").await;
    assert!(writes.len() <= 2, "{writes:?}");
    let status = &bench.get("stores", "hanok")["status"];
    assert_eq!(status["departing"], json!([bench.reference()]));
    assert_eq!(status["departed"]["ordersByMenuItem"][0]["orders"], 101);
    assert_eq!(status["ordersByMenuItem"][0]["orders"], 101);
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
