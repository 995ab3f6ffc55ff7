//! The Stripe dialect, as a client sees it.

use serde_json::{Value, json};

use crate::common::{Answer, LedgerFile, Sandbox};

const INTENTS: &str = "/v1/payment_intents";
const REFUNDS: &str = "/v1/refunds";

impl Sandbox {
    fn post(&self, path: &str, key: &str, form: &[(&str, &str)]) -> Answer {
        self.stripe("POST", path, Some(key), form).unwrap()
    }

    fn read(&self, path: &str) -> Answer {
        self.stripe("GET", path, None, &[]).unwrap()
    }

    /// The id of a new intent of 1000 KRW for `order-1`.
    fn intent(&self, key: &str, payment_method: &str) -> String {
        let created = self.post(INTENTS, key, &new_intent(payment_method));
        assert_eq!(created.status, 200, "{created:?}");
        created.json()["id"].as_str().unwrap().to_owned()
    }

    fn capture(&self, intent: &str, key: &str) -> Answer {
        self.post(&format!("{INTENTS}/{intent}/confirm"), key, &[])
    }

    fn void(&self, intent: &str, key: &str) -> Answer {
        self.post(&format!("{INTENTS}/{intent}/cancel"), key, &[])
    }

    fn status(&self, intent: &str) -> Value {
        self.read(&format!("{INTENTS}/{intent}")).json()["status"].clone()
    }

    fn fault_on(&self, operation: &str, fault: &Value) {
        self.set_faults(&json!([{ "match": { "operation": operation }, "fault": fault }]));
    }
}

fn new_intent(payment_method: &str) -> [(&str, &str); 4] {
    [
        ("amount", "1000"),
        ("currency", "krw"),
        ("payment_method", payment_method),
        ("metadata[order_id]", "order-1"),
    ]
}

fn error(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["error"]["code"].clone())
}

fn unexpected_state() -> (u16, Value) {
    (400, json!("payment_intent_unexpected_state"))
}

fn replayed(answer: &Answer) -> bool {
    answer.head.contains("idempotent-replayed: true")
}

#[test]
fn an_intent_is_created_confirmed_read_and_refunded() {
    let sandbox = Sandbox::start(&[]);
    let created = sandbox.post(INTENTS, "k1", &new_intent("pm_1")).json();
    assert_eq!(created["object"], "payment_intent");
    assert_eq!(created["status"], "requires_confirmation");
    assert_eq!((&created["amount"], &created["amount_received"]), (&json!(1000), &json!(0)));
    assert_eq!((&created["currency"], &created["latest_charge"]), (&json!("krw"), &Value::Null));
    assert_eq!(created["metadata"], json!({ "order_id": "order-1" }));
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("pi_"), "{id}");

    let captured = sandbox.capture(id, "k2").json();
    assert_eq!((&captured["status"], &captured["amount_received"]), (&json!("succeeded"), &json!(1000)));
    let form = [("payment_intent", id), ("amount", "300"), ("reason", "requested_by_customer")];
    let refund = sandbox.post(REFUNDS, "k3", &form).json();
    assert!(refund["id"].as_str().unwrap().starts_with("re_"), "{refund}");
    assert_eq!((&refund["object"], &refund["status"]), (&json!("refund"), &json!("succeeded")));
    assert_eq!((&refund["amount"], &refund["payment_intent"]), (&json!(300), &json!(id)));

    let read = sandbox.read(&format!("{INTENTS}/{id}")).json();
    assert_eq!(read["status"], "succeeded", "a refund does not change that");
    let charge = &read["latest_charge"];
    assert_eq!((&charge["amount_captured"], &charge["amount_refunded"]), (&json!(1000), &json!(300)));
    assert_eq!(charge["refunded"], false);
    assert_eq!(sandbox.ledger(), [("Capture".to_owned(), 1000), ("Refund".to_owned(), 300)]);
}

#[test]
fn an_intent_can_be_captured_as_it_is_created() {
    let sandbox = Sandbox::start(&[]);
    let form = [&new_intent("pm_1")[..], &[("confirm", "true"), ("expand[]", "latest_charge")]].concat();
    assert_eq!(sandbox.post(INTENTS, "k1", &form).json()["status"], "succeeded");
    assert_eq!(sandbox.calls()[0]["operation"], "confirm", "for it is a charge");
    let declined = [&new_intent("decline_1")[..], &[("confirm", "true")]].concat();
    assert_eq!(error(&sandbox.post(INTENTS, "k2", &declined)), (402, json!("card_declined")));
    assert_eq!(sandbox.ledger(), [("Capture".to_owned(), 1000)]);
}

#[test]
fn without_an_accepted_key_nothing_is_done() {
    let sandbox = Sandbox::start(&["--secret-key", "another"]);
    let refused = sandbox.stripe("POST", INTENTS, Some("k1"), &new_intent("pm_1")).unwrap();
    assert_eq!((refused.status, &refused.json()["error"]["type"]), (401, &json!("invalid_request_error")));
    assert!(sandbox.calls().is_empty());
}

#[test]
fn a_decline_is_kept_under_its_key_and_another_key_and_method_can_still_capture() {
    let sandbox = Sandbox::start(&[]);
    let id = sandbox.intent("k1", "decline_1");
    let declined = sandbox.capture(&id, "k2");
    assert_eq!(error(&declined), (402, json!("card_declined")));
    let shown = &declined.json()["error"];
    assert_eq!((&shown["type"], &shown["decline_code"]), (&json!("card_error"), &json!("generic_decline")));
    assert_eq!(shown["payment_intent"]["status"], "requires_payment_method");
    assert_eq!(shown["payment_intent"]["last_payment_error"]["code"], "card_declined");
    let again = sandbox.capture(&id, "k2");
    assert_eq!((again.status, replayed(&again)), (402, true));
    let path = format!("{INTENTS}/{id}/confirm");
    let captured = sandbox.post(&path, "k3", &[("payment_method", "pm_2")]);
    assert_eq!(captured.json()["status"], "succeeded");
    assert_eq!(captured.json()["last_payment_error"], Value::Null);
}

#[test]
fn a_canceled_intent_is_never_confirmed_and_a_second_cancel_is_told_so_unless_its_key_is_the_same() {
    let sandbox = Sandbox::start(&[]);
    let id = sandbox.intent("k1", "pm_1");
    assert_eq!(sandbox.void(&id, "k2").json()["status"], "canceled");
    assert_eq!(error(&sandbox.capture(&id, "k3")), unexpected_state());
    let again = sandbox.void(&id, "k4");
    assert_eq!(error(&again), unexpected_state());
    assert_eq!(again.json()["error"]["payment_intent"]["status"], "canceled");
    let same = sandbox.void(&id, "k2");
    assert_eq!((same.status, replayed(&same)), (200, true));
    let captured = sandbox.intent("k5", "pm_1");
    sandbox.capture(&captured, "k6");
    assert_eq!(
        error(&sandbox.void(&captured, "k7")),
        unexpected_state(),
        "nor is what was captured canceled"
    );
    assert_eq!(sandbox.ledger(), [("Capture".to_owned(), 1000)]);
}

#[test]
fn a_cancel_that_comes_while_a_confirm_is_on_its_way_wins_and_no_money_moves() {
    let sandbox = Sandbox::start(&[]);
    let id = sandbox.intent("k1", "pm_1");
    sandbox.fault_on("confirm", &json!({ "type": "DelayBefore", "ms": 4_000 }));
    std::thread::scope(|scope| {
        let confirm = scope.spawn(|| sandbox.capture(&id, "k2"));
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert_eq!(error(&sandbox.capture(&id, "k2")), (409, json!("idempotency_key_in_use")));
        assert_eq!(sandbox.void(&id, "k3").json()["status"], "canceled");
        assert_eq!(error(&confirm.join().unwrap()), unexpected_state());
    });
    assert!(sandbox.ledger().is_empty());
}

#[test]
fn the_same_key_with_other_parameters_or_another_endpoint_is_refused() {
    let sandbox = Sandbox::start(&[]);
    let id = sandbox.intent("k1", "pm_1");
    let reordered = new_intent("pm_1").into_iter().rev().collect::<Vec<_>>();
    let same = sandbox.post(INTENTS, "k1", &reordered);
    assert_eq!((&same.json()["id"], replayed(&same)), (&json!(id), true), "an order is no difference");
    for other in [sandbox.post(INTENTS, "k1", &new_intent("pm_2")), sandbox.capture(&id, "k1")] {
        assert_eq!((other.status, &other.json()["error"]["type"]), (400, &json!("idempotency_error")));
        assert!(!replayed(&other));
    }
    assert_eq!(sandbox.confirm("pk_1", "k1").0, 200, "and with Toss it is another key");
    let long = sandbox.post(INTENTS, &"k".repeat(256), &new_intent("pm_1"));
    assert_eq!((long.status, &long.json()["error"]["type"]), (400, &json!("invalid_request_error")));
}

#[test]
fn a_500_is_replayed_even_when_nothing_was_done_and_another_key_finds_the_truth() {
    let sandbox = Sandbox::start(&["--after-server-error", "forget"]);
    let (before, after) = (sandbox.intent("k1", "error_before_1"), sandbox.intent("k2", "error_after_1"));
    for (id, key, status) in [(&before, "k3", "requires_confirmation"), (&after, "k4", "succeeded")] {
        let failed = sandbox.capture(id, key);
        assert_eq!((failed.status, &failed.json()["error"]["type"]), (500, &json!("api_error")));
        let again = sandbox.capture(id, key);
        assert_eq!((again.status, replayed(&again)), (500, true), "whatever is said of Toss");
        assert_eq!(sandbox.status(id), status);
    }
    assert_eq!(sandbox.capture(&before, "k5").status, 200);
    assert_eq!(error(&sandbox.capture(&after, "k6")), unexpected_state());
    assert_eq!(sandbox.ledger().len(), 2);
}

#[test]
fn a_connection_lost_before_leaves_no_trace_and_one_lost_after_keeps_the_true_answer() {
    let sandbox = Sandbox::start(&[]);
    for (method, status) in [("drop_before_1", "requires_confirmation"), ("drop_after_1", "succeeded")] {
        let id = sandbox.intent(&format!("create-{method}"), method);
        let path = format!("{INTENTS}/{id}/confirm");
        assert_eq!(sandbox.stripe("POST", &path, Some(method), &[]), None);
        assert_eq!(sandbox.status(&id), status);
        let again = sandbox.capture(&id, method);
        assert_eq!((again.status, replayed(&again)), (200, status == "succeeded"), "{method}");
    }
    assert_eq!(sandbox.ledger().len(), 2);
}

#[test]
fn neither_409_nor_429_nor_a_parameter_that_is_wrong_is_kept_under_the_key() {
    let sandbox = Sandbox::start(&[]);
    sandbox.fault_on("prepare", &json!({ "type": "InProgress409" }));
    assert_eq!(
        error(&sandbox.post(INTENTS, "k1", &new_intent("pm_1"))),
        (409, json!("idempotency_key_in_use"))
    );
    sandbox.fault_on("prepare", &json!({ "type": "TooManyRequests", "retryAfterSeconds": 7 }));
    let patience = sandbox.post(INTENTS, "k1", &new_intent("pm_1"));
    assert_eq!(error(&patience), (429, json!("rate_limit")));
    assert!(patience.head.contains("retry-after: 7"));
    let wrong = sandbox.post(INTENTS, "k1", &[("amount", "0"), ("currency", "krw")]);
    assert_eq!(error(&wrong), (400, json!("parameter_invalid_integer")));
    let created = sandbox.post(INTENTS, "k1", &new_intent("pm_1"));
    assert_eq!((created.status, replayed(&created)), (200, false));
}

#[test]
fn a_key_is_executed_anew_after_its_retention() {
    let sandbox = Sandbox::start(&["--stripe-idempotency-retention", "300ms"]);
    let first = sandbox.intent("k1", "pm_1");
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert_ne!(sandbox.intent("k1", "pm_1"), first, "which is how an order comes to have two intents");
}

#[test]
fn refunds_are_refused_beyond_the_capture() {
    let sandbox = Sandbox::start(&[]);
    let id = sandbox.intent("k1", "pm_1");
    let refund = |key: &str, form: &[(&str, &str)]| sandbox.post(REFUNDS, key, form);
    let whole = [("payment_intent", id.as_str())];
    assert_eq!(error(&refund("k2", &whole)), unexpected_state(), "nothing was captured");
    sandbox.capture(&id, "k3");
    let above = [whole[0], ("amount", "1001")];
    assert_eq!(error(&refund("k4", &above)), (400, json!("parameter_invalid_integer")));
    assert_eq!(refund("k5", &whole).json()["amount"], 1000);
    assert_eq!(error(&refund("k6", &whole)), (400, json!("charge_already_refunded")));
    let again = refund("k5", &whole);
    assert_eq!((again.status, replayed(&again)), (200, true));
    assert_eq!(error(&refund("k7", &[("payment_intent", "pi_0")])), (404, json!("resource_missing")));
    assert_eq!(sandbox.ledger(), [("Capture".to_owned(), 1000), ("Refund".to_owned(), 1000)]);
}

#[test]
fn search_is_late_by_its_lag_and_the_look_up_by_id_is_not() {
    let search = "/v1/payment_intents/search?query=metadata%5B%27order_id%27%5D%3A%27order-1%27";
    let late = Sandbox::start(&[]);
    let id = late.intent("k1", "pm_1");
    assert_eq!(late.status(&id), "requires_confirmation");
    let found = late.read(search).json();
    assert_eq!((&found["object"], &found["data"]), (&json!("search_result"), &json!([])));
    assert_eq!(error(&late.read("/v1/payment_intents/pi_0")), (404, json!("resource_missing")));

    let prompt = Sandbox::start(&["--search-lag", "0s"]);
    let first = prompt.intent("k1", "pm_1");
    let second = prompt.intent("k2", "pm_1");
    let found = prompt.read(search).json();
    let ids: Vec<_> = found["data"].as_array().unwrap().iter().map(|intent| &intent["id"]).collect();
    assert_eq!(ids, [&json!(second), &json!(first)], "newest first");
    let page = prompt.read(&format!("{search}&limit=1")).json();
    assert_eq!((&page["has_more"], &page["next_page"]), (&json!(true), &json!("1")));
    let last = prompt.read(&format!("{search}&limit=1&page=1")).json();
    assert_eq!((&last["data"][0]["id"], &last["has_more"]), (&json!(first), &json!(false)));
    assert_eq!(prompt.read("/v1/payment_intents/search?query=status:%27succeeded%27").status, 400);
}

#[test]
fn faults_find_the_intent_the_payment_method_and_the_operation_and_the_log_names_the_calls() {
    let sandbox = Sandbox::start(&[]);
    let id = sandbox.intent("k1", "pm_1");
    for (number, name) in [id.as_str(), "pm_1"].into_iter().enumerate() {
        let matching = json!({ "operation": "confirm", "paymentKey": name, "orderId": "order-1" });
        sandbox
            .set_faults(&json!([{ "match": matching, "fault": { "type": "Decline", "code": "lost_card" } }]));
        let path = format!("{INTENTS}/{id}/confirm");
        let declined = sandbox.post(&path, &format!("c{number}"), &[("payment_method", "pm_1")]).json();
        assert_eq!(declined["error"]["decline_code"], "lost_card", "{name}");
    }
    sandbox.fault_on("void", &json!({ "type": "DropAfter" }));
    assert_eq!(sandbox.stripe("POST", &format!("{INTENTS}/{id}/cancel"), Some("k4"), &[]), None);
    assert_eq!(sandbox.status(&id), "canceled");
    sandbox.fault_on("lookup", &json!({ "type": "ErrorBefore", "status": 503 }));
    assert_eq!(sandbox.read(&format!("{INTENTS}/{id}")).status, 503);
    sandbox.fault_on("cancel", &json!({ "type": "GarbledAnswer" }));
    let garbled = sandbox.post(REFUNDS, "k5", &[("payment_intent", &id)]);
    assert_eq!((garbled.status, garbled.json()), (200, Value::Null));

    let calls = sandbox.calls();
    assert!(calls.iter().all(|call| call["dialect"] == "Stripe"));
    let operations: Vec<_> = calls.iter().map(|call| call["operation"].as_str().unwrap()).collect();
    assert_eq!(operations, ["prepare", "confirm", "confirm", "void", "lookup", "lookup", "cancel"]);
}

#[test]
fn every_post_takes_the_latency_and_no_read_does() {
    let sandbox = Sandbox::start(&["--latency", "1000-1000"]);
    let id = sandbox.intent("k1", "pm_1");
    sandbox.capture(&id, "k2");
    sandbox.post(REFUNDS, "k3", &[("payment_intent", &id)]);
    sandbox.void(&id, "k4");
    sandbox.status(&id);
    let slow: Vec<_> =
        sandbox.calls().iter().map(|call| call["elapsedMs"].as_u64().unwrap() >= 1_000).collect();
    assert_eq!(slow, [true, true, true, true, false]);
}

#[test]
fn after_a_kill_and_a_restart_intents_stand_where_they_stood_and_their_keys_are_told_the_same() {
    let file = LedgerFile::new("stripe");
    let first = Sandbox::start(&file.option());
    let (id, forgotten) = (first.intent("k1", "pm_1"), first.intent("k0", "pm_1"));
    let captured = first.capture(&id, "k2").json();
    let form = [("payment_intent", id.as_str()), ("amount", "300")];
    let refunded = first.post(REFUNDS, "k3", &form).json();
    assert_eq!(first.confirm("pk_1", "k2").0, 200);
    drop(first);

    let second = Sandbox::start(&file.option());
    assert_eq!(second.status(&id), "succeeded");
    let again = second.capture(&id, "k2");
    assert!(replayed(&again));
    assert_eq!(again.json()["latest_charge"], captured["latest_charge"], "as it was first answered");
    assert_eq!(second.post(REFUNDS, "k3", &form).json(), refunded);
    assert_eq!(error(&second.capture(&id, "k4")), unexpected_state());
    assert_eq!(second.confirm("pk_1", "k2").1["status"], "DONE");
    let rest = second.post(REFUNDS, "k5", &[("payment_intent", &id)]).json();
    assert_eq!(rest["amount"], 700);
    assert_eq!(
        error(&second.capture(&forgotten, "k6")),
        (404, json!("resource_missing")),
        "only money is kept"
    );
    let kinds: Vec<_> = second.ledger().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["Capture", "Refund", "Capture", "Refund"]);
}
