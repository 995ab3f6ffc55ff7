//! The store, the riders and the customers: each watches what is theirs (tickets, deliveries, orders) and acts on what it
//! shows, at once or after a time, with one merge patch. Seven writes of theirs and the creation bring an order to its end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fooddelivery_api::{GROUP, VERSION};
use fooddelivery_e2e::POLL;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::stage::{CUSTOMERS, NAMESPACE, PROVIDER, STORES};

/// How long somebody asks again whom the API server puts off.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is done to bring an order on, and so which phase the order is to show next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Ticket(&'static str),
    Claim,
    Delivery(&'static str),
    Confirm,
}

/// The phases that an order shows, and the act that brings it there; before the first comes its creation.
pub(crate) const STEPS: [(&str, Option<Act>); 8] = [
    ("AwaitingStore", None),
    ("Accepted", Some(Act::Ticket("Accepted"))),
    ("Cooking", Some(Act::Ticket("Cooking"))),
    ("AwaitingRider", Some(Act::Ticket("Cooked"))),
    ("RiderAssigned", Some(Act::Claim)),
    ("PickedUp", Some(Act::Delivery("PickedUp"))),
    ("Delivered", Some(Act::Delivery("Delivered"))),
    ("Completed", Some(Act::Confirm)),
];
/// Phases before the first in which somebody acts.
const BEFORE: [&str; 3] = ["", "AwaitingPayment", "PaymentDeferred"];
/// Writes of actors for an order: its creation, and one for each phase but the first.
pub(crate) const WRITES: usize = STEPS.len();

/// The phases that are waited for, in order.
pub(crate) fn phases() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|(phase, _)| *phase)
}

/// The number of the phase that an act leads to.
pub(crate) fn leads_to(act: Act) -> usize {
    STEPS.iter().position(|(_, known)| *known == Some(act)).unwrap_or_default()
}

/// What is done about an object as it is.
pub(crate) type Reaction = fn(&DynamicObject) -> Option<Act>;

/// What the store does about a ticket.
pub(crate) fn of_ticket(ticket: &DynamicObject) -> Option<Act> {
    match ticket.data["spec"]["stage"].as_str()? {
        "Pending" => Some(Act::Ticket("Accepted")),
        "Accepted" => Some(Act::Ticket("Cooking")),
        "Cooking" => Some(Act::Ticket("Cooked")),
        _ => None,
    }
}

/// What a rider does about a delivery.
pub(crate) fn of_delivery(delivery: &DynamicObject) -> Option<Act> {
    let spec = &delivery.data["spec"];
    match spec["stage"].as_str()? {
        "Waiting" if spec["riderRef"].is_null() => Some(Act::Claim),
        "Waiting" => Some(Act::Delivery("PickedUp")),
        "PickedUp" => Some(Act::Delivery("Delivered")),
        _ => None,
    }
}

/// What the customer does about an order.
pub(crate) fn of_order(order: &DynamicObject) -> Option<Act> {
    (order.data["status"]["phase"] == "Delivered").then_some(Act::Confirm)
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

/// An order to be placed.
pub(crate) struct Placed<'a> {
    pub(crate) name: &'a str,
    pub(crate) customer: &'a str,
    pub(crate) store: &'a str,
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

    /// The tickets, the deliveries and the orders: what somebody watches, and what they do about it.
    pub(crate) fn watched(&self) -> [(Api<DynamicObject>, Reaction); 3] {
        [
            (self.tickets.clone(), of_ticket),
            (self.deliveries.clone(), of_delivery),
            (self.orders.clone(), of_order),
        ]
    }

    /// Places the order of this number.
    pub(crate) async fn place_number(&self, number: usize) -> Result<()> {
        let (customer, store) =
            (format!("customer-{}", number % CUSTOMERS), format!("store-{}", number % STORES));
        self.place(&Placed { name: &name_of(number), customer: &customer, store: &store }).await
    }

    /// Places an order.
    pub(crate) async fn place(&self, order: &Placed<'_>) -> Result<()> {
        let spec = json!({
            "customerRef": { "name": order.customer },
            "storeRef": { "name": order.store },
            "items": [{ "menuItem": "bibimbap", "quantity": 2 }, { "menuItem": "kimchi-jjigae", "quantity": 1 }],
            "delivery": { "address": "12 Wausan-ro, Mapo-gu", "region": "mapo" },
            "payment": { "providerRef": { "name": PROVIDER }, "token": format!("tok-{}", order.name) },
        });
        let order = DynamicObject::new(order.name, &resource("Order")).data(json!({ "spec": spec }));
        asked_again(|| async { self.orders.create(&PostParams::default(), &order).await }).await
    }

    /// Does it to the order of this number.
    pub(crate) async fn act(&self, number: usize, act: Act) -> Result<()> {
        self.act_on(&name_of(number), &format!("rider-{}", number % self.riders), act).await
    }

    /// Does it to the order of this name; `rider` is who claims it.
    pub(crate) async fn act_on(&self, name: &str, rider: &str, act: Act) -> Result<()> {
        let (api, spec) = match act {
            Act::Ticket(stage) => (&self.tickets, json!({ "stage": stage })),
            Act::Claim => (&self.deliveries, json!({ "riderRef": { "name": rider } })),
            Act::Delivery(stage) => (&self.deliveries, json!({ "stage": stage })),
            Act::Confirm => (&self.orders, json!({ "receiptConfirmed": true })),
        };
        let patch: Patch<Value> = Patch::Merge(json!({ "spec": spec }));
        asked_again(|| async { api.patch(name, &PatchParams::default(), &patch).await }).await
    }
}

fn name_of(number: usize) -> String {
    format!("order-{number}")
}

/// The number of an order, by its own name or a child's; `None`: it is none of a measurement.
pub(crate) fn number_of(object: &DynamicObject) -> Option<usize> {
    object.name_any().strip_prefix("order-")?.parse().ok()
}

async fn asked_again<F: Future<Output = kube::Result<DynamicObject>>>(ask: impl Fn() -> F) -> Result<()> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(kube::Error::Api(status))
                if (status.code >= 500 || status.code == 429) && begun.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(POLL / 5).await;
            }
            answer => return Ok(answer.map(drop)?),
        }
    }
}
