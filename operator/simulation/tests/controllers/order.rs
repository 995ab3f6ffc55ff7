//! The order controller.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::bench::{Bench, DISH, PRICE, is_held};

#[tokio::test(start_paused = true)]
async fn an_order_is_priced_and_its_payment_made() {
    let bench = Bench::new().order("lunch");
    let writes = bench.reconcile("order").await;
    assert_eq!(writes.first().unwrap(), "create payments");
    let payment = bench.get("payments", "lunch");
    assert_eq!(payment["spec"]["quote"]["total"], PRICE);
    assert_eq!(payment["spec"]["desired"], "Captured");
    assert!(bench.calls().is_empty(), "calls are the payment controller's");
}

#[tokio::test(start_paused = true)]
async fn a_payment_is_made_with_its_intent_and_written_once_more_when_it_is_charged() {
    let bench = Bench::new().order("lunch");
    let writes = bench.reconcile("order,payment").await;
    assert_eq!(writes, ["create payments", "patch payments/status", "patch orders/status"]);
    assert_eq!(bench.calls(), ["charge"], "nothing was sent before, so nobody is asked");
    let payment = bench.get("payments", "lunch");
    assert_eq!(payment["status"]["attempt"], 1);
    assert_eq!(payment["spec"]["intent"]["providerUid"], payment["status"]["providerUid"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_on_the_menu_is_not_paid_for_and_the_order_says_so() {
    let bench =
        Bench::new().order_with("lunch", &json!({ "items": [{ "menuItem": "pizza", "quantity": 1 }] }));
    let writes = bench.reconcile("order").await;
    assert!(!writes.contains(&"create payments".to_owned()), "{writes:?}");
    let status = &bench.get("orders", "lunch")["status"];
    assert!(status["message"].as_str().unwrap().contains("pizza"), "{status}");
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_payment_is_captured_waits_for_its_store() {
    let bench = Bench::new().order("lunch").payment();
    let captured = json!({ "phase": "Captured", "attempt": 1, "capturedAmount": PRICE });
    let bench = bench.status("payments", "lunch", &captured);
    assert_eq!(bench.reconcile("order").await, ["patch orders/status"]);
    let status = &bench.get("orders", "lunch")["status"];
    assert_eq!((&status["phase"], &status["total"]), (&json!("AwaitingStore"), &json!(PRICE)));
    assert_eq!(bench.count("tickets"), 0, "tickets are the ticket controller's");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_paused_is_left_where_it_is() {
    let paused = json!({ "metadata": { "annotations": { "fooddelivery.dev/paused": "true" } } });
    let bench = Bench::new().order("lunch").change("customer", "orders", "lunch", &paused);
    bench.reconcile("order").await;
    assert_eq!(bench.count("payments"), 0);
}

#[tokio::test(start_paused = true)]
async fn before_money_goes_back_nothing_can_be_cooked_any_more() {
    let bench = Bench::new().order("lunch").paid().cancelled();
    let writes = bench.reconcile("order").await;
    let at = |write: &str| writes.iter().position(|known| known == write).unwrap();
    assert!(at("create tickets") < at("patch payments"), "{writes:?}");
    assert_eq!(bench.get("tickets", "lunch")["spec"]["stage"], "Cancelled");
    assert_eq!(bench.get("payments", "lunch")["spec"]["desired"], "Refunded");
    assert_eq!(bench.get("orders", "lunch")["status"]["phase"], "Cancelling");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_comes_when_the_food_cooks_is_refused() {
    let bench =
        Bench::new().order("lunch").paid().ticket(&["Accepted", "Cooking"]).phase("Cooking").cancelled();
    bench.reconcile("order").await;
    let status = &bench.get("orders", "lunch")["status"];
    assert_eq!((&status["phase"], &status["cancellation"]), (&json!("Cooking"), &json!("Refused")));
    assert_eq!(bench.get("payments", "lunch")["spec"]["desired"], "Captured");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_deleted_stays_until_its_money_is_back() {
    let bench = Bench::new().order("lunch").paid().deleted();
    bench.reconcile("order").await;
    assert!(is_held(&bench.get("orders", "lunch")));
    assert_eq!(bench.get("payments", "lunch")["spec"]["desired"], "Refunded");
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_released_when_another_order_says_that_it_knew_of_its_own_before() {
    let waiting = |bench: Bench, name| bench.order(name).paid().ticket(&["Accepted", "Cooking", "Cooked"]);
    let bench = Bench::new().with("riders", "Rider", "minsu", &json!({ "region": "mapo", "capacity": 1 }));
    let bench = waiting(bench, "first").phase("RiderAssigned").delivery(Some("minsu"), &[]);
    let known = bench.get("orders", "first")["status"].clone();
    // This replica hears of it later than of the second one.
    let paused = json!({ "metadata": { "annotations": { "fooddelivery.dev/paused": "true" } } });
    let bench = bench
        .status("orders", "first", &json!({ "phase": "AwaitingRider" }))
        .change("customer", "orders", "first", &paused);
    sleep(Duration::from_secs(1)).await;
    let bench = waiting(bench, "second").phase("RiderAssigned").delivery(Some("minsu"), &[]);
    let rider = |bench: &Bench| bench.get("deliveries", "second")["spec"]["riderRef"]["name"].clone();
    let heard = async {
        sleep(Duration::from_secs(2)).await;
        assert_eq!(rider(&bench), "minsu");
        bench.write_status("orders", "first", &known);
    };
    tokio::join!(bench.reconcile("order"), heard);
    assert_eq!(rider(&bench), json!(null));
}

/// A closed store, and an order that waits for it to open.
async fn waiting_for_a_closed_store() -> Bench {
    let closed = json!({ "spec": { "open": false } });
    let bench = Bench::new().change("store", "stores", "hanok", &closed).order("lunch");
    bench.reconcile("order").await;
    let status = bench.get("orders", "lunch")["status"].clone();
    assert_eq!((&status["reason"], &status["firstTotal"]), (&json!("StoreClosed"), &json!(PRICE)));
    bench
}

fn opens_at(price: i64) -> Value {
    json!({ "spec": { "open": true, "menu": [{ "name": DISH, "price": price }] } })
}

#[tokio::test(start_paused = true)]
async fn an_order_that_waited_is_not_charged_more_than_when_it_was_first_priced() {
    let bench = waiting_for_a_closed_store().await;
    let bench = bench.change("store", "stores", "hanok", &opens_at(PRICE + 1));
    bench.reconcile("order,payment").await;
    let status = &bench.get("orders", "lunch")["status"];
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Cancelled"), &json!("PriceRisen")));
    assert!(status["message"].as_str().unwrap().contains(&PRICE.to_string()), "{status}");
    assert!(bench.calls().is_empty(), "nothing was charged");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_waited_is_charged_less_when_its_price_fell() {
    let bench = waiting_for_a_closed_store().await;
    let bench = bench.change("store", "stores", "hanok", &opens_at(PRICE - 1));
    bench.reconcile("order").await;
    assert_eq!(bench.get("payments", "lunch")["spec"]["quote"]["total"], PRICE - 1);
}
