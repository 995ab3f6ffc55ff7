//! Deletion in all its ways, dying namesakes, and what the garbage collector and the namespace controller do.
//!
//! Orders and payments are made with the finalizer, so that it holds them where the server does not stamp it, too.

use serde_json::{Value, json};

use super::call::User::{Admin, Customer, Operator};
use super::objects::{SAGA, config_map, held, order, owned, payment, plain_order, store, ticket};
use super::{Scenario, Step};

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("a deleted order stays until its finalizer is gone", finalizers()),
        Scenario::new("a namesake can be made only when the old one is gone", namesakes()),
        Scenario::new("a delete can be bound to one object at one version", preconditions()),
        Scenario::new("background deletion takes the owner first", background()),
        Scenario::new("foreground deletion takes dependents at once and the owner last", foreground()),
        Scenario::new("orphaning deletion lets dependents go", orphans()),
        Scenario::new("an owner that does not exist takes its dependent along", strangers()),
        Scenario::new("the way of deletion can be changed while the object dies", second_thoughts()),
        Scenario::new("a namespace that ends takes what nothing holds", namespaces()),
    ]
}

fn release(name: &str) -> Step {
    Operator.merge("orders", name, json!({ "metadata": { "finalizers": null } })).into()
}

const DYING: [&str; 4] = [
    "/metadata/deletionTimestamp",
    "/metadata/deletionGracePeriodSeconds",
    "/metadata/finalizers",
    "/metadata/generation",
];

fn finalizers() -> Vec<Step> {
    let add = |user: super::User, list: Value| {
        let call = user.merge("orders", "lunch", json!({ "metadata": { "finalizers": list } }));
        Step::from(call.show(&DYING))
    };
    vec![
        Customer.create("orders", held(order("lunch"), SAGA)).keep("born").quietly(),
        Customer.delete("orders", "lunch", json!({})).show(&DYING).into(),
        Customer.delete("orders", "lunch", json!({})).show(&DYING).into(),
        Customer.get("orders", "lunch").show(&DYING).into(),
        // A dying object can be worked on, but for new finalizers.
        add(Operator, json!([SAGA, "example.com/late"])),
        add(Customer, json!([])),
        Operator.status("orders", "lunch", json!({ "phase": "Cancelling" })).show(&["/status/phase"]).into(),
        Customer
            .merge("orders", "lunch", json!({ "spec": { "cancellation": { "reason": "x" } } }))
            .show(&DYING)
            .into(),
        Operator
            .merge("orders", "lunch", json!({ "metadata": { "deletionTimestamp": null } }))
            .show(&DYING)
            .into(),
        release("lunch"),
        Customer.get("orders", "lunch").into(),
        release("lunch"),
        Customer.delete("orders", "lunch", json!({})).into(),
        Operator.create("tickets", ticket("t", "Pending")).quietly(),
        Operator.delete("tickets", "t", json!({})).into(),
        Operator.get("tickets", "t").into(),
        Customer.create("orders", held(order("dry"), SAGA)).quietly(),
        release("dry"),
        Customer.delete("orders", "dry", Value::Null).with("dryRun=All").into(),
        Customer.delete("orders", "dry", json!({ "dryRun": ["All"] })).into(),
        // Where there are options in the body, those in the URL are passed over.
        Customer.create("orders", held(order("wet"), SAGA)).quietly(),
        release("wet"),
        Customer.delete("orders", "wet", json!({})).with("dryRun=All").into(),
        Customer.get("orders", "wet").into(),
        Customer.get("orders", "dry").show(&DYING).into(),
        Operator
            .watch("orders", "resourceVersion=$born.rv&timeoutSeconds=5")
            .show(&["/metadata/finalizers", "/status/phase"])
            .take(6),
    ]
}

fn namesakes() -> Vec<Step> {
    vec![
        Customer.create("orders", held(order("lunch"), SAGA)).keep("first").into(),
        Customer.create("orders", held(order("lunch"), SAGA)).into(),
        Customer.create("orders", plain_order("lunch")).with("dryRun=All").into(),
        Customer.delete("orders", "lunch", json!({})).into(),
        Customer.create("orders", held(order("lunch"), SAGA)).into(),
        release("lunch"),
        Customer
            .create("orders", held(order("lunch"), SAGA))
            .keep("second")
            .show(&["/metadata/generation"])
            .into(),
        // What speaks of the first does nothing to the second.
        Operator.delete("orders", "lunch", json!({ "preconditions": { "uid": "$first.uid" } })).into(),
        Operator.merge("orders", "lunch", json!({ "metadata": { "uid": "$first.uid" } })).into(),
        Operator
            .merge(
                "orders",
                "lunch",
                json!({ "metadata": { "uid": "$first.uid", "resourceVersion": "$second.rv" } }),
            )
            .into(),
        Operator
            .merge(
                "orders",
                "lunch",
                json!({
                    "metadata": { "uid": "$first.uid", "resourceVersion": "$second.rv" },
                    "status": { "total": 1 },
                }),
            )
            .of("status")
            .show(&["/status/total", "/metadata/uid"])
            .into(),
        Operator
            .merge(
                "orders",
                "lunch",
                json!({
                    "metadata": { "uid": "$first.uid", "resourceVersion": "$first.rv" },
                    "status": { "total": 2 },
                }),
            )
            .of("status")
            .into(),
        Customer.get("orders", "lunch").show(&["/status"]).into(),
    ]
}

fn preconditions() -> Vec<Step> {
    let delete = |preconditions: Value| {
        Step::from(Customer.delete("orders", "lunch", json!({ "preconditions": preconditions })).show(&DYING))
    };
    vec![
        Customer.create("orders", held(order("lunch"), SAGA)).keep("born").quietly(),
        Operator.status("orders", "lunch", json!({ "total": 1 })).into(),
        delete(json!({ "uid": "another" })),
        delete(json!({ "resourceVersion": "$born.rv" })),
        delete(json!({ "uid": "another", "resourceVersion": "$born.rv" })),
        delete(json!({ "uid": "$lunch.uid", "resourceVersion": "$lunch.rv" })),
        delete(json!({ "uid": "another" })),
        delete(json!({ "uid": "$lunch.uid" })),
    ]
}

fn family() -> Vec<Step> {
    let owned_store = owned(store("child"), "Store", "parent", true);
    vec![
        Customer.create("stores", store("parent")).quietly(),
        Customer.create("stores", owned_store).into(),
        Customer.create("configmaps", owned(config_map("loose"), "Store", "parent", false)).into(),
    ]
}

fn gone(plural: &'static str, name: &str) -> Step {
    Admin.get(plural, name).until(404)
}

fn background() -> Vec<Step> {
    let mut steps = family();
    steps.extend([
        Customer.delete("stores", "parent", json!({ "propagationPolicy": "Background" })).into(),
        Admin.get("stores", "parent").into(),
        gone("stores", "child"),
        gone("configmaps", "loose"),
    ]);
    steps
}

fn foreground() -> Vec<Step> {
    let mut steps = family();
    steps.extend([
        // A finalizer on the dependent that blocks: until it is gone, the owner stays.
        Customer
            .merge("stores", "child", json!({ "metadata": { "finalizers": ["example.com/mine"] } }))
            .quietly(),
        Customer.delete("stores", "parent", json!({ "propagationPolicy": "Foreground" })).show(&DYING).into(),
        gone("configmaps", "loose"),
        Admin.get("stores", "child").until_is("/metadata/deletionGracePeriodSeconds", json!(0)),
        Admin.get("stores", "parent").show(&DYING).into(),
        Customer.merge("stores", "child", json!({ "metadata": { "finalizers": null } })).into(),
        gone("stores", "child"),
        gone("stores", "parent"),
        // An order's own finalizer holds it, while what belongs to it goes at once.
        Customer.create("orders", held(order("lunch"), SAGA)).quietly(),
        Customer.create("configmaps", owned(config_map("note"), "Order", "lunch", false)).into(),
        Customer.delete("orders", "lunch", json!({ "propagationPolicy": "Foreground" })).show(&DYING).into(),
        gone("configmaps", "note"),
        Admin.get("orders", "lunch").until_is("/metadata/finalizers", json!([SAGA])),
        release("lunch"),
        gone("orders", "lunch"),
    ]);
    steps
}

fn orphans() -> Vec<Step> {
    let owners = ["/metadata/ownerReferences", "/metadata/deletionTimestamp"];
    let mut steps = family();
    steps.extend([
        Customer.delete("stores", "parent", json!({ "propagationPolicy": "Orphan" })).show(&DYING).into(),
        gone("stores", "parent"),
        Admin.get("stores", "child").show(&owners).into(),
        Admin.get("configmaps", "loose").show(&owners).into(),
    ]);
    steps
}

fn strangers() -> Vec<Step> {
    let mut stray = config_map("stray");
    stray["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "no-such-uid" }]);
    let mut half = config_map("half");
    half["metadata"]["ownerReferences"] = json!([
        { "apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "no-such-uid" },
        { "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "$owner.uid" },
    ]);
    let mut lost = held(payment("lost"), SAGA);
    lost["metadata"]["ownerReferences"] = stray["metadata"]["ownerReferences"].clone();
    vec![
        Customer.create("configmaps", stray).into(),
        gone("configmaps", "stray"),
        Customer.create("configmaps", config_map("owner")).quietly(),
        Customer.create("configmaps", half).into(),
        Admin.delete("configmaps", "owner", json!({})).into(),
        gone("configmaps", "half"),
        // Policies let the garbage collector do its work: the finalizer is what holds a payment.
        Operator.create("payments", lost).into(),
        Admin.get("payments", "lost").until_is("/metadata/deletionGracePeriodSeconds", json!(0)),
    ]
}

fn second_thoughts() -> Vec<Step> {
    let delete = |policy: &str| {
        let options = json!({ "propagationPolicy": policy });
        let trial = json!({ "propagationPolicy": policy, "dryRun": ["All"] });
        [
            Step::from(Customer.delete("orders", "lunch", trial).show(&DYING)),
            Step::from(Customer.delete("orders", "lunch", options)),
            Operator.get("orders", "lunch").until_is("/metadata/finalizers", json!([SAGA])),
        ]
    };
    let mut steps = vec![
        Customer.create("orders", held(order("lunch"), SAGA)).quietly(),
        Customer.delete("orders", "lunch", json!({})).show(&DYING).into(),
    ];
    steps.extend(["Background", "Foreground", "Orphan"].into_iter().flat_map(delete));
    steps.push(Customer.delete("orders", "lunch", json!({ "propagationPolicy": "Sideways" })).into());
    steps
}

fn namespaces() -> Vec<Step> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "stringData": { "token": "tok" },
    });
    vec![
        Customer.create("orders", held(order("lunch"), SAGA)).quietly(),
        Operator.create("tickets", ticket("lunch", "Pending")).quietly(),
        Customer.create("secrets", secret).show(&["/data", "/stringData", "/type"]).into(),
        Admin
            .delete("namespaces", "$ns", json!({}))
            .show(&["/metadata/deletionTimestamp", "/status/phase"])
            .into(),
        Operator.create("tickets", ticket("late", "Pending")).into(),
        Customer.create("configmaps", config_map("late")).into(),
        Customer.create("orders", held(order("lunch"), SAGA)).into(),
        Operator.get("tickets", "lunch").until(404),
        Admin.get("secrets", "s").until(404),
        Operator.get("orders", "lunch").until_is("/metadata/deletionGracePeriodSeconds", json!(0)),
        Operator.status("orders", "lunch", json!({ "phase": "Cancelling" })).show(&["/status/phase"]).into(),
        release("lunch"),
        Admin.get("namespaces", "$ns").until(404),
        Customer.create("configmaps", config_map("later")).into(),
        Customer.list("orders", "").show(&["/items"]).into(),
    ]
}
