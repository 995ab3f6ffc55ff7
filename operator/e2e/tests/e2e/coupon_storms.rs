//! Many orders through one coupon: its counts are exact whatever is killed meanwhile, and its status does not grow.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use fooddelivery_api::{CouponStatus, TokenText};
use fooddelivery_e2e::{
    LONG, NamespaceOptions, OperatorOptions, Order, OrderPhase, Payment, TestCluster, TestNamespace,
};
use kube::ResourceExt;
use kube::api::PropagationPolicy;
use serde_json::json;

use crate::size;

const PATIENCE: Duration = Duration::from_mins(5);

async fn namespace(name: &str) -> Result<TestNamespace> {
    // A call that a kill has cut off is looked into, and is not to be held against the provider.
    let options = NamespaceOptions { provider_timeout: Some("10s".into()), ..NamespaceOptions::default() };
    let options = options.with_provider(json!({ "breaker": { "minimumCalls": 10_000 } }));
    TestCluster::shared().await?.namespace_with(name, options).await
}

fn decided(order: &Order) -> bool {
    order.state().phase.is_terminal() || order.state().phase == OrderPhase::AwaitingStore
}

/// One order of a storm: most are paid, some are declined, cancelled or deleted.
async fn live(ns: &TestNamespace, n: usize, code: &str) -> Result<()> {
    let name = format!("{code}-{n}");
    let declined = n % 7 == 3;
    ns.order(&name, |o| {
        o.coupon_code = Some(code.to_owned());
        o.customer_ref.name = format!("customer-{}", n % 4);
        let word = if declined { "decline" } else { "tok" };
        o.payment.token = Some(TokenText(format!("{word}_{name}")));
    })
    .await?;
    match n % 5 {
        // At any moment, also before it is paid.
        0 => {
            tokio::time::sleep(Duration::from_millis(u64::try_from(n)? * 37 % 900)).await;
            ns.cancel(&name, "changed my mind").await?;
            let ended = |o: &Order| o.state().phase.is_terminal();
            ns.wait_until::<Order>(&name, "its end", PATIENCE, ended).await?;
        }
        1 => {
            tokio::time::sleep(Duration::from_millis(u64::try_from(n)? * 53 % 1_700)).await;
            ns.delete(&name, PropagationPolicy::Background).await?;
            ns.wait_gone::<Order>(&name, PATIENCE).await?;
        }
        _ => drop(ns.wait_until::<Order>(&name, "a decision", PATIENCE, decided).await?),
    }
    Ok(())
}

/// Who holds the coupon, by customer, as the orders themselves say.
async fn holders(ns: &TestNamespace, code: &str) -> Result<BTreeMap<String, i64>> {
    let mut holders = BTreeMap::new();
    for order in ns.list::<Order>().await? {
        let holds = order.spec.coupon_code.as_deref() == Some(code)
            && order.state().phase == OrderPhase::AwaitingStore
            && order.state().discount.is_some();
        if holds {
            *holders.entry(order.spec.customer_ref.name).or_default() += 1;
        }
    }
    Ok(holders)
}

async fn check_counts(ns: &TestNamespace, code: &str, per_customer: bool) -> Result<i64> {
    let holders = holders(ns, code).await?;
    let (coupon, uses) = ns.settled_coupon(code).await?;
    let redeemed = coupon.status.unwrap_or_default().redeemed;
    ensure!(redeemed == holders.values().sum::<i64>(), "{code}: {redeemed} redeemed, held by {holders:?}");
    if per_customer {
        let of_uses: BTreeMap<String, i64> = uses
            .into_iter()
            .map(|u| (u.spec.customer_ref.name, u.status.unwrap_or_default().redeemed))
            .filter(|(_, redeemed)| *redeemed > 0)
            .collect();
        ensure!(of_uses == holders, "{code}: {of_uses:?}, held by {holders:?}");
    }
    Ok(redeemed)
}

async fn storm(ns: &TestNamespace, orders: usize) -> Result<()> {
    ns.coupon("plenty", json!({ "discount": { "percent": 10 } })).await?;
    let scarce = json!({ "discount": { "amount": 2_000 }, "maxRedemptions": 9, "perCustomer": 3 });
    ns.coupon("scarce", scarce).await?;
    let plenty = (0..orders).map(|n| live(ns, n, "plenty"));
    let scarce = (0..orders).map(|n| live(ns, n, "scarce"));
    let (plenty, scarce) = tokio::join!(futures::future::join_all(plenty), futures::future::join_all(scarce));
    plenty.into_iter().chain(scarce).collect()
}

async fn check_storm(ns: &TestNamespace) -> Result<()> {
    let plenty = check_counts(ns, "plenty", false).await?;
    let scarce = check_counts(ns, "scarce", true).await?;
    let wanted = ns.list::<Order>().await?.into_iter().filter(|order| {
        order.spec.coupon_code.as_deref() == Some("plenty")
            && order.state().phase == OrderPhase::AwaitingStore
    });
    ensure!(plenty == i64::try_from(wanted.count())?, "whoever is paid has it");
    ensure!(scarce <= 9, "{scarce} of 9");
    for payment in ns.list::<Payment>().await? {
        let name = payment.name_any();
        ensure!(
            payment.spec.quote.discount > 0 || payment.spec.quote.total == 0,
            "{name} was priced without it"
        );
    }
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_the_operator_keeps_the_counts_exact() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    let ns = namespace("storm").await?;
    let ((), kills) = ns.operator.killed_during(11, storm(&ns, 40)).await?;
    ensure!(kills >= 3, "{kills} kills are too few to say anything");
    check_storm(&ns).await?;
    // What a fresh cache shows is counted no second time.
    ns.operator.restart().await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    check_storm(&ns).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_one_of_them_killed_again_and_again_keep_the_counts_exact() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    let ns = namespace("storm-two").await?;
    let _other = ns.another_operator(OperatorOptions::for_everything()).await?;
    ns.operator.killed_during(12, storm(&ns, 25)).await?;
    check_storm(&ns).await
}

fn size(status: Option<&CouponStatus>) -> usize {
    serde_json::to_string(&status).unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupons_status_does_not_grow_with_its_orders() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    let ns = namespace("bounded").await?;
    ns.coupon("spring", json!({ "discount": { "percent": 10 }, "perCustomer": 1_000 })).await?;
    let batches = 6_i64;
    let names: Vec<String> = (0..batches * 25).map(|n| format!("order-{n}")).collect();
    for batch in names.chunks(25) {
        for order in futures::future::join_all(batch.iter().map(|name| ns.order_with(name, "spring"))).await {
            order?;
        }
        for name in batch {
            ns.wait_phase(name, OrderPhase::AwaitingStore, PATIENCE).await?;
        }
        let gone = batch.iter().skip(5).map(|name| ns.cancel(name, "changed my mind"));
        for cancelled in futures::future::join_all(gone).await {
            cancelled?;
        }
    }
    for name in names.iter().enumerate().filter(|(n, _)| n % 25 >= 5).map(|(_, name)| name) {
        ns.wait_phase(name, OrderPhase::Cancelled, PATIENCE).await?;
    }
    let (coupon, uses) = ns.settled_coupon("spring").await?;
    let status = coupon.status.unwrap();
    let kept = batches * 5;
    assert_eq!((status.redeemed, status.reserved.len()), (kept, 0));
    assert!(status.releasing.len() <= 100, "{}", status.releasing.len());
    assert!(size(Some(&status)) <= 8_192, "{} bytes", size(Some(&status)));
    let own = uses[0].status.clone().unwrap();
    assert_eq!((uses.len(), own.redeemed, own.reserved.len()), (1, kept, 0));
    assert!(size(Some(&own)) <= 8_192, "{} bytes", size(Some(&own)));
    // A full list holds up nobody.
    ns.order_with("one-more", "spring").await?;
    ns.wait_phase("one-more", OrderPhase::AwaitingStore, LONG).await?;
    ns.wait_redeemed("spring", kept + 1).await?;
    ns.audit().await
}
