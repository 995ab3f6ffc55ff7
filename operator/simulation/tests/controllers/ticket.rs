//! The ticket controller.

use serde_json::json;

use super::bench::{Bench, DISH};

#[tokio::test(start_paused = true)]
async fn a_paid_order_comes_into_the_queue_of_its_store() {
    let bench = Bench::new().order("lunch").paid();
    assert_eq!(bench.reconcile("ticket").await, ["create tickets"]);
    let ticket = bench.get("tickets", "lunch");
    assert_eq!(ticket["spec"]["stage"], "Pending");
    assert_eq!(ticket["spec"]["orderRef"], bench.reference());
    assert_eq!(ticket["spec"]["storeRef"]["uid"], bench.uid("stores", "hanok"));
    assert_eq!(ticket["spec"]["items"][0]["menuItem"], DISH);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_not_paid_stays_out_of_the_queue() {
    let bench = Bench::new().order("lunch").payment();
    assert!(bench.reconcile("ticket").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_order_that_somebody_wants_undone_stays_out_of_the_queue() {
    let bench = Bench::new().order("lunch").paid().cancelled();
    assert!(bench.reconcile("ticket").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_accepts_by_itself_has_its_tickets_accepted() {
    let automatic = json!({ "spec": { "acceptance": "Automatic" } });
    let bench = Bench::new().change("store", "stores", "hanok", &automatic).order("lunch").paid().ticket(&[]);
    assert_eq!(bench.reconcile("ticket").await, ["patch tickets"]);
    assert_eq!(bench.get("tickets", "lunch")["spec"]["stage"], "Accepted");
}

#[tokio::test(start_paused = true)]
async fn a_ticket_whose_order_has_vanished_stays_while_its_payment_may_need_it() {
    let bench = Bench::new().order("lunch").paid().ticket(&[]).vanished();
    assert!(bench.reconcile("ticket").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_ticket_whose_order_and_payment_have_vanished_is_cleared_away() {
    let bench = Bench::new().order("lunch").paid().ticket(&["Accepted"]).vanished().payment_vanished();
    assert_eq!(bench.reconcile("ticket").await, ["delete tickets"]);
    assert_eq!(bench.count("tickets"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_whose_order_has_vanished_stays_until_its_store_keeps_it_in_its_counts() {
    let bench = Bench::new().order("lunch").paid().ticket(&["Accepted", "Cooking"]);
    let reference = bench.reference();
    let bench = bench.vanished().payment_vanished();
    assert!(bench.reconcile("ticket").await.is_empty());
    let bench = bench.status("stores", "hanok", &json!({ "departing": [reference] }));
    assert_eq!(bench.reconcile("ticket").await, ["delete tickets"]);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_withheld_from_a_store_that_was_made_again_under_the_name_of_its_own() {
    let bench = Bench::new().order("lunch").paid().ticket(&["Accepted"]).store_made_anew();
    assert_eq!(bench.reconcile("ticket").await, ["patch tickets"]);
    assert_eq!(bench.get("tickets", "lunch")["spec"]["storeReplaced"], true);
    assert!(bench.reconcile("ticket").await.is_empty(), "once");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_made_again_does_not_accept_what_was_its_namesakes() {
    let automatic = json!({ "spec": { "acceptance": "Automatic" } });
    let bench = Bench::new().order("lunch").paid().ticket(&[]).store_made_anew();
    let bench = bench.change("store", "stores", "hanok", &automatic);
    bench.reconcile("ticket").await;
    assert_eq!(bench.get("tickets", "lunch")["spec"]["stage"], "Pending");
}
