//! What a simulated write costs. A schedule makes hundreds, and there are to be thousands of schedules.
//!
//! `cargo test --release -p fooddelivery-simulation --test cost -- --nocapture` prints it; the bound is loose, so that
//! only waste by an order of magnitude fails, also without optimisation and on a busy machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use fooddelivery_api::policies;
use fooddelivery_simulation::apiserver::{Catalog, Options, PatchKind, Request, Server, Verb};
use jiff::Timestamp;
use serde_json::{Value, json};

const WRITES: u32 = 500;

fn request(verb: Verb, plural: &str, name: Option<&str>, subresource: Option<&str>, body: &Value) -> Request {
    Request {
        verb,
        group: "fooddelivery.dev".into(),
        version: "v1alpha1".into(),
        plural: plural.into(),
        namespace: Some("default".into()),
        name: name.map(Into::into),
        subresource: subresource.map(Into::into),
        options: Options::default(),
        patch: (verb == Verb::Patch).then_some(PatchKind::Merge),
        body: Bytes::from(body.to_string()),
    }
}

fn order(name: &str) -> Value {
    json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Order", "metadata": { "name": name },
        "spec": {
            "customerRef": { "name": "jiwoo" }, "storeRef": { "name": "hanok" },
            "items": [
                { "menuItem": "bibimbap", "quantity": 2, "options": ["egg"] },
                { "menuItem": "kimchi-jjigae", "quantity": 1 },
            ],
            "delivery": { "address": "12 Wausan-ro, Mapo-gu", "region": "mapo" },
            "payment": { "providerRef": { "name": "toss" }, "token": "tok-lunch" },
        },
    })
}

fn each(what: &str, mut act: impl FnMut(u32)) -> Duration {
    let started = Instant::now();
    (0..WRITES).for_each(&mut act);
    let each = started.elapsed() / WRITES;
    println!("{what}: {each:?}");
    each
}

#[test]
fn a_server_is_made_in_microseconds_and_a_write_takes_a_fraction_of_a_millisecond() {
    let now = Timestamp::UNIX_EPOCH;
    let started = Instant::now();
    let catalog = Catalog::shared().unwrap();
    println!("the catalog, once: {:?}", started.elapsed());
    let operator = policies::operator_user();
    each("a server", |n| drop(Server::new(catalog.clone(), u64::from(n), now)));
    let mut server = Server::new(catalog, 7, now);
    let mut written = |request: &Request, user: &str| {
        let response = server.handle(request, user, now);
        assert!(response.code < 300, "{}", String::from_utf8_lossy(&response.body));
    };
    let create = each("create an order", |n| {
        let body = order(&format!("o{n}"));
        written(&request(Verb::Create, "orders", None, None, &body), "jiwoo");
    });
    let history: Vec<Value> = (0..6)
        .map(|n| json!({ "phase": "AwaitingPayment", "at": format!("2026-01-01T00:00:0{n}.000Z") }))
        .collect();
    let patch = each("patch an order's status", |n| {
        let status = json!({ "phase": "AwaitingStore", "total": 28_500, "history": history,
            "conditions": [{ "type": "Paid", "status": "True", "reason": "Captured",
                "lastTransitionTime": "2026-01-01T00:00:00.000Z" }] });
        let body = json!({ "metadata": { "managedFields": [{}] }, "status": status });
        written(&request(Verb::Patch, "orders", Some(&format!("o{n}")), Some("status"), &body), &operator);
    });
    let cancel = each("patch an order's spec", |n| {
        let body = json!({ "spec": { "cancellation": { "reason": "no longer hungry" } } });
        written(&request(Verb::Patch, "orders", Some(&format!("o{n}")), None, &body), "jiwoo");
    });
    let most = Duration::from_millis(if cfg!(debug_assertions) { 20 } else { 2 });
    assert!(create < most && patch < most && cancel < most);
}
