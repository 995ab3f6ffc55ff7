//! The Toss dialect, and what it has in common with the other.

use std::io::Write;
use std::net::TcpStream;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::common::{LedgerFile, SECRET, Sandbox, wait_until};

#[test]
fn it_ends_well_on_sigterm_and_its_log_shows_neither_secret_key_nor_payment_key() {
    let sandbox = Sandbox::start(&[]);
    assert_eq!(sandbox.admin("GET", "/healthz", &Value::Null).body, "ok\n");
    assert_eq!(sandbox.confirm("pk_not_to_be_logged", "k1").0, 200);
    assert_eq!(sandbox.cancel("pk_not_to_be_logged", "k2", 10).0, 200);
    let (ended_well, log) = sandbox.terminate();
    assert!(ended_well, "{log}");
    assert!(log.contains("call"), "{log}");
    for secret in [SECRET, "pk_not_to_be_logged"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn after_a_kill_and_a_restart_the_same_keys_are_told_the_same_and_no_money_moves_again() {
    let file = LedgerFile::new("restart");
    let first = Sandbox::start(&file.option());
    let captured = first.confirm("pk_1", "k1");
    let refunded = first.cancel("pk_1", "k2", 300);
    assert_eq!((captured.0, refunded.0), (200, 200));
    drop(first);

    let second = Sandbox::start(&file.option());
    let moved = [("Capture".to_owned(), 1000), ("Refund".to_owned(), 300)];
    assert_eq!(second.ledger(), moved);
    assert_eq!(second.confirm("pk_1", "k1").1["status"], "DONE", "as it was first answered");
    assert_eq!(second.cancel("pk_1", "k2", 300).1["balanceAmount"], 700);
    assert_eq!(second.confirm("pk_1", "k3").1["code"], "ALREADY_PROCESSED_PAYMENT");
    assert_eq!(second.ledger(), moved);
    assert_eq!(second.cancel("pk_1", "k4", 700).1["status"], "CANCELED");
    assert_eq!(second.admin("POST", "/sandbox/reset", &Value::Null).status, 204);
    drop(second);
    assert!(Sandbox::start(&file.option()).ledger().is_empty(), "a reset reaches the file");
}

#[test]
fn faults_are_put_and_seen_and_a_drop_closes_the_connection_without_a_byte() {
    let sandbox = Sandbox::start(&[]);
    let rules = json!([{ "match": { "operation": "confirm", "paymentKey": "pk_1" },
                         "fault": { "type": "DropAfter" }, "times": 1 }]);
    sandbox.set_faults(&rules);
    assert_eq!(sandbox.admin("GET", "/sandbox/faults", &Value::Null).json(), rules);
    let body = json!({ "paymentKey": "pk_1", "orderId": "order-pk_1", "amount": 1000 });
    assert_eq!(sandbox.toss("POST", "/v1/payments/confirm", Some("k1"), &body), None);
    assert_eq!(sandbox.ledger(), [("Capture".to_owned(), 1000)]);
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 200);
    let calls = sandbox.calls();
    let seen: Vec<_> = calls.iter().map(|call| (&call["status"], &call["fault"])).collect();
    assert_eq!(seen, [(&Value::Null, &json!("DropAfter")), (&json!(200), &Value::Null)]);
    let nonsense = json!([{ "fault": { "type": "DropSometimes" } }]);
    assert_eq!(sandbox.admin("PUT", "/sandbox/faults", &nonsense).status, 422);
}

#[test]
fn a_request_whose_client_hung_up_runs_to_its_end() {
    let sandbox = Sandbox::start(&["--latency", "4000-4000"]);
    let body = json!({ "paymentKey": "pk_1", "orderId": "order-pk_1", "amount": 1000 }).to_string();
    let mut stream = TcpStream::connect(&sandbox.address).unwrap();
    let authorization = BASE64_STANDARD.encode(format!("{SECRET}:"));
    let length = body.len();
    write!(
        stream,
        "POST /v1/payments/confirm HTTP/1.1\r\nhost: x\r\nauthorization: Basic {authorization}\r\n\
         idempotency-key: k1\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    // Long enough to arrive, too short to be answered.
    std::thread::sleep(std::time::Duration::from_secs(1));
    drop(stream);
    assert!(sandbox.ledger().is_empty());
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 409, "it still runs");
    wait_until("the money moves", || !sandbox.ledger().is_empty());
    assert_eq!(sandbox.ledger(), [("Capture".to_owned(), 1000)]);
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 200);
}

#[test]
fn checkouts_latency_and_tables_are_served_and_settings_are_checked() {
    let sandbox = Sandbox::start(&["--strict-checkout"]);
    assert_eq!(sandbox.confirm("pk_1", "k0").1["code"], "NOT_FOUND_PAYMENT_SESSION");
    let checkout = json!({ "orderId": "order-1", "amount": 500 });
    let registered = sandbox.admin("POST", "/sandbox/checkouts", &checkout);
    let (status, payment) = (registered.status, registered.json());
    assert_eq!((status, &payment["status"]), (201, &json!("IN_PROGRESS")));
    let body = json!({ "paymentKey": payment["paymentKey"], "orderId": "order-1", "amount": 500 });
    assert_eq!(sandbox.json("POST", "/v1/payments/confirm", None, &body).1["status"], "DONE");
    let table = sandbox.admin("GET", "/sandbox/ledger.txt", &Value::Null).body;
    assert!(table.ends_with("1 entries, balance 500 KRW\n"), "{table}");
    let payments = sandbox.admin("GET", "/sandbox/payments", &Value::Null).json();
    assert_eq!(payments["payments"][0]["balanceAmount"], 500);
    assert_eq!(payments["payments"][0]["dialect"], "Toss");
    let latency = |profile: &str| sandbox.admin("PUT", "/sandbox/latency", &json!({ "profile": profile }));
    assert_eq!(latency("5-1").status, 400);
    assert_eq!(latency("1-5").status, 204);
    assert_eq!(sandbox.admin("GET", "/sandbox/latency", &Value::Null).json()["profile"], "1-5");
    let malformed = sandbox.json("POST", "/v1/payments/confirm", Some("k1"), &json!({ "paymentKey": 1 }));
    assert_eq!((malformed.0, &malformed.1["code"]), (400, &json!("INVALID_REQUEST")));
    assert_eq!(sandbox.json("GET", "/v1/elsewhere", None, &Value::Null).1["code"], "NOT_FOUND");
}
