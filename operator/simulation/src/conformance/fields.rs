//! What may be set, once or never again; what is refused as nonsense; what is put in and left out.

use serde_json::{Value, json};

use super::call::User::{Admin, Customer, Operator};
use super::objects::{SAGA, delivery, held, order, payment, plain_order, provider, store, ticket};
use super::{Scenario, Step};

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("what is ordered stays as it was ordered", immutable_of_orders()),
        Scenario::new("what is set once stays set", set_once()),
        Scenario::new("the children of an order stay as they were made", immutable_of_children()),
        Scenario::new("a claim is first wins and fits the stage", claims()),
        Scenario::new("a status is held to rules of its own", status_rules()),
        Scenario::new("a payment is resolved by hand only under review", resolution()),
        Scenario::new("what is an act is patched and never applied", acts()),
        Scenario::new("nonsense in an order is refused at the door", nonsense()),
        Scenario::new("nonsense in a store is refused at the door", menus()),
        Scenario::new("a provider is reached by https unless plain http is allowed", providers()),
        Scenario::new("defaults are put in and what is unknown is left out", defaults()),
    ]
}

fn change(name: &str, spec: Value) -> Step {
    Customer.merge("orders", name, json!({ "spec": spec })).show(&["/metadata/generation"]).into()
}

fn immutable_of_orders() -> Vec<Step> {
    let full = |spec| change("full", spec);
    let plain = |spec| change("plain", spec);
    vec![
        Customer.create("orders", order("full")).quietly(),
        Customer.create("orders", plain_order("plain")).quietly(),
        full(json!({ "customerRef": { "name": "other" } })),
        full(json!({ "customerRef": null })),
        full(json!({ "items": [{ "menuItem": "bibimbap", "quantity": 9 }] })),
        full(json!({ "storeRef": { "name": "other" } })),
        full(json!({ "storeRef": null })),
        plain(json!({ "storeRef": { "name": "late" } })),
        full(json!({ "delivery": { "region": "other" } })),
        full(json!({ "couponCode": "OTHER" })),
        full(json!({ "couponCode": null })),
        plain(json!({ "couponCode": "LATE" })),
        full(json!({ "expectedTotal": 1 })),
        full(json!({ "expectedTotal": null })),
        plain(json!({ "expectedTotal": 1 })),
        full(json!({ "payment": { "providerRef": { "name": "other" } } })),
        full(json!({ "payment": { "providerOrderId": null } })),
        plain(json!({ "payment": { "providerOrderId": "late" } })),
        full(json!({ "payment": { "whenUnavailable": "Fail" } })),
        full(json!({ "payment": { "whenUnavailable": null } })),
        full(json!({ "payment": { "token": "other" } })),
        full(json!({ "payment": { "token": null } })),
        full(json!({ "payment": { "token": null, "tokenSecretRef": { "name": "s", "key": "k" } } })),
        full(json!({ "payment": null })),
        // Several things wrong at once.
        full(json!({ "couponCode": null, "expectedTotal": null, "receiptConfirmed": true })),
        // The same options in another order are the same options.
        full(json!({ "items": [
            { "menuItem": "bibimbap", "quantity": 2, "options": ["beef", "egg"] },
            { "menuItem": "kimchi-jjigae", "quantity": 1 },
        ] })),
        // The same dishes in another order are another order.
        full(json!({ "items": [
            { "menuItem": "kimchi-jjigae", "quantity": 1 },
            { "menuItem": "bibimbap", "quantity": 2, "options": ["egg", "beef"] },
        ] })),
        Customer.json("orders", "full", json!([{ "op": "remove", "path": "/spec" }])).into(),
        Customer
            .json("orders", "full", json!([{ "op": "remove", "path": "/spec/nothing" }]))
            .show(&[])
            .into(),
        Operator.status("orders", "full", json!({ "phase": "PaymentDeferred" })).quietly(),
        full(json!({ "payment": { "token": "other" } })),
        full(json!({ "payment": { "token": null, "tokenSecretRef": { "name": "s", "key": "k" } } })),
    ]
}

fn set_once() -> Vec<Step> {
    let on = |spec| change("lunch", spec);
    let replaced = |cancelled: bool| {
        let mut body = order("lunch");
        body["metadata"]["resourceVersion"] = "$lunch.rv".into();
        if cancelled {
            body["spec"]["cancellation"] = json!({ "reason": "first" });
        }
        Customer.replace("orders", "lunch", body)
    };
    vec![
        Customer.create("orders", held(order("lunch"), SAGA)).into(),
        on(json!({ "cancellation": {} })),
        on(json!({ "cancellation": { "reason": "" } })),
        on(json!({ "cancellation": { "reason": "first" } })),
        on(json!({ "cancellation": { "reason": "second" } })),
        on(json!({ "cancellation": null })),
        on(json!({ "cancellation": { "reason": null } })),
        replaced(false).into(),
        replaced(true).into(),
        on(json!({ "receiptConfirmed": false })),
        on(json!({ "receiptConfirmed": true })),
        Operator.status("orders", "lunch", json!({ "phase": "Delivered" })).into(),
        on(json!({ "receiptConfirmed": false })),
        on(json!({ "receiptConfirmed": true })),
        on(json!({ "receiptConfirmed": false })),
        on(json!({ "receiptConfirmed": null })),
        Operator.status("orders", "lunch", json!({ "cancellation": "Refused" })).into(),
        Operator.status("orders", "lunch", json!({ "cancellation": "Accepted" })).into(),
        Operator.status("orders", "lunch", json!({ "cancellation": null })).into(),
    ]
}

fn acts() -> Vec<Step> {
    let last_applied = |spec: &Value| {
        let said = json!({ "kind": "Order", "spec": spec }).to_string();
        json!({ "annotations": { "kubectl.kubernetes.io/last-applied-configuration": said } })
    };
    let cancel = json!({ "cancellation": { "reason": "x" } });
    // Words that only look like it.
    let plain = json!({ "delivery": { "address": "at the \"cancellation\": corner" } });
    let with = |name: &str, spec: &Value| {
        let mut body = order(name);
        if let Some(cancellation) = spec.get("cancellation") {
            body["spec"]["cancellation"] = cancellation.clone();
        }
        body
    };
    let by_client = |name: &str, said: &Value, spec: &Value| {
        let change = json!({ "metadata": last_applied(said), "spec": spec });
        Step::from(Customer.merge("orders", name, change).show(&["/spec/cancellation"]))
    };
    let mut born = with("born", &cancel);
    born["metadata"]["annotations"] = last_applied(&cancel)["annotations"].clone();
    let apply = |name: &str, spec: &Value| {
        let call = Customer.apply("orders", name, with(name, spec)).with("fieldManager=me");
        Step::from(call.show(&["/spec/cancellation"]))
    };
    let resolution = json!({ "resolution": { "action": "Retry", "note": "n" } });
    let resolve = Admin.merge("payments", "p", json!({ "spec": resolution }));
    let resolved = json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Payment", "metadata": { "name": "p" },
        "spec": resolution,
    });
    vec![
        // In a file of kubectl's, born with it and later.
        Customer.create("orders", born).into(),
        Customer.create("orders", order("file")).quietly(),
        by_client("file", &cancel, &cancel),
        by_client("file", &plain, &json!({ "cancellation": { "reason": "by hand" } })),
        // Once it is there, it is the file's business.
        by_client("file", &json!({ "cancellation": { "reason": "by hand" } }), &json!({})),
        // By the server's apply.
        apply("born-applied", &cancel),
        apply("applied", &json!({})),
        apply("applied", &cancel),
        Customer.merge("orders", "applied", json!({ "spec": cancel })).show(&["/spec/cancellation"]).into(),
        apply("applied", &cancel),
        Operator.status("orders", "file", json!({ "phase": "Delivered" })).quietly(),
        by_client("file", &json!({ "receiptConfirmed": true }), &json!({ "receiptConfirmed": true })),
        by_client("file", &plain, &json!({ "receiptConfirmed": true })),
        // What a person finds of a payment.
        Operator.create("payments", payment("p")).quietly(),
        Operator.status("payments", "p", json!({ "phase": "NeedsReview" })).quietly(),
        Admin.apply("payments", "p", resolved).with("fieldManager=me").into(),
        Admin
            .merge("payments", "p", json!({ "metadata": last_applied(&resolution), "spec": resolution }))
            .into(),
        resolve.show(&["/spec/resolution"]).into(),
    ]
}

fn immutable_of_children() -> Vec<Step> {
    let ticket_to = |spec: Value| Step::from(Operator.merge("tickets", "t", json!({ "spec": spec })));
    let delivery_to = |spec: Value| Step::from(Operator.merge("deliveries", "d", json!({ "spec": spec })));
    let payment_to = |spec: Value| Step::from(Operator.merge("payments", "p", json!({ "spec": spec })));
    vec![
        Operator.create("tickets", ticket("t", "Pending")).quietly(),
        ticket_to(json!({ "orderRef": { "uid": "other" } })),
        ticket_to(json!({ "storeRef": { "name": "other" } })),
        ticket_to(json!({ "items": [] })),
        ticket_to(json!({ "deadlines": { "cookingSeconds": 5 } })),
        ticket_to(json!({ "reason": "too early" })),
        ticket_to(json!({ "stage": "Rejected", "reason": "closed" })),
        ticket_to(json!({ "reason": "open" })),
        ticket_to(json!({ "reason": null })),
        Operator.create("deliveries", delivery("d", "Waiting", None)).quietly(),
        delivery_to(json!({ "orderRef": { "uid": "other" } })),
        delivery_to(json!({ "pickup": { "name": "other" } })),
        delivery_to(json!({ "dropoff": { "address": "elsewhere" } })),
        delivery_to(json!({ "deadlines": { "riderSeconds": 5 } })),
        delivery_to(json!({ "reason": "why not" })),
        delivery_to(json!({ "reason": "another" })),
        Operator.create("payments", payment("p")).quietly(),
        payment_to(json!({ "orderRef": { "uid": "other" } })),
        payment_to(json!({ "quote": { "total": 1 } })),
        payment_to(json!({ "quote": { "lines": [] } })),
        payment_to(json!({ "providerRef": { "name": "other" } })),
        payment_to(json!({ "providerOrderId": "other" })),
        payment_to(json!({ "whenUnavailable": "Fail" })),
        payment_to(json!({ "desired": "Refunded", "reversal": { "reason": "Cancelled" } })),
        payment_to(json!({ "reversal": { "reason": "Other" } })),
        payment_to(json!({ "reversal": null })),
    ]
}

fn claims() -> Vec<Step> {
    let on = |user: super::User, spec: Value| {
        let call = user.merge("deliveries", "d", json!({ "spec": spec }));
        Step::from(call.show(&["/spec/riderRef", "/spec/stage"]))
    };
    vec![
        Operator.create("deliveries", delivery("d", "Waiting", None)).into(),
        on(Customer, json!({ "stage": "PickedUp" })),
        on(Customer, json!({ "riderRef": { "name": "r1" } })),
        on(Customer, json!({ "riderRef": { "name": "r2" } })),
        on(Operator, json!({ "stage": "Cancelled" })),
        on(Customer, json!({ "riderRef": null })),
        on(Customer, json!({ "riderRef": { "name": "r2" }, "stage": "PickedUp" })),
        on(Customer, json!({ "riderRef": { "name": "r2" } })),
        on(Customer, json!({ "stage": "PickedUp" })),
        on(Customer, json!({ "riderRef": null })),
        on(Customer, json!({ "stage": "Waiting" })),
        on(Customer, json!({ "stage": "Failed", "reason": "a flat tyre" })),
        Operator.create("deliveries", delivery("cancelled-with-rider", "Cancelled", Some("r1"))).into(),
        Operator.create("deliveries", delivery("picked-up-by-nobody", "PickedUp", None)).into(),
    ]
}

fn status_rules() -> Vec<Step> {
    let to = |status: Value| Step::from(Operator.status("orders", "lunch", status).show(&["/status/phase"]));
    let pay = |status: Value| {
        let call = Operator.status("payments", "p", status);
        Step::from(call.show(&["/status/capturedAmount", "/status/refundedAmount"]))
    };
    let long = "x".repeat(64);
    vec![
        Customer.create("orders", order(&long)).into(),
        Customer.create("orders", order("lunch")).quietly(),
        to(json!({ "phase": "Delivered" })),
        change("lunch", json!({ "receiptConfirmed": true })),
        // A phase in which receipt could not be confirmed: it was confirmed before, so the write goes through.
        to(json!({ "phase": "Cancelling" })),
        to(json!({ "phase": "Completed" })),
        to(json!({ "phase": "Cancelling" })),
        // Taking the status out puts its beginning back.
        to(json!(null)),
        to(json!({ "phase": null })),
        to(json!({ "phase": "Nonsense" })),
        to(json!({ "phase": "Completed", "unknown": 1 })),
        to(json!({ "history": [{ "phase": "Completed", "at": "yesterday" }] })),
        to(json!({ "conditions": [
            { "type": "Paid", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00.000Z" },
            { "type": "Paid", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00.000Z" },
        ] })),
        Operator.create("payments", payment("p")).quietly(),
        pay(json!({ "phase": "Captured", "capturedAmount": 5 })),
        pay(json!({ "refundedAmount": 6 })),
        pay(json!({ "refundedAmount": 5 })),
        pay(json!({ "capturedAmount": "5" })),
        pay(json!({ "capturedAmount": 5.5 })),
        pay(json!({ "capturedAmount": 4 })),
    ]
}

fn resolution() -> Vec<Step> {
    let by_hand = |action: &str| {
        let resolution = json!({ "action": action, "note": "asked the bank" });
        Step::from(Admin.merge("payments", "p", json!({ "spec": { "resolution": resolution } })))
    };
    vec![
        Operator.create("payments", payment("p")).quietly(),
        by_hand("Captured"),
        Operator.status("payments", "p", json!({ "phase": "NeedsReview", "capturedAmount": 5 })).into(),
        by_hand("Nonsense"),
        by_hand("NotCharged"),
        by_hand("Captured"),
        by_hand("Refunded"),
        Admin.merge("payments", "p", json!({ "spec": { "resolution": null } })).into(),
        Operator.merge("payments", "p", json!({ "spec": { "resolution": null } })).into(),
        by_hand("Retry"),
    ]
}

fn nonsense() -> Vec<Step> {
    let cases = [
        ("/items/0/quantity", json!(0)),
        ("/items/0/quantity", json!(-1)),
        ("/items/0/quantity", json!(1_000_000_000)),
        ("/items/0/quantity", json!("two")),
        ("/items/0/quantity", json!(1.5)),
        ("/items/0/quantity", Value::Null),
        ("/items/0/menuItem", json!("")),
        ("/items/0/menuItem", json!("x".repeat(64))),
        ("/items/0/options", json!(["egg", "beef", "egg", "egg"])),
        ("/items/0/options", json!(["egg", 5])),
        ("/items/0/options", json!((0..21).map(|n| format!("o{n}")).collect::<Vec<_>>())),
        ("/items", json!([])),
        ("/items", json!({})),
        ("/items", json!("bibimbap")),
        ("/items", Value::Null),
        ("/payment/token", Value::Null),
        ("/payment/token", json!("")),
        ("/payment/token", json!(true)),
        ("/payment/whenUnavailable", json!("Maybe")),
        ("/payment/tokenSecretRef", json!({ "name": "s", "key": "k" })),
        ("/payment/tokenSecretRef", json!({ "name": "s" })),
        ("/expectedTotal", json!(-5)),
        ("/expectedTotal", json!(2_000_000_000_000_i64)),
        ("/delivery", json!({ "region": "mapo" })),
        ("/delivery/address", json!("한".repeat(200))),
        ("/delivery/address", json!("한".repeat(201))),
        ("/receiptConfirmed", json!(true)),
        ("/receiptConfirmed", json!(false)),
        ("/cancellation", json!({ "reason": "born cancelled" })),
    ];
    let mut steps = Vec::new();
    for (n, (path, value)) in cases.into_iter().enumerate() {
        let mut body = order(&format!("case-{n}"));
        if let Some((parent, field)) = path.rsplit_once('/')
            && let Some(parent) = body["spec"].pointer_mut(parent)
        {
            parent[field] = value;
        }
        steps.push(Customer.create("orders", body).into());
    }
    let odd = |change: &dyn Fn(&mut Value)| {
        let mut body = order("odd");
        change(&mut body);
        Step::from(Customer.create("orders", body))
    };
    steps.extend([
        odd(&|o| o["metadata"]["name"] = "Not A Name".into()),
        odd(&|o| o["metadata"]["name"] = Value::Null),
        odd(&|o| o["metadata"]["namespace"] = "elsewhere".into()),
        odd(&|o| o["spec"] = Value::Null),
        odd(&|o| o["spec"]["items"][0]["price"] = 1.into()),
        Customer.create("orders", order("strict")).with("fieldValidation=Strict").into(),
    ]);
    let mut strict = order("strict-too");
    strict["spec"]["items"][0]["price"] = 1.into();
    strict["spec"]["tip"] = 1.into();
    steps.push(Customer.create("orders", strict).with("fieldValidation=Strict").into());
    steps
}

fn menus() -> Vec<Step> {
    let with = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut body = store(name);
        change(&mut body["spec"]);
        Step::from(Customer.create("stores", body))
    };
    let dish = json!({ "name": "bibimbap", "price": 1 });
    let add = json!([{ "op": "add", "path": "/spec/menu/-", "value": dish }]);
    let more =
        json!([{ "op": "add", "path": "/spec/menu/-", "value": { "name": "naengmyeon", "price": 1 } }]);
    vec![
        with("fine", &|_| ()),
        with("twice", &|s| s["menu"][1]["name"] = "bibimbap".into()),
        with("cheap", &|s| s["menu"][0]["price"] = (-1).into()),
        with("options-twice", &|s| {
            s["menu"][0]["options"] = json!([{ "name": "egg", "price": 1 }, { "name": "egg", "price": 2 }]);
        }),
        with("nameless", &|s| s["menu"][0] = json!({ "price": 1 })),
        Customer.create("stores", ticket("of-another-kind", "Pending")).into(),
        with("lazy", &|s| s["acceptance"] = "Sometimes".into()),
        Customer.json("stores", "fine", add).into(),
        Customer.json("stores", "fine", more).show(&["/metadata/generation"]).into(),
        Customer
            .json("stores", "fine", json!([{ "op": "test", "path": "/spec/open", "value": false }]))
            .into(),
        Customer.merge("stores", "fine", json!({ "spec": { "open": false } })).show(&["/spec/open"]).into(),
    ]
}

fn providers() -> Vec<Step> {
    let at = |n: usize, endpoint: &str, plain: bool| {
        let mut body = provider(&format!("$ns-{n}"), endpoint);
        if plain {
            body["spec"]["allowPlainHttp"] = true.into();
        }
        Step::from(Admin.create("paymentproviders", body).show(&["/spec", "/status"]))
    };
    let to = |spec: Value| {
        Step::from(Admin.merge("paymentproviders", "$ns-0", json!({ "spec": spec })).show(&["/spec/timeout"]))
    };
    vec![
        at(0, "https://api.example.com", false),
        at(1, "http://127.0.0.1:1", false),
        at(2, "http://127.0.0.1:1", true),
        at(3, "ftp://example.com", true),
        at(4, "not a url", true),
        at(5, "/a/path", false),
        at(6, "", false),
        to(json!({ "endpoint": "https://other.example.com" })),
        to(json!({ "dialect": "Stripe" })),
        to(json!({ "timeout": "soon" })),
        to(json!({ "timeout": "01s" })),
        to(json!({ "timeout": "2s" })),
        to(json!({ "timeout": null })),
        to(json!({ "concurrency": 0 })),
        to(json!({ "breaker": { "failureRatePercent": 101, "trials": 0 } })),
        Admin.delete("paymentproviders", "$ns-0", json!({})).into(),
        Admin.delete("paymentproviders", "$ns-2", json!({})).into(),
    ]
}

fn defaults() -> Vec<Step> {
    let mut odd = plain_order("odd");
    odd["spec"]["unknown"] = json!({ "deep": 1 });
    odd["spec"]["couponCode"] = Value::Null;
    odd["spec"]["payment"]["whenUnavailable"] = Value::Null;
    odd["status"] = json!({ "phase": "Completed", "total": 1 });
    odd["unknown"] = 1.into();
    odd["metadata"]["labels"] = json!({ "a": "1" });
    odd["metadata"]["annotations"] = json!({ "b": "2" });
    let whole = ["/spec", "/status", "/metadata/labels", "/metadata/annotations", "/metadata/finalizers"];
    vec![
        Customer.create("orders", odd).show(&whole).show(&["/unknown", "/metadata/generation"]).into(),
        Customer.get("orders", "odd").show(&whole).show(&["/metadata/managedFields"]).into(),
        Customer.create("stores", store("hanok")).show(&["/spec", "/status"]).into(),
        Operator.create("tickets", ticket("t", "Pending")).show(&["/status", "/metadata/finalizers"]).into(),
        Operator.create("payments", payment("p")).show(&["/status", "/metadata/finalizers"]).into(),
        Customer.merge("orders", "odd", json!({ "spec": { "unknown": 2 } })).show(&["/spec/unknown"]).into(),
        Customer.merge("orders", "odd", json!({ "spec": { "unknown": 2 } })).show(&["/spec/unknown"]).into(),
        Operator.status("orders", "odd", json!({ "unknown": 2 })).show(&["/status"]).into(),
        Operator.status("orders", "odd", json!({ "total": 5, "reason": null })).show(&["/status"]).into(),
    ]
}
