//! What happens to orders, from apply to their end, on the real control plane.

use std::time::Duration;

use anyhow::{Result, ensure};
use fooddelivery_e2e::{
    Acceptance, CancellationVerdict, Delivery, DeliveryStage, EntryKind, LONG, NamespaceOptions,
    OperatorOptions, Order, OrderPhase, Payment, Store, TestCluster, TestNamespace, Ticket, TicketStage,
    WhenUnavailable,
};
use kube::api::PropagationPolicy;
use serde_json::json;

async fn namespace(name: &str) -> Result<TestNamespace> {
    TestCluster::shared().await?.namespace(name).await
}

fn verdict(order: &Order) -> Option<CancellationVerdict> {
    order.status.as_ref().and_then(|s| s.cancellation)
}

fn reason(order: &Order) -> String {
    order.status.as_ref().and_then(|s| s.reason.clone()).unwrap_or_default()
}

/// Amounts captured and refunded for all orders of a test namespace.
async fn money(ns: &TestNamespace) -> Result<(i64, i64)> {
    let ledger = ns.ledger().await?;
    let sum = |kind| ledger.iter().filter(|e| e.kind == kind).map(|e| e.amount).sum();
    Ok((sum(EntryKind::Capture), sum(EntryKind::Refund)))
}

async fn wait_refused(ns: &TestNamespace, name: &str) -> Result<Order> {
    let refused = |o: &Order| verdict(o) == Some(CancellationVerdict::Refused);
    ns.wait_until(name, "a refused cancel", LONG, refused).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_all_the_way_and_is_paid_once() -> Result<()> {
    let ns = namespace("happy").await?;
    ns.order("lunch", |_| {}).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    ns.cook("lunch").await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingRider, LONG).await?;
    ns.deliver("lunch", "minjun").await?;
    ns.wait_phase("lunch", OrderPhase::Delivered, LONG).await?;
    ns.confirm("lunch").await?;
    ns.kubectl(&["wait", "ord/lunch", "--for=condition=Ended", "--timeout=30s"]).await?;
    let order = ns.wait_phase("lunch", OrderPhase::Completed, LONG).await?;
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
    assert_eq!(money(&ns).await?, (28_500, 0));
    assert!(ns.events("lunch").await?.is_empty(), "Events are for anomalies");
    assert_eq!(ns.get::<Ticket>("lunch").await?.spec.stage, TicketStage::Cooked);
    assert_eq!(ns.get::<Delivery>("lunch").await?.spec.stage, DeliveryStage::Delivered);
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_before_cooking_gives_the_money_back_and_clears_the_queue() -> Result<()> {
    let ns = namespace("cancel").await?;
    ns.order("lunch", |_| {}).await?;
    ns.move_ticket("lunch", TicketStage::Accepted).await?;
    ns.cancel("lunch", "changed my mind").await?;
    let order = ns.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    assert_eq!(verdict(&order), Some(CancellationVerdict::Accepted));
    assert_eq!(reason(&order), "CancelledByCustomer");
    let open = ["get", "tkt", "--field-selector", "spec.stage=Accepted", "-o", "name"];
    assert_eq!(ns.kubectl(&open).await?.trim(), "", "off the store's list");
    assert_eq!(ns.get::<Ticket>("lunch").await?.spec.stage, TicketStage::Cancelled);
    assert_eq!(money(&ns).await?, (28_500, 28_500));
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_while_the_charge_is_under_way_ends_without_the_customers_money() -> Result<()> {
    let ns = namespace("cancel-early").await?;
    let slow =
        json!([{ "match": { "operation": "confirm" }, "fault": { "type": "DelayAfter", "ms": 1500 } }]);
    ns.sandbox.set_faults(slow).await?;
    ns.order("lunch", |_| {}).await?;
    ns.wait_until::<Payment>("lunch", "an intent", LONG, |p| p.state().attempt == 1).await?;
    ns.cancel("lunch", "too slow").await?;
    ns.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    let (captured, refunded) = money(&ns).await?;
    assert_eq!(captured, refunded);
    assert!(ns.find::<Ticket>("lunch").await?.is_none_or(|t| t.spec.stage == TicketStage::Cancelled));
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_after_cooking_began_is_refused_and_the_order_goes_on() -> Result<()> {
    let ns = namespace("too-late").await?;
    ns.order("by-field", |_| {}).await?;
    ns.order("by-delete", |_| {}).await?;
    for name in ["by-field", "by-delete"] {
        ns.move_ticket(name, TicketStage::Accepted).await?;
        ns.move_ticket(name, TicketStage::Cooking).await?;
    }
    ns.cancel("by-field", "changed my mind").await?;
    ns.delete("by-delete", PropagationPolicy::Background).await?;
    for name in ["by-field", "by-delete"] {
        wait_refused(&ns, name).await?;
        ns.wait_event(name, "CancelRefused").await?;
        let told = ns.events(name).await?.into_iter().filter(|(reason, _)| reason == "CancelRefused");
        assert_eq!(told.count(), 1, "said once");
        ns.move_ticket(name, TicketStage::Cooked).await?;
        ns.deliver(name, "minjun").await?;
        ns.wait_phase(name, OrderPhase::Delivered, LONG).await?;
        ns.confirm(name).await?;
    }
    let order = ns.wait_phase("by-field", OrderPhase::Completed, LONG).await?;
    assert_eq!(verdict(&order), Some(CancellationVerdict::Refused));
    ns.wait_gone::<Order>("by-delete", LONG).await?;
    assert!(ns.find::<Payment>("by-delete").await?.is_none(), "nothing is left behind");
    assert_eq!(money(&ns).await?, (57_000, 0));
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_gives_the_money_back_and_says_why() -> Result<()> {
    let ns = namespace("reject").await?;
    ns.order("lunch", |_| {}).await?;
    ns.reject("lunch", "out of rice").await?;
    let order = ns.wait_condition("lunch", "Settled", LONG).await?;
    assert_eq!(order.state().phase, OrderPhase::Rejected);
    assert_eq!(order.state().message, "out of rice");
    assert_eq!(money(&ns).await?, (28_500, 28_500));
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_payment_ends_the_order_without_a_ticket() -> Result<()> {
    let ns = namespace("declined").await?;
    ns.order("lunch", |o| o.payment.token = Some(fooddelivery_api::TokenText("decline_1".into()))).await?;
    let order = ns.wait_phase("lunch", OrderPhase::PaymentFailed, LONG).await?;
    assert_eq!(reason(&order), "PaymentDeclined");
    ns.wait_condition("lunch", "Settled", LONG).await?;
    assert!(ns.find::<Ticket>("lunch").await?.is_none(), "an unpaid order never becomes a deal");
    assert_eq!(money(&ns).await?, (0, 0));
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_stores_side_down_orders_are_paid_and_wait_and_go_on_when_it_is_back() -> Result<()> {
    let controllers = ["order", "payment", "delivery", "provider"].map(str::to_owned).to_vec();
    let operator = OperatorOptions { controllers, ..OperatorOptions::default() };
    let options = NamespaceOptions { operator, ..NamespaceOptions::default() };
    let ns = TestCluster::shared().await?.namespace_with("store-down", options).await?;
    let names = ["a", "b", "c"];
    for name in names {
        ns.order(name, |_| {}).await?;
        ns.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
        assert!(ns.find::<Ticket>(name).await?.is_none());
    }
    ns.cancel("c", "not while the store is away").await?;
    ns.wait_phase("c", OrderPhase::Cancelled, LONG).await?;
    let all = OperatorOptions::in_namespace(&ns.name);
    ns.operator.restart_with(all).await?;
    for name in ["a", "b"] {
        ns.cook(name).await?;
        ns.wait_phase(name, OrderPhase::AwaitingRider, LONG).await?;
    }
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_may_be_applied_in_any_order() -> Result<()> {
    let ns = namespace("any-order").await?;
    let store = ns.get::<Store>("hanok").await?;
    let args = ["get", "psp", ns.provider(), "-o", "json"];
    let mut provider: serde_json::Value = serde_json::from_str(&ns.kubectl(&args).await?)?;
    provider["metadata"] = json!({ "name": ns.provider() });
    ns.kubectl(&["delete", "psp", ns.provider()]).await?;
    ns.kubectl(&["delete", "store", "hanok"]).await?;
    ns.order("lunch", |_| {}).await?;
    ns.wait_until::<Order>("lunch", "the missing store named", LONG, |o| reason(o) == "StoreNotFound")
        .await?;
    let again = json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Store",
        "metadata": { "name": "hanok" }, "spec": store.spec,
    });
    ns.apply_yaml(&again.to_string()).await.map_err(anyhow::Error::msg)?;
    let named = |o: &Order| reason(o) == "ProviderNotFound";
    ns.wait_until::<Order>("lunch", "the missing provider named", LONG, named).await?;
    ns.apply_yaml(&provider.to_string()).await.map_err(anyhow::Error::msg)?;
    let order = ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    assert_eq!(reason(&order), "", "what held it up is forgotten");
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_a_closed_store_waits_until_it_opens() -> Result<()> {
    let ns = namespace("closed").await?;
    ns.patch::<Store>("hanok", json!({ "spec": { "open": false } })).await?;
    ns.order("lunch", |_| {}).await?;
    ns.wait_until::<Order>("lunch", "the closed store named", LONG, |o| reason(o) == "StoreClosed").await?;
    ns.patch::<Store>("hanok", json!({ "spec": { "open": true } })).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_accepts_by_itself_has_it_done() -> Result<()> {
    let ns = namespace("automatic").await?;
    ns.patch::<Store>("hanok", json!({ "spec": { "acceptance": Acceptance::Automatic } })).await?;
    ns.order("lunch", |_| {}).await?;
    ns.wait_phase("lunch", OrderPhase::Accepted, LONG).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delivery_gives_the_money_back() -> Result<()> {
    let ns = namespace("failed").await?;
    ns.order("lunch", |_| {}).await?;
    ns.cook("lunch").await?;
    ns.claim("lunch", "minjun").await?;
    ns.move_delivery("lunch", DeliveryStage::PickedUp).await?;
    let failed = json!({ "spec": { "stage": "Failed", "reason": "the lift is broken" } });
    ns.patch::<Delivery>("lunch", failed).await?;
    let order = ns.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    assert_eq!(
        (reason(&order), order.state().message),
        ("DeliveryFailed".into(), "the lift is broken".into())
    );
    assert_eq!(money(&ns).await?, (28_500, 28_500));
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_never_answers_costs_the_customer_nothing() -> Result<()> {
    let ns = namespace("silent").await?;
    ns.patch::<Store>("hanok", json!({ "spec": { "deadlines": { "acceptanceSeconds": 1 } } })).await?;
    ns.order("lunch", |_| {}).await?;
    let waits = |o: &Order| o.state().phase == OrderPhase::AwaitingStore && o.state().deadline.is_some();
    ns.wait_until("lunch", "the deadline to be visible", LONG, waits).await?;
    // Just after a start no deadline fires: the store first gets a chance to be heard.
    let order = ns.wait_phase("lunch", OrderPhase::Cancelled, Duration::from_mins(1)).await?;
    assert_eq!(reason(&order), "StoreDidNotAnswer");
    assert_eq!(ns.get::<Ticket>("lunch").await?.spec.stage, TicketStage::Cancelled);
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_costs_nothing_needs_no_provider() -> Result<()> {
    let ns = namespace("free").await?;
    let free = json!({ "spec": { "minimumOrder": 0, "menu": [{ "name": "bibimbap", "price": 0 }] } });
    ns.patch::<Store>("hanok", free).await?;
    ns.order("lunch", |o| {
        o.items.truncate(1);
        o.items[0].options.clear();
    })
    .await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    assert!(ns.sandbox.calls().await?.is_empty(), "the provider was not called");
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_may_wait_is_paid_when_the_provider_is_back() -> Result<()> {
    let ns = namespace("defer").await?;
    ns.sandbox.kill_hard()?;
    ns.order("lunch", |_| {}).await?;
    ns.order("unwanted", |_| {}).await?;
    for name in ["lunch", "unwanted"] {
        let order = ns.wait_phase(name, OrderPhase::PaymentDeferred, LONG).await?;
        assert_eq!(reason(&order), "ProviderUnavailable");
        let payment = ns.get::<Payment>(name).await?;
        assert!(payment.state().next_attempt_at.is_some(), "when it is tried again is visible");
    }
    ns.cancel("unwanted", "too slow").await?;
    ns.sandbox.restart().await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, Duration::from_mins(1)).await?;
    ns.wait_phase("unwanted", OrderPhase::Cancelled, Duration::from_mins(1)).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_will_not_wait_fails_at_once_when_the_provider_is_away() -> Result<()> {
    let ns = namespace("fail-fast").await?;
    ns.sandbox.kill_hard()?;
    ns.order("lunch", |o| o.payment.when_unavailable = WhenUnavailable::Fail).await?;
    let order = ns.wait_phase("lunch", OrderPhase::PaymentFailed, Duration::from_secs(10)).await?;
    assert_eq!(reason(&order), "ProviderUnavailable");
    ns.sandbox.restart().await?;
    ns.wait_condition("lunch", "Settled", Duration::from_mins(1)).await?;
    let (captured, refunded) = money(&ns).await?;
    assert_eq!(captured, refunded, "whatever became of the charge, nothing is kept");
    ns.order("dinner", |_| {}).await?;
    ns.wait_phase("dinner", OrderPhase::AwaitingStore, LONG).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_riders_exactly_one_gets_the_delivery_and_may_give_it_back() -> Result<()> {
    let ns = namespace("riders").await?;
    ns.order("lunch", |_| {}).await?;
    ns.cook("lunch").await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingRider, LONG).await?;
    ns.wait_until::<Delivery>("lunch", "to be offered", LONG, |_| true).await?;
    let claims: Vec<_> = (0..8).map(|n| ns.claim_as("lunch", format!("rider-{n}"))).collect();
    let won = futures::future::join_all(claims).await.into_iter().flatten().count();
    assert_eq!(won, 1, "first wins, the others are refused");
    ns.wait_phase("lunch", OrderPhase::RiderAssigned, LONG).await?;
    ns.give_back("lunch").await?;
    let waiting_again = |o: &Order| o.state().phase == OrderPhase::AwaitingRider;
    ns.wait_until("lunch", "a rider again", LONG, waiting_again).await?;
    ns.deliver("lunch", "minjun").await?;
    ns.wait_phase("lunch", OrderPhase::Delivered, LONG).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_order_stays_where_it_is() -> Result<()> {
    let ns = namespace("paused").await?;
    ns.order("lunch", |_| {}).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    ns.kubectl(&["annotate", "ord", "lunch", "fooddelivery.dev/paused=true"]).await?;
    ns.move_ticket("lunch", TicketStage::Accepted).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let order = ns.get::<Order>("lunch").await?;
    ensure!(order.state().phase == OrderPhase::AwaitingStore, "it moved to {}", order.state().phase);
    ns.kubectl(&["annotate", "ord", "lunch", "fooddelivery.dev/paused-"]).await?;
    ns.wait_phase("lunch", OrderPhase::Accepted, LONG).await?;
    ns.audit().await
}

/// One bad order: its name, the change that makes it bad, and the reason that its status must give.
type BadOrder = (&'static str, fn(&mut fooddelivery_api::OrderSpec), &'static str, OrderPhase);

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_ordered_says_why_and_costs_nothing() -> Result<()> {
    let ns = namespace("bad-input").await?;
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
    ns.patch::<Store>("hanok", json!({ "spec": { "minimumOrder": 20_000 } })).await?;
    for (name, change, ..) in &bad {
        ns.order(name, change).await?;
    }
    for (name, _, why, phase) in &bad {
        let told = |o: &Order| reason(o) == *why && o.state().phase == *phase;
        let order = ns.wait_until::<Order>(name, &format!("{phase}, {why}"), LONG, told).await?;
        assert!(!order.state().message.is_empty(), "{name} says it in a sentence");
        let paid = order.state().conditions.into_iter().find(|c| c.kind == "Paid");
        assert!(paid.is_some_and(|c| !c.holds && c.reason == *why), "{name}: the condition says it too");
        ns.wait_event(name, why).await?;
    }
    assert!(ns.sandbox.calls().await?.is_empty(), "nobody was charged");
    ns.audit().await
}

/// Small helpers of these tests.
trait Helpers {
    async fn claim_as(&self, name: &str, rider: String) -> Result<Delivery>;
}

impl Helpers for TestNamespace {
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
