//! What stores and riders count, on the real control plane: every order once, whatever is deleted, away or killed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fooddelivery_api::common::Item;
use fooddelivery_e2e::market::dishes;
use fooddelivery_e2e::{
    Delivery, DeliveryStage, LONG, NamespaceOptions, OperatorOptions, Order, OrderPhase, Rider, Store,
    TestCluster, TestNamespace, Ticket, TicketStage,
};
use kube::api::{DeleteParams, PropagationPolicy};
use serde_json::{Value, json};

use crate::size;

const PATIENCE: Duration = Duration::from_mins(5);

async fn namespace(name: &str) -> Result<TestNamespace> {
    TestCluster::shared().await?.namespace(name).await
}

/// An order from apply to its end.
async fn completed(ns: &TestNamespace, name: &str) -> Result<()> {
    ns.order(name, |_| {}).await?;
    ns.cook(name).await?;
    ns.complete(name).await?;
    Ok(())
}

async fn gone(ns: &TestNamespace, names: &[&str]) -> Result<()> {
    for name in names {
        ns.delete(name, PropagationPolicy::Background).await?;
    }
    for name in names {
        ns.wait_gone::<Order>(name, PATIENCE).await?;
    }
    Ok(())
}

/// What `orders` orders of a test namespace come to.
fn ordinary(orders: i64) -> Vec<(String, i64, i64)> {
    dishes(&[("bibimbap", orders, 2 * orders), ("kimchi-jjigae", orders, orders)])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cooked_and_what_was_brought_is_counted_and_nothing_else() -> Result<()> {
    let ns = namespace("counted").await?;
    completed(&ns, "completed").await?;
    let twice = Item { menu_item: "bibimbap".into(), quantity: 1, options: vec![] };
    ns.order("one-dish-twice", |o| o.items[1] = twice).await?;
    ns.cook("one-dish-twice").await?;
    ns.complete("one-dish-twice").await?;
    for name in ["cancelled", "rejected", "failed", "cooked"] {
        ns.order(name, |_| {}).await?;
    }
    ns.move_ticket("cancelled", TicketStage::Accepted).await?;
    ns.cancel("cancelled", "changed my mind").await?;
    ns.reject("rejected", "out of rice").await?;
    ns.cook("failed").await?;
    ns.claim("failed", "minjun").await?;
    ns.move_delivery("failed", DeliveryStage::PickedUp).await?;
    ns.move_delivery("failed", DeliveryStage::Failed).await?;
    ns.cook("cooked").await?;
    ns.patch::<Store>("hanok", json!({ "spec": { "deadlines": { "cookingSeconds": 1 } } })).await?;
    ns.order("abandoned", |_| {}).await?;
    ns.begin_to_cook("abandoned").await?;
    ns.wait_phase("abandoned", OrderPhase::Cancelled, PATIENCE).await?;
    assert_eq!(ns.get::<Ticket>("abandoned").await?.spec.stage, TicketStage::Abandoned);
    for (name, phase) in [("cancelled", OrderPhase::Cancelled), ("rejected", OrderPhase::Rejected)] {
        ns.wait_phase(name, phase, LONG).await?;
    }
    ns.wait_phase("failed", OrderPhase::Cancelled, LONG).await?;
    let counted = dishes(&[("bibimbap", 5, 11), ("kimchi-jjigae", 4, 4)]);
    assert_eq!(ns.dishes("hanok").await?, counted);
    assert_eq!(ns.brought("minjun").await?, 2);

    ns.complete("cooked").await?;
    gone(&ns, &["completed", "one-dish-twice", "cancelled", "rejected", "failed", "cooked", "abandoned"])
        .await?;
    assert!(ns.list::<Ticket>().await?.is_empty() && ns.list::<Delivery>().await?.is_empty());
    assert_eq!(ns.dishes("hanok").await?, counted, "they outlive the orders");
    assert_eq!(ns.brought("minjun").await?, 3);
    let riders = ns.kubectl(&["get", "rid"]).await?;
    assert!(riders.contains("DELIVERIES"), "{riders}");
    let patch = r#"{"status":{"ordersByMenuItem":[]}}"#;
    for (kind, name) in [("sto", "hanok"), ("rid", "minjun")] {
        let args = ["patch", kind, name, "--subresource=status", "--type=merge", "-p", patch];
        let said = ns.kubectl(&args).await.expect_err("written").to_string();
        assert!(said.contains("status is written by the operator alone"), "{said}");
    }
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_and_deleted_while_the_operator_was_away_is_counted_when_it_is_back() -> Result<()> {
    let ns = namespace("away").await?;
    let names = ["completed", "accepted", "riding"];
    completed(&ns, "completed").await?;
    for name in ["accepted", "riding"] {
        ns.order(name, |_| {}).await?;
    }
    ns.move_ticket("accepted", TicketStage::Accepted).await?;
    ns.wait_phase("accepted", OrderPhase::Accepted, LONG).await?;
    ns.cook("riding").await?;
    ns.claim("riding", "minjun").await?;
    ns.operator.kill_hard()?;
    ns.move_ticket("accepted", TicketStage::Cooking).await?;
    ns.move_ticket("accepted", TicketStage::Cooked).await?;
    ns.move_delivery("riding", DeliveryStage::PickedUp).await?;
    ns.move_delivery("riding", DeliveryStage::Delivered).await?;
    for name in names {
        ns.delete(name, PropagationPolicy::Foreground).await?;
    }
    ns.operator.restart().await?;
    ns.wait_gone::<Order>("completed", PATIENCE).await?;
    ns.wait_phase("riding", OrderPhase::Delivered, LONG).await?;
    ns.confirm("riding").await?;
    ns.deliver("accepted", "minjun").await?;
    ns.wait_phase("accepted", OrderPhase::Delivered, LONG).await?;
    ns.confirm("accepted").await?;
    for name in names {
        ns.wait_gone::<Order>(name, PATIENCE).await?;
    }
    assert_eq!(ns.dishes("hanok").await?, ordinary(3));
    assert_eq!(ns.brought("minjun").await?, 3);
    ns.audit().await
}

/// One order of a storm; whether it is cooked, and whether it is brought.
async fn live(ns: &TestNamespace, n: usize) -> Result<(i64, i64)> {
    let name = format!("order-{n}");
    let ended = |o: &Order| o.state().phase.is_terminal();
    ns.order(&name, |_| {}).await?;
    let wait_phase = async |phase| {
        let there = |o: &Order| o.state().phase == phase;
        ns.wait_until::<Order>(&name, "the next phase", PATIENCE, there).await
    };
    let counted = match n % 6 {
        0 => {
            ns.cancel(&name, "changed my mind").await?;
            (0, 0)
        }
        1 => {
            ns.wait_until::<Ticket>(&name, "to be in the queue", PATIENCE, |_| true).await?;
            ns.reject(&name, "out of rice").await?;
            (0, 0)
        }
        n => {
            ns.wait_until::<Ticket>(&name, "to be in the queue", PATIENCE, |_| true).await?;
            ns.cook(&name).await?;
            ns.wait_until::<Delivery>(&name, "to be offered", PATIENCE, |_| true).await?;
            ns.claim(&name, "minjun").await?;
            ns.move_delivery(&name, DeliveryStage::PickedUp).await?;
            let fails = n == 2;
            let end = if fails { DeliveryStage::Failed } else { DeliveryStage::Delivered };
            ns.move_delivery(&name, end).await?;
            if !fails {
                wait_phase(OrderPhase::Delivered).await?;
                ns.confirm(&name).await?;
            }
            (1, i64::from(!fails))
        }
    };
    ns.wait_until::<Order>(&name, "its end", PATIENCE, ended).await?;
    if n.is_multiple_of(2) || n % 6 == 5 {
        ns.delete(&name, PropagationPolicy::Background).await?;
        ns.wait_gone::<Order>(&name, PATIENCE).await?;
    }
    Ok(counted)
}

async fn storm(ns: &TestNamespace, orders: usize) -> Result<(i64, i64)> {
    let (mut cooked, mut brought) = (0, 0);
    for batch in (0..orders).collect::<Vec<_>>().chunks(12) {
        for counted in futures::future::join_all(batch.iter().map(|n| live(ns, *n))).await {
            let (of_store, of_rider) = counted?;
            cooked += of_store;
            brought += of_rider;
        }
    }
    Ok((cooked, brought))
}

async fn check_storm(ns: &TestNamespace, (cooked, brought): (i64, i64)) -> Result<()> {
    assert_eq!(ns.dishes("hanok").await?, ordinary(cooked));
    assert_eq!(ns.brought("minjun").await?, brought);
    // What fresh caches show is counted no second time.
    ns.operator.restart().await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(ns.dishes("hanok").await?, ordinary(cooked));
    assert_eq!(ns.brought("minjun").await?, brought);
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_count_every_order_once() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    let ns = namespace("count-two").await?;
    let _other = ns.another_operator(OperatorOptions::for_everything()).await?;
    let counted = storm(&ns, 24).await?;
    check_storm(&ns, counted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_the_operator_counts_every_order_once() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    let options = NamespaceOptions::default().with_provider(json!({ "breaker": { "minimumCalls": 10_000 } }));
    let ns = TestCluster::shared().await?.namespace_with("count-kill", options).await?;
    let (counted, kills) = ns.operator.killed_during(21, storm(&ns, 36)).await?;
    ensure!(kills >= 3, "{kills} kills are too few to say anything");
    check_storm(&ns, counted).await
}

/// Deletes an object and makes it again, with nothing but its spec.
async fn made_again(ns: &TestNamespace, kind: &str, name: &str) -> Result<()> {
    let shown = ns.kubectl(&["get", kind, name, "-o", "json"]).await?;
    let old: Value = serde_json::from_str(&shown)?;
    ns.kubectl(&["delete", kind, name]).await?;
    let new = json!({
        "apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": { "name": name }, "spec": old["spec"],
    });
    ns.apply_yaml(&new.to_string()).await.map_err(anyhow::Error::msg)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_made_again_begins_at_zero_a_rider_with_what_is_there_and_neither_holds_anything_up()
-> Result<()> {
    let ns = namespace("made-again").await?;
    completed(&ns, "gone").await?;
    gone(&ns, &["gone"]).await?;
    completed(&ns, "old").await?;
    ns.order("between", |_| {}).await?;
    ns.move_ticket("between", TicketStage::Accepted).await?;
    ns.wait_phase("between", OrderPhase::Accepted, LONG).await?;
    assert_eq!((ns.dishes("hanok").await?, ns.brought("minjun").await?), (ordinary(2), 2));
    made_again(&ns, "sto", "hanok").await?;
    made_again(&ns, "rid", "minjun").await?;
    completed(&ns, "new").await?;
    // Deliveries name their rider alone; tickets name the store that was.
    assert_eq!((ns.dishes("hanok").await?, ns.brought("minjun").await?), (ordinary(1), 2));
    ns.move_ticket("between", TicketStage::Cooking).await?;
    ns.move_ticket("between", TicketStage::Cooked).await?;
    ns.complete("between").await?;
    gone(&ns, &["old", "between", "new"]).await?;
    assert_eq!((ns.dishes("hanok").await?, ns.brought("minjun").await?), (ordinary(1), 3));
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dish_that_is_taken_off_the_menu_stays_counted() -> Result<()> {
    let ns = namespace("off-menu").await?;
    completed(&ns, "before").await?;
    let menu = json!([{ "name": "kimchi-jjigae", "price": 8_500 }, { "name": "pajeon", "price": 12_000 }]);
    ns.patch::<Store>("hanok", json!({ "spec": { "menu": menu } })).await?;
    let pajeon = Item { menu_item: "pajeon".into(), quantity: 3, options: vec![] };
    ns.order("after", |o| o.items[0] = pajeon).await?;
    ns.cook("after").await?;
    let counted = dishes(&[("bibimbap", 1, 2), ("kimchi-jjigae", 2, 2), ("pajeon", 1, 3)]);
    assert_eq!(ns.dishes("hanok").await?, counted);
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_who_counts_orders_go_on_and_are_kept_when_they_are_deleted_until_they_are_counted()
-> Result<()> {
    let controllers = ["order", "payment", "ticket", "delivery", "provider", "coupon"];
    let controllers = controllers.map(str::to_owned).to_vec();
    let operator = OperatorOptions { controllers, ..OperatorOptions::default() };
    let options = NamespaceOptions { operator, ..NamespaceOptions::default() };
    let ns = TestCluster::shared().await?.namespace_with("uncounted", options).await?;
    for name in ["kept", "undone", "of-nobody"] {
        ns.order(name, |_| {}).await?;
    }
    for name in ["kept", "of-nobody"] {
        ns.cook(name).await?;
    }
    ns.complete("kept").await?;
    ns.deliver("of-nobody", "passer-by").await?;
    ns.wait_phase("of-nobody", OrderPhase::Delivered, LONG).await?;
    ns.confirm("of-nobody").await?;
    ns.wait_phase("of-nobody", OrderPhase::Completed, LONG).await?;
    gone(&ns, &["undone"]).await.context("what was not cooked is owed to nobody")?;
    ns.delete("kept", PropagationPolicy::Background).await?;
    ns.delete("of-nobody", PropagationPolicy::Background).await?;
    ns.wait_gone::<Delivery>("of-nobody", LONG).await.context("nobody counts it")?;
    let held =
        |o: &Order| o.state().conditions.iter().any(|c| c.kind == "Released" && c.reason == "NotCountedYet");
    ns.wait_until::<Order>("kept", "what keeps it", PATIENCE, held).await?;
    ns.wait_event("kept", "NotCountedYet").await?;
    assert!(ns.find::<Delivery>("kept").await?.is_some());
    assert!(ns.find::<Ticket>("of-nobody").await?.is_some());
    assert_eq!(ns.get::<Store>("hanok").await?.status, None);

    ns.operator.restart_with(OperatorOptions::in_namespace(&ns.name)).await?;
    for name in ["kept", "of-nobody"] {
        ns.wait_gone::<Order>(name, PATIENCE).await?;
    }
    assert_eq!((ns.dishes("hanok").await?, ns.brought("minjun").await?), (ordinary(2), 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waits_to_be_counted_goes_when_who_would_count_it_is_gone() -> Result<()> {
    let controllers = ["order", "payment", "ticket", "delivery", "provider"].map(str::to_owned).to_vec();
    let operator = OperatorOptions { controllers, ..OperatorOptions::default() };
    let options = NamespaceOptions { operator, ..NamespaceOptions::default() };
    let ns = TestCluster::shared().await?.namespace_with("no-counter", options).await?;
    completed(&ns, "lunch").await?;
    ns.delete("lunch", PropagationPolicy::Background).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(ns.find::<Delivery>("lunch").await?.is_some());
    ns.api::<Rider>().delete("minjun", &DeleteParams::default()).await?;
    ns.wait_gone::<Delivery>("lunch", LONG).await?;
    assert!(ns.find::<Ticket>("lunch").await?.is_some());
    ns.api::<Store>().delete("hanok", &DeleteParams::default()).await?;
    ns.wait_gone::<Order>("lunch", LONG).await?;
    Ok(())
}
