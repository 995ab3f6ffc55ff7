//! Who may do what: the admission policies.

use serde_json::{Value, json};

use super::call::User::{self, Admin, Customer, Operator};
use super::objects::{SAGA, config_map, delivery, held, order, payment, plain_order, provider, ticket};
use super::{Scenario, Step};

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("children are made and deleted by the operator alone", children()),
        Scenario::new("finalizers and owners are the operators alone", metadata()),
        Scenario::new("stages that end a child are the operators alone", stages()),
        Scenario::new("status is the operators alone", statuses()),
        Scenario::new("a payment is the operators alone but for its resolution", payments()),
        Scenario::new("orders are born with the finalizer", stamps()),
    ]
}

fn of_each(step: impl Fn(User) -> Step) -> Vec<Step> {
    User::ALL.into_iter().map(step).collect()
}

fn word(user: User) -> String {
    format!("by-{user:?}").to_lowercase()
}

fn children() -> Vec<Step> {
    let mut steps = of_each(|user| user.create("payments", held(payment(&word(user)), SAGA)).into());
    steps.extend(of_each(|user| user.create("tickets", ticket(&word(user), "Pending")).into()));
    steps.extend(of_each(|user| user.create("deliveries", delivery(&word(user), "Waiting", None)).into()));
    // What is wrong is found before who may not.
    steps.push(Customer.create("tickets", ticket("wrong", "Nonsense")).into());
    let mut orphan = delivery("wrong", "PickedUp", None);
    orphan["metadata"]["finalizers"] = json!(["example.com/mine"]);
    steps.push(Customer.create("deliveries", orphan).into());
    // Who may not is found before what is there.
    steps.push(Customer.create("tickets", ticket("by-operator", "Pending")).into());
    for plural in ["tickets", "deliveries", "payments"] {
        steps.extend(of_each(|user| user.delete(plural, "by-operator", json!({})).into()));
    }
    steps
}

fn metadata() -> Vec<Step> {
    let owner = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "$x.uid" }]);
    let mut steps: Vec<Step> = vec![
        Customer.create("orders", held(order("o"), SAGA)).quietly(),
        Operator.create("tickets", ticket("t", "Pending")).quietly(),
        Admin.create("configmaps", config_map("x")).quietly(),
    ];
    let changes = [
        json!({ "finalizers": null }),
        json!({ "finalizers": ["example.com/mine"] }),
        json!({ "finalizers": [SAGA, "example.com/mine"] }),
        json!({ "ownerReferences": owner }),
        json!({ "labels": { "a": "1" } }),
        json!({ "annotations": { "fooddelivery.dev/paused": "true" } }),
    ];
    for (plural, name) in [("orders", "o"), ("tickets", "t")] {
        for change in &changes {
            for user in [Customer, Admin] {
                let call = user.merge(plural, name, json!({ "metadata": change }));
                steps.push(call.show(&["/metadata/finalizers", "/metadata/generation"]).into());
            }
        }
    }
    steps.extend([
        Customer.json("orders", "o", json!([{ "op": "remove", "path": "/metadata/finalizers" }])).into(),
        Operator
            .merge("orders", "o", json!({ "metadata": { "finalizers": [] } }))
            .show(&["/metadata/finalizers"])
            .into(),
        Operator.merge("orders", "o", json!({ "metadata": { "finalizers": [SAGA] } })).into(),
    ]);
    steps.extend(foreign());
    steps
}

/// What is there of somebody else's, may be taken off, and nothing more.
fn foreign() -> Vec<Step> {
    let shown = ["/metadata/finalizers"];
    let both = json!({ "metadata": { "finalizers": [SAGA, "example.com/mine"] } });
    let to = |user: User, plural: &'static str, name: &'static str, finalizers: Value| {
        Step::from(user.merge(plural, name, json!({ "metadata": { "finalizers": finalizers } })).show(&shown))
    };
    let mut steps: Vec<Step> =
        vec![Customer.create("orders", held(order("born"), "example.com/mine")).show(&shown).into()];
    for (plural, name) in [("orders", "o"), ("tickets", "t")] {
        steps.extend([
            Operator.merge(plural, name, both.clone()).quietly(),
            to(Customer, plural, name, json!(["example.com/mine"])),
            to(Customer, plural, name, json!([SAGA, "example.com/theirs"])),
            to(Customer, plural, name, json!([SAGA])),
            to(Customer, plural, name, json!([SAGA, "example.com/mine"])),
        ]);
    }
    steps
}

fn stages() -> Vec<Step> {
    let mut steps = Vec::new();
    for (n, stage) in ["Accepted", "Rejected", "Cancelled", "Abandoned"].into_iter().enumerate() {
        let name = format!("t{n}");
        steps.push(Operator.create("tickets", ticket(&name, "Pending")).quietly());
        // Abandoned is no step from here: the rule speaks before the policy does.
        steps.push(Customer.merge("tickets", &name, json!({ "spec": { "stage": stage } })).into());
    }
    steps.push(Operator.create("tickets", ticket("cooking", "Cooking")).quietly());
    for user in [Customer, Operator] {
        steps.push(user.merge("tickets", "cooking", json!({ "spec": { "stage": "Abandoned" } })).into());
    }
    steps.push(Customer.merge("tickets", "cooking", json!({ "spec": { "stage": "Abandoned" } })).into());
    steps.push(Operator.create("deliveries", delivery("d", "Waiting", None)).quietly());
    for user in [Customer, Operator] {
        steps.push(user.merge("deliveries", "d", json!({ "spec": { "stage": "Cancelled" } })).into());
    }
    steps
}

fn statuses() -> Vec<Step> {
    let mut steps: Vec<Step> = vec![
        Customer.create("orders", order("x")).quietly(),
        Operator.create("tickets", ticket("x", "Pending")).quietly(),
        Operator.create("deliveries", delivery("x", "Waiting", None)).quietly(),
        Operator.create("payments", payment("x")).quietly(),
        Admin.create("paymentproviders", provider("$ns", "https://api.example.com")).quietly(),
    ];
    for plural in ["orders", "tickets", "deliveries", "payments", "paymentproviders"] {
        let name = if plural == "paymentproviders" { "$ns" } else { "x" };
        let status = json!({ "observedGeneration": 1 });
        steps.extend(of_each(|user| user.status(plural, name, status.clone()).into()));
        // By the main path a status is passed over, whoever writes it.
        let call = Operator.merge(plural, name, json!({ "status": { "observedGeneration": 9 } }));
        steps.push(call.show(&["/status/observedGeneration", "/metadata/generation"]).into());
    }
    steps.push(Admin.delete("paymentproviders", "$ns", json!({})).into());
    steps
}

fn payments() -> Vec<Step> {
    let by = |user: User, spec: Value| Step::from(user.merge("payments", "p", json!({ "spec": spec })));
    let resolution = json!({ "resolution": { "action": "Retry", "note": "n" } });
    vec![
        Operator.create("payments", payment("p")).quietly(),
        by(Customer, json!({ "desired": "Refunded" })),
        by(Admin, json!({ "token": "other" })),
        by(Admin, json!({ "reversal": { "reason": "Mine" } })),
        by(Admin, json!({ "token": null })),
        Admin.merge("payments", "p", json!({ "metadata": { "labels": { "a": "1" } } })).into(),
        Operator.status("payments", "p", json!({ "phase": "NeedsReview" })).quietly(),
        by(Admin, resolution.clone()),
        by(Admin, json!({ "resolution": null })),
        by(Operator, json!({ "resolution": null })),
        by(Operator, json!({ "token": "other" })),
    ]
}

fn stamps() -> Vec<Step> {
    let mut generated = plain_order("unused");
    generated["metadata"] = json!({ "generateName": "lunch-" });
    let shown = ["/metadata/finalizers"];
    vec![
        Customer.create("orders", order("bare")).show(&shown).into(),
        Customer.create("orders", held(order("theirs"), "example.com/mine")).show(&shown).into(),
        Customer.create("orders", held(order("ours"), SAGA)).show(&shown).into(),
        Customer.create("orders", generated).show(&shown).show(&["/metadata/generateName"]).into(),
        Operator.create("tickets", ticket("t", "Pending")).show(&shown).into(),
        Operator.create("payments", payment("p")).show(&shown).into(),
    ]
}
