//! Outages of the provider as a whole, as a client sees them in either dialect.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Sandbox, wait_until};

const INTENT: [(&str, &str); 3] = [("amount", "700"), ("currency", "krw"), ("payment_method", "pm_1")];

#[test]
fn a_provider_that_refuses_closes_connections_unread_and_takes_them_again_afterwards() {
    let sandbox = Sandbox::start(&[]);
    sandbox.set_outage("refuse");
    assert_eq!(sandbox.admin("GET", "/sandbox/outage", &Value::Null).json(), json!({ "mode": "refuse" }));
    assert_eq!(sandbox.toss("POST", "/v1/payments/confirm", Some("k1"), &Value::Null), None);
    assert_eq!(sandbox.stripe("POST", "/v1/payment_intents", Some("k1"), &INTENT), None);
    assert_eq!(sandbox.toss("GET", "/healthz", None, &Value::Null), None, "whatever the path");
    assert!(sandbox.calls().is_empty(), "nothing was read");
    sandbox.set_outage("none");
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 200);
}

#[test]
fn a_connection_from_before_is_closed_at_its_next_request_when_the_provider_refuses() {
    let sandbox = Sandbox::start(&[]);
    let mut stream = TcpStream::connect(&sandbox.address).unwrap();
    let get = b"GET /v1/payment_intents/pi_1 HTTP/1.1\r\nhost: sandbox\r\n\r\n";
    stream.write_all(get).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 401");
    sandbox.set_outage("refuse");
    let mut rest = Vec::new();
    let _ = stream.write_all(get);
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(String::from_utf8_lossy(&rest).matches("HTTP/1.1").count(), 0, "no second answer");
}

#[test]
fn a_provider_that_hangs_neither_answers_nor_executes_and_drops_the_requests_when_it_comes_back() {
    let sandbox = Sandbox::start(&[]);
    sandbox.set_outage("hang");
    let (ended, end) = mpsc::channel();
    let hung = |answer| ended.send(answer).unwrap();
    let body = json!({ "paymentKey": "pk_1", "orderId": "order-pk_1", "amount": 1000 });
    thread::scope(|scope| {
        scope.spawn(|| hung(sandbox.toss("POST", "/v1/payments/confirm", Some("k1"), &body)));
        scope.spawn(|| hung(sandbox.stripe("POST", "/v1/payment_intents", Some("k1"), &INTENT)));
        wait_until("both are seen as soon as they arrive", || sandbox.calls().len() == 2);
        assert!(end.recv_timeout(Duration::from_millis(300)).is_err(), "no answer");
        sandbox.set_outage("hang");
        assert!(end.recv_timeout(Duration::from_millis(100)).is_err(), "the same mode is no change");
        sandbox.set_outage("none");
        for _ in 0..2 {
            assert_eq!(end.recv_timeout(Duration::from_secs(5)).unwrap(), None);
        }
    });
    assert!(sandbox.ledger().is_empty());
    for call in sandbox.calls() {
        assert_eq!((&call["status"], &call["fault"]), (&Value::Null, &json!("Outage")));
    }
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 200, "the key was not used");
}

#[test]
fn a_provider_in_error_answers_503_in_each_dialect_and_keeps_nothing_under_the_key() {
    let sandbox = Sandbox::start(&[]);
    sandbox.set_outage("error");
    let toss = sandbox.confirm("pk_1", "k1");
    assert_eq!((toss.0, &toss.1["code"]), (503, &json!("FAILED_INTERNAL_SYSTEM_PROCESSING")));
    let stripe = sandbox.stripe("POST", "/v1/payment_intents", Some("k1"), &INTENT).unwrap();
    assert_eq!((stripe.status, &stripe.json()["error"]["type"]), (503, &json!("api_error")));
    assert_eq!(sandbox.stripe("GET", "/v1/payment_intents/pi_1", None, &[]).unwrap().status, 503);
    sandbox.set_outage("none");
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 200);
    let again = sandbox.stripe("POST", "/v1/payment_intents", Some("k1"), &INTENT).unwrap();
    assert_eq!(again.status, 200, "no 503 is replayed");
    assert!(!again.head.contains("idempotent-replayed"));
}

#[test]
fn a_reset_ends_an_outage_and_an_unknown_mode_is_refused() {
    let sandbox = Sandbox::start(&[]);
    sandbox.set_outage("error");
    assert_eq!(sandbox.admin("PUT", "/sandbox/outage", &json!({ "mode": "sulk" })).status, 422);
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 503, "the mode stays");
    assert_eq!(sandbox.admin("POST", "/sandbox/reset", &Value::Null).status, 204);
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 200);
}

#[test]
fn the_process_ends_well_while_requests_hang() {
    let sandbox = Sandbox::start(&[]);
    sandbox.set_outage("hang");
    let mut stream = TcpStream::connect(&sandbox.address).unwrap();
    stream.write_all(b"GET /v1/payment_intents/pi_1 HTTP/1.1\r\nhost: sandbox\r\n\r\n").unwrap();
    while sandbox.calls().is_empty() {
        thread::sleep(Duration::from_millis(10));
    }
    let (ended_well, log) = sandbox.terminate();
    assert!(ended_well, "{log}");
    assert!(!log.contains("did not end in time"), "{log}");
}
