//! Coupons on the real control plane: what they take off is what is charged, none is had twice, none is lost, and who
//! cannot have one hears it before any money moves.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use fooddelivery_api::{OrderSpec, TokenText};
use fooddelivery_e2e::audit::balances;
use fooddelivery_e2e::{
    Coupon, CouponUse, LONG, NamespaceOptions, OperatorOptions, Order, OrderPhase, Payment, PaymentDesired,
    TestCluster, TestNamespace,
};
use kube::api::PropagationPolicy;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(2);
/// What an order of a test namespace comes to without a coupon.
const FULL: i64 = 28_500;

async fn namespace(name: &str) -> Result<TestNamespace> {
    TestCluster::shared().await?.namespace(name).await
}

/// What the provider has kept of an order's money.
async fn charged(ns: &TestNamespace, order: &Order) -> Result<i64> {
    let ledger = balances(&ns.ledger().await?);
    Ok(ledger.get(order.metadata.uid.as_ref().unwrap()).map_or(0, |b| b.captured - b.refunded))
}

/// How many charges the provider was asked for. One that is asked for again, as it was not answered in time, has the same
/// key.
async fn charges(ns: &TestNamespace) -> Result<usize> {
    let calls = ns.sandbox.calls().await?.into_iter().filter(|call| call.operation == "confirm");
    Ok(calls.map(|call| call.idempotency_key).collect::<BTreeSet<_>>().len())
}

async fn wait_refused(ns: &TestNamespace, name: &str, reason: &str) -> Result<Order> {
    let ended = |o: &Order| o.state().phase.is_terminal();
    let order = ns.wait_until::<Order>(name, "its end", LONG, ended).await?;
    assert_eq!((order.state().phase, &*order.state().reason), (OrderPhase::Cancelled, reason), "{name}");
    assert!(!order.state().message.is_empty(), "{name} says it in a sentence");
    Ok(order)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_coupon_takes_off_is_seen_and_not_charged() -> Result<()> {
    let ns = namespace("discount").await?;
    ns.coupon("fifteen", json!({ "discount": { "percent": 15 } })).await?;
    ns.coupon("flat", json!({ "discount": { "amount": 3_000 }, "minimumOrder": FULL })).await?;
    ns.coupon("odd", json!({ "discount": { "percent": 33 } })).await?;
    let cases = [("fifteen", 4_275), ("flat", 3_000), ("odd", 9_405)];
    for (code, discount) in cases {
        ns.order(code, |o| {
            o.coupon_code = Some(code.into());
            o.expected_total = Some(FULL - discount);
        })
        .await?;
    }
    for (code, discount) in cases {
        ns.cook(code).await?;
        let order = ns.complete(code).await?;
        let state = order.state();
        assert_eq!((state.discount, state.total), (Some(discount), Some(FULL - discount)), "{code}");
        assert_eq!(charged(&ns, &order).await?, FULL - discount, "{code}");
        ns.wait_redeemed(code, 1).await?;
    }
    ns.order("plain", |_| {}).await?;
    let order = ns.wait_phase("plain", OrderPhase::AwaitingStore, LONG).await?;
    assert_eq!((order.state().discount, order.state().total), (None, Some(FULL)));
    let table = ns.kubectl(&["get", "cpn"]).await?;
    for column in ["PERCENT", "REDEEMED", "PER-CUSTOMER"] {
        assert!(table.contains(column), "{table}");
    }
    let wide = ns.kubectl(&["get", "ord", "-o", "wide"]).await?;
    assert!(wide.contains("DISCOUNT") && wide.contains("4275"), "{wide}");
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_its_coupon_makes_free_is_not_charged_and_completes() -> Result<()> {
    let ns = namespace("for-free").await?;
    ns.coupon("sum", json!({ "discount": { "amount": 50_000 } })).await?;
    ns.coupon("all", json!({ "discount": { "percent": 100 }, "perCustomer": 1 })).await?;
    for code in ["sum", "all"] {
        ns.order_with(code, code).await?;
        ns.cook(code).await?;
        let state = ns.complete(code).await?.state();
        assert_eq!((state.discount, state.total), (Some(FULL), Some(0)), "never more than the dishes");
        ns.wait_redeemed(code, 1).await?;
    }
    assert!(ns.sandbox.calls().await?.is_empty(), "the provider was not called");
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_that_cannot_be_had_is_refused_before_any_money_moves() -> Result<()> {
    let ns = namespace("no-coupon").await?;
    let off = json!({ "amount": 1_000 });
    let coupons = [
        ("expired", json!({ "validUntil": "2020-01-01T00:00:00Z" }), "CouponExpired"),
        ("later", json!({ "validFrom": "2120-01-01T00:00:00Z" }), "CouponNotYetValid"),
        ("large", json!({ "minimumOrder": FULL + 1 }), "CouponBelowMinimum"),
        ("none", json!({ "maxRedemptions": 0 }), "CouponExhausted"),
    ];
    for (code, mut spec, _) in coupons.clone() {
        spec["discount"] = off.clone();
        ns.coupon(code, spec).await?;
        ns.order_with(code, code).await?;
    }
    ns.order_with("unknown", "unknown").await?;
    ns.order_with("no-name", "SPRING 10%").await?;
    for (code, _, reason) in coupons {
        wait_refused(&ns, code, reason).await?;
    }
    for name in ["unknown", "no-name"] {
        wait_refused(&ns, name, "CouponNotFound").await?;
    }
    assert!(ns.sandbox.calls().await?.is_empty(), "nobody was charged");

    ns.coupon("once", json!({ "discount": off, "perCustomer": 1 })).await?;
    ns.order_with("first", "once").await?;
    ns.wait_phase("first", OrderPhase::AwaitingStore, LONG).await?;
    ns.order_with("second", "once").await?;
    wait_refused(&ns, "second", "CouponUsedUp").await?;
    let by_sora = |o: &mut OrderSpec| {
        o.coupon_code = Some("once".into());
        o.customer_ref.name = "sora".into();
    };
    ns.order("of-sora", by_sora).await?;
    ns.wait_phase("of-sora", OrderPhase::AwaitingStore, LONG).await?;
    ns.wait_redeemed("once", 2).await?;
    assert_eq!(charges(&ns).await?, 2);
    ns.audit().await
}

async fn twenty_race_for_three(name: &str, replicas: usize) -> Result<()> {
    let ns = namespace(name).await?;
    let mut others = Vec::new();
    for _ in 1..replicas {
        others.push(ns.another_operator(OperatorOptions::for_everything()).await?);
    }
    ns.coupon("last", json!({ "discount": { "amount": 3_000 }, "maxRedemptions": 3 })).await?;
    let names: Vec<String> = (0..20).map(|n| format!("order-{n}")).collect();
    for order in futures::future::join_all(names.iter().map(|name| ns.order_with(name, "last"))).await {
        order?;
    }
    let (mut won, mut lost) = (Vec::new(), 0);
    for name in &names {
        let decided =
            |o: &Order| o.state().phase.is_terminal() || o.state().phase == OrderPhase::AwaitingStore;
        let state = ns.wait_until::<Order>(name, "a decision", PATIENCE, decided).await?.state();
        if state.phase == OrderPhase::AwaitingStore {
            assert_eq!((state.discount, state.total), (Some(3_000), Some(FULL - 3_000)));
            won.push(name);
        } else {
            assert_eq!((state.phase, &*state.reason), (OrderPhase::Cancelled, "CouponExhausted"), "{name}");
            lost += 1;
        }
    }
    assert_eq!((won.len(), lost), (3, 17));
    for name in won {
        ns.cook(name).await?;
        ns.complete(name).await?;
    }
    ns.wait_redeemed("last", 3).await?;
    assert_eq!(charges(&ns).await?, 3, "who has none is not charged");
    let ledger = ns.ledger().await?;
    assert_eq!(ledger.iter().map(|entry| entry.amount).collect::<Vec<_>>(), [FULL - 3_000; 3]);
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_that_race_for_the_last_three_exactly_three_get_one() -> Result<()> {
    twenty_race_for_three("race", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_give_away_no_more_than_there_are() -> Result<()> {
    twenty_race_for_three("race-two", 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_undone_gives_its_coupon_back() -> Result<()> {
    let ns = namespace("given-back").await?;
    let only = json!({ "discount": { "amount": 3_000 }, "maxRedemptions": 1, "perCustomer": 1 });
    ns.coupon("only", only).await?;
    ns.order("declined", |o| {
        o.coupon_code = Some("only".into());
        o.payment.token = Some(TokenText("decline_1".into()));
    })
    .await?;
    ns.wait_phase("declined", OrderPhase::PaymentFailed, LONG).await?;
    ns.wait_redeemed("only", 0).await?;
    for name in ["cancelled", "rejected", "deleted"] {
        ns.order_with(name, "only").await?;
        ns.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
        let held = ns.wait_redeemed("only", 1).await?;
        assert_eq!(held.status.unwrap().reserved, []);
        ns.order_with(&format!("beside-{name}"), "only").await?;
        wait_refused(&ns, &format!("beside-{name}"), "CouponExhausted").await?;
        match name {
            "cancelled" => drop(ns.cancel(name, "changed my mind").await?),
            "rejected" => drop(ns.reject(name, "out of rice").await?),
            _ => ns.delete(name, PropagationPolicy::Background).await?,
        }
        ns.wait_redeemed("only", 0).await?;
    }
    ns.wait_gone::<Order>("deleted", LONG).await?;
    let (coupon, uses) = ns.settled_coupon("only").await?;
    assert_eq!((coupon.status.unwrap().redeemed, uses.len()), (0, 1));
    assert_eq!(uses[0].status.as_ref().unwrap().redeemed, 0, "the customer may have it again");

    ns.order_with("last", "only").await?;
    ns.cook("last").await?;
    let order = ns.complete("last").await?;
    assert_eq!(charged(&ns, &order).await?, FULL - 3_000);
    ns.wait_redeemed("only", 1).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_order_that_is_deleted_has_redeemed_its_coupon() -> Result<()> {
    let ns = namespace("stays-used").await?;
    let twice = json!({ "discount": { "amount": 3_000 }, "maxRedemptions": 2, "perCustomer": 2 });
    ns.coupon("twice", twice).await?;
    for (name, redeemed) in [("a", 1), ("b", 2)] {
        ns.order_with(name, "twice").await?;
        ns.cook(name).await?;
        ns.complete(name).await?;
        ns.delete(name, PropagationPolicy::Background).await?;
        ns.wait_gone::<Order>(name, LONG).await?;
        let coupon: Coupon = ns.get("twice").await?;
        assert_eq!(coupon.status.unwrap().redeemed, redeemed, "it knew before the order went");
        let uses: Vec<CouponUse> = ns.list().await?;
        assert_eq!(uses[0].status.as_ref().unwrap().redeemed, redeemed);
    }
    assert!(ns.list::<Payment>().await?.is_empty());
    ns.order_with("c", "twice").await?;
    wait_refused(&ns, "c", "CouponExhausted").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_made_again_begins_anew_and_the_old_one_holds_nothing_up() -> Result<()> {
    let ns = namespace("coupon-again").await?;
    let spec = json!({ "discount": { "amount": 3_000 }, "maxRedemptions": 1, "perCustomer": 1 });
    ns.coupon("only", spec.clone()).await?;
    ns.order_with("old", "only").await?;
    ns.wait_phase("old", OrderPhase::AwaitingStore, LONG).await?;
    ns.wait_redeemed("only", 1).await?;
    ns.kubectl(&["delete", "cpn", "only"]).await?;
    ns.order_with("between", "only").await?;
    wait_refused(&ns, "between", "CouponNotFound").await?;
    ns.coupon("only", spec).await?;
    ns.order_with("new", "only").await?;
    ns.wait_phase("new", OrderPhase::AwaitingStore, LONG).await?;
    ns.wait_redeemed("only", 1).await?;
    ns.cancel("old", "changed my mind").await?;
    ns.wait_phase("old", OrderPhase::Cancelled, LONG).await?;
    ns.delete("old", PropagationPolicy::Background).await?;
    ns.wait_gone::<Order>("old", LONG).await?;
    ns.wait_redeemed("only", 1).await?;
    ns.audit().await
}

fn controllers(names: &[&str]) -> OperatorOptions {
    let controllers = names.iter().map(ToString::to_string).collect();
    let args = vec!["--availability-gap-ms=1500".into(), "--deadline-payment=8".into()];
    OperatorOptions { controllers, args, ..OperatorOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_coupon_controller_is_away_only_orders_with_a_coupon_wait() -> Result<()> {
    let without = controllers(&["order", "payment", "ticket", "delivery", "provider"]);
    let options = NamespaceOptions { operator: without, ..NamespaceOptions::default() };
    let ns = TestCluster::shared().await?.namespace_with("coupons-off", options).await?;
    ns.coupon("spring", json!({ "discount": { "percent": 10 } })).await?;
    ns.order_with("waits", "spring").await?;
    ns.order_with("given-up", "spring").await?;
    ns.order("plain", |_| {}).await?;
    ns.cook("plain").await?;
    ns.complete("plain").await?;
    let told = |o: &Order| o.state().reason == "CouponPending";
    ns.wait_until::<Order>("waits", "CouponPending", LONG, told).await?;
    ns.cancel("given-up", "too slow").await?;
    ns.wait_phase("given-up", OrderPhase::Cancelled, LONG).await?;
    // Longer than the deadline and than the time after a start in which none fires.
    tokio::time::sleep(Duration::from_secs(42)).await;
    let state = ns.get::<Order>("waits").await?.state();
    assert_eq!((state.phase, state.deadline), (OrderPhase::AwaitingPayment, None));
    assert_eq!(charges(&ns).await?, 1, "the plain one");

    ns.operator.restart_with(OperatorOptions::in_namespace(&ns.name)).await?;
    let order = ns.wait_phase("waits", OrderPhase::AwaitingStore, LONG).await?;
    assert_eq!((order.state().discount, &*order.state().reason), (Some(2_850), ""));
    ns.wait_redeemed("spring", 1).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_coupon_does_not_know_of_its_end_is_kept_until_it_does() -> Result<()> {
    let ns = namespace("coupon-owed").await?;
    ns.coupon("spring", json!({ "discount": { "percent": 10 }, "perCustomer": 3 })).await?;
    ns.order_with("lunch", "spring").await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    ns.wait_redeemed("spring", 1).await?;
    let mut without = controllers(&["order", "payment", "ticket", "delivery", "provider"]);
    without.namespaces.push(ns.name.clone());
    ns.operator.restart_with(without).await?;
    ns.cancel("lunch", "changed my mind").await?;
    ns.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    ns.delete("lunch", PropagationPolicy::Background).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(ns.find::<Payment>("lunch").await?.is_some(), "it is the record of who holds the coupon");
    ns.operator.restart_with(OperatorOptions::in_namespace(&ns.name)).await?;
    ns.wait_gone::<Order>("lunch", LONG).await?;
    let (coupon, uses) = ns.settled_coupon("spring").await?;
    assert_eq!((coupon.status.unwrap().redeemed, uses[0].status.as_ref().unwrap().redeemed), (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_undone_before_its_charge_began_never_held_the_coupon() -> Result<()> {
    let operator = controllers(&["order", "coupon", "provider"]);
    let options = NamespaceOptions { operator, ..NamespaceOptions::default() };
    let ns = TestCluster::shared().await?.namespace_with("coupon-unbegun", options).await?;
    ns.coupon("spring", json!({ "discount": { "percent": 10 }, "maxRedemptions": 1 })).await?;
    ns.order_with("lunch", "spring").await?;
    let kept = |coupon: &Coupon| coupon.status.as_ref().is_some_and(|status| !status.reserved.is_empty());
    ns.wait_until::<Coupon>("spring", "one is kept", LONG, kept).await?;
    ns.wait_until::<Payment>("lunch", "its payment", LONG, |_| true).await?;
    ns.cancel("lunch", "changed my mind").await?;
    let undone = |payment: &Payment| payment.spec.desired == PaymentDesired::Refunded;
    ns.wait_until::<Payment>("lunch", "what is undone", LONG, undone).await?;
    ns.operator.restart_with(OperatorOptions::in_namespace(&ns.name)).await?;
    ns.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    let (coupon, _) = ns.settled_coupon("spring").await?;
    assert_eq!(coupon.status.unwrap().redeemed, 0);
    // The only one is there for somebody else.
    ns.order_with("dinner", "spring").await?;
    ns.wait_phase("dinner", OrderPhase::AwaitingStore, LONG).await?;
    assert_eq!(charges(&ns).await?, 1, "dinner");
    ns.audit().await
}

/// What kubectl said to something that is refused.
async fn refusal(ns: &TestNamespace, args: &[&str]) -> String {
    ns.kubectl(args).await.expect_err(&format!("{args:?} is refused")).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn coupons_that_make_no_sense_and_counts_of_others_are_refused() -> Result<()> {
    let ns = namespace("refusals").await?;
    let nonsense: Vec<(Value, &str)> = vec![
        (json!({ "discount": { "percent": 10, "amount": 1_000 } }), "either a percent or an amount"),
        (json!({ "discount": {} }), "either a percent or an amount"),
        (json!({ "discount": { "percent": 101 } }), "less than or equal to 100"),
        (json!({ "discount": { "amount": 0 } }), "greater than or equal to 1"),
        (json!({ "discount": { "percent": 10 }, "perCustomer": 0 }), "greater than or equal to 1"),
        (json!({ "discount": { "percent": 10 }, "maxRedemptions": -1 }), "greater than or equal to 0"),
        (
            json!({ "discount": { "percent": 10 },
                    "validFrom": "2026-02-01T00:00:00Z", "validUntil": "2026-02-01T00:00:00Z" }),
            "validFrom must be before validUntil",
        ),
    ];
    for (spec, sentence) in nonsense {
        let said = format!("{:#}", ns.coupon("bad", spec.clone()).await.expect_err(sentence));
        assert!(said.contains(sentence), "{spec}: {said}");
    }
    ns.coupon("any", json!({ "discount": { "percent": 10 } })).await?;
    ns.coupon("once", json!({ "discount": { "percent": 10 }, "perCustomer": 1 })).await?;
    for (code, patch) in [
        ("once", r#"{"spec":{"perCustomer":2}}"#),
        ("once", r#"{"spec":{"perCustomer":null}}"#),
        ("any", r#"{"spec":{"perCustomer":1}}"#),
    ] {
        let said = refusal(&ns, &["patch", "cpn", code, "--type=merge", "-p", patch]).await;
        assert!(said.contains("perCustomer is fixed"), "{code} {patch}: {said}");
    }
    ns.kubectl(&["patch", "cpn", "once", "--type=merge", "-p", r#"{"spec":{"maxRedemptions":5}}"#]).await?;
    ns.order_with("lunch", "once").await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    ns.wait_redeemed("once", 1).await?;
    let uses: Vec<CouponUse> = ns.list().await?;
    let own = uses[0].metadata.name.clone().unwrap();
    let patch = r#"{"status":{"redeemed":0}}"#;
    for (kind, name) in [("cpn", "once"), ("cpnu", &own)] {
        let said =
            refusal(&ns, &["patch", kind, name, "--subresource=status", "--type=merge", "-p", patch]).await;
        assert!(said.contains("status is written by the operator alone"), "{kind}: {said}");
    }
    let said = refusal(&ns, &["delete", "cpnu", &own]).await;
    assert!(said.contains("created and deleted by the operator alone"), "{said}");
    let patch = r#"{"spec":{"customerRef":{"name":"sora"}}}"#;
    refusal(&ns, &["patch", "cpnu", &own, "--type=merge", "-p", patch]).await;
    let alien = json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "CouponUse", "metadata": { "name": "mine" },
        "spec": { "couponRef": { "name": "once", "uid": "u" }, "customerRef": { "name": "jiwoo" } },
    });
    let said = ns.apply_yaml(&alien.to_string()).await.expect_err("created");
    assert!(said.contains("created and deleted by the operator alone"), "{said}");
    let said =
        refusal(&ns, &["patch", "ord", "lunch", "--type=merge", "-p", r#"{"spec":{"couponCode":"any"}}"#])
            .await;
    assert!(said.contains("couponCode is fixed"), "{said}");
    ns.audit().await
}
