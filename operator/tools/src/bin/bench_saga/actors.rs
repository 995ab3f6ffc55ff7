//! The store, the riders and the customers: each reacts at once, with one merge patch, to what the order shows. Seven writes
//! of theirs and the creation bring an order to its end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fooddelivery_api::{GROUP, VERSION};
use fooddelivery_e2e::POLL;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::stage::{CUSTOMERS, NAMESPACE, PROVIDER, STORES};

/// How long somebody asks again whom the API server puts off, or who comes before the ticket does.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is done to bring an order on.
#[derive(Debug, Clone, Copy)]
enum Act {
    Ticket(&'static str),
    Claim,
    Delivery(&'static str),
    Confirm,
    Nothing,
}

/// A phase that an order shows, and what is done then.
const STEPS: [(&str, Act); 8] = [
    ("AwaitingStore", Act::Ticket("Accepted")),
    ("Accepted", Act::Ticket("Cooking")),
    ("Cooking", Act::Ticket("Cooked")),
    ("AwaitingRider", Act::Claim),
    ("RiderAssigned", Act::Delivery("PickedUp")),
    ("PickedUp", Act::Delivery("Delivered")),
    ("Delivered", Act::Confirm),
    ("Completed", Act::Nothing),
];
/// Phases before the first in which somebody acts.
const BEFORE: [&str; 3] = ["", "AwaitingPayment", "PaymentDeferred"];
/// Writes of actors for an order: its creation, and one a step but the last.
pub(crate) const WRITES: usize = STEPS.len();

/// The phases that are waited for, in order.
pub(crate) fn phases() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|(phase, _)| *phase)
}

/// How far a phase is: `None` before the first step.
///
/// # Errors
/// For one that no order of a measurement comes to.
pub(crate) fn position(phase: &str) -> Result<Option<usize>> {
    match phases().position(|known| known == phase) {
        None if !BEFORE.contains(&phase) => bail!("an order is {phase}"),
        found => Ok(found),
    }
}

/// Everybody but the operator.
#[derive(Clone)]
pub(crate) struct Actors {
    orders: Api<DynamicObject>,
    tickets: Api<DynamicObject>,
    deliveries: Api<DynamicObject>,
    riders: usize,
}

/// A kind of the API, whatever revision serves it.
pub(crate) fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, VERSION, kind))
}

impl Actors {
    pub(crate) fn new(client: &Client, riders: usize) -> Self {
        let api = |kind| Api::namespaced_with(client.clone(), NAMESPACE, &resource(kind));
        Self { orders: api("Order"), tickets: api("Ticket"), deliveries: api("Delivery"), riders }
    }

    /// The orders, for a watch.
    pub(crate) fn orders(&self) -> Api<DynamicObject> {
        self.orders.clone()
    }

    /// Places the order of this number.
    pub(crate) async fn place(&self, number: usize) -> Result<()> {
        let name = name_of(number);
        let spec = json!({
            "customerRef": { "name": format!("customer-{}", number % CUSTOMERS) },
            "storeRef": { "name": format!("store-{}", number % STORES) },
            "items": [{ "menuItem": "bibimbap", "quantity": 2 }, { "menuItem": "kimchi-jjigae", "quantity": 1 }],
            "delivery": { "address": "12 Wausan-ro, Mapo-gu", "region": "mapo" },
            "payment": { "providerRef": { "name": PROVIDER }, "token": format!("tok-{name}") },
        });
        let order = DynamicObject::new(&name, &resource("Order")).data(json!({ "spec": spec }));
        asked_again(|| async { self.orders.create(&PostParams::default(), &order).await }).await
    }

    /// Does what brings an order of this number on from a position.
    pub(crate) async fn act(&self, number: usize, position: usize) -> Result<()> {
        let (api, spec) = match STEPS[position].1 {
            Act::Ticket(stage) => (&self.tickets, json!({ "stage": stage })),
            Act::Claim => (
                &self.deliveries,
                json!({ "riderRef": { "name": format!("rider-{}", number % self.riders) } }),
            ),
            Act::Delivery(stage) => (&self.deliveries, json!({ "stage": stage })),
            Act::Confirm => (&self.orders, json!({ "receiptConfirmed": true })),
            Act::Nothing => return Ok(()),
        };
        let (name, patch): (String, Patch<Value>) = (name_of(number), Patch::Merge(json!({ "spec": spec })));
        asked_again(|| async { api.patch(&name, &PatchParams::default(), &patch).await }).await
    }
}

fn name_of(number: usize) -> String {
    format!("order-{number}")
}

/// The number of an order; `None`: it is none of a measurement.
pub(crate) fn number_of(order: &DynamicObject) -> Option<usize> {
    order.name_any().strip_prefix("order-")?.parse().ok()
}

async fn asked_again<F: Future<Output = kube::Result<DynamicObject>>>(ask: impl Fn() -> F) -> Result<()> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(kube::Error::Api(status))
                if (status.code >= 500 || matches!(status.code, 404 | 429)) && begun.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(POLL / 5).await;
            }
            answer => return Ok(answer.map(drop)?),
        }
    }
}
