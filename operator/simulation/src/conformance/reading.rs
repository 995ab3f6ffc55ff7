//! Compare-and-set, what counts as a change, and reading by name, list and selector.

use serde_json::{Value, json};

use super::call::User::{Admin, Customer, Operator};
use super::objects::{config_map, event, lease, order, payment, plain_order, store, ticket};
use super::{Scenario, Step};

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("of two writers on one version one wins", compare_and_set()),
        Scenario::new("each path writes its own part", paths()),
        Scenario::new("what changes nothing writes nothing", no_ops()),
        Scenario::new("tracking of fields ends when it is told to", tracking()),
        Scenario::new("leases are taken by compare and set and events told once", leases_and_events()),
        Scenario::new("what is applied is made or set", applied()),
        Scenario::new("what is not there is not found", absence()),
        Scenario::new("a trial run changes nothing", trials()),
        Scenario::new("lists are limited by fields and labels and come in pages", lists()),
    ]
}

fn versioned(status: Value, version: &str) -> Value {
    json!({ "metadata": { "resourceVersion": version }, "status": status })
}

fn compare_and_set() -> Vec<Step> {
    let spec = |version: Value| {
        let metadata = json!({ "resourceVersion": version });
        let change = json!({ "metadata": metadata, "spec": { "cancellation": { "reason": "x" } } });
        Step::from(Customer.merge("orders", "lunch", change).show(&["/metadata/generation"]))
    };
    let status = |total: i64, version: &str| {
        let call = Operator.merge("orders", "lunch", versioned(json!({ "total": total }), version));
        Step::from(call.of("status").show(&["/status/total", "/metadata/generation"]))
    };
    let replaced = |version: Value| {
        let mut body = order("lunch");
        body["metadata"]["resourceVersion"] = version;
        body["spec"]["cancellation"] = json!({ "reason": "x" });
        Step::from(Customer.replace("orders", "lunch", body).show(&["/metadata/generation", "/status/total"]))
    };
    let mut stranger = order("lunch");
    stranger["metadata"]["uid"] = "another".into();
    stranger["metadata"]["resourceVersion"] = "$lunch.rv".into();
    vec![
        Customer.create("orders", order("lunch")).keep("born").into(),
        status(1, "$lunch.rv"),
        status(2, "$born.rv"),
        spec("$born.rv".into()),
        status(2, "$lunch.rv"),
        spec("$lunch.rv".into()),
        spec("not a number".into()),
        spec("999999999999".into()),
        spec(Value::Null),
        replaced("$born.rv".into()),
        replaced(Value::Null),
        replaced("$lunch.rv".into()),
        Customer.replace("orders", "lunch", stranger).into(),
        Customer.replace("orders", "lunch", order("another")).into(),
        Customer.replace("orders", "nobody", order("nobody")).into(),
        Admin.create("configmaps", config_map("c")).quietly(),
        Admin.replace("configmaps", "c", config_map("c")).into(),
        Admin.merge("configmaps", "c", json!({ "data": { "a": "2" } })).show(&["/data"]).into(),
        Admin.replace("configmaps", "c", config_map("c")).show(&["/data"]).into(),
    ]
}

fn paths() -> Vec<Step> {
    let both = json!({
        "metadata": { "labels": { "a": "1" }, "finalizers": ["example.com/mine"], "annotations": { "b": "2" } },
        "spec": { "cancellation": { "reason": "x" } },
        "status": { "total": 5 },
    });
    let shown = [
        "/metadata/labels",
        "/metadata/annotations",
        "/metadata/finalizers",
        "/metadata/generation",
        "/spec/cancellation",
        "/status/total",
    ];
    let mut whole = order("lunch");
    whole["metadata"]["resourceVersion"] = "$lunch.rv".into();
    whole["spec"]["cancellation"] = json!({ "reason": "y" });
    whole["status"] = json!({ "total": 9, "phase": "AwaitingStore" });
    vec![
        Customer.create("orders", order("lunch")).quietly(),
        Operator.merge("orders", "lunch", both.clone()).of("status").show(&shown).into(),
        Operator.merge("orders", "lunch", both).show(&shown).into(),
        Operator.replace("orders", "lunch", whole).of("status").show(&shown).show(&["/status/phase"]).into(),
        Operator.get("orders", "lunch").of("status").show(&shown).into(),
        // A kind without a status path.
        Customer.create("stores", store("hanok")).quietly(),
        Operator.status("stores", "hanok", json!({ "x": 1 })).into(),
        Operator.get("stores", "hanok").of("scale").into(),
        // What the server keeps.
        Customer.merge("orders", "lunch", json!({ "metadata": { "generation": 77 } })).show(&shown).into(),
        Customer
            .merge("orders", "lunch", json!({ "metadata": { "creationTimestamp": "2001-01-01T00:00:00Z" } }))
            .into(),
        Customer.merge("orders", "lunch", json!({ "metadata": { "uid": "another" } })).into(),
        Customer.merge("orders", "lunch", json!({ "metadata": { "name": "another" } })).into(),
        Customer.merge("orders", "lunch", json!({ "metadata": { "namespace": "another" } })).into(),
        Customer.merge("orders", "lunch", json!({ "metadata": { "nonsense": 1 } })).into(),
        Customer.merge("orders", "lunch", json!({ "kind": "Ticket" })).into(),
        Customer.merge("orders", "lunch", json!([1])).into(),
        Customer
            .merge("orders", "lunch", json!({ "metadata": { "deletionTimestamp": "2001-01-01T00:00:00Z" } }))
            .into(),
    ]
}

fn no_ops() -> Vec<Step> {
    let nothing = || Customer.merge("orders", "lunch", json!({}));
    let same = json!({ "spec": { "storeRef": { "name": "hanok" } } });
    let shown = ["/metadata/generation"];
    vec![
        Customer.create("orders", order("lunch")).into(),
        // The default of status is stored with the first write, whatever that is.
        nothing().show(&shown).into(),
        nothing().show(&shown).into(),
        Customer.merge("orders", "lunch", same).show(&shown).into(),
        Operator.status("orders", "lunch", json!({ "phase": "AwaitingPayment" })).show(&shown).into(),
        Operator.status("orders", "lunch", json!({ "total": 1 })).show(&shown).into(),
        Operator.status("orders", "lunch", json!({ "total": 1 })).show(&shown).into(),
        Customer
            .merge("orders", "lunch", json!({ "metadata": { "labels": { "a": "1" } } }))
            .show(&shown)
            .into(),
        Customer
            .merge("orders", "lunch", json!({ "metadata": { "labels": { "a": "1" } } }))
            .show(&shown)
            .into(),
        Operator.create("payments", payment("p")).into(),
        Operator.status("payments", "p", json!({ "phase": "Pending" })).show(&shown).into(),
        Operator.status("payments", "p", json!({ "phase": "Pending" })).show(&shown).into(),
        // What has no status has no path for it.
        Operator.create("tickets", ticket("t", "Pending")).into(),
        Operator.status("tickets", "t", json!({ "phase": "Pending" })).into(),
        Customer.create("stores", store("hanok")).into(),
        Customer.merge("stores", "hanok", json!({})).show(&shown).into(),
        Admin.create("configmaps", config_map("c")).into(),
        Admin.merge("configmaps", "c", json!({ "data": { "a": "1" } })).into(),
    ]
}

fn tracking() -> Vec<Step> {
    let shown = ["/metadata/managedFields", "/status/total"];
    let untracked = json!({ "metadata": { "managedFields": [{}] }, "status": { "total": 1 } });
    vec![
        Customer.create("orders", order("lunch")).show(&shown).into(),
        Operator.merge("orders", "lunch", untracked.clone()).of("status").show(&shown).into(),
        Operator.merge("orders", "lunch", untracked).of("status").show(&shown).into(),
        Operator.status("orders", "lunch", json!({ "total": 2 })).show(&shown).into(),
        Customer.get("orders", "lunch").show(&shown).into(),
        // What is created by an apply stays tracked, until it is told otherwise.
        Customer.apply("orders", "dinner", order("dinner")).with("fieldManager=me").show(&shown).into(),
        Operator.status("orders", "dinner", json!({ "total": 1 })).show(&shown).into(),
        Customer
            .merge("orders", "dinner", json!({ "metadata": { "managedFields": [{}] } }))
            .show(&shown)
            .into(),
        Operator.status("orders", "dinner", json!({ "total": 2 })).show(&shown).into(),
        Customer
            .merge("orders", "dinner", json!({ "metadata": { "labels": { "a": "1" } } }))
            .show(&shown)
            .into(),
        // A later apply begins to track.
        Customer.apply("orders", "lunch", order("lunch")).with("fieldManager=me").show(&shown).into(),
        Operator.create("tickets", ticket("t", "Pending")).show(&shown).into(),
        Operator.create("payments", payment("p")).show(&shown).into(),
        Customer.merge("tickets", "t", json!({ "spec": { "stage": "Accepted" } })).show(&shown).into(),
        Customer.create("stores", store("hanok")).show(&shown).into(),
    ]
}

fn leases_and_events() -> Vec<Step> {
    let shown = ["/spec/holderIdentity"];
    let take = |holder: &str, version| {
        Step::from(Operator.replace("leases", "leader", lease("leader", holder, version)).show(&shown))
    };
    vec![
        Operator.create("leases", lease("leader", "a", None)).keep("born").show(&shown).into(),
        Operator.create("leases", lease("leader", "b", None)).into(),
        take("a", Some("$leader.rv")),
        take("b", Some("$born.rv")),
        take("b", Some("$leader.rv")),
        take("a", None),
        Operator.merge("leases", "leader", json!({ "spec": { "holderIdentity": null } })).show(&shown).into(),
        Operator.create("events", event("lunch.1")).into(),
        Operator.create("events", event("lunch.1")).into(),
        Operator.get("events", "lunch.1").show(&["/reason", "/note", "/regarding/name"]).into(),
        Operator.delete("leases", "leader", Value::Null).into(),
        Customer.create("stores", store("a")).quietly(),
        Customer.create("stores", store("b")).quietly(),
        Customer.delete("stores", "", Value::Null).show(&["/kind", "/items/0/metadata/name"]).into(),
        Customer.list("stores", "").show(&["/items"]).into(),
    ]
}

fn applied() -> Vec<Step> {
    let apply = |user: super::User, body: Value, query: &str| {
        Step::from(
            user.apply("orders", "lunch", body)
                .with(query)
                .show(&["/spec/cancellation", "/metadata/finalizers"]),
        )
    };
    let mut more = order("lunch");
    more["spec"]["cancellation"] = json!({ "reason": "x" });
    vec![
        apply(Customer, order("lunch"), ""),
        apply(Customer, order("lunch"), "fieldManager=me"),
        apply(Customer, order("lunch"), "fieldManager=me"),
        apply(Customer, order("lunch"), "fieldManager=me"),
        apply(Customer, more, "fieldManager=me"),
        Operator.get("orders", "lunch").show(&["/metadata/managedFields", "/metadata/generation"]).into(),
    ]
}

fn absence() -> Vec<Step> {
    vec![
        Customer.get("orders", "nobody").into(),
        Customer.get("configmaps", "nobody").into(),
        Customer.merge("orders", "nobody", json!({ "spec": {} })).into(),
        Operator.status("orders", "nobody", json!({})).into(),
        Customer.delete("orders", "nobody", json!({})).into(),
        Customer.json("orders", "nobody", json!([])).into(),
        Customer.get("namespaces", "no-such-namespace").into(),
    ]
}

fn trials() -> Vec<Step> {
    let shown = ["/metadata/finalizers", "/status/phase", "/metadata/generation"];
    vec![
        Customer.create("orders", order("lunch")).with("dryRun=All").show(&shown).into(),
        Customer.get("orders", "lunch").into(),
        Customer.create("tickets", ticket("t", "Pending")).with("dryRun=All").into(),
        Customer.create("orders", order("lunch")).into(),
        Customer
            .merge("orders", "lunch", json!({ "spec": { "cancellation": { "reason": "x" } } }))
            .with("dryRun=All")
            .show(&["/spec/cancellation"])
            .show(&shown)
            .into(),
        Customer.get("orders", "lunch").show(&["/spec/cancellation"]).show(&shown).into(),
    ]
}

fn lists() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (name, region, label) in [("a", "mapo", "x"), ("b", "jongno", "y"), ("c", "mapo", "y")] {
        let mut body = plain_order(name);
        body["spec"]["delivery"]["region"] = region.into();
        body["metadata"]["labels"] = json!({ "letter": label });
        steps.push(Customer.create("orders", body).quietly());
    }
    steps.push(Operator.status("orders", "b", json!({ "phase": "AwaitingStore" })).quietly());
    let names = ["/kind", "/items/0/metadata/name", "/items/1/metadata/name", "/items/2/metadata/name"];
    let queries = [
        "",
        "resourceVersion=0",
        "fieldSelector=metadata.name%3Db",
        "fieldSelector=spec.delivery.region%3Dmapo",
        "fieldSelector=spec.delivery.region!%3Dmapo",
        "fieldSelector=status.phase%3DAwaitingPayment%2Cspec.delivery.region%3Dmapo",
        "fieldSelector=spec.storeRef.name%3D",
        "fieldSelector=spec.couponCode%3DX",
        "labelSelector=letter%3Dy",
        "labelSelector=letter%20in%20(x%2Cz)",
        "labelSelector=!letter",
        "labelSelector=letter%3Dy&fieldSelector=status.phase%3DAwaitingStore",
        "limit=2",
        "limit=2&resourceVersion=0",
        "limit=3",
        "resourceVersion=1&resourceVersionMatch=NotOlderThan",
        "continue=eyJ2IjoidjAifQ",
        "resourceVersion=nonsense",
    ];
    let shown = |query| {
        let call = Customer.list("orders", query).show(&names);
        Step::from(call.show(&["/metadata/remainingItemCount", "/items/0/kind"]))
    };
    steps.extend(queries.into_iter().map(shown));
    steps
}
