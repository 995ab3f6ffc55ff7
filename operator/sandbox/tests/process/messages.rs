//! Messages as a client sees them: AlimTalk, the webhook, what is kept of both, and their own outage.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use crate::common::{Answer, SECRET, Sandbox, wait_until};

const ALIMTALK: &str = "/alimtalk/v2.3/appkeys/app/messages";
const NUMBER: &str = "01012345678";
const DATES: &str = "startRequestDate=2020-01-01%2000:00&endRequestDate=2020-01-31%2000:00";

fn to(number: &str, id: &str) -> Value {
    json!({
        "senderKey": "s".repeat(40),
        "templateCode": "STEP",
        "senderGroupingKey": "uid",
        "recipientList": [{
            "recipientNo": number,
            "recipientGroupingKey": id,
            "templateParameter":
                { "가게": "한옥", "주문": "lunch", "상태": "조리 중", "금액": "28,500원", "사유": "-" },
        }],
    })
}

fn alimtalk(sandbox: &Sandbox, secret: &str, key: &str, body: &Value) -> Option<Answer> {
    let headers = format!(
        "content-type: application/json\r\nx-secret-key: {secret}\r\nx-nc-api-idempotency-key: {key}\r\n"
    );
    sandbox.raw("POST", ALIMTALK, &headers, &body.to_string())
}

/// The header's result code, and the recipient's where there is one.
fn codes(sandbox: &Sandbox, key: &str, body: &Value) -> (i64, Option<i64>) {
    let answer = alimtalk(sandbox, SECRET, key, body).unwrap().json();
    let recipient = &answer["message"]["sendResults"][0]["resultCode"];
    (answer["header"]["resultCode"].as_i64().unwrap(), recipient.as_i64())
}

fn list(sandbox: &Sandbox, query: &str) -> Value {
    let path = format!("{ALIMTALK}?{query}");
    sandbox.raw("GET", &path, &format!("x-secret-key: {SECRET}\r\n"), "").unwrap().json()
}

/// What the list says of the messages of this request.
fn statuses(sandbox: &Sandbox, request: &str) -> Vec<String> {
    let found = list(sandbox, &format!("requestId={request}"));
    let messages = found["messageSearchResultResponse"]["messages"].as_array().unwrap();
    messages.iter().map(|message| message["messageStatus"].as_str().unwrap().to_owned()).collect()
}

fn event(id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/orders/lunch", "type": "phase",
        "time": "2026-03-10T15:30:59.250Z",
        "data": { "orderUid": "uid", "step": 3, "phase": "Cooking", "customer": "kim" },
    })
}

fn webhook_as(sandbox: &Sandbox, secret: &str, content_type: &str, id: &str, body: &Value) -> Option<Answer> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = BASE64_STANDARD.encode(hmac::sign(&key, format!("{id}.{now}.{body}").as_bytes()));
    let headers = format!(
        "content-type: {content_type}\r\nwebhook-id: {id}\r\nwebhook-timestamp: {now}\r\n\
         webhook-signature: v1,{signature}\r\n"
    );
    sandbox.raw("POST", "/webhook", &headers, &body.to_string())
}

fn webhook(sandbox: &Sandbox, id: &str, body: &Value) -> Option<Answer> {
    webhook_as(sandbox, SECRET, "application/cloudevents+json", id, body)
}

fn messages(sandbox: &Sandbox, query: &str) -> Vec<Value> {
    let messages = sandbox.admin("GET", &format!("/sandbox/messages{query}"), &Value::Null).json();
    messages["messages"].as_array().unwrap().clone()
}

fn set_outage(sandbox: &Sandbox, mode: &str) {
    let answer = sandbox.admin("PUT", "/sandbox/message-outage", &json!({ "mode": mode }));
    assert_eq!(answer.status, 204);
}

fn refused(sandbox: &Sandbox) -> Value {
    sandbox.admin("GET", "/sandbox/message-outage", &Value::Null).json()["refused"].clone()
}

#[test]
fn an_alimtalk_is_sent_once_recognised_by_its_key_and_found_by_its_id() {
    let sandbox = Sandbox::start(&[]);
    let body = to(NUMBER, "uid-3");
    let first = alimtalk(&sandbox, SECRET, "uid-3", &body).unwrap().json();
    assert_eq!(first["header"], json!({ "resultCode": 0, "resultMessage": "SUCCESS", "isSuccessful": true }));
    assert_eq!(codes(&sandbox, "uid-3", &body), (-1005, None), "recognised, and no more is said");
    let request = first["message"]["requestId"].as_str().unwrap();
    let found = list(&sandbox, &format!("requestId={request}&recipientGroupingKey=uid-3"));
    let message = &found["messageSearchResultResponse"]["messages"][0];
    assert_eq!((&message["messageStatus"], &message["resultCode"]), (&json!("COMPLETED"), &json!("MRC01")));
    let shown: Vec<_> = messages(&sandbox, "").iter().map(|one| one["repeat"].clone()).collect();
    assert_eq!(shown, [json!(false), json!(true)]);
}

#[test]
fn what_is_kept_of_both_channels_is_shown_in_order_and_by_order() {
    let sandbox = Sandbox::start(&[]);
    assert_eq!(codes(&sandbox, "uid-3", &to(NUMBER, "uid-3")), (0, Some(0)));
    assert_eq!(webhook(&sandbox, "uid-3", &event("uid-3")).unwrap().status, 200);
    let mut other = event("other-0");
    other["data"]["orderUid"] = json!("other");
    assert_eq!(webhook(&sandbox, "other-0", &other).unwrap().status, 200);
    let all = messages(&sandbox, "");
    assert_eq!(all.iter().map(|one| one["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    let expected = json!({ "seq": 1, "at": all[0]["at"], "channel": "AlimTalk", "id": "uid-3", "repeat": false,
        "orderUid": "uid", "step": 3, "phase": "조리 중", "recipient": NUMBER,
        "text": "[한옥] lunch: 조리 중, 28,500원, -", "result": "Sent" });
    assert_eq!(all[0], expected);
    let of_order = messages(&sandbox, "?order=uid");
    let channels: Vec<_> = of_order.iter().map(|one| (&one["channel"], &one["phase"])).collect();
    assert_eq!(channels, [(&json!("AlimTalk"), &json!("조리 중")), (&json!("Webhook"), &json!("Cooking"))]);
    let table = sandbox.admin("GET", "/sandbox/messages.txt", &Value::Null).body;
    assert!(table.contains("[한옥] lunch: 조리 중"), "{table}");
    assert!(table.ends_with("3 messages, 0 of them repeats\n"), "{table}");
    assert_eq!(sandbox.admin("POST", "/sandbox/reset", &Value::Null).status, 204);
    assert!(messages(&sandbox, "").is_empty());
}

#[test]
fn after_its_retention_a_key_is_forgotten_and_the_message_is_sent_again() {
    let sandbox = Sandbox::start(&["--message-key-retention", "0s"]);
    for _ in 0..2 {
        assert_eq!(codes(&sandbox, "uid-3", &to(NUMBER, "uid-3")), (0, Some(0)));
    }
    assert!(messages(&sandbox, "").iter().all(|one| one["repeat"] == false));
}

#[test]
fn some_numbers_go_wrong_for_good_and_some_have_their_result_later() {
    let sandbox = Sandbox::start(&["--message-delay", "3s"]);
    assert_eq!(codes(&sandbox, "uid-0", &to("01012340001", "uid-0")), (0, Some(0)));
    assert_eq!(codes(&sandbox, "uid-1", &to("01012340002", "uid-1")), (0, Some(0)));
    assert_eq!(statuses(&sandbox, "sandbox-1"), ["FAILED"]);
    assert_eq!(statuses(&sandbox, "sandbox-2"), ["SENDING"]);
    wait_until("its result", || statuses(&sandbox, "sandbox-2") == ["COMPLETED"]);
    let results: Vec<_> = messages(&sandbox, "").iter().map(|one| one["result"].clone()).collect();
    assert_eq!(results, [json!("Failed"), json!("Sent")]);
}

#[test]
fn an_alimtalk_that_is_not_whole_is_refused_by_code_and_uses_up_no_key() {
    let sandbox = Sandbox::start(&[]);
    let code = |change: &dyn Fn(&mut Value)| {
        let mut body = to(NUMBER, "uid-3");
        change(&mut body);
        codes(&sandbox, "uid-3", &body)
    };
    assert_eq!(code(&|body| body["senderKey"] = json!("short")), (-2017, None));
    assert_eq!(code(&|body| body["templateCode"] = json!("t".repeat(21))), (-3003, None));
    assert_eq!(code(&|body| body["recipientList"] = json!([])), (-4011, None));
    assert_eq!(code(&|body| body["recipientList"] = json!("nobody")), (-3002, None));
    assert_eq!(
        code(&|body| body["recipientList"][0]["recipientNo"] = json!("010-1234")),
        (-1031, Some(-5000))
    );
    let without_phase = |body: &mut Value| body["recipientList"][0]["templateParameter"]["상태"] = json!("");
    assert_eq!(code(&without_phase), (-1031, Some(-3004)));
    assert_eq!(list(&sandbox, "pageNum=1")["header"]["resultCode"], -4103);
    assert_eq!(list(&sandbox, DATES)["messageSearchResultResponse"]["totalCount"], 0);
    let stranger = alimtalk(&sandbox, "wrong", "uid-3", &to(NUMBER, "uid-3")).unwrap();
    assert_eq!((stranger.status, &stranger.json()["header"]["resultCode"]), (401, &json!(-1001)));
    assert_eq!(code(&|_| ()), (0, Some(0)));
    assert_eq!(messages(&sandbox, "").len(), 1);
}

#[test]
fn a_webhook_takes_signed_events_alone_and_answers_a_repeat_as_the_first() {
    let sandbox = Sandbox::start(&[]);
    let status = |answer: Option<Answer>| answer.unwrap().status;
    let cloudevent = "application/cloudevents+json; charset=utf-8";
    assert_eq!(status(webhook_as(&sandbox, "wrong", cloudevent, "uid-3", &event("uid-3"))), 401);
    assert_eq!(status(sandbox.raw("POST", "/webhook", "", "{}")), 401);
    assert_eq!(status(webhook_as(&sandbox, SECRET, "application/json", "uid-3", &event("uid-3"))), 415);
    assert_eq!(status(webhook(&sandbox, "uid-4", &event("uid-3"))), 400, "two ids");
    for (field, value) in [
        ("specversion", json!("0.3")),
        ("source", json!("")),
        ("type", Value::Null),
        ("time", json!("yesterday")),
        ("data", json!({})),
    ] {
        let mut body = event("uid-3");
        body[field] = value;
        assert_eq!(status(webhook(&sandbox, "uid-3", &body)), 400, "{field}");
    }
    assert!(messages(&sandbox, "").is_empty());
    for _ in 0..2 {
        assert_eq!(status(webhook_as(&sandbox, SECRET, cloudevent, "uid-3", &event("uid-3"))), 200);
    }
    let repeats: Vec<_> = messages(&sandbox, "").iter().map(|one| one["repeat"].clone()).collect();
    assert_eq!(repeats, [json!(false), json!(true)]);
}

#[test]
fn messages_can_be_out_while_payments_go_on_and_what_was_turned_away_is_counted() {
    let sandbox = Sandbox::start(&[]);
    set_outage(&sandbox, "error");
    assert_eq!(alimtalk(&sandbox, SECRET, "uid-0", &to(NUMBER, "uid-0")).unwrap().status, 503);
    assert_eq!(webhook(&sandbox, "uid-0", &event("uid-0")).unwrap().status, 503);
    set_outage(&sandbox, "refuse");
    assert_eq!(webhook(&sandbox, "uid-0", &event("uid-0")), None);
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 200);
    assert_eq!(refused(&sandbox), 3);
    set_outage(&sandbox, "none");
    assert_eq!(webhook(&sandbox, "uid-0", &event("uid-0")).unwrap().status, 200);
    assert_eq!(refused(&sandbox), 3, "of the last outage");
    set_outage(&sandbox, "error");
    assert_eq!(refused(&sandbox), 0);
    assert_eq!(messages(&sandbox, "").len(), 1);
    assert!(sandbox.calls().iter().all(|call| call["dialect"] == "Toss"), "calls are of payments");
}

#[test]
fn a_receiver_that_hangs_answers_nothing_until_it_is_back_and_an_outage_of_payments_is_none_of_messages() {
    let sandbox = Sandbox::start(&[]);
    sandbox.set_outage("error");
    assert_eq!(webhook(&sandbox, "uid-0", &event("uid-0")).unwrap().status, 200);
    sandbox.set_outage("none");
    set_outage(&sandbox, "hang");
    let (ended, end) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| ended.send(webhook(&sandbox, "uid-1", &event("uid-1"))).unwrap());
        assert!(end.recv_timeout(Duration::from_millis(300)).is_err(), "no answer");
        assert_eq!(sandbox.confirm("pk_1", "k1").0, 200);
        set_outage(&sandbox, "none");
        assert_eq!(end.recv_timeout(Duration::from_secs(5)).unwrap(), None);
    });
    assert_eq!(messages(&sandbox, "").len(), 1);
}

#[test]
fn the_process_ends_well_while_messages_hang_and_its_log_shows_no_number() {
    let sandbox = Sandbox::start(&[]);
    assert_eq!(codes(&sandbox, "uid-0", &to(NUMBER, "uid-0")), (0, Some(0)));
    set_outage(&sandbox, "hang");
    let mut stream = std::net::TcpStream::connect(&sandbox.address).unwrap();
    std::io::Write::write_all(&mut stream, b"POST /webhook HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    while refused(&sandbox) == 0 {
        thread::sleep(Duration::from_millis(10));
    }
    let (ended_well, log) = sandbox.terminate();
    assert!(ended_well, "{log}");
    assert!(!log.contains("did not end in time"), "{log}");
    assert!(log.contains("call about a message") && !log.contains(NUMBER) && !log.contains(SECRET), "{log}");
}

#[test]
fn faults_apply_to_messages_whose_operation_is_named() {
    let sandbox = Sandbox::start(&[]);
    let rule =
        |fault: Value| json!({ "match": { "operation": "message", "orderId": "uid" }, "fault": fault });
    sandbox.set_faults(&json!([
        { "fault": { "type": "DropBefore" } },
        rule(json!({ "type": "ErrorBefore", "status": 502 })),
        rule(json!({ "type": "DropAfter" })),
        rule(json!({ "type": "TooManyRequests", "retryAfterSeconds": 3 })),
        rule(json!({ "type": "DuplicateDelivery" })),
        rule(json!({ "type": "Decline" })),
    ]));
    let answer = || webhook(&sandbox, "uid-0", &event("uid-0"));
    assert_eq!(answer().unwrap().status, 502);
    assert_eq!(answer(), None);
    let throttled = answer().unwrap();
    assert!(throttled.status == 429 && throttled.head.contains("retry-after: 3"), "{}", throttled.head);
    assert_eq!(answer().unwrap().json(), json!({ "repeat": true }));
    assert_eq!(answer().unwrap().status, 410);
    assert_eq!(messages(&sandbox, "").len(), 3, "one, and its repeats");
    let left = sandbox.admin("GET", "/sandbox/faults", &Value::Null).json();
    assert_eq!(left.as_array().unwrap().len(), 1, "the rule for payments");
}
