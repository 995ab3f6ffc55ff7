//! A bench for one controller: objects in, reconcile, writes out. The controller is the shipped one, in a replica that runs
//! no other, on the API server in memory with its rules and policies; time is tokio's and costs nothing.
//!
//! It stands here and not with the controllers because the API server does: as a dev-dependency of the controllers, the
//! simulation, which runs them, would close a circle.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use clap::Parser;
use fooddelivery_api::{FINALIZER, GROUP, MessageProviderSpec, OPERATOR_NAMESPACE, VERSION, policies};
use fooddelivery_controller::replica::{Parts, Replica};
use fooddelivery_controller::settings::Settings;
use fooddelivery_providers::notification::{Message, MessagePort, SendOutcome};
use fooddelivery_runtime::Jitter;
use fooddelivery_runtime::clock::{Clock, Source};
use fooddelivery_runtime::watch::FirstList;
use fooddelivery_simulation::apiserver::faults::{Fault, FaultPlan, RequestInfo};
use fooddelivery_simulation::apiserver::service::Cluster;
use fooddelivery_simulation::apiserver::{Catalog, Request, Server, Verb};
use fooddelivery_simulation::message_provider::Inbox;
use fooddelivery_simulation::objects::request;
use fooddelivery_simulation::payment_port;
use fooddelivery_simulation::provider::{Call, CallOutcome, ProviderFault, Providers};
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

/// Where everything stands.
const NAMESPACE: &str = "food";
/// The dish that everybody orders, and its price in KRW.
pub(crate) const DISH: &str = "bibimbap";
pub(crate) const PRICE: i64 = 12_000;
/// When every test begins, in milliseconds since the Unix epoch.
const BEGINNING_MS: i64 = 1_800_000_000_000;
/// Longer than counts and logs lag here, and shorter than any deadline.
const A_WHILE: Duration = Duration::from_secs(5);

/// The bench. Its fixtures can be chained; each refuses what the API server refuses.
pub(crate) struct Bench {
    cluster: Cluster,
    outside: Arc<Outside>,
    begun: Instant,
    /// The order that fixtures are about: the last that was placed.
    order: String,
}

/// What is outside of the cluster, and what was heard there.
#[derive(Default)]
struct Outside {
    writes: Mutex<Vec<String>>,
    bank: Mutex<Providers>,
    inbox: Mutex<Inbox>,
    /// What becomes of the next calls and messages; nothing goes wrong with the others.
    faults: Mutex<VecDeque<ProviderFault>>,
    calls: Mutex<Vec<String>>,
}

impl Outside {
    fn fault(&self) -> ProviderFault {
        self.faults.lock().unwrap().pop_front().unwrap_or(ProviderFault::None)
    }
}

fn now(begun: Instant) -> Timestamp {
    Timestamp::from_millisecond(BEGINNING_MS + elapsed_ms(begun)).unwrap()
}

fn elapsed_ms(begun: Instant) -> i64 {
    i64::try_from(begun.elapsed().as_millis()).unwrap()
}

impl Bench {
    /// A store that is open, a customer with a telephone, and a payment provider with its Secret.
    pub(crate) fn new() -> Self {
        let begun = Instant::now();
        let outside = Arc::new(Outside::default());
        let server = Server::new(Catalog::shared().unwrap(), 7, now(begun));
        let cluster = Cluster::new(server, move || now(begun), Recorder(outside.clone()));
        cluster.with(|server| server.add_namespace(NAMESPACE, now(begun)));
        let bench = Self { cluster, outside, begun, order: String::new() };
        let menu = json!([{ "name": DISH, "price": PRICE }]);
        bench
            .with("stores", "Store", "hanok", &json!({ "region": "mapo", "menu": menu }))
            .with("customers", "Customer", "jiwoo", &json!({ "contact": "010-1234-5678" }))
            .with("paymentproviders", "PaymentProvider", "toss", &provider("Toss"))
            .secret()
    }

    /// An object, as an administrator makes it.
    pub(crate) fn with(self, plural: &str, kind: &str, name: &str, spec: &Value) -> Self {
        self.made("admin", plural, kind, name, spec);
        self
    }

    fn made(&self, user: &str, plural: &str, kind: &str, name: &str, spec: &Value) -> Value {
        let version = format!("{GROUP}/{VERSION}");
        let object =
            json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name }, "spec": spec });
        self.handled(user, &request(Verb::Create, plural, name, &object))
    }

    /// The Secret that providers name.
    fn secret(self) -> Self {
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "providers" },
            "data": { "secretKey": "c2VjcmV0" },
        });
        let mut request = request(Verb::Create, "secrets", "providers", &object);
        request.namespace = Some(OPERATOR_NAMESPACE.into());
        self.handled("admin", &request);
        self
    }

    fn handled(&self, user: &str, request: &Request) -> Value {
        let response = self.cluster.with(|server| server.handle(request, user, now(self.begun)));
        let body = String::from_utf8_lossy(&response.body).into_owned();
        assert!(response.code < 300, "{:?} {} by {user}: {body}", request.verb, request.plural);
        serde_json::from_str(&body).unwrap()
    }

    /// A change of spec or metadata by somebody.
    pub(crate) fn change(self, user: &str, plural: &str, name: &str, change: &Value) -> Self {
        self.handled(user, &request(Verb::Patch, plural, name, change));
        self
    }

    /// A change by the operator's other controllers.
    pub(crate) fn change_by_operator(self, plural: &str, name: &str, change: &Value) -> Self {
        self.change(&policies::operator_user(), plural, name, change)
    }

    /// The store is deleted and made again under its name.
    pub(crate) fn store_made_anew(self) -> Self {
        let spec = self.get("stores", "hanok")["spec"].clone();
        self.handled("admin", &request(Verb::Delete, "stores", "hanok", &Value::Null));
        self.with("stores", "Store", "hanok", &spec)
    }

    /// A status, as the operator has written it before.
    pub(crate) fn status(self, plural: &str, name: &str, status: &Value) -> Self {
        self.write_status(plural, name, status);
        self
    }

    /// A status, as another replica writes it while a controller runs.
    pub(crate) fn write_status(&self, plural: &str, name: &str, status: &Value) {
        let mut request = request(Verb::Patch, plural, name, &json!({ "status": status }));
        request.subresource = Some("status".into());
        self.handled(&policies::operator_user(), &request);
    }

    /// An order of one dish, and the checkout that pays for it.
    pub(crate) fn order(self, name: &str) -> Self {
        self.order_with(name, &json!({}))
    }

    /// An order with something else in its spec.
    pub(crate) fn order_with(mut self, name: &str, change: &Value) -> Self {
        let token = format!("tok-{name}");
        let mut spec = json!({
            "customerRef": { "name": "jiwoo" }, "storeRef": { "name": "hanok" },
            "items": [{ "menuItem": DISH, "quantity": 1 }],
            "delivery": { "address": "12 Wausan-ro", "region": "mapo" },
            "payment": { "providerRef": { "name": "toss" }, "token": token },
        });
        json_patch::merge(&mut spec, change);
        let order = self.made("customer", "orders", "Order", name, &spec);
        let uid = order["metadata"]["uid"].as_str().unwrap();
        self.outside.bank.lock().unwrap().check_out(&token, uid, PRICE, now(self.begun));
        name.clone_into(&mut self.order);
        self
    }

    /// The order stands in a phase.
    pub(crate) fn phase(self, phase: &str) -> Self {
        let order = self.order.clone();
        let at = now(self.begun).to_string();
        let known = self.get("orders", &order)["status"]["history"].clone();
        let mut history = known.as_array().cloned().unwrap_or_default();
        if history.is_empty() {
            history.push(json!({ "phase": "AwaitingPayment", "at": at }));
        }
        history.push(json!({ "phase": phase, "at": at }));
        let store = json!({ "name": "hanok" });
        let status = json!({ "phase": phase, "storeRef": store, "total": PRICE, "history": history });
        self.status("orders", &order, &status)
    }

    /// The order's payment, which nothing was done for yet.
    pub(crate) fn payment(self) -> Self {
        self.payment_with(&json!({}))
    }

    /// The order's payment with something else in its spec.
    pub(crate) fn payment_with(self, change: &Value) -> Self {
        let (reference, store) = (self.reference(), self.uid("stores", "hanok"));
        let mut spec = json!({
            "orderRef": reference, "providerRef": { "name": "toss" }, "providerOrderId": reference["uid"],
            "quote": {
                "storeName": "hanok", "storeUid": store, "discount": 0, "total": PRICE, "currency": "KRW",
                "lines": [{ "menuItem": DISH, "quantity": 1, "unitPrice": PRICE, "amount": PRICE }],
            },
            "token": format!("tok-{}", self.order), "whenUnavailable": "Defer", "desired": "Captured",
        });
        json_patch::merge(&mut spec, change);
        self.made(&policies::operator_user(), "payments", "Payment", &self.order, &spec);
        self
    }

    /// The order is paid, and waits for its store.
    pub(crate) fn paid(self) -> Self {
        let order = self.order.clone();
        let captured = json!({ "phase": "Captured", "attempt": 1, "capturedAmount": PRICE });
        self.payment().status("payments", &order, &captured).phase("AwaitingStore")
    }

    /// The order's ticket, which its store has brought to a stage by these steps.
    pub(crate) fn ticket(self, steps: &[&str]) -> Self {
        let store = json!({ "name": "hanok", "uid": self.uid("stores", "hanok") });
        let items = json!([{ "menuItem": DISH, "quantity": 1 }]);
        let spec =
            json!({ "orderRef": self.reference(), "storeRef": store, "items": items, "stage": "Pending" });
        self.made(&policies::operator_user(), "tickets", "Ticket", &self.order, &spec);
        self.steps("store", "tickets", steps)
    }

    /// The order's delivery, which a rider has brought to a stage by these steps.
    pub(crate) fn delivery(self, rider: Option<&str>, steps: &[&str]) -> Self {
        let store = json!({ "name": "hanok", "uid": self.uid("stores", "hanok") });
        let dropoff = json!({ "address": "12 Wausan-ro", "region": "mapo" });
        let spec =
            json!({ "orderRef": self.reference(), "pickup": store, "dropoff": dropoff, "stage": "Waiting" });
        self.made(&policies::operator_user(), "deliveries", "Delivery", &self.order, &spec);
        let bench = match rider {
            Some(rider) => {
                let order = self.order.clone();
                let claim = json!({ "spec": { "riderRef": { "name": rider } } });
                self.change("rider", "deliveries", &order, &claim)
            }
            None => self,
        };
        bench.steps("rider", "deliveries", steps)
    }

    fn steps(mut self, user: &str, plural: &str, steps: &[&str]) -> Self {
        let order = self.order.clone();
        for stage in steps {
            self = self.change(user, plural, &order, &json!({ "spec": { "stage": stage } }));
        }
        self
    }

    /// The customer wants the order undone.
    pub(crate) fn cancelled(self) -> Self {
        let order = self.order.clone();
        let change = json!({ "spec": { "cancellation": { "reason": "no longer hungry" } } });
        self.change("customer", "orders", &order, &change)
    }

    /// The order is deleted, and stays until the operator lets it go.
    pub(crate) fn deleted(self) -> Self {
        self.handled("customer", &request(Verb::Delete, "orders", &self.order, &Value::Null));
        self
    }

    /// The order has vanished, and left its children behind.
    pub(crate) fn vanished(self) -> Self {
        self.gone("orders")
    }

    /// So has the order's payment.
    pub(crate) fn payment_vanished(self) -> Self {
        self.gone("payments")
    }

    fn gone(self, plural: &str) -> Self {
        let operator = policies::operator_user();
        self.handled(&operator, &request(Verb::Delete, plural, &self.order, &Value::Null));
        let change = json!({ "metadata": { "finalizers": null } });
        self.handled(&operator, &request(Verb::Patch, plural, &self.order, &change));
        self
    }

    /// What becomes of the next calls to providers, one after the other.
    pub(crate) fn faults(self, faults: &[ProviderFault]) -> Self {
        self.outside.faults.lock().unwrap().extend(faults);
        self
    }

    /// A controller runs for a while, and no other does. Returns its writes: verb and kind.
    pub(crate) async fn reconcile(&self, controller: &str) -> Vec<String> {
        self.reconcile_for(controller, A_WHILE).await
    }

    /// A controller runs for `time`, and no other does.
    pub(crate) async fn reconcile_for(&self, controller: &str, time: Duration) -> Vec<String> {
        let (_stop, stopping) = watch::channel(false);
        let replica = tokio::spawn(self.replica("bench", controller, 0, stopping).run());
        tokio::time::sleep(time).await;
        replica.abort();
        std::mem::take(&mut *self.outside.writes.lock().unwrap())
    }

    /// A replica with one controller or several, which shares its work by Leases of so long; 0: with nobody.
    pub(crate) fn replica(
        &self,
        name: &str,
        controllers: &str,
        lease_ms: u32,
        stopping: watch::Receiver<bool>,
    ) -> Replica {
        let flags = [
            "bench".to_owned(),
            format!("--controllers={controllers}"),
            format!("--replica={name}"),
            "--count-lag-ms=1500".to_owned(),
            "--message-log-lag-ms=2000".to_owned(),
            format!("--shard-lease-ms={lease_ms}"),
        ];
        let settings = Flags::try_parse_from(flags).unwrap().settings;
        let (outside, paid) = (self.outside.clone(), self.outside.clone());
        let begun = self.begun;
        let ask = Arc::new(move |call: Call| -> BoxFuture<'static, CallOutcome> {
            let outside = paid.clone();
            Box::pin(async move { outside.called(&call, now(begun)) })
        });
        let parts = Parts {
            clock: Arc::new(Clock::new(Virtual(begun))),
            jitter: Arc::new(Jitter::seeded(1)),
            ports: Arc::new(move |dialect, _, _| Ok(payment_port::port(dialect, ask.clone()))),
            messages: Arc::new(move |_, _: &MessageProviderSpec, _| Ok(Arc::new(Listener(outside.clone())))),
            first_list: FirstList::Streamed,
        };
        Replica::new(self.operators_client(), settings, parts, stopping)
    }

    /// A client of the operator's user.
    pub(crate) fn operators_client(&self) -> kube::Client {
        self.cluster.client(CLIENT, &policies::operator_user())
    }

    /// An object as it stands; null where there is none.
    pub(crate) fn get(&self, plural: &str, name: &str) -> Value {
        self.cluster.with(|server| {
            let mut objects = server.objects(plural);
            objects.find(|object| object["metadata"]["name"] == name).cloned().unwrap_or_default()
        })
    }

    /// How many objects of a kind there are.
    pub(crate) fn count(&self, plural: &str) -> usize {
        self.cluster.with(|server| server.objects(plural).count())
    }

    /// The reasons of all Events so far, in their order.
    pub(crate) fn events(&self) -> Vec<String> {
        let mut events: Vec<Value> = self.cluster.with(|server| server.objects("events").cloned().collect());
        events.sort_by_key(|event| {
            event["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap()
        });
        events.iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
    }

    /// What providers were asked so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.outside.calls.lock().unwrap().clone()
    }

    /// The phases that the message provider has heard of the order.
    pub(crate) fn heard(&self) -> Vec<String> {
        let uid = self.uid("orders", &self.order);
        self.outside.inbox.lock().unwrap().of(&uid).iter().map(|(_, phase)| phase.clone()).collect()
    }

    /// The uid of an object.
    pub(crate) fn uid(&self, plural: &str, name: &str) -> String {
        self.get(plural, name)["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
    }

    /// A reference to the order, as its children have it.
    pub(crate) fn reference(&self) -> Value {
        json!({ "name": self.order, "uid": self.uid("orders", &self.order) })
    }
}

/// The spec of a message provider.
pub(crate) fn listener() -> Value {
    json!({
        "transport": "Webhook", "endpoint": "https://listener.example", "secretRef": { "name": "providers" },
    })
}

/// The spec of a payment provider of a dialect.
pub(crate) fn provider(dialect: &str) -> Value {
    json!({
        "dialect": dialect, "endpoint": "https://provider.example", "secretRef": { "name": "providers" },
    })
}

impl Outside {
    fn called(&self, call: &Call, now: Timestamp) -> CallOutcome {
        self.calls.lock().unwrap().push(call.asked.operation().to_owned());
        let fault = self.fault();
        self.bank.lock().unwrap().carry_out(call, fault, now)
    }
}

/// The replica's client.
const CLIENT: &str = "bench";

/// Writes down what the replica writes. Signs of life and Events are none of it.
struct Recorder(Arc<Outside>);

impl FaultPlan for Recorder {
    fn before(&self, request: &RequestInfo<'_>) -> Fault {
        if request.client == CLIENT && request.is_write() && !matches!(request.plural, "leases" | "events") {
            let part = if request.subresource.is_empty() { "" } else { "/status" };
            let verb = format!("{:?}", request.verb).to_lowercase();
            self.0.writes.lock().unwrap().push(format!("{verb} {}{part}", request.plural));
        }
        Fault::None
    }
}

/// A message provider.
struct Listener(Arc<Outside>);

#[async_trait]
impl MessagePort for Listener {
    fn needs_contact(&self) -> bool {
        true
    }

    async fn send(&self, message: &Message) -> SendOutcome {
        let fault = self.0.fault();
        self.0.inbox.lock().unwrap().carry_out(message, fault)
    }
}

/// Time that passes when nothing else is to be done.
struct Virtual(Instant);

impl Source for Virtual {
    fn wall_ms(&self) -> i64 {
        BEGINNING_MS + self.monotonic_ms()
    }

    fn monotonic_ms(&self) -> i64 {
        elapsed_ms(self.0)
    }
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

/// Whether an object is held by the operator.
pub(crate) fn is_held(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|held| held.iter().any(|f| f == FINALIZER))
}
