//! The coupon controller.

use std::time::Duration;

use serde_json::json;

use super::bench::{Bench, PRICE};

fn limited(orders: i64) -> Bench {
    let spec = json!({ "discount": { "amount": 1_000 }, "maxRedemptions": orders });
    Bench::new().with("coupons", "Coupon", "spring", &spec)
}

#[tokio::test(start_paused = true)]
async fn a_coupon_is_kept_for_an_order_that_names_it() {
    let bench = limited(1).order_with("lunch", &json!({ "couponCode": "SPRING" }));
    assert_eq!(bench.reconcile("coupon").await, ["patch coupons/status"]);
    let status = &bench.get("coupons", "spring")["status"];
    assert_eq!(status["reserved"], json!([bench.reference()]));
}

#[tokio::test(start_paused = true)]
async fn of_two_orders_the_one_that_was_placed_first_has_the_last_coupon() {
    let bench = limited(1).order_with("lunch", &json!({ "couponCode": "SPRING" }));
    let first = bench.reference();
    // By name, the second one would come first.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let bench = bench.order_with("dinner", &json!({ "couponCode": "SPRING" }));
    bench.reconcile("coupon").await;
    assert_eq!(bench.get("coupons", "spring")["status"]["reserved"], json!([first]));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_names_none_is_no_business_of_a_coupon() {
    let bench = limited(1).order("lunch");
    assert!(bench.reconcile("coupon").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_paid_with_it_is_counted() {
    let bench = limited(5).order_with("lunch", &json!({ "couponCode": "SPRING" }));
    bench.reconcile("coupon").await;
    let held = json!({ "name": "spring", "uid": bench.uid("coupons", "spring"), "returned": false });
    let bench = bench.payment_with(&json!({ "coupon": held }));
    let captured = json!({ "phase": "Captured", "attempt": 1, "capturedAmount": PRICE });
    let bench = bench.status("payments", "lunch", &captured).phase("AwaitingStore");
    bench.reconcile("coupon").await;
    let status = &bench.get("coupons", "spring")["status"];
    assert_eq!(status["redeemed"], 1);
    assert!(status["reserved"].is_null(), "{status}");
}

#[tokio::test(start_paused = true)]
async fn who_may_have_it_once_has_it_counted_for_themselves() {
    let spec = json!({ "discount": { "amount": 1_000 }, "perCustomer": 1 });
    let bench = Bench::new().with("coupons", "Coupon", "spring", &spec);
    let bench = bench.order_with("lunch", &json!({ "couponCode": "SPRING" }));
    let writes = bench.reconcile("coupon").await;
    assert_eq!(writes, ["create couponuses", "patch couponuses/status", "patch coupons/status"]);
}
