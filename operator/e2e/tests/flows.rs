//! What happens to orders, from apply to their end, on the real control plane.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Result, ensure};
use fooddelivery_e2e::{
    Acceptance, CancellationVerdict, Delivery, DeliveryStage, EntryKind, Kitchen, KitchenOptions, LONG,
    OperatorOptions, Order, OrderPhase, Payment, Stage, Store, Ticket, TicketStage, WhenUnavailable,
};
use kube::api::PropagationPolicy;
use serde_json::json;

async fn kitchen(name: &str) -> Result<Kitchen> {
    Stage::shared().await?.kitchen(name).await
}

fn verdict(order: &Order) -> Option<CancellationVerdict> {
    order.status.as_ref().and_then(|s| s.cancellation)
}

fn reason(order: &Order) -> String {
    order.status.as_ref().and_then(|s| s.reason.clone()).unwrap_or_default()
}

/// Amounts captured and refunded for all orders of a kitchen.
async fn money(kitchen: &Kitchen) -> Result<(i64, i64)> {
    let ledger = kitchen.ledger().await?;
    let sum = |kind| ledger.iter().filter(|e| e.kind == kind).map(|e| e.amount).sum();
    Ok((sum(EntryKind::Capture), sum(EntryKind::Refund)))
}

async fn wait_refused(kitchen: &Kitchen, name: &str) -> Result<Order> {
    let refused = |o: &Order| verdict(o) == Some(CancellationVerdict::Refused);
    kitchen.wait_until(name, "a refused cancel", LONG, refused).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_all_the_way_and_is_paid_once() -> Result<()> {
    let kitchen = kitchen("happy").await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    kitchen.cook("lunch").await?;
    kitchen.wait_phase("lunch", OrderPhase::AwaitingRider, LONG).await?;
    kitchen.deliver("lunch", "minjun").await?;
    kitchen.wait_phase("lunch", OrderPhase::Delivered, LONG).await?;
    kitchen.confirm("lunch").await?;
    kitchen.kubectl(&["wait", "ord/lunch", "--for=condition=Ended", "--timeout=30s"]).await?;
    let order = kitchen.wait_phase("lunch", OrderPhase::Completed, LONG).await?;
    let status = order.status.expect("a status");
    let phases: Vec<&str> = status.history.iter().map(|h| h.phase.as_str()).collect();
    let happy = [
        "AwaitingPayment",
        "AwaitingStore",
        "Accepted",
        "Cooking",
        "AwaitingRider",
        "RiderAssigned",
        "PickedUp",
        "Delivered",
        "Completed",
    ];
    assert_eq!(phases, happy, "passed phases are filled in");
    assert_eq!(status.total, Some(28_500));
    assert_eq!(status.observed_generation, order.metadata.generation);
    for condition in ["Paid", "Settled", "Completed", "Ended"] {
        assert!(status.conditions.iter().any(|c| c.type_ == condition && c.status == "True"), "{condition}");
    }
    let size = serde_json::to_string(&status)?.len();
    assert!(size <= 2_048, "a status of {size} bytes");
    assert_eq!(money(&kitchen).await?, (28_500, 0));
    assert!(kitchen.events("lunch").await?.is_empty(), "Events are for anomalies");
    kitchen
        .wait_until::<Ticket>("lunch", "the mirror", LONG, |t| {
            t.status.as_ref().is_some_and(|s| s.phase == TicketStage::Cooked && s.cooked_at.is_some())
        })
        .await?;
    kitchen
        .wait_until::<Delivery>("lunch", "the mirror", LONG, |d| {
            d.status.as_ref().is_some_and(|s| s.phase == DeliveryStage::Delivered && s.delivered_at.is_some())
        })
        .await?;
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_before_cooking_gives_the_money_back_and_clears_the_queue() -> Result<()> {
    let kitchen = kitchen("cancel").await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.move_ticket("lunch", TicketStage::Accepted).await?;
    kitchen.cancel("lunch", "changed my mind").await?;
    let order = kitchen.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    assert_eq!(verdict(&order), Some(CancellationVerdict::Accepted));
    assert_eq!(reason(&order), "CancelledByCustomer");
    let open = ["get", "tkt", "--field-selector", "spec.stage=Accepted", "-o", "name"];
    assert_eq!(kitchen.kubectl(&open).await?.trim(), "", "off the store's list");
    assert_eq!(kitchen.get::<Ticket>("lunch").await?.spec.stage, TicketStage::Cancelled);
    assert_eq!(money(&kitchen).await?, (28_500, 28_500));
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_while_the_charge_is_under_way_ends_without_the_customers_money() -> Result<()> {
    let kitchen = kitchen("cancel-early").await?;
    let slow =
        json!([{ "match": { "operation": "confirm" }, "fault": { "type": "DelayAfter", "ms": 1500 } }]);
    kitchen.sandbox.set_faults(slow).await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.wait_until::<Payment>("lunch", "an intent", LONG, |p| p.state().attempt == 1).await?;
    kitchen.cancel("lunch", "too slow").await?;
    kitchen.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    let (captured, refunded) = money(&kitchen).await?;
    assert_eq!(captured, refunded);
    assert!(kitchen.find::<Ticket>("lunch").await?.is_none_or(|t| t.spec.stage == TicketStage::Cancelled));
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_after_cooking_began_is_refused_and_the_order_goes_on() -> Result<()> {
    let kitchen = kitchen("too-late").await?;
    kitchen.order("by-field", |_| {}).await?;
    kitchen.order("by-delete", |_| {}).await?;
    for name in ["by-field", "by-delete"] {
        kitchen.move_ticket(name, TicketStage::Accepted).await?;
        kitchen.move_ticket(name, TicketStage::Cooking).await?;
    }
    kitchen.cancel("by-field", "changed my mind").await?;
    kitchen.delete("by-delete", PropagationPolicy::Background).await?;
    for name in ["by-field", "by-delete"] {
        wait_refused(&kitchen, name).await?;
        kitchen.wait_event(name, "CancelRefused").await?;
        let told = kitchen.events(name).await?.into_iter().filter(|(reason, _)| reason == "CancelRefused");
        assert_eq!(told.count(), 1, "said once");
        kitchen.move_ticket(name, TicketStage::Cooked).await?;
        kitchen.deliver(name, "minjun").await?;
        kitchen.wait_phase(name, OrderPhase::Delivered, LONG).await?;
        kitchen.confirm(name).await?;
    }
    let order = kitchen.wait_phase("by-field", OrderPhase::Completed, LONG).await?;
    assert_eq!(verdict(&order), Some(CancellationVerdict::Refused));
    kitchen.wait_gone::<Order>("by-delete", LONG).await?;
    assert!(kitchen.find::<Payment>("by-delete").await?.is_none(), "nothing is left behind");
    assert_eq!(money(&kitchen).await?, (57_000, 0));
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_gives_the_money_back_and_says_why() -> Result<()> {
    let kitchen = kitchen("reject").await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.reject("lunch", "out of rice").await?;
    let order = kitchen.wait_condition("lunch", "Settled", LONG).await?;
    assert_eq!(order.state().phase, OrderPhase::Rejected);
    assert_eq!(order.state().message, "out of rice");
    assert_eq!(money(&kitchen).await?, (28_500, 28_500));
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_payment_ends_the_order_without_a_ticket() -> Result<()> {
    let kitchen = kitchen("declined").await?;
    kitchen
        .order("lunch", |o| o.payment.token = Some(fooddelivery_api::TokenText("decline_1".into())))
        .await?;
    let order = kitchen.wait_phase("lunch", OrderPhase::PaymentFailed, LONG).await?;
    assert_eq!(reason(&order), "PaymentDeclined");
    kitchen.wait_condition("lunch", "Settled", LONG).await?;
    assert!(kitchen.find::<Ticket>("lunch").await?.is_none(), "an unpaid order never becomes a deal");
    assert_eq!(money(&kitchen).await?, (0, 0));
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_stores_side_down_orders_are_paid_and_wait_and_go_on_when_it_is_back() -> Result<()> {
    let controllers = ["order", "payment", "delivery", "provider"].map(str::to_owned).to_vec();
    let operator = OperatorOptions { controllers, ..OperatorOptions::default() };
    let options = KitchenOptions { operator, ..KitchenOptions::default() };
    let kitchen = Stage::shared().await?.kitchen_with("store-down", options).await?;
    let names = ["a", "b", "c"];
    for name in names {
        kitchen.order(name, |_| {}).await?;
        kitchen.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
        assert!(kitchen.find::<Ticket>(name).await?.is_none());
    }
    kitchen.cancel("c", "not while the store is away").await?;
    kitchen.wait_phase("c", OrderPhase::Cancelled, LONG).await?;
    let all = OperatorOptions::in_namespace(&kitchen.namespace);
    kitchen.operator.restart_with(all).await?;
    for name in ["a", "b"] {
        kitchen.cook(name).await?;
        kitchen.wait_phase(name, OrderPhase::AwaitingRider, LONG).await?;
    }
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_may_be_applied_in_any_order() -> Result<()> {
    let kitchen = kitchen("any-order").await?;
    let store = kitchen.get::<Store>("hanok").await?;
    let args = ["get", "psp", kitchen.provider(), "-o", "json"];
    let mut provider: serde_json::Value = serde_json::from_str(&kitchen.kubectl(&args).await?)?;
    provider["metadata"] = json!({ "name": kitchen.provider() });
    kitchen.kubectl(&["delete", "psp", kitchen.provider()]).await?;
    kitchen.kubectl(&["delete", "store", "hanok"]).await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen
        .wait_until::<Order>("lunch", "the missing store named", LONG, |o| reason(o) == "StoreNotFound")
        .await?;
    let again = json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Store",
        "metadata": { "name": "hanok" }, "spec": store.spec,
    });
    kitchen.apply_yaml(&again.to_string()).await.map_err(anyhow::Error::msg)?;
    let named = |o: &Order| reason(o) == "ProviderNotFound";
    kitchen.wait_until::<Order>("lunch", "the missing provider named", LONG, named).await?;
    kitchen.apply_yaml(&provider.to_string()).await.map_err(anyhow::Error::msg)?;
    let order = kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    assert_eq!(reason(&order), "", "what held it up is forgotten");
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_a_closed_store_waits_until_it_opens() -> Result<()> {
    let kitchen = kitchen("closed").await?;
    kitchen.patch::<Store>("hanok", json!({ "spec": { "open": false } })).await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen
        .wait_until::<Order>("lunch", "the closed store named", LONG, |o| reason(o) == "StoreClosed")
        .await?;
    kitchen.patch::<Store>("hanok", json!({ "spec": { "open": true } })).await?;
    kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_accepts_by_itself_has_it_done() -> Result<()> {
    let kitchen = kitchen("automatic").await?;
    kitchen.patch::<Store>("hanok", json!({ "spec": { "acceptance": Acceptance::Automatic } })).await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.wait_phase("lunch", OrderPhase::Accepted, LONG).await?;
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delivery_gives_the_money_back() -> Result<()> {
    let kitchen = kitchen("failed").await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.cook("lunch").await?;
    kitchen.claim("lunch", "minjun").await?;
    kitchen.move_delivery("lunch", DeliveryStage::PickedUp).await?;
    let failed = json!({ "spec": { "stage": "Failed", "reason": "the lift is broken" } });
    kitchen.patch::<Delivery>("lunch", failed).await?;
    let order = kitchen.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    assert_eq!(
        (reason(&order), order.state().message),
        ("DeliveryFailed".into(), "the lift is broken".into())
    );
    assert_eq!(money(&kitchen).await?, (28_500, 28_500));
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_never_answers_costs_the_customer_nothing() -> Result<()> {
    let kitchen = kitchen("silent").await?;
    kitchen.patch::<Store>("hanok", json!({ "spec": { "deadlines": { "acceptanceSeconds": 1 } } })).await?;
    kitchen.order("lunch", |_| {}).await?;
    let waits = |o: &Order| o.state().phase == OrderPhase::AwaitingStore && o.state().deadline.is_some();
    kitchen.wait_until("lunch", "the deadline to be visible", LONG, waits).await?;
    // Just after a start no deadline fires: the store first gets a chance to be heard.
    let order = kitchen.wait_phase("lunch", OrderPhase::Cancelled, Duration::from_mins(1)).await?;
    assert_eq!(reason(&order), "StoreDidNotAnswer");
    assert_eq!(kitchen.get::<Ticket>("lunch").await?.spec.stage, TicketStage::Cancelled);
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_costs_nothing_needs_no_provider() -> Result<()> {
    let kitchen = kitchen("free").await?;
    let free = json!({ "spec": { "minimumOrder": 0, "menu": [{ "name": "bibimbap", "price": 0 }] } });
    kitchen.patch::<Store>("hanok", free).await?;
    kitchen
        .order("lunch", |o| {
            o.items.truncate(1);
            o.items[0].options.clear();
        })
        .await?;
    kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    assert!(kitchen.sandbox.calls().await?.is_empty(), "the provider was not called");
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_may_wait_is_paid_when_the_provider_is_back() -> Result<()> {
    let kitchen = kitchen("defer").await?;
    kitchen.sandbox.kill_hard()?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.order("unwanted", |_| {}).await?;
    for name in ["lunch", "unwanted"] {
        let order = kitchen.wait_phase(name, OrderPhase::PaymentDeferred, LONG).await?;
        assert_eq!(reason(&order), "ProviderUnavailable");
        let payment = kitchen.get::<Payment>(name).await?;
        assert!(payment.state().next_attempt_at.is_some(), "when it is tried again is visible");
    }
    kitchen.cancel("unwanted", "too slow").await?;
    kitchen.sandbox.restart().await?;
    kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, Duration::from_mins(1)).await?;
    kitchen.wait_phase("unwanted", OrderPhase::Cancelled, Duration::from_mins(1)).await?;
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_will_not_wait_fails_at_once_when_the_provider_is_away() -> Result<()> {
    let kitchen = kitchen("fail-fast").await?;
    kitchen.sandbox.kill_hard()?;
    kitchen.order("lunch", |o| o.payment.when_unavailable = WhenUnavailable::Fail).await?;
    let order = kitchen.wait_phase("lunch", OrderPhase::PaymentFailed, Duration::from_secs(10)).await?;
    assert_eq!(reason(&order), "ProviderUnavailable");
    kitchen.sandbox.restart().await?;
    kitchen.wait_condition("lunch", "Settled", Duration::from_mins(1)).await?;
    let (captured, refunded) = money(&kitchen).await?;
    assert_eq!(captured, refunded, "whatever became of the charge, nothing is kept");
    kitchen.order("dinner", |_| {}).await?;
    kitchen.wait_phase("dinner", OrderPhase::AwaitingStore, LONG).await?;
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_riders_exactly_one_gets_the_delivery_and_may_give_it_back() -> Result<()> {
    let kitchen = kitchen("riders").await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.cook("lunch").await?;
    kitchen.wait_phase("lunch", OrderPhase::AwaitingRider, LONG).await?;
    kitchen.wait_until::<Delivery>("lunch", "to be offered", LONG, |_| true).await?;
    let claims: Vec<_> = (0..8).map(|n| kitchen.claim_as("lunch", format!("rider-{n}"))).collect();
    let won = futures::future::join_all(claims).await.into_iter().flatten().count();
    assert_eq!(won, 1, "first wins, the others are refused");
    kitchen.wait_phase("lunch", OrderPhase::RiderAssigned, LONG).await?;
    kitchen.give_back("lunch").await?;
    let waiting_again = |o: &Order| o.state().phase == OrderPhase::AwaitingRider;
    kitchen.wait_until("lunch", "a rider again", LONG, waiting_again).await?;
    kitchen.deliver("lunch", "minjun").await?;
    kitchen.wait_phase("lunch", OrderPhase::Delivered, LONG).await?;
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_order_stays_where_it_is() -> Result<()> {
    let kitchen = kitchen("paused").await?;
    kitchen.order("lunch", |_| {}).await?;
    kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    kitchen.kubectl(&["annotate", "ord", "lunch", "fooddelivery.dev/paused=true"]).await?;
    kitchen.move_ticket("lunch", TicketStage::Accepted).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let order = kitchen.get::<Order>("lunch").await?;
    ensure!(order.state().phase == OrderPhase::AwaitingStore, "it moved to {}", order.state().phase);
    kitchen.kubectl(&["annotate", "ord", "lunch", "fooddelivery.dev/paused-"]).await?;
    kitchen.wait_phase("lunch", OrderPhase::Accepted, LONG).await?;
    kitchen.audit().await
}

/// One bad order: its name, the change that makes it bad, and the reason that its status must give.
type BadOrder = (&'static str, fn(&mut fooddelivery_api::OrderSpec), &'static str, OrderPhase);

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_ordered_says_why_and_costs_nothing() -> Result<()> {
    let kitchen = kitchen("bad-input").await?;
    let refused = OrderPhase::Cancelled;
    let waits = OrderPhase::AwaitingPayment;
    let bad: Vec<BadOrder> = vec![
        (
            "unknown-store",
            |o| o.store_ref.as_mut().expect("one").name = "nowhere".into(),
            "StoreNotFound",
            waits,
        ),
        (
            "unspeakable-store",
            |o| o.store_ref.as_mut().expect("one").name = "../riders/minjun".into(),
            "StoreNotFound",
            waits,
        ),
        (
            "no-store",
            |o| (o.store_ref, o.customer_ref.name) = (None, "stranger".into()),
            "CustomerNotFound",
            waits,
        ),
        ("unknown-dish", |o| o.items[0].menu_item = "pizza".into(), "UnknownMenuItem", waits),
        ("sold-out", |o| o.items[1].menu_item = "naengmyeon".into(), "MenuItemUnavailable", refused),
        ("unknown-option", |o| o.items[0].options = vec!["gold".into()], "UnknownOption", refused),
        ("below-minimum", |o| o.items.clear_to_one(), "BelowMinimum", refused),
        ("wrong-total", |o| o.expected_total = Some(1), "TotalMismatch", refused),
        ("no-coupon", |o| o.coupon_code = Some("FREE".into()), "CouponNotFound", refused),
        ("unknown-provider", |o| o.payment.provider_ref.name = "nope".into(), "ProviderNotFound", waits),
    ];
    kitchen.patch::<Store>("hanok", json!({ "spec": { "minimumOrder": 20_000 } })).await?;
    for (name, change, ..) in &bad {
        kitchen.order(name, change).await?;
    }
    for (name, _, why, phase) in &bad {
        let told = |o: &Order| reason(o) == *why && o.state().phase == *phase;
        let order = kitchen.wait_until::<Order>(name, &format!("{phase}, {why}"), LONG, told).await?;
        assert!(!order.state().message.is_empty(), "{name} says it in a sentence");
        let paid = order.state().conditions.into_iter().find(|c| c.kind == "Paid");
        assert!(paid.is_some_and(|c| !c.holds && c.reason == *why), "{name}: the condition says it too");
        kitchen.wait_event(name, why).await?;
    }
    assert!(kitchen.sandbox.calls().await?.is_empty(), "nobody was charged");
    kitchen.audit().await
}

/// Small helpers of these tests.
trait Helpers {
    async fn claim_as(&self, name: &str, rider: String) -> Result<Delivery>;
}

impl Helpers for Kitchen {
    async fn claim_as(&self, name: &str, rider: String) -> Result<Delivery> {
        self.claim(name, &rider).await
    }
}

trait OneItem {
    fn clear_to_one(&mut self);
}

impl OneItem for Vec<fooddelivery_api::common::Item> {
    fn clear_to_one(&mut self) {
        self.truncate(1);
        self[0].quantity = 1;
    }
}
