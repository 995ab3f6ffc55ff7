//! Orders deleted in every phase, with every propagation policy, and whole namespaces: nothing goes before its time,
//! everything goes in the end, and the money is right.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::Result;
use fooddelivery_api::TokenText;
use fooddelivery_e2e::audit::balances;
use fooddelivery_e2e::{
    CancellationVerdict, Delivery, DeliveryStage, Kitchen, LONG, Order, OrderPhase, Payment, Stage, Ticket,
    TicketStage,
};
use kube::api::PropagationPolicy;

const PATIENCE: Duration = Duration::from_mins(1);

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
async fn bring(kitchen: &Kitchen, name: &str, phase: OrderPhase) -> Result<()> {
    kitchen
        .order(name, |o| match phase {
            OrderPhase::AwaitingPayment => o.store_ref.as_mut().expect("one").name = "nowhere".into(),
            OrderPhase::PaymentFailed => o.payment.token = Some(TokenText(format!("decline_{name}"))),
            _ => {}
        })
        .await?;
    let stages = [TicketStage::Accepted, TicketStage::Cooking, TicketStage::Cooked];
    let cooked = |n: usize| stages.into_iter().take(n);
    match phase {
        OrderPhase::Rejected => drop(kitchen.reject(name, "closed early").await?),
        OrderPhase::Cancelled => {
            kitchen.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
            kitchen.cancel(name, "no longer hungry").await?;
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
        kitchen.move_ticket(name, stage).await?;
    }
    match phase {
        OrderPhase::RiderAssigned => drop(kitchen.claim(name, "minjun").await?),
        OrderPhase::PickedUp => {
            kitchen.claim(name, "minjun").await?;
            kitchen.move_delivery(name, DeliveryStage::PickedUp).await?;
        }
        OrderPhase::Delivered => kitchen.deliver(name, "minjun").await?,
        OrderPhase::Completed => {
            kitchen.deliver(name, "minjun").await?;
            kitchen.wait_phase(name, OrderPhase::Delivered, LONG).await?;
            kitchen.confirm(name).await?;
        }
        _ => {}
    }
    let there = |o: &Order| o.state().phase == phase;
    kitchen.wait_until(name, &format!("phase {phase}"), LONG, there).await?;
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
async fn finish(kitchen: &Kitchen, name: &str, phase: OrderPhase) -> Result<()> {
    if phase == OrderPhase::Cooking {
        kitchen.move_ticket(name, TicketStage::Cooked).await?;
    }
    if matches!(phase, OrderPhase::Cooking | OrderPhase::AwaitingRider) {
        kitchen.claim(name, "minjun").await?;
    }
    if !matches!(phase, OrderPhase::PickedUp | OrderPhase::Delivered) {
        kitchen.move_delivery(name, DeliveryStage::PickedUp).await?;
    }
    if phase != OrderPhase::Delivered {
        kitchen.move_delivery(name, DeliveryStage::Delivered).await?;
    }
    kitchen.wait_phase(name, OrderPhase::Delivered, LONG).await?;
    kitchen.confirm(name).await?;
    Ok(())
}

async fn in_every_phase(name: &str, policy: PropagationPolicy) -> Result<()> {
    let kitchen = Stage::shared().await?.kitchen(name).await?;
    let named = |phase: OrderPhase| phase.as_str().to_lowercase();
    let mut uids = Vec::new();
    for phase in PHASES {
        bring(&kitchen, &named(phase), phase).await?;
        uids.push((phase, kitchen.get::<Order>(&named(phase)).await?.metadata.uid.expect("a uid")));
    }
    for phase in PHASES {
        kitchen.delete(&named(phase), policy.clone()).await?;
    }
    for phase in PHASES.into_iter().filter(|p| !has_begun(*p)) {
        kitchen.wait_gone::<Order>(&named(phase), PATIENCE).await?;
    }
    for phase in PHASES.into_iter().filter(|p| has_begun(*p)) {
        let name = named(phase);
        let refused = |o: &Order| o.state().cancellation == Some(CancellationVerdict::Refused);
        kitchen.wait_until::<Order>(&name, "a refused cancel", LONG, refused).await?;
        assert!(kitchen.find::<Ticket>(&name).await?.is_some(), "{phase}: nothing is taken before its time");
        assert!(kitchen.find::<Payment>(&name).await?.is_some());
        finish(&kitchen, &name, phase).await?;
        kitchen.wait_gone::<Order>(&name, PATIENCE).await?;
    }
    assert!(kitchen.list::<Payment>().await?.is_empty(), "no payment is left behind");
    assert!(kitchen.list::<Ticket>().await?.is_empty() && kitchen.list::<Delivery>().await?.is_empty());
    let ledger = balances(&kitchen.ledger().await?);
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
    in_every_phase("foreground", PropagationPolicy::Foreground).await
}

#[tokio::test(flavor = "multi_thread")]
async fn orphaning_deletion_in_every_phase() -> Result<()> {
    in_every_phase("orphan", PropagationPolicy::Orphan).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_order_that_is_deleted_goes_when_the_provider_has_had_its_say() -> Result<()> {
    let kitchen = Stage::shared().await?.kitchen("deferred").await?;
    kitchen.sandbox.kill_hard()?;
    let policies = [
        ("background", PropagationPolicy::Background),
        ("foreground", PropagationPolicy::Foreground),
        ("orphan", PropagationPolicy::Orphan),
    ];
    for (name, _) in &policies {
        kitchen.order(name, |_| {}).await?;
        kitchen.wait_phase(name, OrderPhase::PaymentDeferred, LONG).await?;
    }
    for (name, policy) in &policies {
        kitchen.delete(name, policy.clone()).await?;
        kitchen.wait_phase(name, OrderPhase::Cancelling, LONG).await?;
        // A second delete finds it on its way out, and changes nothing.
        kitchen.delete(name, policy.clone()).await?;
        assert!(
            kitchen.find::<Payment>(name).await?.is_some(),
            "a charge may be on its way: the payment stays"
        );
    }
    kitchen.sandbox.restart().await?;
    for (name, _) in &policies {
        kitchen.wait_gone::<Order>(name, PATIENCE).await?;
    }
    for (order, balance) in balances(&kitchen.ledger().await?) {
        assert_eq!(balance.captured, balance.refunded, "{order}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_with_orders_in_every_phase_goes_and_the_ledger_is_right() -> Result<()> {
    let kitchen = Stage::shared().await?.kitchen("namespace").await?;
    let mut kept = 0;
    for phase in PHASES {
        bring(&kitchen, &phase.as_str().to_lowercase(), phase).await?;
        // The food is with the customer: that order is completed, not undone.
        kept += i64::from(matches!(phase, OrderPhase::Completed | OrderPhase::Delivered));
    }
    kitchen.stage.access().kubectl(["delete", "namespace", &kitchen.namespace, "--timeout=180s"]).await?;
    let ledger = balances(&kitchen.ledger().await?);
    assert!(ledger.values().all(|b| b.captures <= 1 && b.refunded <= b.captured), "{ledger:?}");
    let left: i64 = ledger.values().map(|b| b.captured - b.refunded).sum();
    assert_eq!(left, kept * 28_500, "{ledger:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_used_again_at_once_is_a_new_order_with_its_own_payment() -> Result<()> {
    let kitchen = Stage::shared().await?.kitchen("again").await?;
    let mut uids = Vec::new();
    for _ in 0..4 {
        kitchen.order("lunch", |o| o.payment.token = Some(TokenText(format!("tok-{}", uids.len())))).await?;
        uids.push(kitchen.get::<Order>("lunch").await?.metadata.uid.expect("a uid"));
        kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
        kitchen.delete("lunch", PropagationPolicy::Background).await?;
        kitchen.wait_gone::<Order>("lunch", PATIENCE).await?;
    }
    let ledger = balances(&kitchen.ledger().await?);
    for uid in &uids {
        let balance = ledger.get(uid).expect("each was charged");
        assert_eq!((balance.captures, balance.captured), (1, balance.refunded));
    }
    Ok(())
}
