//! Mutants between a replica and the API server.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fooddelivery_api::FINALIZER;
use fooddelivery_providers::resilience::Request as Asked;
use fooddelivery_providers::{ChargeRequest, Dialect, Token};
use serde_json::{Value, json};

use super::asker::asker;
use super::memory::Memory;
use super::mutant::Mutant;
use crate::apiserver::{Request, Response, Verb};
use crate::objects::{self, attempt_of, text};
use crate::provider::Call;
use crate::world::{Reply, Shared};

/// A mutant around one replica, from its start to its crash.
pub(crate) struct Mutation {
    mutant: Mutant,
    shared: Shared,
    replica: usize,
    memory: Mutex<Memory>,
}

impl Mutation {
    /// The mutant that a schedule plays, around a replica that has just started.
    pub(crate) fn of(shared: &Shared, replica: usize) -> Option<Self> {
        let mutant = shared.mutant?;
        Some(Self { mutant, shared: shared.clone(), replica, memory: Mutex::default() })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request of the replica's and its answer, as the replica sees it.
    pub(crate) async fn exchange(&self, mut request: Request) -> Reply {
        if self.is_read_from_cache(&request) {
            return Some(self.remembered(&request));
        }
        match self.mutant {
            Mutant::BlindOrderStatus if is_status_of("orders", &request) => forget_version(&mut request),
            Mutant::BlindPaymentStatus if is_status_of("payments", &request) => forget_version(&mut request),
            Mutant::NewestCopy if is_step_of_child(&request) && asker() == "order" => {
                self.renew(&mut request);
            }
            Mutant::ChargeBeforeIntent if is_status_of("payments", &request) => {
                self.charge_early(&request).await;
            }
            // What is charged is what was created, so that nothing can come before an intent that is there from birth.
            Mutant::ChargeBeforeIntent if request.verb == Verb::Create && request.plural == "payments" => {
                change(&mut request, |body| {
                    drop(body["spec"].as_object_mut().map(|spec| spec.remove("intent")));
                });
            }
            _ => {}
        }
        let plural = request.plural.clone();
        let is_kept = matches!(request.verb, Verb::Get | Verb::Create | Verb::Patch);
        let is_read_again = request.verb == Verb::Get && self.is_of_leaving_order(&request);
        let reply = self.shared.send(self.replica, request).await;
        if is_read_again {
            return reply.map(as_if_it_did_not_count);
        }
        match reply {
            Some(response) if response.code < 300 && is_kept => {
                let response = self.shown(&plural, response);
                if self.mutant == Mutant::LetGoEarly && plural == "orders" {
                    self.let_go(&response).await;
                }
                Some(response)
            }
            reply => reply,
        }
    }

    /// Whether the mistake is that this is read from the cache.
    fn is_read_from_cache(&self, request: &Request) -> bool {
        let plural = request.plural.as_str();
        request.verb == Verb::Get
            && match self.mutant {
                Mutant::NewestCopy => plural == "orders" && asker() == "order",
                Mutant::CachedStanding => plural == "orders" && asker() == "payment",
                Mutant::CouponFromCache => matches!(plural, "orders" | "payments") && asker() == "coupon",
                _ => false,
            }
    }

    /// Whether the mistake is that the child of an order that leaves is taken for one that counts nowhere.
    fn is_of_leaving_order(&self, request: &Request) -> bool {
        let is_meant = self.mutant == Mutant::GoesUnkept
            && matches!(request.plural.as_str(), "tickets" | "deliveries")
            && asker() == "order";
        let (namespace, name) = (request.namespace.as_deref(), request.name.as_deref());
        let memory = self.memory();
        let order = memory.get("orders", namespace.unwrap_or_default(), name.unwrap_or_default());
        is_meant && order.is_some_and(|order| order["metadata"]["deletionTimestamp"].is_string())
    }

    /// The answer to a read, from what the replica has seen.
    fn remembered(&self, request: &Request) -> Response {
        let (namespace, name) = (request.namespace.as_deref(), request.name.as_deref());
        let memory = self.memory();
        let found =
            memory.get(&request.plural, namespace.unwrap_or_default(), name.unwrap_or_default()).cloned();
        let (code, body) = found.map_or_else(|| (404, not_found()), |object| (200, object));
        Response { code, body: Bytes::from(body.to_string()) }
    }

    /// An answer with one object, as the replica sees it.
    fn shown(&self, plural: &str, response: Response) -> Response {
        let Ok(mut object) = serde_json::from_slice::<Value>(&response.body) else { return response };
        self.alter(plural, &mut object);
        self.memory().take_in(plural, &object);
        Response { body: Bytes::from(object.to_string()), ..response }
    }

    /// A list, as the replica sees it.
    pub(crate) fn listed(&self, request: &Request, response: Response) -> Response {
        let Ok(mut list) = serde_json::from_slice::<Value>(&response.body) else { return response };
        let Some(items) = list["items"].as_array_mut() else { return response };
        if request.options.labels.is_some() {
            return response;
        }
        for object in items.iter_mut() {
            self.alter(&request.plural, object);
        }
        let mut memory = self.memory();
        let vanished = memory.relist(&request.plural, items);
        if self.mutant == Mutant::VanishedStay {
            for object in &vanished {
                memory.take_in(&request.plural, object);
            }
            items.extend(vanished);
        }
        drop(memory);
        Response { body: Bytes::from(list.to_string()), ..response }
    }

    /// Lines of a watch, as the replica sees them.
    pub(crate) fn watched(&self, plural: &str, lines: &Bytes) -> Bytes {
        let mut shown = Vec::with_capacity(lines.len());
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Value>(line) {
                Ok(mut event) => {
                    self.alter(plural, &mut event["object"]);
                    match text(&event["type"]) {
                        "ADDED" | "MODIFIED" => self.memory().take_in(plural, &event["object"]),
                        "DELETED" => self.memory().take_out(plural, &event["object"]),
                        _ => {}
                    }
                    shown.extend_from_slice(event.to_string().as_bytes());
                }
                Err(_) => shown.extend_from_slice(line),
            }
            shown.push(b'\n');
        }
        Bytes::from(shown)
    }

    /// Changes an object that comes to the replica.
    fn alter(&self, plural: &str, object: &mut Value) {
        if self.mutant == Mutant::CountOnEvent
            && matches!(plural, "stores" | "riders")
            && let Some(status) = object["status"].as_object_mut()
        {
            status.remove("departing");
        }
    }

    /// A step on a child is taken in the newest copy that is known.
    fn renew(&self, request: &mut Request) {
        let (namespace, name) = (request.namespace.clone(), request.name.clone());
        let metadata = {
            let memory = self.memory();
            let newest =
                memory.get(&request.plural, &namespace.unwrap_or_default(), &name.unwrap_or_default());
            newest.map(|object| object["metadata"].clone())
        };
        if let Some(metadata) = metadata {
            change(request, |body| {
                for field in ["resourceVersion", "uid"] {
                    body["metadata"][field] = metadata[field].clone();
                }
            });
        }
    }

    /// Where the replica is about to store its intent to charge, the charge comes first.
    async fn charge_early(&self, request: &Request) {
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return };
        let Some(attempt) = body["status"]["attempt"].as_i64() else { return };
        let call = {
            let world = self.shared.lock();
            let mut payments = world.server.objects("payments");
            let name = request.name.as_deref().unwrap_or_default();
            let payment = payments.find(|payment| text(&payment["metadata"]["name"]) == name);
            payment.and_then(|payment| charge(payment, attempt))
        };
        if let Some(call) = call {
            // What comes of it is asked for again, under the same key.
            let _ = self.shared.ask(self.replica, call).await;
        }
    }

    /// An order that is being deleted goes as soon as it is undone at all.
    async fn let_go(&self, response: &Response) {
        let Ok(order) = serde_json::from_slice::<Value>(&response.body) else { return };
        let metadata = &order["metadata"];
        let is_undone = metadata["deletionTimestamp"].is_string() && order["status"]["phase"] == "Cancelling";
        let Some(finalizers) = metadata["finalizers"].as_array().filter(|_| is_undone) else { return };
        let finalizers: Vec<&Value> = finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).collect();
        let change = json!({ "metadata": {
            "finalizers": finalizers, "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"],
        } });
        let request = objects::request(Verb::Patch, "orders", text(&metadata["name"]), &change);
        // Whatever comes of it, the mistake was made.
        let _ = self.shared.send(self.replica, request).await;
    }
}

/// The first charge of a payment that has none yet.
fn charge(payment: &Value, attempt: i64) -> Option<Call> {
    let (spec, uid) = (&payment["spec"], text(&payment["metadata"]["uid"]));
    if attempt_of(payment) > 0 {
        return None;
    }
    let is_stripe = spec["providerRef"]["name"] == "stripe";
    let asked = Asked::Charge(ChargeRequest {
        idempotency_key: format!("{uid}-charge-{attempt}"),
        token: Token::new(spec["token"].as_str()?),
        payment_id: None,
        order_id: text(&spec["providerOrderId"]).to_owned(),
        amount: spec["quote"]["total"].as_i64()?,
        currency: text(&spec["quote"]["currency"]).to_owned(),
        correlation_id: text(&spec["orderRef"]["uid"]).to_owned(),
    });
    Some(Call { dialect: if is_stripe { Dialect::Stripe } else { Dialect::Toss }, asked })
}

fn is_status_of(plural: &str, request: &Request) -> bool {
    request.verb == Verb::Patch
        && request.plural == plural
        && request.subresource.as_deref() == Some("status")
}

fn is_step_of_child(request: &Request) -> bool {
    request.verb == Verb::Patch
        && request.subresource.is_none()
        && matches!(request.plural.as_str(), "payments" | "tickets" | "deliveries")
}

fn change(request: &mut Request, how: impl FnOnce(&mut Value)) {
    if let Ok(mut body) = serde_json::from_slice(&request.body) {
        how(&mut body);
        request.body = Bytes::from(body.to_string());
    }
}

/// A child that counts, in the stage before that.
fn as_if_it_did_not_count(response: Response) -> Response {
    let Ok(mut object) = serde_json::from_slice::<Value>(&response.body) else { return response };
    let before = match text(&object["spec"]["stage"]) {
        "Cooking" | "Cooked" | "Abandoned" => "Accepted",
        "Delivered" => "PickedUp",
        _ => return response,
    };
    object["spec"]["stage"] = before.into();
    Response { body: Bytes::from(object.to_string()), ..response }
}

fn forget_version(request: &mut Request) {
    change(request, |body| body["metadata"] = json!({}));
}

fn not_found() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound",
        "message": "not found",
    })
}
