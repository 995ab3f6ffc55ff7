//! What the API server itself refuses, with which sentence: CEL rules and admission policies, on a real one.

use anyhow::Result;
use fooddelivery_api::common::{Item, OrderRef, StoreRef};
use fooddelivery_api::{Delivery, Order, Payment, Ticket};
use fooddelivery_e2e::{
    DeliveryStage, LONG, NamespaceOptions, OrderPhase, PaymentPhase, TestCluster, TestNamespace, TicketStage,
};
use fooddelivery_saga::table;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// A namespace whose operator does not run: the API server alone.
async fn namespace(name: &str) -> Result<TestNamespace> {
    let options = NamespaceOptions { operator_stopped: true, ..NamespaceOptions::default() };
    TestCluster::shared().await?.namespace_with(name, options).await
}

/// The operator's own identity: a policy that refused it would stop the saga.
async fn as_operator(ns: &TestNamespace) -> Result<Client> {
    ns.cluster.access().client_of(ns.cluster.operator_kubeconfig()).await
}

/// What the API server said to a patch; `Ok` when it took it.
async fn patched<K>(api: &Api<K>, name: &str, patch: &Value) -> std::result::Result<(), String>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let result = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    result.map(drop).map_err(|error| error.to_string())
}

/// What the API server says of a status with this phase; nothing is written.
async fn tried<K>(api: &Api<K>, name: &str, phase: impl serde::Serialize) -> kube::Result<K>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    api.patch_status(name, &params, &Patch::Merge(json!({ "status": { "phase": phase } }))).await
}

fn order_ref(n: usize) -> OrderRef {
    OrderRef { name: format!("o{n}"), uid: format!("u{n}") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_takes_the_steps_of_its_table_and_no_others() -> Result<()> {
    let ns = namespace("ticket-steps").await?;
    let api: Api<Ticket> = Api::namespaced(as_operator(&ns).await?, &ns.name);
    let mut n = 0;
    for from in TicketStage::ALL {
        for to in TicketStage::ALL.iter().filter(|to| *to != from) {
            n += 1;
            let spec = fooddelivery_api::TicketSpec {
                store_replaced: false,
                order_ref: order_ref(n),
                store_ref: StoreRef { name: "hanok".into(), uid: "s".into() },
                items: vec![Item { menu_item: "bibimbap".into(), quantity: 1, options: vec![] }],
                stage: *from,
                reason: None,
                deadlines: None,
            };
            let name = format!("t{n}");
            api.create(&PostParams::default(), &Ticket::new(&name, spec)).await?;
            let answer = patched(&api, &name, &json!({ "spec": { "stage": to } })).await;
            let allowed = table::allows(table::TICKET, *from, *to);
            assert_eq!(answer.is_ok(), allowed, "{from} to {to}: {answer:?}");
            if let Err(said) = answer {
                assert!(said.contains(&format!("a ticket cannot go from {from} to {to}")), "{said}");
            }
        }
    }
    Ok(())
}

fn delivery(n: usize, stage: DeliveryStage, rider: Option<&str>) -> Delivery {
    let spec = fooddelivery_api::DeliverySpec {
        order_ref: order_ref(n),
        pickup: StoreRef { name: "hanok".into(), uid: "s".into() },
        dropoff: fooddelivery_api::order::Destination { address: "here".into(), region: "mapo".into() },
        rider_ref: rider.map(|name| fooddelivery_api::NameRef { name: name.into() }),
        stage,
        reason: None,
        deadlines: None,
    };
    Delivery::new(&format!("d{n}"), spec)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_takes_the_steps_of_its_table_and_no_others() -> Result<()> {
    let ns = namespace("delivery-steps").await?;
    let api: Api<Delivery> = Api::namespaced(as_operator(&ns).await?, &ns.name);
    let mut n = 0;
    for from in DeliveryStage::ALL {
        for to in DeliveryStage::ALL.iter().filter(|to| *to != from) {
            n += 1;
            let rider =
                (*to != DeliveryStage::Cancelled && *from != DeliveryStage::Cancelled).then_some("minjun");
            let unclaimed_end =
                matches!(from, DeliveryStage::PickedUp | DeliveryStage::Delivered | DeliveryStage::Failed);
            let rider = if unclaimed_end { Some("minjun") } else { rider };
            api.create(&PostParams::default(), &delivery(n, *from, rider)).await?;
            let answer = patched(&api, &format!("d{n}"), &json!({ "spec": { "stage": to } })).await;
            let allowed = table::allows(table::DELIVERY, *from, *to);
            assert_eq!(answer.is_ok(), allowed, "{from} to {to}: {answer:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_first_wins_and_fits_the_stage() -> Result<()> {
    let ns = namespace("claims").await?;
    let operator: Api<Delivery> = Api::namespaced(as_operator(&ns).await?, &ns.name);
    operator.create(&PostParams::default(), &delivery(1, DeliveryStage::Waiting, None)).await?;
    let api = ns.api::<Delivery>();
    let try_it = |patch: Value| {
        let api = api.clone();
        async move { patched(&api, "d1", &json!({ "spec": patch })).await }
    };
    let refused = |said: std::result::Result<(), String>, sentence: &str| {
        let said = said.expect_err(sentence);
        assert!(said.contains(sentence), "{said}");
    };
    refused(
        try_it(json!({ "stage": "PickedUp" })).await,
        "only a delivery that a rider has taken can be picked up",
    );
    try_it(json!({ "riderRef": { "name": "r1" } })).await.expect("free");
    refused(try_it(json!({ "riderRef": { "name": "r2" } })).await, "this delivery is already taken by r1");
    let operators = patched(&operator, "d1", &json!({ "spec": { "stage": "Cancelled" } })).await;
    refused(operators, "a delivery that a rider has taken cannot be cancelled");
    try_it(json!({ "riderRef": null })).await.expect("given back");
    try_it(json!({ "riderRef": { "name": "r2" } })).await.expect("free again");
    try_it(json!({ "stage": "PickedUp" })).await.expect("picked up");
    refused(try_it(json!({ "riderRef": null })).await, "can be taken or given back only while it waits");
    refused(try_it(json!({ "stage": "Waiting" })).await, "a delivery cannot go from PickedUp to Waiting");
    refused(
        try_it(json!({ "dropoff": { "address": "elsewhere" } })).await,
        "the drop-off of a delivery is fixed",
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orders_phase_moves_along_the_table_and_never_leaves_an_end() -> Result<()> {
    let ns = namespace("order-phases").await?;
    let operator: Api<Order> = Api::namespaced(as_operator(&ns).await?, &ns.name);
    for (n, from) in OrderPhase::ALL.iter().enumerate() {
        let name = format!("o{n}");
        ns.order(&name, |_| {}).await?;
        if *from != OrderPhase::AwaitingPayment {
            let reach = json!({ "status": { "phase": from } });
            operator.patch_status(&name, &PatchParams::default(), &Patch::Merge(reach)).await?;
        }
        for to in OrderPhase::ALL.iter().filter(|to| *to != from) {
            let answer = tried(&operator, &name, *to).await;
            let allowed = table::path(table::ORDER, *from, *to).is_some();
            assert_eq!(answer.is_ok(), allowed, "{from} to {to}: {answer:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payments_phase_takes_the_steps_of_its_table_and_no_others() -> Result<()> {
    let ns = namespace("payment-phases").await?;
    let operator: Api<Payment> = Api::namespaced(as_operator(&ns).await?, &ns.name);
    for (n, from) in PaymentPhase::ALL.iter().enumerate() {
        let name = format!("p{n}");
        let payment = serde_json::from_value(json!({
            "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Payment", "metadata": { "name": name },
            "spec": {
                "orderRef": order_ref(n), "providerRef": { "name": "x" }, "providerOrderId": "x",
                "quote": { "storeUid": "", "lines": [], "discount": 0, "total": 5, "currency": "KRW" },
                "token": "t", "whenUnavailable": "Defer", "desired": "Captured",
            },
        }))?;
        operator.create(&PostParams::default(), &payment).await?;
        for step in table::path(table::PAYMENT, PaymentPhase::Pending, *from).expect("every phase is reached")
        {
            let patch = Patch::Merge(json!({ "status": { "phase": step } }));
            operator.patch_status(&name, &PatchParams::default(), &patch).await?;
        }
        for to in PaymentPhase::ALL.iter().filter(|to| *to != from) {
            let answer = tried(&operator, &name, *to).await;
            let allowed = table::allows(table::PAYMENT, *from, *to);
            assert_eq!(answer.is_ok(), allowed, "{from} to {to}: {answer:?}");
        }
    }
    let back = json!({ "spec": { "desired": "Refunded" } });
    patched(&operator, "p1", &back).await.expect("one way");
    let said = patched(&operator, "p1", &json!({ "spec": { "desired": "Captured" } }))
        .await
        .expect_err("no way back");
    assert!(said.contains("cannot go from Refunded to Captured"), "{said}");
    let said =
        patched(&operator, "p1", &json!({ "spec": { "quote": { "total": 1 } } })).await.expect_err("frozen");
    assert!(said.contains("the quote is frozen"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ordered_stays_as_it_was_ordered() -> Result<()> {
    let ns = namespace("immutable").await?;
    let spec = ns.order_spec("lunch");
    ns.order("lunch", |o| o.expected_total = Some(28_500)).await?;
    ns.order("plain", |_| {}).await?;
    let api = ns.api::<Order>();
    let other_items = json!([{ "menuItem": "bibimbap", "quantity": 9 }]);
    let cases = [
        ("lunch", json!({ "items": other_items }), "items is fixed"),
        ("lunch", json!({ "customerRef": { "name": "other" } }), "customerRef is fixed"),
        ("lunch", json!({ "storeRef": { "name": "other" } }), "storeRef is fixed"),
        ("lunch", json!({ "storeRef": null }), "storeRef is fixed"),
        ("lunch", json!({ "delivery": { "region": "other" } }), "delivery is fixed"),
        ("lunch", json!({ "couponCode": "LATE" }), "couponCode is fixed"),
        ("lunch", json!({ "expectedTotal": null }), "expectedTotal is fixed"),
        ("plain", json!({ "expectedTotal": 1 }), "expectedTotal is fixed"),
        ("lunch", json!({ "payment": { "token": "other" } }), "only while payment is deferred"),
        (
            "lunch",
            json!({ "payment": { "providerRef": { "name": "other" } } }),
            "payment.providerRef is fixed",
        ),
        ("lunch", json!({ "payment": { "providerOrderId": "late" } }), "payment.providerOrderId is fixed"),
        ("lunch", json!({ "payment": { "whenUnavailable": "Fail" } }), "payment.whenUnavailable is fixed"),
        (
            "lunch",
            json!({ "receiptConfirmed": true }),
            "receipt can be confirmed only once the food is delivered",
        ),
        ("lunch", json!({ "receiptConfirmed": false }), "receiptConfirmed can only be set to true"),
    ];
    for (name, change, sentence) in cases {
        let said = patched(&api, name, &json!({ "spec": change })).await.expect_err(sentence);
        assert!(said.contains(sentence), "{change}: {said}");
    }
    let remove = ["patch", "ord", "lunch", "--type=json", "-p", r#"[{"op":"remove","path":"/spec"}]"#];
    let said = ns.kubectl(&remove).await.expect_err("the spec cannot be removed").to_string();
    assert!(said.contains("spec: Required value"), "{said}");
    ns.cancel("lunch", "first").await?;
    for change in [json!({ "cancellation": null }), json!({ "cancellation": { "reason": "second" } })] {
        let said = patched(&api, "lunch", &json!({ "spec": change })).await.expect_err("set once");
        assert!(said.contains("a cancellation can be neither changed nor taken back"), "{said}");
    }
    // An older file applied again with replace would drop the cancellation.
    let mut older = Order::new("lunch", spec);
    older.spec.expected_total = Some(28_500);
    older.metadata.resource_version = api.get("lunch").await?.metadata.resource_version;
    let said = api.replace("lunch", &PostParams::default(), &older).await.expect_err("set once").to_string();
    assert!(said.contains("a cancellation can be neither changed nor taken back"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_at_the_door() -> Result<()> {
    let ns = namespace("nonsense").await?;
    let good = serde_json::to_value(ns.order_spec("x"))?;
    let cases: Vec<(&str, Value, &str)> = vec![
        ("/items/0/quantity", json!(0), "greater than or equal to 1"),
        ("/items/0/quantity", json!(-1), "greater than or equal to 1"),
        ("/items/0/quantity", json!(1_000_000_000), "less than or equal to 99"),
        ("/items", json!([]), "at least 1 items"),
        ("/items/0/price", json!(1), "unknown field"),
        ("/payment/token", Value::Null, "payment needs exactly one of token and tokenSecretRef"),
        ("/payment/whenUnavailable", json!("Maybe"), "Unsupported value"),
        ("/expectedTotal", json!(-5), "greater than or equal to 0"),
    ];
    for (path, value, sentence) in cases {
        let mut spec = good.clone();
        let (parent, field) = path.rsplit_once('/').expect("a path");
        spec.pointer_mut(parent).expect("a place")[field] = value;
        let order = json!({
            "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Order", "metadata": { "name": "bad" }, "spec": spec,
        });
        let said = ns.apply_yaml(&order.to_string()).await.expect_err(sentence);
        assert!(said.contains(sentence), "{path}: {said}");
    }
    let provider = |spec: Value| {
        let name = json!({ "name": format!("{}-bad", ns.name) });
        json!({ "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "PaymentProvider", "metadata": name, "spec": spec })
    };
    for (endpoint, sentence) in [
        ("not a url", "endpoint must be a URL"),
        ("http://127.0.0.1:1", "endpoint must be https; http needs allowPlainHttp: true"),
        ("ftp://example.com", "endpoint must be https"),
    ] {
        let bad = provider(json!({ "dialect": "Toss", "endpoint": endpoint, "secretRef": { "name": "x" } }));
        let said = ns.apply_yaml(&bad.to_string()).await.expect_err(sentence);
        assert!(said.contains(sentence), "{endpoint}: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn finalizers_owners_children_stages_and_status_are_the_operators_alone() -> Result<()> {
    let cluster = TestCluster::shared().await?;
    let ns = cluster.namespace("policies").await?;
    ns.order("lunch", |_| {}).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    ns.wait_until::<Ticket>("lunch", "a ticket", LONG, |_| true).await?;
    let order = ns.get::<Order>("lunch").await?;
    assert_eq!(order.metadata.finalizers, Some(vec!["fooddelivery.dev/saga".into()]), "stamped at birth");
    let owner = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "no-such-uid" }]);
    for kind in ["ord", "pay", "tkt"] {
        for (change, sentence) in [
            (json!({ "finalizers": ["example.com/mine"] }), "finalizers of orders and their children"),
            (json!({ "ownerReferences": owner }), "ownerReferences of orders and their children"),
        ] {
            let patch = json!({ "metadata": change }).to_string();
            let said = ns.kubectl(&["patch", kind, "lunch", "--type=merge", "-p", &patch]).await;
            let said = said.expect_err(sentence).to_string();
            assert!(said.contains(sentence), "{kind}: {said}");
        }
    }
    let strip =
        ["patch", "ord", "lunch", "--type=json", "-p", r#"[{"op":"remove","path":"/metadata/finalizers"}]"#];
    assert!(ns.kubectl(&strip).await.expect_err("stripped").to_string().contains("finalizers of orders"));
    for kind in ["pay", "tkt"] {
        let said = ns.kubectl(&["delete", kind, "lunch"]).await.expect_err("deleted").to_string();
        assert!(said.contains("created and deleted by the operator alone"), "{said}");
    }
    let mut copy = ns.get::<Ticket>("lunch").await?;
    copy.metadata = kube::core::ObjectMeta { name: Some("mine".into()), ..Default::default() };
    let said =
        ns.api::<Ticket>().create(&PostParams::default(), &copy).await.expect_err("created").to_string();
    assert!(said.contains("created and deleted by the operator alone"), "{said}");
    for (kind, patch, sentence) in [
        ("tkt", json!({ "spec": { "stage": "Cancelled" } }), "set by the operator alone"),
        ("pay", json!({ "spec": { "desired": "Refunded" } }), "a payment is the operator's alone"),
    ] {
        let patch = patch.to_string();
        let said = ns.kubectl(&["patch", kind, "lunch", "--type=merge", "-p", &patch]).await;
        let said = said.expect_err(sentence).to_string();
        assert!(said.contains(sentence), "{said}");
    }
    for kind in ["ord", "pay"] {
        let patch = r#"{"status":{"reason":"Mine"}}"#;
        let args = ["patch", kind, "lunch", "--subresource=status", "--type=merge", "-p", patch];
        let said = ns.kubectl(&args).await.expect_err("written").to_string();
        assert!(said.contains("status is written by the operator alone"), "{said}");
    }
    ns.cook("lunch").await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingRider, LONG).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_tells_the_story() -> Result<()> {
    let cluster = TestCluster::shared().await?;
    let ns = cluster.namespace("kubectl").await?;
    ns.order("lunch", |_| {}).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    ns.wait_until::<Ticket>("lunch", "a ticket", LONG, |_| true).await?;
    let food = ns.kubectl(&["get", "food"]).await?;
    for word in [
        "order.fooddelivery.dev/lunch",
        "AwaitingStore",
        "28500",
        "ticket.fooddelivery.dev/lunch",
        "Captured",
    ] {
        assert!(food.contains(word), "{word} in\n{food}");
    }
    let queue =
        ["get", "tkt", "--field-selector", "spec.storeRef.name=hanok,spec.stage=Pending", "-o", "name"];
    assert_eq!(ns.kubectl(&queue).await?.trim(), "ticket.fooddelivery.dev/lunch");
    for selector in ["status.phase=AwaitingStore", "spec.storeRef.name=hanok", "spec.delivery.region=mapo"] {
        let named = ns.kubectl(&["get", "ord", "--field-selector", selector, "-o", "name"]).await?;
        assert_eq!(named.trim(), "order.fooddelivery.dev/lunch", "{selector}");
    }
    let explained = ns.kubectl(&["explain", "orders.spec.payment"]).await?;
    assert!(explained.contains("pay later, or fail at once"), "{explained}");
    let fresh = ns.kubectl(&["get", "ord", "lunch", "-o", "jsonpath={.status.observedGeneration}"]).await?;
    assert_eq!(fresh, "1");
    Ok(())
}
