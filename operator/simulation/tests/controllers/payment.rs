//! The payment controller.

use fooddelivery_simulation::provider::ProviderFault;
use serde_json::json;

use super::bench::{Bench, PRICE, is_held};

const STORED_BEFORE_AND_AFTER: [&str; 2] = ["patch payments/status", "patch payments/status"];

#[tokio::test(start_paused = true)]
async fn a_charge_is_recorded_before_it_is_made_and_once_it_is_known() {
    let bench = Bench::new().order("lunch").payment();
    assert_eq!(bench.reconcile("payment").await, STORED_BEFORE_AND_AFTER);
    assert_eq!(bench.calls(), ["charge"]);
    let status = &bench.get("payments", "lunch")["status"];
    assert_eq!((&status["phase"], &status["attempt"]), (&json!("Captured"), &json!(1)));
    assert_eq!(status["capturedAmount"], PRICE);
}

#[tokio::test(start_paused = true)]
async fn a_charge_without_an_answer_is_asked_for_and_not_made_twice() {
    let bench = Bench::new().order("lunch").payment().faults(&[ProviderFault::AnswerLost]);
    bench.reconcile("payment").await;
    assert_eq!(bench.calls(), ["charge", "look_up"]);
    let status = &bench.get("payments", "lunch")["status"];
    assert_eq!((&status["phase"], &status["attempt"]), (&json!("Captured"), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn a_card_that_is_declined_is_not_tried_again() {
    let bench = Bench::new().order("lunch").payment().faults(&[ProviderFault::Declined]);
    assert_eq!(bench.reconcile("payment").await, STORED_BEFORE_AND_AFTER);
    assert_eq!(bench.calls(), ["charge"]);
    assert_eq!(bench.get("payments", "lunch")["status"]["phase"], "Declined");
}

#[tokio::test(start_paused = true)]
async fn money_that_is_wanted_back_is_refunded() {
    let bench = Bench::new().order("lunch").payment();
    bench.reconcile("payment").await;
    let bench = bench.change_by_operator("payments", "lunch", &json!({ "spec": { "desired": "Refunded" } }));
    bench.reconcile("payment").await;
    assert_eq!(bench.calls().last().unwrap(), "refund");
    let status = &bench.get("payments", "lunch")["status"];
    assert_eq!((&status["phase"], &status["refundedAmount"]), (&json!("Refunded"), &json!(PRICE)));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_somebody_wants_undone_is_not_charged() {
    let bench = Bench::new().order("lunch").payment().cancelled();
    bench.reconcile("payment").await;
    assert!(bench.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_payment_that_may_have_been_charged_stays_though_its_order_has_vanished() {
    let bench = Bench::new().order("lunch").payment();
    let bench = bench.faults(&[ProviderFault::AnswerLost]).faults(&[ProviderFault::Lost; 100]);
    bench.reconcile("payment").await;
    let bench = bench.vanished();
    bench.reconcile("payment").await;
    let payment = bench.get("payments", "lunch");
    assert!(is_held(&payment) && payment["status"]["phase"] != "Captured", "{payment}");
}
