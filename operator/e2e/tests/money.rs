//! Payments that do not go by the book, with providers of either dialect: every outcome ends in one capture, or none,
//! and what the operator cannot tell a person tells it by kubectl.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use anyhow::{Context, Result};
use fooddelivery_api::{OPERATOR_NAMESPACE, Store, TokenText};
use fooddelivery_e2e::{
    EntryKind, Kitchen, KitchenOptions, LONG, Order, OrderPhase, Payment, PaymentPhase, SandboxOptions, Stage,
};
use kube::api::PropagationPolicy;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(1);
const DIALECTS: [&str; 2] = ["Toss", "Stripe"];

/// A kitchen whose provider speaks `dialect`, and whose circuit does not open: what is tested here is each payment.
async fn kitchen(name: &str, dialect: &str, sandbox: &[&str]) -> Result<Kitchen> {
    let options = KitchenOptions {
        sandbox: SandboxOptions {
            args: sandbox.iter().map(ToString::to_string).collect(),
            ..SandboxOptions::default()
        },
        ..KitchenOptions::default()
    };
    let fields = json!({ "dialect": dialect, "breaker": { "minimumCalls": 10_000 } });
    let name = format!("{name}-{}", dialect.to_lowercase());
    Stage::shared().await?.kitchen_with(&name, options.with_provider(fields)).await
}

async fn open_store(kitchen: &Kitchen, open: bool) -> Result<()> {
    kitchen.patch::<Store>("hanok", json!({ "spec": { "open": open } })).await.map(drop)
}

async fn moved(kitchen: &Kitchen, kind: EntryKind) -> Result<Vec<i64>> {
    Ok(kitchen.ledger().await?.iter().filter(|e| e.kind == kind).map(|e| e.amount).collect())
}

async fn wait_payment(kitchen: &Kitchen, name: &str, phase: PaymentPhase) -> Result<Payment> {
    let is_so = |p: &Payment| p.state().phase == phase;
    kitchen.wait_until(name, &format!("payment {phase}"), PATIENCE, is_so).await
}

/// As a person of support would.
async fn resolve(kitchen: &Kitchen, name: &str, action: &str) -> Result<String> {
    let patch =
        json!({ "spec": { "resolution": { "action": action, "note": "seen in the dashboard by kim" } } });
    kitchen.kubectl(&["patch", "pay", name, "--type=merge", "-p", &patch.to_string()]).await
}

fn faults() -> Vec<(&'static str, Value)> {
    vec![
        ("error-before", json!({ "type": "ErrorBefore", "status": 503 })),
        ("error-after", json!({ "type": "ErrorAfter", "status": 500 })),
        ("drop-before", json!({ "type": "DropBefore" })),
        ("drop-after", json!({ "type": "DropAfter" })),
        ("too-slow", json!({ "type": "DelayAfter", "ms": 900 })),
        ("too-late", json!({ "type": "DelayBefore", "ms": 900 })),
        ("in-progress", json!({ "type": "InProgress409" })),
        ("too-many", json!({ "type": "TooManyRequests", "retryAfterSeconds": 1 })),
        ("twice", json!({ "type": "DuplicateDelivery" })),
        ("garbled", json!({ "type": "GarbledAnswer" })),
    ]
}

fn once(operation: &str, order: &Order, fault: &Value) -> Value {
    json!({ "match": { "operation": operation, "orderId": order.metadata.uid }, "fault": fault, "times": 1 })
}

/// Each fault meets one order's first call of `operation` on the way to its capture.
async fn charged_under_every_fault(dialect: &str, operation: &str) -> Result<()> {
    let kitchen = kitchen(&format!("fault-{operation}"), dialect, &[]).await?;
    // The store is away, so that faults can be laid before anything is charged.
    open_store(&kitchen, false).await?;
    let mut rules = Vec::new();
    for (name, fault) in faults() {
        let order = kitchen.order(name, |_| {}).await?;
        rules.push(once(operation, &order, &fault));
    }
    kitchen.sandbox.set_faults(rules).await?;
    open_store(&kitchen, true).await?;
    for (name, _) in faults() {
        kitchen.wait_phase(name, OrderPhase::AwaitingStore, PATIENCE).await?;
    }
    // The sandbox writes a call down when it has ended, which the operator did not wait for.
    let mut met = 0;
    for _ in 0..100 {
        met = kitchen.sandbox.calls().await?.iter().filter(|c| c.fault.is_some()).count();
        if met == faults().len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(met, faults().len(), "every fault was met");
    assert_eq!(moved(&kitchen, EntryKind::Capture).await?.len(), faults().len(), "one capture each");
    kitchen.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_charge_ends_in_one_capture() -> Result<()> {
    for dialect in DIALECTS {
        charged_under_every_fault(dialect, "confirm").await.context(dialect)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_preparing_a_payment_ends_in_one_capture() -> Result<()> {
    charged_under_every_fault("Stripe", "prepare").await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_refund_ends_in_one_refund() -> Result<()> {
    for dialect in DIALECTS {
        let kitchen = kitchen("fault-refund", dialect, &[]).await?;
        let mut rules = Vec::new();
        for (name, fault) in faults() {
            let order = kitchen.order(name, |_| {}).await?;
            kitchen.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
            rules.push(once("cancel", &order, &fault));
        }
        kitchen.sandbox.set_faults(rules).await?;
        for (name, _) in faults() {
            kitchen.delete(name, PropagationPolicy::Background).await?;
        }
        for (name, _) in faults() {
            kitchen.wait_gone::<Order>(name, PATIENCE).await.context(dialect)?;
        }
        assert_eq!(
            moved(&kitchen, EntryKind::Refund).await?.len(),
            faults().len(),
            "{dialect}: one refund each"
        );
        kitchen.audit().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_while_the_charge_is_under_way_ends_void_or_refunded() -> Result<()> {
    for dialect in DIALECTS {
        let kitchen = kitchen("cancel-early", dialect, &[]).await?;
        let mut rules = Vec::new();
        open_store(&kitchen, false).await?;
        let ways = [
            ("late", json!({ "type": "DelayBefore", "ms": 1_500 })),
            ("unheard", json!({ "type": "DelayAfter", "ms": 1_500 })),
            ("lost", json!({ "type": "DropBefore" })),
        ];
        for (name, fault) in &ways {
            let order = kitchen.order(name, |_| {}).await?;
            rules.push(once("confirm", &order, fault));
        }
        kitchen.sandbox.set_faults(rules).await?;
        open_store(&kitchen, true).await?;
        for (name, _) in &ways {
            let begun = |p: &Payment| p.state().attempt == 1;
            kitchen.wait_until::<Payment>(name, "an intent", LONG, begun).await?;
            kitchen.cancel(name, "too slow").await?;
        }
        for (name, _) in &ways {
            kitchen.wait_condition(name, "Settled", PATIENCE).await.context(dialect)?;
            let over = |p: &Payment| matches!(p.state().phase, PaymentPhase::Refunded | PaymentPhase::Voided);
            kitchen.wait_until::<Payment>(name, "void or refunded", LONG, over).await?;
        }
        let sum = |amounts: Vec<i64>| amounts.iter().sum::<i64>();
        let (captured, refunded) =
            (sum(moved(&kitchen, EntryKind::Capture).await?), sum(moved(&kitchen, EntryKind::Refund).await?));
        assert_eq!(captured, refunded, "{dialect}");
        kitchen.audit().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_ends_the_order_and_leaves_nothing_that_could_be_charged() -> Result<()> {
    for dialect in DIALECTS {
        let kitchen = kitchen("declined", dialect, &[]).await?;
        kitchen.order("lunch", |o| o.payment.token = Some(TokenText("decline_1".into()))).await?;
        let order = kitchen.wait_phase("lunch", OrderPhase::PaymentFailed, LONG).await?;
        assert_eq!(order.state().reason, "PaymentDeclined", "{dialect}");
        let at_provider = kitchen.sandbox.payments().await?;
        let open = |p: &Value| {
            matches!(p["status"].as_str(), Some("DONE" | "IN_PROGRESS" | "succeeded"))
                || p["status"].as_str().is_some_and(|s| s.starts_with("requires"))
        };
        assert!(!at_provider.iter().any(open), "{dialect}: {at_provider:?}");
        assert!(kitchen.ledger().await?.is_empty());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_keeps_its_own_errors_under_the_key_is_paid_and_refunded_under_another() -> Result<()>
{
    // Stripe does; the flag makes Toss do so too, for refunds.
    for dialect in DIALECTS {
        let kitchen = kitchen("spent", dialect, &["--after-server-error=replay"]).await?;
        let error = |operation: &str| json!([{ "match": { "operation": operation }, "fault": { "type": "ErrorBefore", "status": 500 } }]);
        if dialect == "Stripe" {
            kitchen.sandbox.set_faults(error("confirm")).await?;
        }
        kitchen.order("lunch", |_| {}).await?;
        kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, PATIENCE).await.context(dialect)?;
        let attempts = if dialect == "Stripe" { 2 } else { 1 };
        assert_eq!(kitchen.get::<Payment>("lunch").await?.state().attempt, attempts, "{dialect}");
        kitchen.sandbox.set_faults(error("cancel")).await?;
        kitchen.cancel("lunch", "changed my mind").await?;
        kitchen.wait_phase("lunch", OrderPhase::Cancelled, PATIENCE).await.context(dialect)?;
        assert_eq!(kitchen.get::<Payment>("lunch").await?.state().refund_attempt, 1, "{dialect}");
        assert_eq!(moved(&kitchen, EntryKind::Capture).await?, [28_500], "{dialect}");
        assert_eq!(moved(&kitchen, EntryKind::Refund).await?, [28_500], "{dialect}");
        kitchen.audit().await?;
    }
    Ok(())
}

/// Puts another secret key into the provider's Secret, and waits until the operator uses it.
async fn rotate(kitchen: &Kitchen, secret: &str) -> Result<()> {
    let patch = json!({ "stringData": { "secretKey": secret } }).to_string();
    let args =
        ["-n", OPERATOR_NAMESPACE, "patch", "secret", &kitchen.namespace, "--type=merge", "-p", &patch];
    kitchen.stage.access().kubectl(args).await?;
    // A changed Secret takes effect within this time.
    tokio::time::sleep(Duration::from_secs(6)).await;
    Ok(())
}

const TWO_KEYS: &str = "--secret-key=test_sk_sandbox,test_sk_rotated";

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_rotated_between_charge_and_refund_refunds_once() -> Result<()> {
    for dialect in DIALECTS {
        let kitchen = kitchen("rotated", dialect, &[TWO_KEYS]).await?;
        for name in ["lunch", "dinner"] {
            kitchen.order(name, |_| {}).await?;
            kitchen.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
        }
        // The first refund of dinner moved the money, and nobody heard of it before the rotation.
        let dinner = kitchen.get::<Order>("dinner").await?;
        let unheard = json!([
            { "match": { "operation": "cancel", "orderId": dinner.metadata.uid }, "fault": { "type": "DropAfter" } },
        ]);
        kitchen.sandbox.set_faults(unheard).await?;
        kitchen.operator.stop().await?;
        rotate(&kitchen, "test_sk_rotated").await?;
        kitchen.operator.restart().await?;
        kitchen.cancel("lunch", "changed my mind").await?;
        kitchen.cancel("dinner", "changed my mind").await?;
        for name in ["lunch", "dinner"] {
            kitchen.wait_phase(name, OrderPhase::Cancelled, PATIENCE).await.context(dialect)?;
        }
        assert_eq!(moved(&kitchen, EntryKind::Refund).await?, [28_500, 28_500], "{dialect}");
        kitchen.audit().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_rotated_during_a_charge_that_was_heard_of_is_found_by_asking() -> Result<()> {
    for dialect in DIALECTS {
        let kitchen = kitchen("rotated-found", dialect, &[TWO_KEYS]).await?;
        let unheard = json!([
            { "match": { "operation": "confirm" }, "fault": { "type": "DelayAfter", "ms": 3_000 } },
            { "match": { "operation": "lookup" }, "fault": { "type": "ErrorBefore", "status": 503 }, "times": 2 },
        ]);
        kitchen.sandbox.set_faults(unheard).await?;
        kitchen.order("lunch", |_| {}).await?;
        let begun = |p: &Payment| p.state().attempt == 1;
        kitchen.wait_until::<Payment>("lunch", "an intent", LONG, begun).await?;
        for _ in 0..300 {
            if !kitchen.ledger().await?.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kitchen.operator.kill_hard()?;
        rotate(&kitchen, "test_sk_rotated").await?;
        kitchen.operator.restart().await?;
        kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, PATIENCE).await.context(dialect)?;
        assert_eq!(moved(&kitchen, EntryKind::Capture).await?, [28_500], "{dialect}");
        kitchen.audit().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_asking_cannot_tell_waits_for_a_person_who_resolves_it_with_kubectl() -> Result<()> {
    let kitchen = kitchen("review", "Toss", &[TWO_KEYS]).await?;
    let lost =
        json!([{ "match": { "operation": "confirm" }, "fault": { "type": "DropBefore" }, "times": null }]);
    kitchen.sandbox.set_faults(&lost).await?;
    let names = ["retried", "not-charged", "refunded"];
    for name in names {
        kitchen.order(name, |_| {}).await?;
        let begun = |p: &Payment| p.state().attempt == 1;
        kitchen.wait_until::<Payment>(name, "an intent", LONG, begun).await?;
    }
    kitchen.operator.stop().await?;
    rotate(&kitchen, "test_sk_rotated").await?;
    kitchen.operator.restart().await?;
    for name in names {
        let payment = wait_payment(&kitchen, name, PaymentPhase::NeedsReview).await?;
        assert_eq!(payment.state().reason, "OutcomeUnknowable");
        let told = |o: &Order| o.state().reason == "OutcomeUnknowable";
        kitchen.wait_until::<Order>(name, "the reason on the order", LONG, told).await?;
        kitchen.wait_event(name, "OutcomeUnknowable").await?;
    }
    kitchen.wait_metric("fooddelivery_payments_in_review 3").await?;

    // Nobody but the operator changes anything else of a payment, and nobody resolves what needs no review.
    let alien = kitchen.kubectl(&[
        "patch",
        "pay",
        "retried",
        "--type=merge",
        "-p",
        r#"{"spec":{"desired":"Refunded"}}"#,
    ]);
    assert!(alien.await.unwrap_err().to_string().contains("a payment is the operator's alone"));
    let nonsense = resolve(&kitchen, "retried", "Maybe").await.unwrap_err().to_string();
    assert!(nonsense.contains("Unsupported value"), "{nonsense}");

    // An order whose payment needs review can be cancelled, and is not gone before its money is certain.
    kitchen.delete("refunded", PropagationPolicy::Background).await?;
    let settled = |o: &Order| {
        o.status
            .iter()
            .flat_map(|s| &s.conditions)
            .any(|c| c.type_ == "Settled" && c.reason == "PaymentNeedsReview")
    };
    kitchen.wait_until::<Order>("refunded", "Settled=False, PaymentNeedsReview", LONG, settled).await?;

    kitchen.sandbox.set_faults(json!([])).await?;
    resolve(&kitchen, "retried", "Retry").await?;
    resolve(&kitchen, "not-charged", "NotCharged").await?;
    resolve(&kitchen, "refunded", "Refunded").await?;
    kitchen.wait_phase("retried", OrderPhase::AwaitingStore, PATIENCE).await?;
    kitchen.wait_phase("not-charged", OrderPhase::PaymentFailed, PATIENCE).await?;
    kitchen.wait_gone::<Order>("refunded", PATIENCE).await?;
    let cleared = |p: &Payment| p.spec.resolution.is_none();
    kitchen.wait_until::<Payment>("retried", "no resolution left", LONG, cleared).await?;
    let late = resolve(&kitchen, "retried", "Captured").await.unwrap_err().to_string();
    assert!(late.contains("resolved by hand only while it needs review"), "{late}");
    // There is one about the order, and one about the payment, which says who.
    kitchen.wait_event_saying("not-charged", "ResolvedByHand", "kim").await?;
    kitchen.wait_metric("fooddelivery_payments_in_review 0").await?;
    assert_eq!(moved(&kitchen, EntryKind::Capture).await?, [28_500], "the one that was tried again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_has_expired_is_not_used_again_but_asked_about() -> Result<()> {
    // The sandbox forgets its keys after a second; the operator takes the documented 24 hours for granted, so what
    // protects here is that a charge is looked up before it is repeated.
    for (dialect, flag) in
        [("Toss", "--idempotency-retention=1s"), ("Stripe", "--stripe-idempotency-retention=1s")]
    {
        let kitchen = kitchen("expired", dialect, &[flag]).await?;
        let unheard = json!([{ "match": { "operation": "confirm" }, "fault": { "type": "DropAfter" } }]);
        kitchen.sandbox.set_faults(unheard).await?;
        kitchen.order("lunch", |_| {}).await?;
        for _ in 0..300 {
            if !kitchen.ledger().await?.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kitchen.operator.kill_hard()?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        kitchen.operator.restart().await?;
        kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, PATIENCE).await.context(dialect)?;
        let unrefunded = json!([{ "match": { "operation": "cancel" }, "fault": { "type": "DropAfter" } }]);
        kitchen.sandbox.set_faults(unrefunded).await?;
        kitchen.cancel("lunch", "changed my mind").await?;
        kitchen.wait_phase("lunch", OrderPhase::Cancelled, PATIENCE).await.context(dialect)?;
        assert_eq!(moved(&kitchen, EntryKind::Capture).await?, [28_500], "{dialect}");
        assert_eq!(moved(&kitchen, EntryKind::Refund).await?, [28_500], "{dialect}");
        kitchen.audit().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_pays_for_another_order_does_not_pay_for_this_one() -> Result<()> {
    let kitchen = kitchen("reused", "Toss", &[]).await?;
    let same = |o: &mut fooddelivery_api::OrderSpec| {
        o.payment.token = Some(TokenText("tok-shared".into()));
        o.payment.provider_order_id = Some("shared-order-1".into());
    };
    kitchen.order("first", same).await?;
    kitchen.wait_phase("first", OrderPhase::AwaitingStore, LONG).await?;
    kitchen.order("second", same).await?;
    let payment = wait_payment(&kitchen, "second", PaymentPhase::NeedsReview).await?;
    assert_eq!(payment.state().reason, "CheckoutUsedBefore");
    assert_eq!(moved(&kitchen, EntryKind::Capture).await?, [28_500], "one capture for one checkout");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_replaced_while_the_payment_is_deferred_is_the_one_that_pays() -> Result<()> {
    for dialect in DIALECTS {
        let kitchen = kitchen("replaced", dialect, &[]).await?;
        kitchen.sandbox.kill_hard()?;
        kitchen.order("lunch", |_| {}).await?;
        kitchen.wait_phase("lunch", OrderPhase::PaymentDeferred, LONG).await?;
        kitchen.patch::<Order>("lunch", json!({ "spec": { "payment": { "token": "tok-new" } } })).await?;
        let handed = |p: &Payment| p.spec.token.as_ref().is_some_and(|t| t.0 == "tok-new");
        kitchen.wait_until::<Payment>("lunch", "the new token", LONG, handed).await?;
        kitchen.sandbox.restart().await?;
        kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, PATIENCE).await.context(dialect)?;
        let at_provider = kitchen.sandbox.payments().await?;
        let paid_with = |p: &Value| p["paymentKey"] == "tok-new" || p["payment_method"] == "tok-new";
        assert!(at_provider.iter().any(paid_with), "{dialect}: {at_provider:?}");
        kitchen.audit().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_amount_than_was_due_waits_for_a_person_and_says_so() -> Result<()> {
    let kitchen = kitchen("amount", "Toss", &[]).await?;
    // The money of this token was taken in a checkout for another sum, long before the order.
    open_store(&kitchen, false).await?;
    kitchen
        .order("lunch", |o| {
            o.payment.token = Some(TokenText("tok-shared".into()));
            o.payment.provider_order_id = Some("shared-order-1".into());
        })
        .await?;
    kitchen
        .order("other", |o| {
            o.items.truncate(1);
            o.payment.token = Some(TokenText("tok-shared".into()));
            o.payment.provider_order_id = Some("shared-order-1".into());
        })
        .await?;
    open_store(&kitchen, true).await?;
    let decided = |p: &Payment| p.state().phase != PaymentPhase::Pending;
    let lunch = kitchen.wait_until::<Payment>("lunch", "an outcome", PATIENCE, decided).await?;
    let other = kitchen.wait_until::<Payment>("other", "an outcome", PATIENCE, decided).await?;
    let phases = [lunch.state().phase, other.state().phase];
    assert!(phases.contains(&PaymentPhase::Captured), "the first is paid: {phases:?}");
    let second = if lunch.state().phase == PaymentPhase::Captured { other } else { lunch };
    let settled_otherwise = [PaymentPhase::NeedsReview, PaymentPhase::Declined];
    assert!(settled_otherwise.contains(&second.state().phase), "{:?}", second.state());
    assert_eq!(kitchen.ledger().await?.len(), 1, "one capture for one token");
    Ok(())
}
