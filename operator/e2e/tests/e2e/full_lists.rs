//! More orders at once, or one after the other, than the lists hold that keep the counts exact: nobody is left out, and
//! nothing stands still.

use std::time::Duration;

use anyhow::Result;
use fooddelivery_e2e::market::dishes;
use fooddelivery_e2e::{
    Acceptance, Order, OrderPhase, Payment, Store, TestCluster, TestNamespace, TicketStage,
};
use fooddelivery_saga::counter::LIST_LIMIT;
use futures::future::try_join_all;
use kube::api::PropagationPolicy;
use serde_json::json;

use crate::size;

const PATIENCE: Duration = Duration::from_mins(2);
/// So many that a list is full, and some are left over.
const ORDERS: usize = LIST_LIMIT + 40;

async fn namespace(name: &str) -> Result<TestNamespace> {
    TestCluster::shared().await?.namespace(name).await
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_keeps_all_orders_when_more_are_deleted_at_once_than_its_list_holds() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    let ns = namespace("full-store").await?;
    ns.patch::<Store>("hanok", json!({ "spec": { "acceptance": Acceptance::Automatic } })).await?;
    ns.rider("haneul", 20).await?;
    let names = names("order", ORDERS);
    for batch in names.chunks(20) {
        try_join_all(batch.iter().map(|name| ns.order(name, |_| {}))).await?;
        for name in batch {
            ns.wait_phase(name, OrderPhase::Accepted, PATIENCE).await?;
        }
        for stage in [TicketStage::Cooking, TicketStage::Cooked] {
            try_join_all(batch.iter().map(|name| ns.move_ticket(name, stage))).await?;
        }
        for name in batch {
            ns.wait_phase(name, OrderPhase::AwaitingRider, PATIENCE).await?;
        }
        try_join_all(batch.iter().map(|name| ns.deliver(name, "haneul"))).await?;
        for name in batch {
            ns.wait_phase(name, OrderPhase::Delivered, PATIENCE).await?;
        }
        try_join_all(batch.iter().map(|name| ns.confirm(name))).await?;
    }
    let all = i64::try_from(ORDERS)?;
    let counted = dishes(&[("bibimbap", all, 2 * all), ("kimchi-jjigae", all, all)]);
    assert_eq!((ns.dishes("hanok").await?, ns.brought("haneul").await?), (counted.clone(), all));
    for name in &names {
        ns.wait_phase(name, OrderPhase::Completed, PATIENCE).await?;
    }
    for batch in names.chunks(20) {
        try_join_all(batch.iter().map(|name| ns.delete(name, PropagationPolicy::Background))).await?;
    }
    for name in &names {
        ns.wait_gone::<Order>(name, PATIENCE).await?;
    }
    assert_eq!((ns.dishes("hanok").await?, ns.brought("haneul").await?), (counted, all));
    let departing = ns.get::<Store>("hanok").await?.status.unwrap().departing.len();
    assert!(departing <= LIST_LIMIT, "{departing}");
    ns.audit().await
}

/// Paid orders with a coupon, all of them deleted at once; then a few more, as those find the list as it was left.
#[tokio::test(flavor = "multi_thread")]
async fn more_orders_that_are_deleted_at_once_than_their_coupons_list_holds_all_go() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    let ns = namespace("full-coupon").await?;
    ns.coupon("spring", json!({ "discount": { "percent": 10 }, "perCustomer": 1_000 })).await?;
    for round in [names("a", ORDERS), names("b", 20), names("c", 60)] {
        for batch in round.chunks(20) {
            try_join_all(batch.iter().map(|name| ns.order_with(name, "spring"))).await?;
            for name in batch {
                ns.wait_phase(name, OrderPhase::AwaitingStore, PATIENCE).await?;
            }
        }
        // The newest first.
        for batch in round.rchunks(20) {
            try_join_all(batch.iter().map(|name| ns.delete(name, PropagationPolicy::Background))).await?;
        }
        for name in &round {
            ns.wait_gone::<Order>(name, PATIENCE).await?;
        }
        let (coupon, uses) = ns.settled_coupon("spring").await?;
        for status in [coupon.status.unwrap(), uses[0].status.clone().unwrap()] {
            assert_eq!((status.redeemed, status.reserved.len()), (0, 0));
            assert!(status.releasing.len() <= LIST_LIMIT, "{}", status.releasing.len());
        }
    }
    assert!(ns.list::<Payment>().await?.is_empty());
    Ok(())
}
