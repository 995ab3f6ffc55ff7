//! Watches: from the beginning, from a version, through selectors, and from a past that is gone.

use serde_json::{Value, json};

use super::call::User::{Customer, Operator};
use super::objects::{SAGA, held, order, plain_order, ticket};
use super::{Scenario, Step};

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("a watch goes on from where it is told to", resumed()),
        Scenario::new("a watch through a selector sees objects come and go", selected()),
        Scenario::new("a watch from a forgotten past says so", forgotten()),
        Scenario::new("after a restart a watch goes on only from what came after it", restarted()),
        Scenario::new("a watch can begin with what is there", beginnings()),
        Scenario::new("a quiet watch says how far the server is before it ends", bookmarks()),
    ]
}

const SHOWN: [&str; 2] = ["/status/phase", "/metadata/generation"];

fn to(name: &str, phase: &str) -> Step {
    Operator.status("orders", name, json!({ "phase": phase })).quietly()
}

fn release(name: &str) -> Step {
    Operator.merge("orders", name, json!({ "metadata": { "finalizers": null } })).quietly()
}

fn resumed() -> Vec<Step> {
    vec![
        Customer.create("orders", plain_order("a")).keep("first").quietly(),
        Customer.create("orders", held(plain_order("b"), SAGA)).quietly(),
        to("a", "AwaitingStore"),
        Customer.get("orders", "a").keep("middle").quietly(),
        Operator.create("tickets", ticket("a", "Pending")).quietly(),
        to("a", "Accepted"),
        Customer.delete("orders", "b", json!({})).quietly(),
        release("b"),
        Customer.create("orders", plain_order("b")).quietly(),
        Operator.watch("orders", "resourceVersion=$first.rv&timeoutSeconds=4").show(&SHOWN).take(6),
        Operator.watch("orders", "resourceVersion=$middle.rv&timeoutSeconds=4").show(&SHOWN).take(4),
        Operator.watch("tickets", "resourceVersion=$first.rv&timeoutSeconds=4").show(&SHOWN).take(1),
        // Nothing has happened since: it ends when its time is over.
        Customer.get("orders", "b").keep("last").quietly(),
        Operator.watch("orders", "resourceVersion=$last.rv&timeoutSeconds=1").take(1),
    ]
}

fn selected() -> Vec<Step> {
    let label = |value: Value| {
        Customer.merge("orders", "a", json!({ "metadata": { "labels": { "letter": value } } })).quietly()
    };
    let watch = |query: &str| {
        let query = format!("resourceVersion=$first.rv&timeoutSeconds=3&{query}");
        Operator.watch("orders", &query).show(&SHOWN).show(&["/metadata/labels"])
    };
    vec![
        Customer.create("orders", plain_order("other")).keep("first").quietly(),
        Customer.create("orders", held(plain_order("a"), SAGA)).quietly(),
        to("a", "AwaitingStore"),
        label("x".into()),
        to("a", "Accepted"),
        label("y".into()),
        label(Value::Null),
        Customer.delete("orders", "a", json!({})).quietly(),
        release("a"),
        watch("fieldSelector=status.phase%3DAwaitingStore").take(9),
        watch("fieldSelector=metadata.name%3Da").take(9),
        watch("labelSelector=letter%3Dx").take(9),
        watch("labelSelector=letter").take(9),
        watch("fieldSelector=spec.couponCode%3DX").take(9),
    ]
}

fn forgotten() -> Vec<Step> {
    vec![
        Customer.create("orders", order("a")).quietly(),
        to("a", "AwaitingStore"),
        Step::Forget,
        Operator.watch("orders", "resourceVersion=1&timeoutSeconds=3").take(3),
        Operator.watch("orders", "resourceVersion=$a.rv&timeoutSeconds=1").take(3),
        to("a", "Accepted"),
        Operator.watch("orders", "resourceVersion=nonsense&timeoutSeconds=1").take(1),
        Customer.list("orders", "").show(&["/items/0/status/phase"]).into(),
    ]
}

fn restarted() -> Vec<Step> {
    vec![
        Customer.create("orders", plain_order("a")).keep("before").quietly(),
        to("a", "AwaitingStore"),
        Step::Restart,
        Operator.watch("orders", "resourceVersion=$before.rv&timeoutSeconds=3").take(3),
        Customer.get("orders", "a").show(&SHOWN).into(),
        Operator.status("orders", "a", json!({ "phase": "Accepted" })).keep("after").into(),
        Operator.status("orders", "a", json!({ "phase": "Cooking" })).into(),
        Operator.watch("orders", "resourceVersion=$after.rv&timeoutSeconds=3").show(&SHOWN).take(1),
    ]
}

fn beginnings() -> Vec<Step> {
    vec![
        Customer.create("orders", plain_order("a")).quietly(),
        Customer.create("orders", plain_order("b")).quietly(),
        to("b", "AwaitingStore"),
        Operator.watch("orders", "timeoutSeconds=2").show(&SHOWN).take(2),
        Operator.watch("orders", "resourceVersion=0&timeoutSeconds=2").show(&SHOWN).take(2),
        Operator
            .watch(
                "orders",
                "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=2",
            )
            .show(&SHOWN)
            .take(3),
    ]
}

fn bookmarks() -> Vec<Step> {
    vec![
        Customer.create("orders", plain_order("a")).quietly(),
        Operator.watch("orders", "resourceVersion=$a.rv&allowWatchBookmarks=true&timeoutSeconds=4").take(1),
    ]
}
