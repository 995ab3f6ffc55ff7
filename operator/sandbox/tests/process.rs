//! The sandbox as a process: its options, its endpoints over plain TCP, what survives a restart, how it stops.
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be set up is a failure")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

const SECRET: &str = "test_sk_of_the_process_test";

struct Sandbox {
    process: Child,
    address: String,
}

impl Sandbox {
    fn start(options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_fooddelivery-sandbox"))
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .env("SANDBOX_SECRET_KEY", SECRET)
            .env("RUST_LOG", "debug")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("sandbox: listening on http://").unwrap().to_owned();
        Self { process, address }
    }

    /// The status and the body; None when the connection closed without an answer.
    fn call(&self, method: &str, path: &str, key: Option<&str>, body: &Value) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let authorization = BASE64_STANDARD.encode(format!("{SECRET}:"));
        let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
        let body = body.to_string();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\nauthorization: Basic {authorization}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n{key}\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        // A cut connection can be seen as an end or as a reset.
        let _ = stream.read_to_string(&mut answer);
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    fn json(&self, method: &str, path: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
        let (status, body) = self.call(method, path, key, body).unwrap();
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    fn confirm(&self, payment_key: &str, key: &str) -> (u16, Value) {
        let body =
            json!({ "paymentKey": payment_key, "orderId": format!("order-{payment_key}"), "amount": 1000 });
        self.json("POST", "/v1/payments/confirm", Some(key), &body)
    }

    fn cancel(&self, payment_key: &str, key: &str, amount: i64) -> (u16, Value) {
        let body = json!({ "cancelReason": "test", "cancelAmount": amount });
        self.json("POST", &format!("/v1/payments/{payment_key}/cancel"), Some(key), &body)
    }

    fn ledger(&self) -> Vec<(String, i64)> {
        let (_, ledger) = self.json("GET", "/sandbox/ledger", None, &Value::Null);
        let entries = ledger["entries"].as_array().unwrap();
        let entry =
            |entry: &Value| (entry["kind"].as_str().unwrap().to_owned(), entry["amount"].as_i64().unwrap());
        entries.iter().map(entry).collect()
    }

    /// Sends SIGTERM and returns whether the process ended well, and what it logged.
    fn terminate(mut self) -> (bool, String) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut log = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.process.wait().unwrap().success(), log)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct LedgerFile(PathBuf);

impl LedgerFile {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("sandbox-process-{}-{name}.jsonl", std::process::id())))
    }

    fn option(&self) -> [&str; 2] {
        ["--ledger-file", Path::to_str(&self.0).unwrap()]
    }
}

impl Drop for LedgerFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn it_ends_well_on_sigterm_and_its_log_shows_neither_secret_key_nor_payment_key() {
    let sandbox = Sandbox::start(&[]);
    assert_eq!(sandbox.call("GET", "/healthz", None, &Value::Null), Some((200, "ok\n".into())));
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
    assert_eq!(second.call("POST", "/sandbox/reset", None, &Value::Null).unwrap().0, 204);
    drop(second);
    assert!(Sandbox::start(&file.option()).ledger().is_empty(), "a reset reaches the file");
}

#[test]
fn faults_are_put_and_seen_and_a_drop_closes_the_connection_without_a_byte() {
    let sandbox = Sandbox::start(&[]);
    let rules = json!([{ "match": { "operation": "confirm", "paymentKey": "pk_1" },
                         "fault": { "type": "DropAfter" }, "times": 1 }]);
    assert_eq!(sandbox.call("PUT", "/sandbox/faults", None, &rules).unwrap().0, 204);
    assert_eq!(sandbox.json("GET", "/sandbox/faults", None, &Value::Null).1, rules);
    let body = json!({ "paymentKey": "pk_1", "orderId": "order-pk_1", "amount": 1000 });
    assert_eq!(sandbox.call("POST", "/v1/payments/confirm", Some("k1"), &body), None);
    assert_eq!(sandbox.ledger(), [("Capture".to_owned(), 1000)]);
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 200);
    let (_, calls) = sandbox.json("GET", "/sandbox/calls", None, &Value::Null);
    let seen: Vec<_> =
        calls["calls"].as_array().unwrap().iter().map(|call| (&call["status"], &call["fault"])).collect();
    assert_eq!(seen, [(&Value::Null, &json!("DropAfter")), (&json!(200), &Value::Null)]);
    let nonsense = json!([{ "fault": { "type": "DropSometimes" } }]);
    assert_eq!(sandbox.call("PUT", "/sandbox/faults", None, &nonsense).unwrap().0, 422);
}

#[test]
fn a_request_whose_client_hung_up_runs_to_its_end() {
    let sandbox = Sandbox::start(&["--latency", "200-200"]);
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
    std::thread::sleep(std::time::Duration::from_millis(50));
    drop(stream);
    assert!(sandbox.ledger().is_empty());
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 409, "it still runs");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(sandbox.ledger(), [("Capture".to_owned(), 1000)]);
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 200);
}

#[test]
fn checkouts_latency_and_tables_are_served_and_settings_are_checked() {
    let sandbox = Sandbox::start(&["--strict-checkout"]);
    assert_eq!(sandbox.confirm("pk_1", "k0").1["code"], "NOT_FOUND_PAYMENT_SESSION");
    let checkout = json!({ "orderId": "order-1", "amount": 500 });
    let (status, payment) = sandbox.json("POST", "/sandbox/checkouts", None, &checkout);
    assert_eq!((status, &payment["status"]), (201, &json!("IN_PROGRESS")));
    let body = json!({ "paymentKey": payment["paymentKey"], "orderId": "order-1", "amount": 500 });
    assert_eq!(sandbox.json("POST", "/v1/payments/confirm", None, &body).1["status"], "DONE");
    let (_, table) = sandbox.call("GET", "/sandbox/ledger.txt", None, &Value::Null).unwrap();
    assert!(table.ends_with("1 entries, balance 500 KRW\n"), "{table}");
    let (_, payments) = sandbox.json("GET", "/sandbox/payments", None, &Value::Null);
    assert_eq!(payments["payments"][0]["balanceAmount"], 500);
    let latency =
        |profile: &str| sandbox.call("PUT", "/sandbox/latency", None, &json!({ "profile": profile }));
    assert_eq!(latency("5-1").unwrap().0, 400);
    assert_eq!(latency("1-5").unwrap().0, 204);
    assert_eq!(sandbox.json("GET", "/sandbox/latency", None, &Value::Null).1["profile"], "1-5");
    let malformed = sandbox.json("POST", "/v1/payments/confirm", Some("k1"), &json!({ "paymentKey": 1 }));
    assert_eq!((malformed.0, &malformed.1["code"]), (400, &json!("INVALID_REQUEST")));
    assert_eq!(sandbox.json("GET", "/v1/elsewhere", None, &Value::Null).1["code"], "NOT_FOUND");
}
