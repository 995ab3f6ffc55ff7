//! What stores and riders count, on the real control plane: every order once, whatever is deleted, away or killed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fooddelivery_api::common::Item;
use fooddelivery_e2e::market::dishes;
use fooddelivery_e2e::{
    Delivery, DeliveryStage, Kitchen, KitchenOptions, LONG, OperatorOptions, Order, OrderPhase, Rider, Stage,
    Store, Ticket, TicketStage,
};
use kube::api::{DeleteParams, PropagationPolicy};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(1);

async fn kitchen(name: &str) -> Result<Kitchen> {
    Stage::shared().await?.kitchen(name).await
}

/// An order from apply to its end.
async fn completed(kitchen: &Kitchen, name: &str) -> Result<()> {
    kitchen.order(name, |_| {}).await?;
    kitchen.cook(name).await?;
    kitchen.complete(name).await?;
    Ok(())
}

async fn gone(kitchen: &Kitchen, names: &[&str]) -> Result<()> {
    for name in names {
        kitchen.delete(name, PropagationPolicy::Background).await?;
    }
    for name in names {
        kitchen.wait_gone::<Order>(name, PATIENCE).await?;
    }
    Ok(())
}

/// What `orders` orders of a kitchen come to.
fn ordinary(orders: i64) -> Vec<(String, i64, i64)> {
    dishes(&[("bibimbap", orders, 2 * orders), ("kimchi-jjigae", orders, orders)])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cooked_and_what_was_brought_is_counted_and_nothing_else() -> Result<()> {
    let kitchen = kitchen("counted").await?;
    completed(&kitchen, "completed").await?;
    let twice = Item { menu_item: "bibimbap".into(), quantity: 1, options: vec![] };
    kitchen.order("one-dish-twice", |o| o.items[1] = twice).await?;
    kitchen.cook("one-dish-twice").await?;
    kitchen.complete("one-dish-twice").await?;
    for name in ["cancelled", "rejected", "failed", "cooked"] {
        kitchen.order(name, |_| {}).await?;
    }
    kitchen.move_ticket("cancelled", TicketStage::Accepted).await?;
    kitchen.cancel("cancelled", "changed my mind").await?;
    kitchen.reject("rejected", "out of rice").await?;
    kitchen.cook("failed").await?;
    kitchen.claim("failed", "minjun").await?;
    kitchen.move_delivery("failed", DeliveryStage::PickedUp).await?;
    kitchen.move_delivery("failed", DeliveryStage::Failed).await?;
    kitchen.cook("cooked").await?;
    kitchen.patch::<Store>("hanok", json!({ "spec": { "deadlines": { "cookingSeconds": 1 } } })).await?;
    kitchen.order("abandoned", |_| {}).await?;
    kitchen.begin_to_cook("abandoned").await?;
    kitchen.wait_phase("abandoned", OrderPhase::Cancelled, PATIENCE).await?;
    assert_eq!(kitchen.get::<Ticket>("abandoned").await?.spec.stage, TicketStage::Abandoned);
    for (name, phase) in [("cancelled", OrderPhase::Cancelled), ("rejected", OrderPhase::Rejected)] {
        kitchen.wait_phase(name, phase, LONG).await?;
    }
    kitchen.wait_phase("failed", OrderPhase::Cancelled, LONG).await?;
    let counted = dishes(&[("bibimbap", 5, 11), ("kimchi-jjigae", 4, 4)]);
    assert_eq!(kitchen.dishes("hanok").await?, counted);
    assert_eq!(kitchen.brought("minjun").await?, 2);

    kitchen.complete("cooked").await?;
    gone(
        &kitchen,
        &["completed", "one-dish-twice", "cancelled", "rejected", "failed", "cooked", "abandoned"],
    )
    .await?;
    assert!(kitchen.list::<Ticket>().await?.is_empty() && kitchen.list::<Delivery>().await?.is_empty());
    assert_eq!(kitchen.dishes("hanok").await?, counted, "they outlive the orders");
    assert_eq!(kitchen.brought("minjun").await?, 3);
    let riders = kitchen.kubectl(&["get", "rid"]).await?;
    assert!(riders.contains("DELIVERIES"), "{riders}");
    let patch = r#"{"status":{"ordersByMenuItem":[]}}"#;
    for (kind, name) in [("sto", "hanok"), ("rid", "minjun")] {
        let args = ["patch", kind, name, "--subresource=status", "--type=merge", "-p", patch];
        let said = kitchen.kubectl(&args).await.expect_err("written").to_string();
        assert!(said.contains("status is written by the operator alone"), "{said}");
    }
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_and_deleted_while_the_operator_was_away_is_counted_when_it_is_back() -> Result<()> {
    let kitchen = kitchen("away").await?;
    let names = ["completed", "accepted", "riding"];
    completed(&kitchen, "completed").await?;
    for name in ["accepted", "riding"] {
        kitchen.order(name, |_| {}).await?;
    }
    kitchen.move_ticket("accepted", TicketStage::Accepted).await?;
    kitchen.wait_phase("accepted", OrderPhase::Accepted, LONG).await?;
    kitchen.cook("riding").await?;
    kitchen.claim("riding", "minjun").await?;
    kitchen.operator.kill_hard()?;
    kitchen.move_ticket("accepted", TicketStage::Cooking).await?;
    kitchen.move_ticket("accepted", TicketStage::Cooked).await?;
    kitchen.move_delivery("riding", DeliveryStage::PickedUp).await?;
    kitchen.move_delivery("riding", DeliveryStage::Delivered).await?;
    for name in names {
        kitchen.delete(name, PropagationPolicy::Foreground).await?;
    }
    kitchen.operator.restart().await?;
    kitchen.wait_gone::<Order>("completed", PATIENCE).await?;
    kitchen.wait_phase("riding", OrderPhase::Delivered, LONG).await?;
    kitchen.confirm("riding").await?;
    kitchen.deliver("accepted", "minjun").await?;
    kitchen.wait_phase("accepted", OrderPhase::Delivered, LONG).await?;
    kitchen.confirm("accepted").await?;
    for name in names {
        kitchen.wait_gone::<Order>(name, PATIENCE).await?;
    }
    assert_eq!(kitchen.dishes("hanok").await?, ordinary(3));
    assert_eq!(kitchen.brought("minjun").await?, 3);
    kitchen.audit().await
}

/// One order of a storm; whether it is cooked, and whether it is brought.
async fn live(kitchen: &Kitchen, n: usize) -> Result<(i64, i64)> {
    let name = format!("order-{n}");
    let ended = |o: &Order| o.state().phase.is_terminal();
    kitchen.order(&name, |_| {}).await?;
    let wait_phase = async |phase| {
        let there = |o: &Order| o.state().phase == phase;
        kitchen.wait_until::<Order>(&name, "the next phase", PATIENCE, there).await
    };
    let counted = match n % 6 {
        0 => {
            kitchen.cancel(&name, "changed my mind").await?;
            (0, 0)
        }
        1 => {
            kitchen.wait_until::<Ticket>(&name, "to be in the queue", PATIENCE, |_| true).await?;
            kitchen.reject(&name, "out of rice").await?;
            (0, 0)
        }
        n => {
            kitchen.wait_until::<Ticket>(&name, "to be in the queue", PATIENCE, |_| true).await?;
            kitchen.cook(&name).await?;
            kitchen.wait_until::<Delivery>(&name, "to be offered", PATIENCE, |_| true).await?;
            kitchen.claim(&name, "minjun").await?;
            kitchen.move_delivery(&name, DeliveryStage::PickedUp).await?;
            let fails = n == 2;
            let end = if fails { DeliveryStage::Failed } else { DeliveryStage::Delivered };
            kitchen.move_delivery(&name, end).await?;
            if !fails {
                wait_phase(OrderPhase::Delivered).await?;
                kitchen.confirm(&name).await?;
            }
            (1, i64::from(!fails))
        }
    };
    kitchen.wait_until::<Order>(&name, "its end", PATIENCE, ended).await?;
    if n.is_multiple_of(2) || n % 6 == 5 {
        kitchen.delete(&name, PropagationPolicy::Background).await?;
        kitchen.wait_gone::<Order>(&name, PATIENCE).await?;
    }
    Ok(counted)
}

async fn storm(kitchen: &Kitchen, orders: usize) -> Result<(i64, i64)> {
    let (mut cooked, mut brought) = (0, 0);
    for batch in (0..orders).collect::<Vec<_>>().chunks(12) {
        for counted in futures::future::join_all(batch.iter().map(|n| live(kitchen, *n))).await {
            let (of_store, of_rider) = counted?;
            cooked += of_store;
            brought += of_rider;
        }
    }
    Ok((cooked, brought))
}

async fn check_storm(kitchen: &Kitchen, (cooked, brought): (i64, i64)) -> Result<()> {
    assert_eq!(kitchen.dishes("hanok").await?, ordinary(cooked));
    assert_eq!(kitchen.brought("minjun").await?, brought);
    // What fresh caches show is counted no second time.
    kitchen.operator.restart().await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(kitchen.dishes("hanok").await?, ordinary(cooked));
    assert_eq!(kitchen.brought("minjun").await?, brought);
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_count_every_order_once() -> Result<()> {
    let kitchen = kitchen("count-two").await?;
    let _other = kitchen.another_operator(OperatorOptions::for_everything()).await?;
    let counted = storm(&kitchen, 24).await?;
    check_storm(&kitchen, counted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_the_operator_counts_every_order_once() -> Result<()> {
    let options = KitchenOptions::default().with_provider(json!({ "breaker": { "minimumCalls": 10_000 } }));
    let kitchen = Stage::shared().await?.kitchen_with("count-kill", options).await?;
    let (counted, kills) = kitchen.operator.killed_during(21, storm(&kitchen, 36)).await?;
    ensure!(kills >= 3, "{kills} kills are too few to say anything");
    check_storm(&kitchen, counted).await
}

/// Deletes an object and makes it again, with nothing but its spec.
async fn made_again(kitchen: &Kitchen, kind: &str, name: &str) -> Result<()> {
    let shown = kitchen.kubectl(&["get", kind, name, "-o", "json"]).await?;
    let old: Value = serde_json::from_str(&shown)?;
    kitchen.kubectl(&["delete", kind, name]).await?;
    let new = json!({
        "apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": { "name": name }, "spec": old["spec"],
    });
    kitchen.apply_yaml(&new.to_string()).await.map_err(anyhow::Error::msg)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_and_a_rider_made_again_begin_at_zero_and_hold_nothing_up() -> Result<()> {
    let kitchen = kitchen("made-again").await?;
    completed(&kitchen, "old").await?;
    kitchen.order("between", |_| {}).await?;
    kitchen.move_ticket("between", TicketStage::Accepted).await?;
    kitchen.wait_phase("between", OrderPhase::Accepted, LONG).await?;
    assert_eq!((kitchen.dishes("hanok").await?, kitchen.brought("minjun").await?), (ordinary(1), 1));
    let said = |d: &Delivery| d.status.as_ref().is_some_and(|s| s.counted);
    kitchen.wait_until::<Delivery>("old", "that it is counted", LONG, said).await?;
    made_again(&kitchen, "sto", "hanok").await?;
    made_again(&kitchen, "rid", "minjun").await?;
    completed(&kitchen, "new").await?;
    assert_eq!((kitchen.dishes("hanok").await?, kitchen.brought("minjun").await?), (ordinary(1), 1));
    // Its ticket belongs to the store that was; who brings it is here.
    kitchen.move_ticket("between", TicketStage::Cooking).await?;
    kitchen.move_ticket("between", TicketStage::Cooked).await?;
    kitchen.complete("between").await?;
    gone(&kitchen, &["old", "between", "new"]).await?;
    assert_eq!((kitchen.dishes("hanok").await?, kitchen.brought("minjun").await?), (ordinary(1), 2));
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dish_that_is_taken_off_the_menu_stays_counted() -> Result<()> {
    let kitchen = kitchen("off-menu").await?;
    completed(&kitchen, "before").await?;
    let menu = json!([{ "name": "kimchi-jjigae", "price": 8_500 }, { "name": "pajeon", "price": 12_000 }]);
    kitchen.patch::<Store>("hanok", json!({ "spec": { "menu": menu } })).await?;
    let pajeon = Item { menu_item: "pajeon".into(), quantity: 3, options: vec![] };
    kitchen.order("after", |o| o.items[0] = pajeon).await?;
    kitchen.cook("after").await?;
    let counted = dishes(&[("bibimbap", 1, 2), ("kimchi-jjigae", 2, 2), ("pajeon", 1, 3)]);
    assert_eq!(kitchen.dishes("hanok").await?, counted);
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_who_counts_orders_go_on_and_are_kept_when_they_are_deleted_until_they_are_counted()
-> Result<()> {
    let controllers = ["order", "payment", "ticket", "delivery", "provider", "coupon"];
    let controllers = controllers.map(str::to_owned).to_vec();
    let operator = OperatorOptions { controllers, ..OperatorOptions::default() };
    let options = KitchenOptions { operator, ..KitchenOptions::default() };
    let kitchen = Stage::shared().await?.kitchen_with("uncounted", options).await?;
    for name in ["kept", "undone", "of-nobody"] {
        kitchen.order(name, |_| {}).await?;
    }
    for name in ["kept", "of-nobody"] {
        kitchen.cook(name).await?;
    }
    kitchen.complete("kept").await?;
    kitchen.deliver("of-nobody", "passer-by").await?;
    kitchen.wait_phase("of-nobody", OrderPhase::Delivered, LONG).await?;
    kitchen.confirm("of-nobody").await?;
    kitchen.wait_phase("of-nobody", OrderPhase::Completed, LONG).await?;
    gone(&kitchen, &["undone"]).await.context("what was not cooked is owed to nobody")?;
    kitchen.delete("kept", PropagationPolicy::Background).await?;
    kitchen.delete("of-nobody", PropagationPolicy::Background).await?;
    kitchen.wait_gone::<Delivery>("of-nobody", LONG).await.context("nobody counts it")?;
    let held =
        |o: &Order| o.state().conditions.iter().any(|c| c.kind == "Released" && c.reason == "NotCountedYet");
    kitchen.wait_until::<Order>("kept", "what keeps it", PATIENCE, held).await?;
    kitchen.wait_event("kept", "NotCountedYet").await?;
    assert!(kitchen.find::<Delivery>("kept").await?.is_some());
    assert!(kitchen.find::<Ticket>("of-nobody").await?.is_some());
    assert_eq!(kitchen.get::<Store>("hanok").await?.status, None);

    kitchen.operator.restart_with(OperatorOptions::in_namespace(&kitchen.namespace)).await?;
    for name in ["kept", "of-nobody"] {
        kitchen.wait_gone::<Order>(name, PATIENCE).await?;
    }
    assert_eq!((kitchen.dishes("hanok").await?, kitchen.brought("minjun").await?), (ordinary(2), 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waits_to_be_counted_goes_when_who_would_count_it_is_gone() -> Result<()> {
    let controllers = ["order", "payment", "ticket", "delivery", "provider"].map(str::to_owned).to_vec();
    let operator = OperatorOptions { controllers, ..OperatorOptions::default() };
    let options = KitchenOptions { operator, ..KitchenOptions::default() };
    let kitchen = Stage::shared().await?.kitchen_with("no-counter", options).await?;
    completed(&kitchen, "lunch").await?;
    kitchen.delete("lunch", PropagationPolicy::Background).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(kitchen.find::<Delivery>("lunch").await?.is_some());
    kitchen.api::<Rider>().delete("minjun", &DeleteParams::default()).await?;
    kitchen.wait_gone::<Delivery>("lunch", LONG).await?;
    assert!(kitchen.find::<Ticket>("lunch").await?.is_some());
    kitchen.api::<Store>().delete("hanok", &DeleteParams::default()).await?;
    kitchen.wait_gone::<Order>("lunch", LONG).await?;
    Ok(())
}
