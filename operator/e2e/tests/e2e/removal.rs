//! What an order needs is taken away at any moment: its store, its provider, a Secret, a child of its own, or the whole
//! namespace. It waits and says for what, or is undone; the money is right in the end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fooddelivery_api::order::SecretKeyRef;
use fooddelivery_api::{OPERATOR_NAMESPACE, Store, TokenText};
use fooddelivery_e2e::audit::balances;
use fooddelivery_e2e::{
    Delivery, DeliveryStage, EntryKind, LONG, NamespaceOptions, Order, OrderPhase, Payment, PaymentPhase,
    TestCluster, TestNamespace, Ticket, TicketStage,
};
use serde_json::{Value, json};

use crate::size;

const PATIENCE: Duration = Duration::from_mins(2);

async fn namespace(name: &str, dialect: &str) -> Result<TestNamespace> {
    let fields = json!({ "dialect": dialect, "breaker": { "minimumCalls": 10_000 } });
    TestCluster::shared().await?.namespace_with(name, NamespaceOptions::default().with_provider(fields)).await
}

/// An object as it can be applied again.
async fn kept(ns: &TestNamespace, args: &[&str]) -> Result<String> {
    let shown = ns.cluster.access().kubectl([&["get", "-o", "json"], args].concat()).await?;
    let mut object: Value = serde_json::from_str(&shown)?;
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
        object["metadata"].as_object_mut().context("metadata")?.remove(field);
    }
    object.as_object_mut().context("an object")?.remove("status");
    Ok(object.to_string())
}

async fn deleted(ns: &TestNamespace, args: &[&str]) -> Result<()> {
    ns.cluster.access().kubectl([&["delete"], args].concat()).await.map(drop)
}

async fn applied(ns: &TestNamespace, text: &str) -> Result<()> {
    ns.cluster.access().kubectl_with_input(["apply", "-f", "-"], text).await.map(drop)
}

async fn wait_reason(ns: &TestNamespace, name: &str, reason: &str) -> Result<Payment> {
    let is_so = |p: &Payment| p.state().reason == reason;
    ns.wait_until(name, &format!("payment reason {reason}"), PATIENCE, is_so).await
}

async fn sum(ns: &TestNamespace, kind: EntryKind) -> Result<i64> {
    Ok(ns.ledger().await?.iter().filter(|e| e.kind == kind).map(|e| e.amount).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_deleted_holds_up_nobody_who_was_served_and_can_still_be_cancelled_from() -> Result<()>
{
    let ns = namespace("store-gone", "Toss").await?;
    let phases: [(&str, &[TicketStage]); 4] = [
        ("queued", &[]),
        ("accepted", &[TicketStage::Accepted]),
        ("cooking", &[TicketStage::Accepted, TicketStage::Cooking]),
        ("cooked", &[TicketStage::Accepted, TicketStage::Cooking, TicketStage::Cooked]),
    ];
    for (name, stages) in phases {
        ns.order(name, |_| {}).await?;
        for stage in stages {
            ns.move_ticket(name, *stage).await?;
        }
    }
    ns.order("cancelled", |_| {}).await?;
    ns.wait_phase("cancelled", OrderPhase::AwaitingStore, LONG).await?;
    ns.kubectl(&["delete", "store", "hanok"]).await?;
    ns.order("unpriced", |_| {}).await?;
    let waits = |o: &Order| o.state().reason == "StoreNotFound";
    ns.wait_until::<Order>("unpriced", "the reason why it waits", LONG, waits).await?;
    ns.cancel("cancelled", "no longer there").await?;
    ns.wait_phase("cancelled", OrderPhase::Cancelled, LONG).await?;
    ns.cancel("unpriced", "no longer there").await?;
    ns.wait_phase("unpriced", OrderPhase::Cancelled, LONG).await?;
    for (name, stages) in phases {
        for stage in
            [TicketStage::Accepted, TicketStage::Cooking, TicketStage::Cooked].iter().skip(stages.len())
        {
            ns.move_ticket(name, *stage).await?;
        }
        ns.complete(name).await?;
    }
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_deleted_and_made_again_is_asked_what_became_of_the_money() -> Result<()> {
    for dialect in ["Toss", "Stripe"] {
        let ns = namespace(&format!("psp-gone-{}", dialect.to_lowercase()), dialect).await?;
        let psp = ["paymentprovider", ns.provider()];
        for name in ["served", "cancelled"] {
            ns.order(name, |_| {}).await?;
            ns.wait_phase(name, OrderPhase::AwaitingStore, LONG).await?;
        }
        let manifest = kept(&ns, &psp).await?;
        deleted(&ns, &psp).await?;
        ns.order("new", |_| {}).await?;
        let waits = |o: &Order| o.state().reason == "ProviderNotFound";
        ns.wait_until::<Order>("new", "the reason why it waits", LONG, waits).await?;
        ns.cancel("cancelled", "changed my mind").await?;
        wait_reason(&ns, "cancelled", "ProviderNotFound").await?;
        ns.cook("served").await?;
        ns.wait_phase("served", OrderPhase::AwaitingRider, LONG).await?;
        assert_eq!(sum(&ns, EntryKind::Refund).await?, 0);
        applied(&ns, &manifest).await?;
        ns.wait_phase("new", OrderPhase::AwaitingStore, PATIENCE).await.context(dialect)?;
        ns.wait_phase("cancelled", OrderPhase::Cancelled, PATIENCE).await.context(dialect)?;
        assert_eq!(sum(&ns, EntryKind::Refund).await?, 28_500, "{dialect}");
        ns.audit().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_secret_deleted_and_put_back_delays_charges_and_refunds() -> Result<()> {
    let ns = namespace("secret-gone", "Stripe").await?;
    ns.order("cancelled", |_| {}).await?;
    ns.wait_phase("cancelled", OrderPhase::AwaitingStore, LONG).await?;
    let secret = ["-n", OPERATOR_NAMESPACE, "secret", &ns.name];
    let manifest = kept(&ns, &secret).await?;
    deleted(&ns, &secret).await?;
    // A Secret that was read is believed for a few seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    ns.order("new", |_| {}).await?;
    ns.cancel("cancelled", "changed my mind").await?;
    for name in ["new", "cancelled"] {
        wait_reason(&ns, name, "ProviderSecretMissing").await?;
    }
    applied(&ns, &manifest).await?;
    ns.wait_phase("new", OrderPhase::AwaitingStore, PATIENCE).await?;
    ns.wait_phase("cancelled", OrderPhase::Cancelled, PATIENCE).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_customers_token_secret_is_needed_to_charge_and_not_to_give_back() -> Result<()> {
    for dialect in ["Toss", "Stripe"] {
        let ns = namespace(&format!("token-gone-{}", dialect.to_lowercase()), dialect).await?;
        ns.allow_token_secrets().await?;
        ns.kubectl(&["create", "secret", "generic", "card", "--from-literal=token=tok-of-jiwoo"]).await?;
        let from_secret = |o: &mut fooddelivery_api::OrderSpec| {
            o.payment.token = None;
            o.payment.token_secret_ref = Some(SecretKeyRef { name: "card".into(), key: "token".into() });
        };
        ns.order("lunch", from_secret).await?;
        ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
        ns.kubectl(&["delete", "secret", "card"]).await?;
        ns.order("dinner", from_secret).await?;
        wait_reason(&ns, "dinner", "TokenSecretMissing").await?;
        ns.cancel("lunch", "changed my mind").await?;
        ns.wait_phase("lunch", OrderPhase::Cancelled, PATIENCE).await.context(dialect)?;
        ns.cancel("dinner", "changed my mind").await?;
        ns.wait_phase("dinner", OrderPhase::Cancelled, PATIENCE).await.context(dialect)?;
        assert_eq!(sum(&ns, EntryKind::Capture).await?, 28_500);
        assert_eq!(sum(&ns, EntryKind::Refund).await?, 28_500);
        ns.audit().await?;
    }
    Ok(())
}

/// Deletes past the policies, as a person with the operator's identity (or without the policies) could.
async fn delete_as_operator(ns: &TestNamespace, kind: &str, name: &str) -> Result<()> {
    let user = fooddelivery_api::policies::operator_user();
    let mut args = vec!["--as", &user, "delete", kind, name, "--wait=false"];
    // Impersonation needs what the operator may not do for itself: it is bound to its own role.
    args.extend(["-n", &ns.name]);
    ns.cluster.access().kubectl(args).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_deleted_by_a_person_is_refused_made_again_or_ends_with_the_money_back() -> Result<()> {
    let ns = namespace("child-gone", "Toss").await?;
    for name in ["queued", "cooking", "waiting", "riding", "paid"] {
        ns.order(name, |_| {}).await?;
        ns.wait_until::<Ticket>(name, "a ticket", LONG, |_| true).await?;
    }
    for kind in ["payment", "ticket"] {
        let refused = ns.kubectl(&["delete", kind, "queued"]).await.unwrap_err().to_string();
        assert!(refused.contains("created and deleted by the operator alone"), "{refused}");
    }
    ns.move_ticket("cooking", TicketStage::Accepted).await?;
    ns.move_ticket("cooking", TicketStage::Cooking).await?;
    ns.wait_phase("cooking", OrderPhase::Cooking, LONG).await?;
    for name in ["waiting", "riding"] {
        ns.cook(name).await?;
        ns.wait_until::<Delivery>(name, "a delivery", LONG, |_| true).await?;
    }
    ns.claim("riding", "minjun").await?;
    ns.move_delivery("riding", DeliveryStage::PickedUp).await?;
    ns.wait_phase("riding", OrderPhase::PickedUp, LONG).await?;

    // In the queue it is put there again; once the store works on it nobody can tell what became of the food.
    let uid = ns.get::<Ticket>("queued").await?.metadata.uid;
    delete_as_operator(&ns, "ticket", "queued").await?;
    let again = |t: &Ticket| t.metadata.uid != uid;
    ns.wait_until::<Ticket>("queued", "another ticket", LONG, again).await?;
    delete_as_operator(&ns, "ticket", "cooking").await?;
    let order = ns.wait_phase("cooking", OrderPhase::Cancelled, PATIENCE).await?;
    assert_eq!(order.state().reason, "TicketLost");
    let uid = ns.get::<Delivery>("waiting").await?.metadata.uid;
    delete_as_operator(&ns, "delivery", "waiting").await?;
    let again = |d: &Delivery| d.metadata.uid != uid;
    ns.wait_until::<Delivery>("waiting", "another delivery", LONG, again).await?;
    delete_as_operator(&ns, "delivery", "riding").await?;
    let order = ns.wait_phase("riding", OrderPhase::Cancelled, PATIENCE).await?;
    assert_eq!(order.state().reason, "DeliveryLost");

    // A payment does not go before its order has ended, whoever deletes it.
    delete_as_operator(&ns, "payment", "paid").await?;
    ns.cook("paid").await?;
    ns.deliver("paid", "minjun").await?;
    ns.wait_phase("paid", OrderPhase::Delivered, LONG).await?;
    assert!(ns.find::<Payment>("paid").await?.is_some(), "it waits for the end");
    ns.confirm("paid").await?;
    ns.wait_phase("paid", OrderPhase::Completed, LONG).await?;
    ns.wait_gone::<Payment>("paid", LONG).await?;
    for (uid, balance) in balances(&ns.ledger().await?) {
        ensure!(balance.captures == 1, "{uid}: {balance:?}");
    }
    assert_eq!(sum(&ns, EntryKind::Refund).await?, 2 * 28_500, "those that were lost");
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_used_again_while_the_old_orders_children_linger_waits_for_their_end() -> Result<()> {
    let ns = namespace("namesake", "Toss").await?;
    ns.order("lunch", |_| {}).await?;
    ns.wait_until::<Ticket>("lunch", "a ticket", LONG, |_| true).await?;
    let old = ns.get::<Order>("lunch").await?.metadata.uid;
    // Nobody may do this but the operator's own identity: an order torn out, with its money and its ticket left behind.
    ns.operator.stop().await?;
    ns.kubectl(&["delete", "order", "lunch", "--wait=false"]).await?;
    let user = fooddelivery_api::policies::operator_user();
    let no_finalizers = r#"{"metadata":{"finalizers":null}}"#;
    ns.kubectl(&["--as", &user, "patch", "order", "lunch", "--type=merge", "-p", no_finalizers]).await?;
    ns.wait_gone::<Order>("lunch", LONG).await?;
    ns.order("lunch", |o| o.payment.token = Some(TokenText("tok-second".into()))).await?;
    let new = ns.get::<Order>("lunch").await?.metadata.uid;
    assert_eq!(ns.get::<Ticket>("lunch").await?.spec.order_ref.uid, old.clone().unwrap());
    ns.operator.restart().await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, PATIENCE).await?;
    let own = |t: &Ticket| Some(&t.spec.order_ref.uid) == new.as_ref();
    ns.wait_until::<Ticket>("lunch", "a ticket of its own", LONG, own).await?;
    let waited = ns.events("lunch").await?;
    assert!(waited.iter().any(|(reason, _)| reason == "NamesakeLingers"), "{waited:?}");
    let ledger = balances(&ns.ledger().await?);
    let of = |uid: Option<String>| ledger.get(&uid.unwrap()).copied().unwrap_or_default();
    assert_eq!((of(old.clone()).captured, of(old).refunded), (28_500, 28_500), "the old one's money is back");
    assert_eq!((of(new.clone()).captured, of(new).refunded), (28_500, 0));
    ns.audit().await
}

/// Orders of each kind in the full namespace.
const EACH: usize = 17;

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_with_a_hundred_orders_in_every_phase_ends_and_the_ledger_is_right() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    // A cluster to itself: the namespace controller has much to do.
    let cluster = TestCluster::exclusive().await?;
    let ns = cluster.namespace_with("hundred", NamespaceOptions::default()).await?;
    let stripe = ns.another_provider("stripe", json!({ "dialect": "Stripe" })).await?;
    // The permission to read it goes with the namespace, as it does.
    ns.allow_token_secrets().await?;
    ns.kubectl(&["create", "secret", "generic", "card", "--from-literal=token=tok-card"]).await?;
    let kinds = ["queued", "cooking", "waiting", "delivered", "declined", "unpriced"];
    let mut names = Vec::new();
    for (kind, n) in kinds.iter().flat_map(|kind| (0..EACH).map(move |n| (*kind, n))) {
        let name = format!("{kind}-{n}");
        ns.order(&name, |o| {
            if n % 2 == 0 {
                o.payment.provider_ref.name.clone_from(&stripe);
            }
            match kind {
                "declined" => o.payment.token = Some(TokenText(format!("decline_{n}"))),
                "unpriced" => o.store_ref.as_mut().expect("one").name = "nowhere".into(),
                // Its Secret goes with the namespace, at once.
                "queued" if n < 4 => {
                    o.payment.token = None;
                    o.payment.token_secret_ref =
                        Some(SecretKeyRef { name: "card".into(), key: "token".into() });
                    o.payment.provider_ref.name.clone_from(&stripe);
                }
                _ => {}
            }
        })
        .await?;
        names.push((kind, name));
    }
    for (kind, name) in &names {
        match *kind {
            "cooking" => {
                ns.move_ticket(name, TicketStage::Accepted).await?;
                ns.move_ticket(name, TicketStage::Cooking).await?;
            }
            "waiting" => ns.cook(name).await?,
            "delivered" => {
                ns.cook(name).await?;
                ns.deliver(name, "minjun").await?;
                ns.wait_phase(name, OrderPhase::Delivered, PATIENCE).await?;
            }
            "queued" => {
                let paid = |p: &Payment| p.state().phase == PaymentPhase::Captured;
                ns.wait_until::<Payment>(name, "paid", PATIENCE, paid).await?;
            }
            _ => {}
        }
    }
    let args = ["delete", "namespace", &ns.name, "--timeout=180s"];
    ns.cluster.access().kubectl(args).await.with_context(|| ns.operator.log_tail(60))?;
    let ledger = balances(&ns.ledger().await?);
    assert!(ledger.values().all(|b| b.captures <= 1 && b.refunded <= b.captured), "{ledger:?}");
    let kept: i64 = ledger.values().map(|b| b.captured - b.refunded).sum();
    assert_eq!(kept, i64::try_from(EACH)? * 28_500, "the delivered ones, and no other: {ledger:?}");
    drop(ns);
    cluster.give_back();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_deleted_and_made_again_takes_new_orders() -> Result<()> {
    let ns = namespace("store-again", "Toss").await?;
    let manifest = kept(&ns, &["-n", &ns.name, "store", "hanok"]).await?;
    ns.kubectl(&["delete", "store", "hanok"]).await?;
    ns.order("lunch", |_| {}).await?;
    let waits = |o: &Order| o.state().reason == "StoreNotFound";
    ns.wait_until::<Order>("lunch", "the reason why it waits", LONG, waits).await?;
    applied(&ns, &manifest).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    assert!(ns.find::<Store>("hanok").await?.is_some());
    ns.audit().await
}
