//! The two listeners: what is where.

use serde_json::{Value, json};

use crate::common::Sandbox;

#[test]
fn the_payment_port_does_not_serve_the_control_endpoints_nor_the_admin_port_the_payments() {
    let sandbox = Sandbox::start(&[]);
    for path in [
        "/sandbox/ledger",
        "/sandbox/payments",
        "/sandbox/calls",
        "/sandbox/messages",
        "/sandbox/messages.txt",
        "/sandbox/faults",
        "/sandbox/outage",
        "/sandbox/message-outage",
    ] {
        assert_eq!(sandbox.json("GET", path, None, &Value::Null).0, 404, "{path}");
        assert_eq!(sandbox.admin("GET", path, &Value::Null).status, 200, "{path}");
    }
    let reset = sandbox.json("POST", "/sandbox/reset", None, &Value::Null);
    assert_eq!((reset.0, &reset.1["code"]), (404, &json!("NOT_FOUND")));
    assert_eq!(sandbox.admin("GET", "/v1/payments/pk_1", &Value::Null).status, 404);
}

#[test]
fn both_ports_say_that_they_are_well() {
    let sandbox = Sandbox::start(&[]);
    assert_eq!(sandbox.admin("GET", "/healthz", &Value::Null).body, "ok\n");
    assert_eq!(sandbox.toss("GET", "/healthz", None, &Value::Null).unwrap().body, "ok\n");
}

#[test]
fn payments_of_both_dialects_are_listed_with_their_dialect() {
    let sandbox = Sandbox::start(&[]);
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 200);
    let form = [("amount", "700"), ("currency", "krw"), ("metadata[order_id]", "order-2")];
    assert_eq!(sandbox.stripe("POST", "/v1/payment_intents", Some("k1"), &form).unwrap().status, 200);
    let payments = sandbox.admin("GET", "/sandbox/payments", &Value::Null).json();
    let payments = payments["payments"].as_array().unwrap();
    let shown: Vec<_> = payments.iter().map(|payment| (&payment["dialect"], &payment["status"])).collect();
    assert_eq!(
        shown,
        [(&json!("Toss"), &json!("DONE")), (&json!("Stripe"), &json!("requires_payment_method"))]
    );
}
