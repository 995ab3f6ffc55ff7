//! Orders deleted in every phase, with every propagation policy, and whole namespaces: nothing goes before its time,
//! everything goes in the end, and the money is right.

use std::time::Duration;

use anyhow::Result;
use fooddelivery_api::TokenText;
use fooddelivery_e2e::audit::balances;
use fooddelivery_e2e::{
    CancellationVerdict, Delivery, DeliveryStage, LONG, Order, OrderPhase, Payment, TestCluster,
    TestNamespace, Ticket, TicketStage,
};
use kube::api::PropagationPolicy;

use crate::size;

const PATIENCE: Duration = Duration::from_mins(2);

/// The phases that an order can be brought to while the provider works.
const PHASES: [OrderPhase; 12] = [
    OrderPhase::AwaitingPayment,
    OrderPhase::AwaitingStore,
    OrderPhase::Accepted,
    OrderPhase::Cooking,
    OrderPhase::AwaitingRider,
    OrderPhase::RiderAssigned,
    OrderPhase::PickedUp,
    OrderPhase::Delivered,
    OrderPhase::Completed,
    OrderPhase::Cancelled,
    OrderPhase::Rejected,
    OrderPhase::PaymentFailed,
];

/// Brings a new order to `phase`.
async fn bring(ns: &TestNamespace, name: &str, phase: OrderPhase) -> Result<()> {
    ns.order(name, |o| match phase {
        OrderPhase::AwaitingPayment => o.store_ref.as_mut().expect("one").name = "nowhere".into(),
        OrderPhase::PaymentFailed => o.payment.token = Some(TokenText(format!("decline_{name}"))),
        _ => {}
    })
    .await?;
    let stages = [TicketStage::Accepted, TicketStage::Cooking, TicketStage::Cooked];
    let cooked = |n: usize| stages.into_iter().take(n);
    match phase {
        OrderPhase::Rejected => drop(ns.reject(name, "closed early").await?),
        OrderPhase::Cancelled => {
            ns.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
            ns.cancel(name, "no longer hungry").await?;
        }
        _ => {}
    }
    let steps = match phase {
        OrderPhase::Accepted => 1,
        OrderPhase::Cooking => 2,
        OrderPhase::AwaitingRider
        | OrderPhase::RiderAssigned
        | OrderPhase::PickedUp
        | OrderPhase::Delivered
        | OrderPhase::Completed => 3,
        _ => 0,
    };
    for stage in cooked(steps) {
        ns.move_ticket(name, stage).await?;
    }
    match phase {
        OrderPhase::RiderAssigned => drop(ns.claim(name, "minjun").await?),
        OrderPhase::PickedUp => {
            ns.claim(name, "minjun").await?;
            ns.move_delivery(name, DeliveryStage::PickedUp).await?;
        }
        OrderPhase::Delivered => ns.deliver(name, "minjun").await?,
        OrderPhase::Completed => {
            ns.deliver(name, "minjun").await?;
            ns.wait_phase(name, OrderPhase::Delivered, LONG).await?;
            ns.confirm(name).await?;
        }
        _ => {}
    }
    let there = |o: &Order| o.state().phase == phase;
    ns.wait_until(name, &format!("phase {phase}"), LONG, there).await?;
    Ok(())
}

fn has_begun(phase: OrderPhase) -> bool {
    matches!(
        phase,
        OrderPhase::Cooking
            | OrderPhase::AwaitingRider
            | OrderPhase::RiderAssigned
            | OrderPhase::PickedUp
            | OrderPhase::Delivered
    )
}

/// Takes an order that has begun to its end.
async fn finish(ns: &TestNamespace, name: &str, phase: OrderPhase) -> Result<()> {
    if phase == OrderPhase::Cooking {
        ns.move_ticket(name, TicketStage::Cooked).await?;
    }
    if matches!(phase, OrderPhase::Cooking | OrderPhase::AwaitingRider) {
        ns.claim(name, "minjun").await?;
    }
    if !matches!(phase, OrderPhase::PickedUp | OrderPhase::Delivered) {
        ns.move_delivery(name, DeliveryStage::PickedUp).await?;
    }
    if phase != OrderPhase::Delivered {
        ns.move_delivery(name, DeliveryStage::Delivered).await?;
    }
    ns.wait_phase(name, OrderPhase::Delivered, LONG).await?;
    ns.confirm(name).await?;
    Ok(())
}

async fn in_every_phase(name: &str, policy: PropagationPolicy) -> Result<()> {
    let ns = TestCluster::shared().await?.namespace(name).await?;
    let named = |phase: OrderPhase| phase.as_str().to_lowercase();
    let mut uids = Vec::new();
    for phase in PHASES {
        bring(&ns, &named(phase), phase).await?;
        uids.push((phase, ns.get::<Order>(&named(phase)).await?.metadata.uid.expect("a uid")));
    }
    for phase in PHASES {
        ns.delete(&named(phase), policy.clone()).await?;
    }
    for phase in PHASES.into_iter().filter(|p| !has_begun(*p)) {
        ns.wait_gone::<Order>(&named(phase), PATIENCE).await?;
    }
    for phase in PHASES.into_iter().filter(|p| has_begun(*p)) {
        let name = named(phase);
        let refused = |o: &Order| o.state().cancellation == Some(CancellationVerdict::Refused);
        ns.wait_until::<Order>(&name, "a refused cancel", LONG, refused).await?;
        assert!(ns.find::<Ticket>(&name).await?.is_some(), "{phase}: nothing is taken before its time");
        assert!(ns.find::<Payment>(&name).await?.is_some());
        finish(&ns, &name, phase).await?;
        ns.wait_gone::<Order>(&name, PATIENCE).await?;
    }
    assert!(ns.list::<Payment>().await?.is_empty(), "no payment is left behind");
    assert!(ns.list::<Ticket>().await?.is_empty() && ns.list::<Delivery>().await?.is_empty());
    let ledger = balances(&ns.ledger().await?);
    for (phase, uid) in uids {
        let (captures, kept) = ledger.get(&uid).map_or((0, 0), |b| (b.captures, b.captured - b.refunded));
        let keeps = has_begun(phase) || phase == OrderPhase::Completed;
        assert_eq!(kept, if keeps { 28_500 } else { 0 }, "{phase}");
        assert!(captures <= 1, "{phase}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn background_deletion_in_every_phase() -> Result<()> {
    in_every_phase("background", PropagationPolicy::Background).await
}

#[tokio::test(flavor = "multi_thread")]
async fn foreground_deletion_in_every_phase() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    in_every_phase("foreground", PropagationPolicy::Foreground).await
}

#[tokio::test(flavor = "multi_thread")]
async fn orphaning_deletion_in_every_phase() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    in_every_phase("orphan", PropagationPolicy::Orphan).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_order_that_is_deleted_goes_when_the_provider_has_had_its_say() -> Result<()> {
    let ns = TestCluster::shared().await?.namespace("deferred").await?;
    ns.sandbox.kill_hard()?;
    let policies = [
        ("background", PropagationPolicy::Background),
        ("foreground", PropagationPolicy::Foreground),
        ("orphan", PropagationPolicy::Orphan),
    ];
    for (name, _) in &policies {
        ns.order(name, |_| {}).await?;
        ns.wait_phase(name, OrderPhase::PaymentDeferred, LONG).await?;
    }
    for (name, policy) in &policies {
        ns.delete(name, policy.clone()).await?;
        ns.wait_phase(name, OrderPhase::Cancelling, LONG).await?;
        // A second delete finds it on its way out, and changes nothing.
        ns.delete(name, policy.clone()).await?;
        assert!(ns.find::<Payment>(name).await?.is_some(), "a charge may be on its way: the payment stays");
    }
    ns.sandbox.restart().await?;
    for (name, _) in &policies {
        ns.wait_gone::<Order>(name, PATIENCE).await?;
    }
    for (order, balance) in balances(&ns.ledger().await?) {
        assert_eq!(balance.captured, balance.refunded, "{order}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_with_orders_in_every_phase_goes_and_the_ledger_is_right() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    let ns = TestCluster::shared().await?.namespace("namespace").await?;
    let mut kept = 0;
    for phase in PHASES {
        bring(&ns, &phase.as_str().to_lowercase(), phase).await?;
        // The food is with the customer: that order is completed, not undone.
        kept += i64::from(matches!(phase, OrderPhase::Completed | OrderPhase::Delivered));
    }
    ns.cluster.access().kubectl(["delete", "namespace", &ns.name, "--timeout=180s"]).await?;
    let ledger = balances(&ns.ledger().await?);
    assert!(ledger.values().all(|b| b.captures <= 1 && b.refunded <= b.captured), "{ledger:?}");
    let left: i64 = ledger.values().map(|b| b.captured - b.refunded).sum();
    assert_eq!(left, kept * 28_500, "{ledger:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_used_again_at_once_is_a_new_order_with_its_own_payment() -> Result<()> {
    let ns = TestCluster::shared().await?.namespace("again").await?;
    let mut uids = Vec::new();
    for _ in 0..4 {
        ns.order("lunch", |o| o.payment.token = Some(TokenText(format!("tok-{}", uids.len())))).await?;
        uids.push(ns.get::<Order>("lunch").await?.metadata.uid.expect("a uid"));
        ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
        ns.delete("lunch", PropagationPolicy::Background).await?;
        ns.wait_gone::<Order>("lunch", PATIENCE).await?;
    }
    let ledger = balances(&ns.ledger().await?);
    for uid in &uids {
        let balance = ledger.get(uid).expect("each was charged");
        assert_eq!((balance.captures, balance.captured), (1, balance.refunded));
    }
    Ok(())
}
