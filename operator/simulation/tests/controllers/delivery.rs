//! The delivery controller.

use serde_json::json;

use super::bench::Bench;

const COOKED: [&str; 3] = ["Accepted", "Cooking", "Cooked"];

#[tokio::test(start_paused = true)]
async fn food_that_is_cooked_is_offered_to_riders() {
    let bench = Bench::new().order("lunch").paid().ticket(&COOKED).phase("AwaitingRider");
    assert_eq!(bench.reconcile("delivery").await, ["create deliveries"]);
    let delivery = bench.get("deliveries", "lunch");
    assert_eq!(delivery["spec"]["stage"], "Waiting");
    assert_eq!(delivery["spec"]["orderRef"], bench.reference());
    assert_eq!(delivery["spec"]["pickup"]["name"], "hanok");
    assert_eq!(delivery["spec"]["dropoff"]["address"], "12 Wausan-ro");
}

#[tokio::test(start_paused = true)]
async fn food_that_is_still_cooking_is_not_offered() {
    let bench = Bench::new().order("lunch").paid().ticket(&["Accepted", "Cooking"]).phase("Cooking");
    assert!(bench.reconcile("delivery").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_paused_is_left_where_it_is() {
    let paused = json!({ "metadata": { "annotations": { "fooddelivery.dev/paused": "true" } } });
    let bench = Bench::new().order("lunch").paid().ticket(&COOKED).phase("AwaitingRider");
    let bench = bench.change("customer", "orders", "lunch", &paused);
    assert!(bench.reconcile("delivery").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_delivery_whose_order_and_payment_have_vanished_is_cleared_away() {
    let bench = Bench::new().order("lunch").paid().ticket(&COOKED).phase("AwaitingRider");
    let bench = bench.delivery(None, &[]).vanished().payment_vanished();
    assert_eq!(bench.reconcile("delivery").await, ["delete deliveries"]);
}
