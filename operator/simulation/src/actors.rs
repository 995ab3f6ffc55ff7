//! The people: customers, a store, riders, an administrator, and Kubernetes' own controllers. Each takes one step at a
//! time, by requests to the API server as itself; which step is the scheduler's choice.

mod market;

use fooddelivery_api::{GROUP, OPERATOR_NAMESPACE, PAUSED_ANNOTATION, VERSION};
use serde_json::{Value, json};

use crate::apiserver::{Response, Verb};
use crate::objects::{NAMESPACE, is_dying, name_of, request, text};
use crate::plan::{OrderPlan, Plan};
use crate::world::World;

/// The store.
pub const STORE: &str = "hanok";
/// What a meal costs, KRW.
const PRICE: i64 = 12_000;

/// One step of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// An order is placed, by its number in the plan.
    Place(usize),
    /// The store moves a ticket.
    Cook(String, &'static str),
    /// A rider takes a delivery: name, rider, and whether they can carry it.
    Claim(String, &'static str, bool),
    /// A rider moves a delivery.
    Ride(String, &'static str),
    /// The customer confirms.
    Confirm(String),
    /// The customer cancels.
    Cancel(String),
    /// Somebody deletes an order, with a propagation policy.
    Delete(String, &'static str),
    /// A rider gives a delivery back.
    GiveBack(String),
    /// The customer has another token.
    ReplaceToken(String),
    /// Somebody stops an order, or lets it go on.
    Pause(String, bool),
    /// A store opens or closes.
    Open(String, bool),
    /// The administrator deletes a store, or makes it again.
    Store(&'static str, bool),
    /// The administrator deletes the coupon, or makes it (again).
    Coupon(bool),
    /// The administrator deletes a rider, or makes them (again).
    Rider(&'static str, bool),
    /// The customer is deleted.
    ForgetCustomer,
    /// The customer says which store they prefer, or that they prefer none.
    Prefer(Option<&'static str>),
    /// The administrator deletes the namespace.
    DeleteNamespace,
    /// The Secret with a token comes late.
    TokenSecret(usize),
}

impl Act {
    /// What brings orders towards their end, and nothing else.
    pub fn is_helpful(&self) -> bool {
        match self {
            Self::Place(_) | Self::Confirm(_) | Self::TokenSecret(_) => true,
            Self::Claim(_, rider, fits) => *rider == "minsu" && *fits,
            Self::Cook(_, stage) | Self::Ride(_, stage) => !matches!(*stage, "Rejected" | "Failed"),
            _ => false,
        }
    }

    /// How likely it is, against the others.
    pub fn weight(&self) -> u32 {
        match self {
            _ if self.is_helpful() => 60,
            Self::Cancel(_) | Self::Claim(..) | Self::GiveBack(_) | Self::ReplaceToken(_) => 12,
            // Where they were missing.
            Self::Coupon(true) | Self::Rider(_, true) | Self::Prefer(_) => 16,
            Self::Cook(..) | Self::Ride(..) | Self::Pause(..) | Self::Open(..) => 8,
            // One for each way to delete.
            Self::Delete(..) => 3,
            _ => 4,
        }
    }
}

fn patch(world: &mut World, who: &str, plural: &str, name: &str, change: &Value) -> Response {
    world.request(who, who, &request(Verb::Patch, plural, name, change))
}

fn create(world: &mut World, who: &str, plural: &str, kind: &str, name: &str, spec: &Value) -> Response {
    let version = format!("{GROUP}/{VERSION}");
    let object = json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name }, "spec": spec });
    world.request(who, who, &request(Verb::Create, plural, name, &object))
}

/// Everything that is there before the first order.
pub fn set_up(world: &mut World, plan: &Plan) {
    let now = world.now();
    world.server.add_namespace(NAMESPACE, now);
    market::set_up(world, plan);
    for (name, dialect) in [("toss", "Toss"), ("stripe", "Stripe")] {
        let spec = json!({
            "dialect": dialect, "endpoint": format!("https://{name}.example"),
            "secretRef": { "name": "providers" }, "breaker": { "minimumCalls": 10_000 },
        });
        create(world, "admin", "paymentproviders", "PaymentProvider", name, &spec);
    }
    if plan.messages {
        let spec = json!({
            "transport": "Webhook", "endpoint": "https://listener.example", "secretRef": { "name": "providers" },
        });
        create(world, "admin", "messageproviders", "MessageProvider", "listener", &spec);
    }
    make_secret(world, OPERATOR_NAMESPACE, "providers", "secretKey");
    for (number, order) in plan.orders.iter().enumerate() {
        if order.token_secret && !order.secret_is_late {
            make_secret(world, NAMESPACE, &format!("token-{number}"), "token");
        }
    }
}

fn make_secret(world: &mut World, namespace: &str, name: &str, key: &str) {
    // "c2VjcmV0" is "secret"; each Secret's own name makes its token its own.
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
        "stringData": { key: name }, "data": { key: encoded(name) },
    });
    let mut request = request(Verb::Create, "secrets", name, &object);
    request.namespace = Some(namespace.into());
    world.request("admin", "admin", &request);
}

fn encoded(text: &str) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(text)
}

fn place(world: &mut World, number: usize, order: &OrderPlan, plan: &Plan) {
    let provider = if order.stripe { "stripe" } else { "toss" };
    // Every placing is a checkout of its own.
    let placed = world.number();
    let card = if order.declined { "broke" } else { "tok" };
    let token = format!("{card}-{number}-{placed}");
    let mut payment = json!({
        "providerRef": { "name": provider }, "whenUnavailable": if order.fails { "Fail" } else { "Defer" },
    });
    if order.token_secret {
        payment["tokenSecretRef"] = json!({ "name": format!("token-{number}"), "key": "token" });
    } else {
        payment["token"] = token.clone().into();
    }
    let mut spec = json!({
        "customerRef": { "name": if order.of_another { "haneul" } else { market::CUSTOMER } },
        "items": [{ "menuItem": "bibimbap", "quantity": 1 }],
        "delivery": { "address": "12 Wausan-ro, Mapo-gu", "region": "mapo" }, "payment": payment,
    });
    let mut price = PRICE;
    if order.coupon {
        spec["couponCode"] = market::COUPON.into();
        price -= market::discount(&plan.coupon, PRICE);
    }
    // Whose customer is only a name cannot leave it to what they prefer.
    if !order.names_no_store || order.of_another {
        spec["storeRef"] = json!({ "name": STORE });
    }
    let response = create(world, "customer", "orders", "Order", &order.name, &spec);
    let placed: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    if response.code == 201 && !order.token_secret && !order.stripe {
        let now = world.now();
        world.providers.check_out(&token, text(&placed["metadata"]["uid"]), price, now);
    }
}

/// Everything that somebody could do now, what is helpful first.
pub fn possible(world: &World, plan: &Plan, placed: &[u32]) -> Vec<Act> {
    let mut acts = Vec::new();
    let dying = is_dying(&world.server);
    for (number, order) in plan.orders.iter().enumerate() {
        let there = world.server.objects("orders").any(|o| o["metadata"]["name"] == order.name.as_str());
        let times = placed.get(number).copied().unwrap_or(0);
        // A later one of the same name waits for the first.
        let first = plan.orders.iter().position(|other| other.name == order.name) == Some(number);
        let turn = first || placed.first().is_some_and(|n| *n > 0);
        if !dying && !there && times == 0 && turn {
            acts.push(Act::Place(number));
        }
        let has_secret = world
            .server
            .objects("secrets")
            .any(|s| s["metadata"]["name"] == format!("token-{number}").as_str());
        if order.token_secret && !has_secret && !dying && times > 0 {
            acts.push(Act::TokenSecret(number));
        }
    }
    for ticket in world.server.objects("tickets") {
        on_ticket(ticket, &mut acts);
    }
    for delivery in world.server.objects("deliveries") {
        on_delivery(world, delivery, &mut acts);
    }
    for order in world.server.objects("orders") {
        on_order(order, &mut acts);
    }
    market::possible(world, plan, dying, &mut acts);
    if !dying && plan.namespace_goes {
        acts.push(Act::DeleteNamespace);
    }
    acts.sort_by_key(|act| !act.is_helpful());
    acts
}

fn on_ticket(ticket: &Value, acts: &mut Vec<Act>) {
    let stages: &[&'static str] = match text(&ticket["spec"]["stage"]) {
        "Pending" => &["Accepted", "Rejected"],
        "Accepted" => &["Cooking"],
        "Cooking" => &["Cooked"],
        _ => &[],
    };
    acts.extend(stages.iter().map(|stage| Act::Cook(name_of(ticket), stage)));
}

fn on_delivery(world: &World, delivery: &Value, acts: &mut Vec<Act>) {
    let name = name_of(delivery);
    let taken = delivery["spec"]["riderRef"].is_object();
    match (text(&delivery["spec"]["stage"]), taken) {
        ("Waiting", false) => {
            for rider in market::RIDERS {
                acts.push(Act::Claim(name.clone(), rider, market::has_room(world, rider)));
            }
        }
        ("Waiting", true) => {
            acts.push(Act::Ride(name.clone(), "PickedUp"));
            acts.push(Act::GiveBack(name.clone()));
            acts.push(Act::Claim(name, "sora", false));
        }
        ("PickedUp", _) => {
            acts.push(Act::Ride(name.clone(), "Delivered"));
            acts.push(Act::Ride(name, "Failed"));
        }
        _ => {}
    }
}

fn on_order(order: &Value, acts: &mut Vec<Act>) {
    let name = name_of(order);
    let phase = text(&order["status"]["phase"]);
    if phase == "Delivered" && order["spec"]["receiptConfirmed"] != true {
        acts.push(Act::Confirm(name.clone()));
    }
    if !order["spec"]["cancellation"].is_object() {
        acts.push(Act::Cancel(name.clone()));
    }
    if !order["metadata"]["deletionTimestamp"].is_string() {
        acts.extend(["Background", "Foreground", "Orphan"].map(|how| Act::Delete(name.clone(), how)));
    }
    if phase == "PaymentDeferred" && order["spec"]["payment"]["token"].is_string() {
        acts.push(Act::ReplaceToken(name.clone()));
    }
    let paused = order["metadata"]["annotations"][PAUSED_ANNOTATION] == "true";
    acts.push(Act::Pause(name, !paused));
}

/// Takes a step.
pub fn take(world: &mut World, plan: &Plan, placed: &mut [u32], act: &Act) {
    match act {
        Act::Place(number) => {
            if let (Some(order), Some(times)) = (plan.orders.get(*number), placed.get_mut(*number)) {
                *times += 1;
                place(world, *number, order, plan);
            }
        }
        Act::Cook(name, stage) => {
            patch(world, "store", "tickets", name, &json!({ "spec": { "stage": stage } }));
        }
        Act::Claim(name, rider, _) => {
            let change = json!({ "spec": { "riderRef": { "name": rider } } });
            patch(world, rider, "deliveries", name, &change);
        }
        Act::Ride(name, stage) => {
            patch(world, "rider", "deliveries", name, &json!({ "spec": { "stage": stage } }));
        }
        Act::GiveBack(name) => {
            patch(world, "rider", "deliveries", name, &json!({ "spec": { "riderRef": null } }));
        }
        Act::Confirm(name) => {
            patch(world, "customer", "orders", name, &json!({ "spec": { "receiptConfirmed": true } }));
        }
        Act::Cancel(name) => {
            let change = json!({ "spec": { "cancellation": { "reason": "not hungry any more" } } });
            patch(world, "customer", "orders", name, &change);
        }
        Act::Delete(name, how) => {
            let options = json!({ "propagationPolicy": how });
            world.request("customer", "customer", &request(Verb::Delete, "orders", name, &options));
        }
        Act::ReplaceToken(name) => {
            let token = format!("tok-new-{}", world.number());
            let change = json!({ "spec": { "payment": { "token": token } } });
            patch(world, "customer", "orders", name, &change);
        }
        Act::Pause(name, yes) => {
            let value = if *yes { json!("true") } else { Value::Null };
            let change = json!({ "metadata": { "annotations": { PAUSED_ANNOTATION: value } } });
            patch(world, "support", "orders", name, &change);
        }
        Act::DeleteNamespace => {
            world.request("admin", "admin", &request(Verb::Delete, "namespaces", NAMESPACE, &Value::Null));
        }
        Act::TokenSecret(number) => make_secret(world, NAMESPACE, &format!("token-{number}"), "token"),
        _ => market::take(world, plan, act),
    }
}

/// Puts right what people did that nothing can come to an end with: orders are let go on, the stores are there and open,
/// the customer prefers one.
pub fn put_right(world: &mut World, plan: &Plan, placed: &mut [u32]) {
    let paused: Vec<String> = world
        .server
        .objects("orders")
        .filter(|o| o["metadata"]["annotations"][PAUSED_ANNOTATION] == "true")
        .map(name_of)
        .collect();
    for name in paused {
        take(world, plan, placed, &Act::Pause(name, false));
    }
    let acts = possible(world, plan, placed);
    for act in acts {
        if matches!(act, Act::Open(_, true) | Act::Store(_, true) | Act::TokenSecret(_)) {
            take(world, plan, placed, &act);
        }
    }
    market::put_right(world, plan);
}
