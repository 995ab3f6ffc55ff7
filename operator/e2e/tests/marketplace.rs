//! What else a marketplace has, on the real control plane: preferred stores, riders who carry so many, orders that are
//! removed by themselves; and how it does without all that.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::Result;
use fooddelivery_e2e::audit::balances;
use fooddelivery_e2e::market::dishes;
use fooddelivery_e2e::{
    Customer, Delivery, DeliveryStage, Kitchen, KitchenOptions, LONG, OperatorOptions, Order, OrderPhase,
    Payment, Rider, Stage, Store, Ticket, TicketStage,
};
use kube::ResourceExt;
use serde_json::json;

const PATIENCE: Duration = Duration::from_mins(1);

async fn kitchen(name: &str) -> Result<Kitchen> {
    Stage::shared().await?.kitchen(name).await
}

async fn wait_reason(kitchen: &Kitchen, name: &str, reason: &str) -> Result<()> {
    let told = |o: &Order| o.state().reason == reason && o.state().phase == OrderPhase::AwaitingPayment;
    let order = kitchen.wait_until::<Order>(name, &format!("reason {reason}"), LONG, told).await?;
    assert!(!order.state().message.is_empty(), "{reason} is said in a sentence");
    Ok(())
}

/// Another store with the menu of `hanok`.
async fn another_store(kitchen: &Kitchen, name: &str) -> Result<()> {
    let spec = kitchen.get::<Store>("hanok").await?.spec;
    let store = json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Store", "metadata": { "name": name }, "spec": spec,
    });
    kitchen.apply_yaml(&store.to_string()).await.map_err(anyhow::Error::msg)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_a_store_goes_where_its_customer_prefers_as_soon_as_that_is_known() -> Result<()> {
    let kitchen = kitchen("preferred").await?;
    kitchen
        .order("lunch", |o| {
            o.store_ref = None;
            o.customer_ref.name = "sora".into();
        })
        .await?;
    wait_reason(&kitchen, "lunch", "CustomerNotFound").await?;
    kitchen.customer("sora", None).await?;
    wait_reason(&kitchen, "lunch", "NoPreferredStore").await?;
    kitchen
        .patch::<Customer>("sora", json!({ "spec": { "preferredStoreRef": { "name": "bunsik" } } }))
        .await?;
    wait_reason(&kitchen, "lunch", "StoreNotFound").await?;
    assert!(kitchen.sandbox.calls().await?.is_empty(), "nothing is charged before the store is known");
    another_store(&kitchen, "bunsik").await?;
    let order = kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    assert_eq!((order.state().store.as_deref(), &*order.state().reason), (Some("bunsik"), ""));
    kitchen.wait_until::<Ticket>("lunch", "a ticket", LONG, |t| t.spec.store_ref.name == "bunsik").await?;
    let queue =
        ["get", "tkt", "-o", "name", "--field-selector", "spec.storeRef.name=bunsik,spec.stage=Pending"];
    assert_eq!(kitchen.kubectl(&queue).await?.trim(), "ticket.fooddelivery.dev/lunch");
    let table = kitchen.kubectl(&["get", "ord"]).await?;
    assert!(table.contains("STORE") && table.contains("bunsik"), "{table}");
    let there = ["get", "ord", "-o", "name", "--field-selector", "status.storeRef.name=bunsik"];
    assert_eq!(kitchen.kubectl(&there).await?.trim(), "order.fooddelivery.dev/lunch");

    // The store is frozen with the price, whatever the customer prefers later.
    kitchen
        .patch::<Customer>("sora", json!({ "spec": { "preferredStoreRef": { "name": "hanok" } } }))
        .await?;
    kitchen.cook("lunch").await?;
    kitchen.complete("lunch").await?;
    assert_eq!(kitchen.get::<Delivery>("lunch").await?.spec.pickup.name, "bunsik");
    assert_eq!(kitchen.get::<Order>("lunch").await?.state().store.as_deref(), Some("bunsik"));
    assert_eq!(kitchen.dishes("bunsik").await?, dishes(&[("bibimbap", 1, 2), ("kimchi-jjigae", 1, 1)]));
    assert_eq!(kitchen.dishes("hanok").await?, []);
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_names_its_store_needs_no_customer_and_follows_no_preference() -> Result<()> {
    let kitchen = kitchen("named").await?;
    another_store(&kitchen, "bunsik").await?;
    kitchen.customer("sora", Some("bunsik")).await?;
    for (name, customer) in [("of-nobody", "nobody"), ("of-sora", "sora")] {
        kitchen.order(name, |o| o.customer_ref.name = customer.into()).await?;
        let order = kitchen.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
        assert_eq!(order.state().store.as_deref(), Some("hanok"));
    }
    kitchen.audit().await
}

/// Orders that riders can take.
async fn offered(kitchen: &Kitchen, names: &[&str]) -> Result<()> {
    for name in names {
        kitchen.order(name, |_| {}).await?;
        kitchen.cook(name).await?;
    }
    for name in names {
        kitchen.wait_phase(name, OrderPhase::AwaitingRider, LONG).await?;
        kitchen.wait_until::<Delivery>(name, "to be offered", LONG, |_| true).await?;
    }
    Ok(())
}

async fn wait_rider(kitchen: &Kitchen, name: &str, rider: Option<&str>) -> Result<()> {
    let has = |d: &Delivery| d.spec.rider_ref.as_ref().map(|r| &*r.name) == rider;
    kitchen.wait_until::<Delivery>(name, &format!("rider {rider:?}"), LONG, has).await?;
    let phase = rider.map_or(OrderPhase::AwaitingRider, |_| OrderPhase::RiderAssigned);
    let follows = |o: &Order| o.state().phase == phase;
    kitchen.wait_until::<Order>(name, &format!("phase {phase}"), LONG, follows).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_riders_one_wins_and_the_other_hears_who() -> Result<()> {
    let kitchen = kitchen("two-riders").await?;
    for rider in ["yuna", "taeho"] {
        kitchen.rider(rider, 5).await?;
    }
    let names = ["a", "b", "c", "d"];
    offered(&kitchen, &names).await?;
    for name in names {
        let (yuna, taeho) = tokio::join!(kitchen.claim(name, "yuna"), kitchen.claim(name, "taeho"));
        assert_eq!(u8::from(yuna.is_ok()) + u8::from(taeho.is_ok()), 1, "{yuna:?} {taeho:?}");
        let winner = if yuna.is_ok() { "yuna" } else { "taeho" };
        let said = format!("{:#}", yuna.err().or(taeho.err()).unwrap());
        assert!(said.contains(&format!("this delivery is already taken by {winner}")), "{said}");
        wait_rider(&kitchen, name, Some(winner)).await?;
    }
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_beyond_what_a_rider_can_carry_is_released_for_another() -> Result<()> {
    let kitchen = kitchen("capacity").await?;
    kitchen.rider("yuna", 1).await?;
    kitchen.rider("taeho", 2).await?;
    let names = ["a", "b", "c", "d"];
    offered(&kitchen, &names).await?;
    kitchen.claim("a", "yuna").await?;
    wait_rider(&kitchen, "a", Some("yuna")).await?;
    kitchen.claim("b", "yuna").await?;
    let note = kitchen.wait_event("b", "RiderAtCapacity").await?;
    assert!(note.contains("yuna"), "{note}");
    wait_rider(&kitchen, "b", None).await?;
    assert_eq!(kitchen.get::<Order>("a").await?.state().phase, OrderPhase::RiderAssigned, "the first stays");

    for name in ["b", "c"] {
        kitchen.claim(name, "taeho").await?;
        wait_rider(&kitchen, name, Some("taeho")).await?;
    }
    kitchen.claim("d", "taeho").await?;
    kitchen.wait_event("d", "RiderAtCapacity").await?;
    wait_rider(&kitchen, "d", None).await?;

    // What is picked up still counts; what was brought, or given back, does not.
    kitchen.move_delivery("a", DeliveryStage::PickedUp).await?;
    kitchen.claim("d", "yuna").await?;
    wait_rider(&kitchen, "d", None).await?;
    kitchen.move_delivery("a", DeliveryStage::Delivered).await?;
    kitchen.wait_phase("a", OrderPhase::Delivered, LONG).await?;
    kitchen.claim("d", "yuna").await?;
    wait_rider(&kitchen, "d", Some("yuna")).await?;
    kitchen.give_back("c").await?;
    wait_rider(&kitchen, "c", None).await?;
    kitchen.give_back("d").await?;
    wait_rider(&kitchen, "d", None).await?;
    kitchen.claim("d", "taeho").await?;
    wait_rider(&kitchen, "d", Some("taeho")).await?;
    kitchen.patch::<Rider>("yuna", json!({ "spec": { "capacity": 3 } })).await?;
    kitchen.claim("c", "yuna").await?;
    wait_rider(&kitchen, "c", Some("yuna")).await?;
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_claims_at_once_a_rider_keeps_as_many_as_they_can_carry() -> Result<()> {
    let kitchen = kitchen("greedy").await?;
    kitchen.rider("yuna", 2).await?;
    let names = ["a", "b", "c", "d", "e"];
    offered(&kitchen, &names).await?;
    for claimed in futures::future::join_all(names.map(|name| kitchen.claim(name, "yuna"))).await {
        claimed?;
    }
    for _ in 0..600 {
        let all = kitchen.list::<Delivery>().await?;
        let kept = all.iter().filter(|delivery| delivery.spec.rider_ref.is_some()).count();
        let assigned = |o: &Order| o.state().phase == OrderPhase::RiderAssigned;
        let followed = kitchen.list::<Order>().await?.iter().filter(|o| assigned(o)).count();
        if (kept, followed) == (2, 2) {
            // None of those that are kept is released later.
            tokio::time::sleep(Duration::from_secs(2)).await;
            let kept: Vec<String> = kitchen
                .list::<Delivery>()
                .await?
                .into_iter()
                .filter(|d| d.spec.rider_ref.is_some())
                .map(|d| d.name_any())
                .collect();
            assert_eq!(kept.len(), 2, "{kept:?}");
            return kitchen.audit().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("yuna does not come to two: {}", kitchen.describe("a").await)
}

async fn kitchen_with_args(name: &str, args: &[&str]) -> Result<Kitchen> {
    let args = args.iter().map(ToString::to_string).collect();
    let operator = OperatorOptions { args, ..OperatorOptions::default() };
    Stage::shared().await?.kitchen_with(name, KitchenOptions { operator, ..KitchenOptions::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn settled_orders_are_removed_after_their_time_and_what_they_came_to_stays() -> Result<()> {
    let kitchen = kitchen_with_args("short-lived", &["--ttl-after-settled=10"]).await?;
    kitchen.coupon("spring", json!({ "discount": { "amount": 3_000 }, "perCustomer": 5 })).await?;
    let mut uids = Vec::new();
    for name in ["completed", "cancelled", "declined", "open"] {
        let order = kitchen
            .order(name, |o| {
                o.coupon_code = Some("spring".into());
                if name == "declined" {
                    o.payment.token = Some(fooddelivery_api::TokenText("decline_1".into()));
                }
            })
            .await?;
        uids.push(order.uid().unwrap());
    }
    kitchen.wait_phase("cancelled", OrderPhase::AwaitingStore, LONG).await?;
    kitchen.cancel("cancelled", "changed my mind").await?;
    kitchen.cook("completed").await?;
    kitchen.complete("completed").await?;
    for name in ["completed", "cancelled", "declined"] {
        kitchen.wait_gone::<Order>(name, PATIENCE).await?;
        let left = (
            kitchen.find::<Payment>(name).await?,
            kitchen.find::<Ticket>(name).await?,
            kitchen.find::<Delivery>(name).await?,
        );
        assert!(matches!(left, (None, None, None)), "{left:?}");
    }
    assert_eq!(kitchen.dishes("hanok").await?, dishes(&[("bibimbap", 1, 2), ("kimchi-jjigae", 1, 1)]));
    assert_eq!(kitchen.brought("minjun").await?, 1);
    kitchen.wait_redeemed("spring", 2).await?;
    let ledger = balances(&kitchen.ledger().await?);
    let kept = |n: usize| ledger.get(&uids[n]).map_or((0, 0), |b| (b.captured, b.refunded));
    assert_eq!([kept(0), kept(1), kept(2)], [(25_500, 0), (25_500, 25_500), (0, 0)]);
    assert_eq!(kitchen.get::<Order>("open").await?.state().phase, OrderPhase::AwaitingStore, "not settled");
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_time_to_live_settled_orders_stay() -> Result<()> {
    let kitchen = kitchen("long-lived").await?;
    for name in ["completed", "cancelled"] {
        kitchen.order(name, |_| {}).await?;
    }
    kitchen.wait_phase("cancelled", OrderPhase::AwaitingStore, LONG).await?;
    kitchen.cancel("cancelled", "changed my mind").await?;
    kitchen.cook("completed").await?;
    kitchen.complete("completed").await?;
    kitchen.wait_condition("cancelled", "Settled", LONG).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    for name in ["completed", "cancelled"] {
        let order: Order = kitchen.get(name).await?;
        assert!(order.metadata.deletion_timestamp.is_none());
    }
    // An operator that is given one also removes what has been settled for longer.
    let mut options = OperatorOptions::in_namespace(&kitchen.namespace);
    options.args.push("--ttl-after-settled=1".into());
    kitchen.operator.restart_with(options).await?;
    for name in ["completed", "cancelled"] {
        kitchen.wait_gone::<Order>(name, PATIENCE).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_customers_riders_coupons_and_their_controllers_orders_complete() -> Result<()> {
    let controllers = ["order", "payment", "ticket", "delivery", "provider"].map(str::to_owned).to_vec();
    let operator = OperatorOptions { controllers, ..OperatorOptions::default() };
    let options = KitchenOptions { operator, ..KitchenOptions::default() };
    let kitchen = Stage::shared().await?.kitchen_with("bare", options).await?;
    kitchen.kubectl(&["delete", "cus,rid,cpn", "--all"]).await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.order("cancelled", |_| {}).await?;
    kitchen.cook("lunch").await?;
    let order = kitchen.complete("lunch").await?;
    assert_eq!((order.state().discount, order.state().total), (None, Some(28_500)));
    kitchen.move_ticket("cancelled", TicketStage::Accepted).await?;
    kitchen.cancel("cancelled", "changed my mind").await?;
    kitchen.wait_phase("cancelled", OrderPhase::Cancelled, LONG).await?;
    assert_eq!(kitchen.get::<Store>("hanok").await?.status, None, "nobody counts");
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_is_off_the_cooks_list() -> Result<()> {
    let kitchen = kitchen("cook-list").await?;
    for name in ["cancelled", "deleted", "lunch"] {
        kitchen.order(name, |_| {}).await?;
        kitchen.wait_until::<Ticket>(name, "a ticket", LONG, |_| true).await?;
    }
    let list = [
        "get",
        "tickets",
        "-o",
        "name",
        "--field-selector",
        "spec.storeRef.name=hanok,spec.stage!=Cancelled",
    ];
    assert_eq!(kitchen.kubectl(&list).await?.lines().count(), 3);
    kitchen.cancel("cancelled", "changed my mind").await?;
    kitchen.wait_phase("cancelled", OrderPhase::Cancelled, LONG).await?;
    kitchen.delete("deleted", kube::api::PropagationPolicy::Foreground).await?;
    kitchen.wait_gone::<Order>("deleted", LONG).await?;
    assert_eq!(kitchen.kubectl(&list).await?.trim(), "ticket.fooddelivery.dev/lunch");
    kitchen.audit().await
}
