//! The objects that scenarios are made of.

use serde_json::{Value, json};

/// The finalizer that the operator keeps on orders and payments, and that a server with MutatingAdmissionPolicy stamps.
pub(super) const SAGA: &str = fooddelivery_api::FINALIZER;

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let metadata = json!({ "name": name });
    json!({ "apiVersion": "fooddelivery.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec })
}

/// An order with every optional field that may not change later.
pub(super) fn order(name: &str) -> Value {
    object(
        "Order",
        name,
        json!({
            "customerRef": { "name": "jiwoo" }, "storeRef": { "name": "hanok" },
            "items": [
                { "menuItem": "bibimbap", "quantity": 2, "options": ["egg", "beef"] },
                { "menuItem": "kimchi-jjigae", "quantity": 1 },
            ],
            "delivery": { "address": "12 Wausan-ro, Mapo-gu", "region": "mapo" },
            "couponCode": "WELCOME", "expectedTotal": 28_500,
            "payment": { "providerRef": { "name": "toss" }, "token": "tok", "providerOrderId": "o-1" },
        }),
    )
}

/// An order with nothing that it can do without.
pub(super) fn plain_order(name: &str) -> Value {
    let mut order = order(name);
    if let Some(spec) = order["spec"].as_object_mut() {
        spec.retain(|field, _| !matches!(field.as_str(), "storeRef" | "couponCode" | "expectedTotal"));
    }
    if let Some(payment) = order["spec"]["payment"].as_object_mut() {
        payment.remove("providerOrderId");
    }
    order
}

/// A ticket at a stage.
pub(super) fn ticket(name: &str, stage: &str) -> Value {
    let spec = json!({
        "orderRef": { "name": name, "uid": "u" }, "storeRef": { "name": "hanok", "uid": "s" },
        "items": [{ "menuItem": "bibimbap", "quantity": 1 }], "stage": stage,
    });
    object("Ticket", name, spec)
}

/// A delivery at a stage, with or without a rider.
pub(super) fn delivery(name: &str, stage: &str, rider: Option<&str>) -> Value {
    let mut spec = json!({
        "orderRef": { "name": name, "uid": "u" }, "pickup": { "name": "hanok", "uid": "s" },
        "dropoff": { "address": "here", "region": "mapo" }, "stage": stage,
    });
    if let Some(rider) = rider {
        spec["riderRef"] = json!({ "name": rider });
    }
    object("Delivery", name, spec)
}

/// A payment that is to be captured.
pub(super) fn payment(name: &str) -> Value {
    let spec = json!({
        "orderRef": { "name": name, "uid": "u" }, "providerRef": { "name": "toss" }, "providerOrderId": "o-1",
        "quote": {
            "storeUid": "s", "discount": 0, "total": 5, "currency": "KRW",
            "lines": [{ "menuItem": "bibimbap", "quantity": 1, "unitPrice": 5, "amount": 5 }],
        },
        "token": "tok", "whenUnavailable": "Defer", "desired": "Captured",
    });
    object("Payment", name, spec)
}

/// A store with two dishes.
pub(super) fn store(name: &str) -> Value {
    let menu = json!([
        { "name": "bibimbap", "price": 9_000, "options": [{ "name": "egg", "price": 500 }] },
        { "name": "kimchi-jjigae", "price": 8_000 },
    ]);
    object("Store", name, json!({ "region": "mapo", "menu": menu }))
}

/// A provider at an endpoint.
pub(super) fn provider(name: &str, endpoint: &str) -> Value {
    let spec = json!({ "dialect": "Toss", "endpoint": endpoint, "secretRef": { "name": "x" } });
    object("PaymentProvider", name, spec)
}

/// Something of Kubernetes' own, which nothing refuses.
pub(super) fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "a": "1" } })
}

/// A lease held by somebody.
pub(super) fn lease(name: &str, holder: &str, version: Option<&str>) -> Value {
    let mut metadata = json!({ "name": name });
    if let Some(version) = version {
        metadata["resourceVersion"] = version.into();
    }
    let spec = json!({ "holderIdentity": holder, "leaseDurationSeconds": 15 });
    json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec })
}

/// An Event about an order.
pub(super) fn event(name: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": name },
        "eventTime": "2026-01-01T00:00:00.000000Z", "action": "Reconcile", "reason": "Refunded", "type": "Normal",
        "note": "28500 KRW", "reportingController": "fooddelivery.dev/operator", "reportingInstance": "a",
        "regarding": { "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Order", "name": "lunch", "namespace": "$ns" },
    })
}

/// An object that belongs to another.
pub(super) fn owned(mut object: Value, kind: &str, owner: &str, blocks: bool) -> Value {
    let version = if kind == "ConfigMap" { "v1" } else { "fooddelivery.dev/v1alpha1" };
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": version, "kind": kind, "name": owner, "uid": format!("${owner}.uid"),
        "blockOwnerDeletion": blocks,
    }]);
    object
}

/// An object with finalizers.
pub(super) fn held(mut object: Value, finalizer: &str) -> Value {
    object["metadata"]["finalizers"] = json!([finalizer]);
    object
}
