//! What else a marketplace has, on the real control plane: preferred stores, riders who carry so many, orders that are
//! removed by themselves; and how it does without all that.

use std::time::Duration;

use anyhow::Result;
use fooddelivery_e2e::audit::balances;
use fooddelivery_e2e::market::dishes;
use fooddelivery_e2e::{
    Customer, Delivery, DeliveryStage, LONG, NamespaceOptions, OperatorOptions, Order, OrderPhase, Payment,
    Rider, Store, TestCluster, TestNamespace, Ticket, TicketStage,
};
use kube::ResourceExt;
use serde_json::json;

const PATIENCE: Duration = Duration::from_mins(2);

async fn namespace(name: &str) -> Result<TestNamespace> {
    TestCluster::shared().await?.namespace(name).await
}

async fn wait_reason(ns: &TestNamespace, name: &str, reason: &str) -> Result<()> {
    let told = |o: &Order| o.state().reason == reason && o.state().phase == OrderPhase::AwaitingPayment;
    let order = ns.wait_until::<Order>(name, &format!("reason {reason}"), LONG, told).await?;
    assert!(!order.state().message.is_empty(), "{reason} is said in a sentence");
    Ok(())
}

/// Another store with the menu of `hanok`.
async fn another_store(ns: &TestNamespace, name: &str) -> Result<()> {
    let spec = ns.get::<Store>("hanok").await?.spec;
    let store = json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Store", "metadata": { "name": name }, "spec": spec,
    });
    ns.apply_yaml(&store.to_string()).await.map_err(anyhow::Error::msg)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_a_store_goes_where_its_customer_prefers_as_soon_as_that_is_known() -> Result<()> {
    let ns = namespace("preferred").await?;
    ns.order("lunch", |o| {
        o.store_ref = None;
        o.customer_ref.name = "sora".into();
    })
    .await?;
    wait_reason(&ns, "lunch", "CustomerNotFound").await?;
    ns.customer("sora", None).await?;
    wait_reason(&ns, "lunch", "NoPreferredStore").await?;
    ns.patch::<Customer>("sora", json!({ "spec": { "preferredStoreRef": { "name": "bunsik" } } })).await?;
    wait_reason(&ns, "lunch", "StoreNotFound").await?;
    assert!(ns.sandbox.calls().await?.is_empty(), "nothing is charged before the store is known");
    another_store(&ns, "bunsik").await?;
    let order = ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    assert_eq!((order.state().store.as_deref(), &*order.state().reason), (Some("bunsik"), ""));
    ns.wait_until::<Ticket>("lunch", "a ticket", LONG, |t| t.spec.store_ref.name == "bunsik").await?;
    let queue =
        ["get", "tkt", "-o", "name", "--field-selector", "spec.storeRef.name=bunsik,spec.stage=Pending"];
    assert_eq!(ns.kubectl(&queue).await?.trim(), "ticket.fooddelivery.dev/lunch");
    let table = ns.kubectl(&["get", "ord"]).await?;
    assert!(table.contains("STORE") && table.contains("bunsik"), "{table}");
    let there = ["get", "ord", "-o", "name", "--field-selector", "status.storeRef.name=bunsik"];
    assert_eq!(ns.kubectl(&there).await?.trim(), "order.fooddelivery.dev/lunch");

    // The store is frozen with the price, whatever the customer prefers later.
    ns.patch::<Customer>("sora", json!({ "spec": { "preferredStoreRef": { "name": "hanok" } } })).await?;
    ns.cook("lunch").await?;
    ns.complete("lunch").await?;
    assert_eq!(ns.get::<Delivery>("lunch").await?.spec.pickup.name, "bunsik");
    assert_eq!(ns.get::<Order>("lunch").await?.state().store.as_deref(), Some("bunsik"));
    assert_eq!(ns.dishes("bunsik").await?, dishes(&[("bibimbap", 1, 2), ("kimchi-jjigae", 1, 1)]));
    assert_eq!(ns.dishes("hanok").await?, []);
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_names_its_store_needs_no_customer_and_follows_no_preference() -> Result<()> {
    let ns = namespace("named").await?;
    another_store(&ns, "bunsik").await?;
    ns.customer("sora", Some("bunsik")).await?;
    for (name, customer) in [("of-nobody", "nobody"), ("of-sora", "sora")] {
        ns.order(name, |o| o.customer_ref.name = customer.into()).await?;
        let order = ns.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
        assert_eq!(order.state().store.as_deref(), Some("hanok"));
    }
    ns.audit().await
}

/// Orders that riders can take.
async fn offered(ns: &TestNamespace, names: &[&str]) -> Result<()> {
    for name in names {
        ns.order(name, |_| {}).await?;
        ns.cook(name).await?;
    }
    for name in names {
        ns.wait_phase(name, OrderPhase::AwaitingRider, LONG).await?;
        ns.wait_until::<Delivery>(name, "to be offered", LONG, |_| true).await?;
    }
    Ok(())
}

async fn wait_rider(ns: &TestNamespace, name: &str, rider: Option<&str>) -> Result<()> {
    let has = |d: &Delivery| d.spec.rider_ref.as_ref().map(|r| &*r.name) == rider;
    ns.wait_until::<Delivery>(name, &format!("rider {rider:?}"), LONG, has).await?;
    let phase = rider.map_or(OrderPhase::AwaitingRider, |_| OrderPhase::RiderAssigned);
    let follows = |o: &Order| o.state().phase == phase;
    ns.wait_until::<Order>(name, &format!("phase {phase}"), LONG, follows).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_riders_one_wins_and_the_other_hears_who() -> Result<()> {
    let ns = namespace("two-riders").await?;
    for rider in ["yuna", "taeho"] {
        ns.rider(rider, 5).await?;
    }
    let names = ["a", "b", "c", "d"];
    offered(&ns, &names).await?;
    for name in names {
        let (yuna, taeho) = tokio::join!(ns.claim(name, "yuna"), ns.claim(name, "taeho"));
        assert_eq!(u8::from(yuna.is_ok()) + u8::from(taeho.is_ok()), 1, "{yuna:?} {taeho:?}");
        let winner = if yuna.is_ok() { "yuna" } else { "taeho" };
        let said = format!("{:#}", yuna.err().or(taeho.err()).unwrap());
        assert!(said.contains(&format!("this delivery is already taken by {winner}")), "{said}");
        wait_rider(&ns, name, Some(winner)).await?;
    }
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_beyond_what_a_rider_can_carry_is_released_for_another() -> Result<()> {
    let ns = namespace("capacity").await?;
    ns.rider("yuna", 1).await?;
    ns.rider("taeho", 2).await?;
    let names = ["a", "b", "c", "d"];
    offered(&ns, &names).await?;
    ns.claim("a", "yuna").await?;
    wait_rider(&ns, "a", Some("yuna")).await?;
    ns.claim("b", "yuna").await?;
    let note = ns.wait_event("b", "RiderAtCapacity").await?;
    assert!(note.contains("yuna"), "{note}");
    wait_rider(&ns, "b", None).await?;
    assert_eq!(ns.get::<Order>("a").await?.state().phase, OrderPhase::RiderAssigned, "the first stays");

    for name in ["b", "c"] {
        ns.claim(name, "taeho").await?;
        wait_rider(&ns, name, Some("taeho")).await?;
    }
    ns.claim("d", "taeho").await?;
    ns.wait_event("d", "RiderAtCapacity").await?;
    wait_rider(&ns, "d", None).await?;

    // What is picked up still counts; what was brought, or given back, does not.
    ns.move_delivery("a", DeliveryStage::PickedUp).await?;
    ns.claim("d", "yuna").await?;
    wait_rider(&ns, "d", None).await?;
    ns.move_delivery("a", DeliveryStage::Delivered).await?;
    ns.wait_phase("a", OrderPhase::Delivered, LONG).await?;
    ns.claim("d", "yuna").await?;
    wait_rider(&ns, "d", Some("yuna")).await?;
    ns.give_back("c").await?;
    wait_rider(&ns, "c", None).await?;
    ns.give_back("d").await?;
    wait_rider(&ns, "d", None).await?;
    ns.claim("d", "taeho").await?;
    wait_rider(&ns, "d", Some("taeho")).await?;
    ns.patch::<Rider>("yuna", json!({ "spec": { "capacity": 3 } })).await?;
    ns.claim("c", "yuna").await?;
    wait_rider(&ns, "c", Some("yuna")).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_claims_at_once_a_rider_keeps_as_many_as_they_can_carry() -> Result<()> {
    let ns = namespace("greedy").await?;
    ns.rider("yuna", 2).await?;
    let names = ["a", "b", "c", "d", "e"];
    offered(&ns, &names).await?;
    for claimed in futures::future::join_all(names.map(|name| ns.claim(name, "yuna"))).await {
        claimed?;
    }
    let mut last = (0, 0);
    for _ in 0..600 {
        let all = ns.list::<Delivery>().await?;
        let kept = all.iter().filter(|delivery| delivery.spec.rider_ref.is_some()).count();
        let assigned = |o: &Order| o.state().phase == OrderPhase::RiderAssigned;
        let followed = ns.list::<Order>().await?.iter().filter(|o| assigned(o)).count();
        last = (kept, followed);
        if last == (2, 2) {
            // None of those that are kept is released later.
            tokio::time::sleep(Duration::from_secs(2)).await;
            let kept: Vec<String> = ns
                .list::<Delivery>()
                .await?
                .into_iter()
                .filter(|d| d.spec.rider_ref.is_some())
                .map(|d| d.name_any())
                .collect();
            assert_eq!(kept.len(), 2, "{kept:?}");
            return ns.audit().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("yuna does not come to two but has (claims, orders) {last:?}: {}", ns.describe("a").await)
}

async fn namespace_with_args(name: &str, args: &[&str]) -> Result<TestNamespace> {
    let args = args.iter().map(ToString::to_string).collect();
    let operator = OperatorOptions { args, ..OperatorOptions::default() };
    TestCluster::shared()
        .await?
        .namespace_with(name, NamespaceOptions { operator, ..NamespaceOptions::default() })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn settled_orders_are_removed_after_their_time_and_what_they_came_to_stays() -> Result<()> {
    let ns = namespace_with_args("short-lived", &["--ttl-after-settled=10"]).await?;
    ns.coupon("spring", json!({ "discount": { "amount": 3_000 }, "perCustomer": 5 })).await?;
    let mut uids = Vec::new();
    for name in ["completed", "cancelled", "declined", "open"] {
        let order = ns
            .order(name, |o| {
                o.coupon_code = Some("spring".into());
                if name == "declined" {
                    o.payment.token = Some(fooddelivery_api::TokenText("decline_1".into()));
                }
            })
            .await?;
        uids.push(order.uid().unwrap());
    }
    ns.wait_phase("cancelled", OrderPhase::AwaitingStore, LONG).await?;
    ns.cancel("cancelled", "changed my mind").await?;
    ns.cook("completed").await?;
    ns.complete("completed").await?;
    for name in ["completed", "cancelled", "declined"] {
        ns.wait_gone::<Order>(name, PATIENCE).await?;
        let left = (
            ns.find::<Payment>(name).await?,
            ns.find::<Ticket>(name).await?,
            ns.find::<Delivery>(name).await?,
        );
        assert!(matches!(left, (None, None, None)), "{left:?}");
    }
    assert_eq!(ns.dishes("hanok").await?, dishes(&[("bibimbap", 1, 2), ("kimchi-jjigae", 1, 1)]));
    assert_eq!(ns.brought("minjun").await?, 1);
    ns.wait_redeemed("spring", 2).await?;
    let ledger = balances(&ns.ledger().await?);
    let kept = |n: usize| ledger.get(&uids[n]).map_or((0, 0), |b| (b.captured, b.refunded));
    assert_eq!([kept(0), kept(1), kept(2)], [(25_500, 0), (25_500, 25_500), (0, 0)]);
    assert_eq!(ns.get::<Order>("open").await?.state().phase, OrderPhase::AwaitingStore, "not settled");
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_time_to_live_settled_orders_stay() -> Result<()> {
    let ns = namespace("long-lived").await?;
    for name in ["completed", "cancelled"] {
        ns.order(name, |_| {}).await?;
    }
    ns.wait_phase("cancelled", OrderPhase::AwaitingStore, LONG).await?;
    ns.cancel("cancelled", "changed my mind").await?;
    ns.cook("completed").await?;
    ns.complete("completed").await?;
    ns.wait_condition("cancelled", "Settled", LONG).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    for name in ["completed", "cancelled"] {
        let order: Order = ns.get(name).await?;
        assert!(order.metadata.deletion_timestamp.is_none());
    }
    // An operator that is given one also removes what has been settled for longer.
    let mut options = OperatorOptions::in_namespace(&ns.name);
    options.args.push("--ttl-after-settled=1".into());
    ns.operator.restart_with(options).await?;
    for name in ["completed", "cancelled"] {
        ns.wait_gone::<Order>(name, PATIENCE).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_customers_riders_coupons_and_their_controllers_orders_complete() -> Result<()> {
    let controllers = ["order", "payment", "ticket", "delivery", "provider"].map(str::to_owned).to_vec();
    let operator = OperatorOptions { controllers, ..OperatorOptions::default() };
    let options = NamespaceOptions { operator, ..NamespaceOptions::default() };
    let ns = TestCluster::shared().await?.namespace_with("bare", options).await?;
    ns.kubectl(&["delete", "cus,rid,cpn", "--all"]).await?;
    ns.order("lunch", |_| {}).await?;
    ns.order("cancelled", |_| {}).await?;
    ns.cook("lunch").await?;
    let order = ns.complete("lunch").await?;
    assert_eq!((order.state().discount, order.state().total), (None, Some(28_500)));
    ns.move_ticket("cancelled", TicketStage::Accepted).await?;
    ns.cancel("cancelled", "changed my mind").await?;
    ns.wait_phase("cancelled", OrderPhase::Cancelled, LONG).await?;
    assert_eq!(ns.get::<Store>("hanok").await?.status, None, "nobody counts");
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_is_off_the_cooks_list() -> Result<()> {
    let ns = namespace("cook-list").await?;
    for name in ["cancelled", "deleted", "lunch"] {
        ns.order(name, |_| {}).await?;
        ns.wait_until::<Ticket>(name, "a ticket", LONG, |_| true).await?;
    }
    let list = [
        "get",
        "tickets",
        "-o",
        "name",
        "--field-selector",
        "spec.storeRef.name=hanok,spec.stage!=Cancelled",
    ];
    assert_eq!(ns.kubectl(&list).await?.lines().count(), 3);
    ns.cancel("cancelled", "changed my mind").await?;
    ns.wait_phase("cancelled", OrderPhase::Cancelled, LONG).await?;
    ns.delete("deleted", kube::api::PropagationPolicy::Foreground).await?;
    ns.wait_gone::<Order>("deleted", LONG).await?;
    assert_eq!(ns.kubectl(&list).await?.trim(), "ticket.fooddelivery.dev/lunch");
    ns.audit().await
}
