//! A sandbox as a process, and the smallest client that speaks both of its payment dialects.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use form_urlencoded::Serializer;
use serde_json::{Value, json};

pub(crate) const SECRET: &str = "test_sk_of_the_process_test";

/// Waits until it is so.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(30), "not within half a minute: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) struct Sandbox {
    process: Child,
    pub(crate) address: String,
    pub(crate) admin_address: String,
}

/// An answer as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

impl Sandbox {
    pub(crate) fn start(options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_fooddelivery-sandbox"))
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(options)
            .env("SANDBOX_SECRET_KEY", SECRET)
            .env("RUST_LOG", "debug")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut address = |prefix: &str| {
            let line = lines.next().unwrap().unwrap();
            line.strip_prefix(prefix).unwrap().to_owned()
        };
        let admin_address = address("sandbox: admin on http://");
        let address = address("sandbox: listening on http://");
        Self { process, address, admin_address }
    }

    /// None when the connection closed without an answer.
    pub(crate) fn toss(&self, method: &str, path: &str, key: Option<&str>, body: &Value) -> Option<Answer> {
        let authorization = BASE64_STANDARD.encode(format!("{SECRET}:"));
        let mut headers =
            format!("authorization: Basic {authorization}\r\ncontent-type: application/json\r\n");
        headers += &idempotency(key);
        send(&self.address, method, path, &headers, &body.to_string())
    }

    /// The same with a form.
    pub(crate) fn stripe(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        form: &[(&str, &str)],
    ) -> Option<Answer> {
        let headers = format!(
            "authorization: Bearer {SECRET}\r\ncontent-type: application/x-www-form-urlencoded\r\n{}",
            idempotency(key)
        );
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        send(&self.address, method, path, &headers, &body)
    }

    /// A call with headers of its own, each of which ends its line.
    pub(crate) fn raw(&self, method: &str, path: &str, headers: &str, body: &str) -> Option<Answer> {
        send(&self.address, method, path, headers, body)
    }

    /// A control endpoint.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = "content-type: application/json\r\n";
        send(&self.admin_address, method, path, headers, &body.to_string()).unwrap()
    }

    pub(crate) fn json(&self, method: &str, path: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
        let answer = self.toss(method, path, key, body).unwrap();
        (answer.status, answer.json())
    }

    pub(crate) fn confirm(&self, payment_key: &str, key: &str) -> (u16, Value) {
        let body =
            json!({ "paymentKey": payment_key, "orderId": format!("order-{payment_key}"), "amount": 1000 });
        self.json("POST", "/v1/payments/confirm", Some(key), &body)
    }

    pub(crate) fn cancel(&self, payment_key: &str, key: &str, amount: i64) -> (u16, Value) {
        let body = json!({ "cancelReason": "test", "cancelAmount": amount });
        self.json("POST", &format!("/v1/payments/{payment_key}/cancel"), Some(key), &body)
    }

    pub(crate) fn ledger(&self) -> Vec<(String, i64)> {
        let ledger = self.admin("GET", "/sandbox/ledger", &Value::Null).json();
        let entries = ledger["entries"].as_array().unwrap();
        let entry =
            |entry: &Value| (entry["kind"].as_str().unwrap().to_owned(), entry["amount"].as_i64().unwrap());
        entries.iter().map(entry).collect()
    }

    /// The log of calls, as it is served.
    pub(crate) fn calls(&self) -> Vec<Value> {
        self.admin("GET", "/sandbox/calls", &Value::Null).json()["calls"].as_array().unwrap().clone()
    }

    pub(crate) fn set_faults(&self, rules: &Value) {
        assert_eq!(self.admin("PUT", "/sandbox/faults", rules).status, 204);
    }

    pub(crate) fn set_outage(&self, mode: &str) {
        assert_eq!(self.admin("PUT", "/sandbox/outage", &json!({ "mode": mode })).status, 204);
    }

    /// Sends SIGTERM and returns whether the process ended well, and what it logged.
    pub(crate) fn terminate(mut self) -> (bool, String) {
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

fn idempotency(key: Option<&str>) -> String {
    key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default()
}

/// One request on a connection of its own; None when it closed without an answer.
fn send(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    // A connection that is closed already may refuse to be written to, or be seen as an end, or as a reset.
    let _ = write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\ncontent-length: {length}\r\n\
         {headers}\r\n{body}"
    );
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

/// A ledger file that goes with the test.
pub(crate) struct LedgerFile(PathBuf);

impl LedgerFile {
    pub(crate) fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("sandbox-process-{}-{name}.jsonl", std::process::id())))
    }

    pub(crate) fn option(&self) -> [&str; 2] {
        ["--ledger-file", Path::to_str(&self.0).unwrap()]
    }
}

impl Drop for LedgerFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
