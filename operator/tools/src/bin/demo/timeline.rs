//! The time line: watches the marketplace, prints a line for each change that tells something, and lets the acts wait
//! for what they need to see.
//!
//! It only reads. A phase that passed too quickly to be seen is printed from the order's history.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fooddelivery_e2e::audit::holds;
use fooddelivery_e2e::{
    CancellationVerdict, Delivery, DeliveryStage, Order, OrderPhase, Payment, PaymentPhase, Ticket,
    TicketStage,
};
use futures::TryStreamExt;
use k8s_openapi::api::events::v1::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::console::{Console, Tone};
use crate::people::NAMESPACE;

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The marketplace as it was last seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By name.
    pub(crate) orders: BTreeMap<String, Order>,
    /// By name.
    pub(crate) payments: BTreeMap<String, Payment>,
    /// By name.
    pub(crate) tickets: BTreeMap<String, Ticket>,
    /// By name.
    pub(crate) deliveries: BTreeMap<String, Delivery>,
    /// What Events say: about whom, the reason, the note.
    pub(crate) events: Vec<(String, String, String)>,
    told: BTreeSet<String>,
}

impl Seen {
    /// The phase of an order; `None` when it is not there.
    pub(crate) fn phase(&self, order: &str) -> Option<OrderPhase> {
        self.orders.get(order).map(|order| order.state().phase)
    }

    /// The verdict on an order's cancellation.
    pub(crate) fn verdict(&self, order: &str) -> Option<CancellationVerdict> {
        self.orders.get(order).and_then(|order| order.state().cancellation)
    }

    /// Whether a condition of an order is `True`.
    pub(crate) fn holds(&self, order: &str, condition: &str) -> bool {
        self.orders.get(order).is_some_and(|order| holds(order, condition))
    }

    /// The stage of a ticket; `None` when it is not there.
    pub(crate) fn ticket(&self, name: &str) -> Option<TicketStage> {
        self.tickets.get(name).map(|ticket| ticket.spec.stage)
    }

    /// The stage of a delivery; `None` when it is not there.
    pub(crate) fn delivery(&self, name: &str) -> Option<DeliveryStage> {
        self.deliveries.get(name).map(|delivery| delivery.spec.stage)
    }

    /// The note of an order's Event with this reason.
    pub(crate) fn event(&self, about: &str, reason: &str) -> Option<&str> {
        let found = self.events.iter().find(|(whom, why, _)| whom == about && why == reason);
        found.map(|(_, _, note)| note.as_str())
    }
}

/// The watches. Dropping it ends them.
pub(crate) struct Timeline {
    seen: watch::Receiver<Seen>,
    _watches: JoinSet<()>,
}

/// A change of an object.
trait Told: Sized {
    /// Keeps it in `seen` and tells of it.
    fn tell(self, seen: &mut Seen, console: &Console);
}

impl Timeline {
    /// Starts to watch.
    pub(crate) fn start(client: &Client, console: &Arc<Console>) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let sender = Arc::new(sender);
        let mut watches = JoinSet::new();
        watches.spawn(follow::<Order>(client.clone(), Arc::clone(&sender), Arc::clone(console)));
        watches.spawn(follow::<Payment>(client.clone(), Arc::clone(&sender), Arc::clone(console)));
        watches.spawn(follow::<Ticket>(client.clone(), Arc::clone(&sender), Arc::clone(console)));
        watches.spawn(follow::<Delivery>(client.clone(), Arc::clone(&sender), Arc::clone(console)));
        watches.spawn(follow::<Event>(client.clone(), sender, Arc::clone(console)));
        Self { seen, _watches: watches }
    }

    /// Waits until `is_so`. `what` ends the sentence "waited 30 s for …".
    ///
    /// # Errors
    /// When it does not come to that in time.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Seen) -> bool) -> Result<()> {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(DEADLINE, seen.wait_for(|seen| is_so(seen))).await;
        match waited {
            Ok(found) => found.map(drop).context("the watches have ended"),
            Err(_) => bail!("waited {} s for {what}", DEADLINE.as_secs()),
        }
    }

    /// Waits until an order is in a phase.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub(crate) async fn until_phase(&self, order: &str, phase: OrderPhase) -> Result<()> {
        let what = format!("order {order} to be {phase}");
        self.until(&what, |seen| seen.phase(order) == Some(phase)).await
    }

    /// What was seen last.
    pub(crate) fn seen(&self) -> watch::Ref<'_, Seen> {
        self.seen.borrow()
    }
}

async fn follow<K>(client: Client, seen: Arc<watch::Sender<Seen>>, console: Arc<Console>)
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Told
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let api: Api<K> = Api::namespaced(client, NAMESPACE);
    let mut changes = Box::pin(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
    loop {
        match changes.try_next().await {
            Ok(Some(object)) => seen.send_modify(|seen| object.tell(seen, &console)),
            Ok(None) => return,
            // The next poll goes on after a pause.
            Err(error) => console.note(&format!("(the watch of {} is interrupted: {error})", K::plural(&()))),
        }
    }
}

impl Seen {
    /// Whether this was not told yet.
    fn is_new(&mut self, what: String) -> bool {
        self.told.insert(what)
    }
}

impl Told for Order {
    fn tell(self, seen: &mut Seen, console: &Console) {
        let name = self.name_any();
        let state = self.state();
        let passed = state.history.iter().map(|entry| OrderPhase::parse(&entry.phase));
        for phase in passed.chain([state.phase]) {
            if seen.is_new(format!("{name} {phase}")) {
                let (tone, meaning) = meaning(phase);
                console.event(tone, &format!("order {name}"), phase.as_str(), meaning);
            }
        }
        if let Some(verdict) = state.cancellation
            && seen.is_new(format!("{name} cancellation"))
        {
            let meaning = match verdict {
                CancellationVerdict::Refused => "it is too late to cancel; the order goes on unharmed",
                _ => "the cancel came in time",
            };
            console.event(Tone::Turn, &format!("order {name}"), &format!("cancel {verdict}"), meaning);
        }
        seen.orders.insert(name, self);
    }
}

/// What a phase means, to somebody who sees it for the first time.
fn meaning(phase: OrderPhase) -> (Tone, &'static str) {
    match phase {
        OrderPhase::AwaitingPayment => (Tone::Progress, "ordered; priced from the menu, then charged"),
        OrderPhase::PaymentDeferred => {
            (Tone::Turn, "the payment provider is out of reach; tried again later")
        }
        OrderPhase::AwaitingStore => (Tone::Progress, "paid; now it is in the store's queue, and not before"),
        OrderPhase::Accepted => (Tone::Progress, "the store takes it; cancelling still works"),
        OrderPhase::Cooking => (Tone::Progress, "on the stove; from here on a cancel is refused"),
        OrderPhase::AwaitingRider => (Tone::Progress, "cooked; a delivery waits for a rider"),
        OrderPhase::RiderAssigned => (Tone::Progress, "a rider has taken the delivery"),
        OrderPhase::PickedUp => (Tone::Progress, "the food is on its way"),
        OrderPhase::Delivered => (Tone::Progress, "the food has arrived"),
        OrderPhase::Completed => (Tone::Good, "the customer has confirmed: the end"),
        OrderPhase::Cancelling => (Tone::Turn, "being undone; the money is on its way back"),
        OrderPhase::Cancelled => (Tone::Good, "undone, and the money is back"),
        OrderPhase::Rejected => (Tone::Turn, "the store said no; the money goes back"),
        OrderPhase::PaymentFailed => (Tone::Turn, "the money could not be had"),
        OrderPhase::Unknown => (Tone::Turn, "a phase that this version does not know"),
    }
}

impl Told for Payment {
    fn tell(self, seen: &mut Seen, console: &Console) {
        let name = self.name_any();
        let state = self.state();
        let meaning = match state.phase {
            PaymentPhase::Captured => format!("{} KRW taken by the payment provider", state.captured),
            PaymentPhase::Refunded => format!("{} KRW given back", state.refunded),
            PaymentPhase::Deferred => state.message,
            PaymentPhase::NeedsReview => "a person has to look at it".to_owned(),
            _ => String::new(),
        };
        if !meaning.is_empty() && seen.is_new(format!("payment {name} {}", state.phase)) {
            console.event(Tone::Aside, &format!("  payment {name}"), state.phase.as_str(), &meaning);
        }
        seen.payments.insert(name, self);
    }
}

impl Told for Ticket {
    fn tell(self, seen: &mut Seen, console: &Console) {
        let name = self.name_any();
        // The other stages are the store's: its commands are shown.
        let meaning = match self.spec.stage {
            TicketStage::Pending => Some("created by the operator, for the store"),
            TicketStage::Cancelled => Some("taken out of the queue by the operator"),
            TicketStage::Abandoned => Some("given up by the operator: cooking took too long"),
            _ => None,
        };
        if let Some(meaning) = meaning
            && seen.is_new(format!("ticket {name} {}", self.spec.stage))
        {
            console.event(Tone::Aside, &format!("  ticket {name}"), self.spec.stage.as_str(), meaning);
        }
        seen.tickets.insert(name, self);
    }
}

impl Told for Delivery {
    fn tell(self, seen: &mut Seen, console: &Console) {
        let name = self.name_any();
        let meaning = match self.spec.stage {
            DeliveryStage::Waiting => Some("created by the operator, for the riders of the region"),
            DeliveryStage::Cancelled => Some("taken back by the operator"),
            _ => None,
        };
        if let Some(meaning) = meaning
            && seen.is_new(format!("delivery {name} {}", self.spec.stage))
        {
            console.event(Tone::Aside, &format!("  delivery {name}"), self.spec.stage.as_str(), meaning);
        }
        seen.deliveries.insert(name, self);
    }
}

impl Told for Event {
    fn tell(self, seen: &mut Seen, console: &Console) {
        let about = self.regarding.as_ref().and_then(|it| it.name.clone()).unwrap_or_default();
        let (reason, note) = (self.reason.unwrap_or_default(), self.note.unwrap_or_default());
        if seen.is_new(format!("event {about} {reason} {note}")) {
            console.event(Tone::Turn, &format!("  event {about}"), &reason, &note);
            seen.events.push((about, reason, note));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn order(phase: &str, history: &[&str]) -> Order {
        let at = "2026-01-01T00:00:00Z";
        let history: Vec<_> = history.iter().map(|phase| json!({ "phase": phase, "at": at })).collect();
        serde_json::from_value(json!({
            "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Order", "metadata": { "name": "lunch" },
            "spec": {
                "customerRef": { "name": "c" }, "items": [{ "menuItem": "m", "quantity": 1 }],
                "delivery": { "address": "a", "region": "r" },
                "payment": { "providerRef": { "name": "p" }, "token": "t" },
            },
            "status": { "phase": phase, "history": history },
        }))
        .unwrap()
    }

    #[test]
    fn a_phase_is_told_once_also_when_it_passed_unseen() {
        let (mut seen, console) = (Seen::default(), Console::new());
        order("AwaitingPayment", &[]).tell(&mut seen, &console);
        order("Accepted", &["AwaitingPayment", "AwaitingStore", "Accepted"]).tell(&mut seen, &console);
        let told: Vec<_> = seen.told.iter().map(String::as_str).collect();
        assert_eq!(told, ["lunch Accepted", "lunch AwaitingPayment", "lunch AwaitingStore"]);
        assert_eq!(seen.phase("lunch"), Some(OrderPhase::Accepted));
    }
}
