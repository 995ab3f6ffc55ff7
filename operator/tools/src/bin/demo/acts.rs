//! The first four acts. Each is what people do; the operator does the rest, and each step waits for it to be seen.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use fooddelivery_api::GROUP;
use fooddelivery_e2e::binaries::workspace;
use fooddelivery_e2e::metrics::{Write, Writes, difference, writes};
use fooddelivery_e2e::{CancellationVerdict, ClusterAccess, DeliveryStage, OrderPhase, TicketStage};

use crate::environment::{DemoEnvironment, shown};
use crate::people::NAMESPACE;
use crate::timeline::DEADLINE;

/// How long the counters must stand still before they are believed.
const STANDSTILL: Duration = Duration::from_millis(700);
/// What the store sees of its work.
const QUEUE: [&str; 5] =
    ["-n", NAMESPACE, "get", "tickets", "--field-selector=spec.storeRef.name=hanok,spec.stage=Pending"];

/// Act 1: an order goes all the way. Returns the operator's writes for it, as the API server counted them.
///
/// # Errors
/// When a step is refused, or something is not seen within 30 s.
pub(crate) async fn to_the_end(demo: &DemoEnvironment) -> Result<Writes> {
    demo.console.heading("Act 1: lunch, from the order to the table");
    let before = settled_writes(&demo.access).await?;
    apply(demo, "order.yaml").await?;
    await_queue(demo, "lunch").await?;
    cook(demo, "lunch").await?;
    deliver(demo, "lunch").await?;
    show_orders(demo).await?;
    let is_settled = "everything about lunch to be recorded (Settled, told)";
    let is_recorded =
        |seen: &crate::timeline::Seen| seen.holds("lunch", "Settled") && seen.holds("lunch", "Notified");
    demo.timeline.until(is_settled, is_recorded).await?;
    let after = settled_writes(&demo.access).await?;
    Ok(difference(&before, &after, &written_by_people()))
}

/// Act 2: an order is cancelled before it is cooked.
///
/// # Errors
/// As [`to_the_end`], and when the store's queue still shows the order.
pub(crate) async fn second_thoughts(demo: &DemoEnvironment) -> Result<()> {
    let (name, people) = ("second-thoughts", demo.people());
    demo.console.heading("Act 2: second-thoughts, cancelled before the store cooks");
    apply(demo, "order-to-cancel.yaml").await?;
    await_queue(demo, name).await?;
    people.run("the store looks at its queue", &QUEUE).await?;
    people.customer_cancels(name, "changed my mind").await?;
    demo.timeline.until_phase(name, OrderPhase::Cancelled).await?;
    let settled = |seen: &crate::timeline::Seen| seen.holds(name, "Settled");
    demo.timeline.until("the money of second-thoughts to be settled", settled).await?;
    let queue = people.run("the store looks again", &QUEUE).await?;
    ensure!(!queue.contains(name), "the store's queue still shows {name}");
    show_orders(demo).await
}

/// Act 3: a cancel comes when the food is on the stove.
///
/// # Errors
/// As [`to_the_end`].
pub(crate) async fn too_late(demo: &DemoEnvironment) -> Result<()> {
    let (name, people) = ("too-late", demo.people());
    demo.console.heading("Act 3: too-late, a cancel when the food is on the stove");
    apply(demo, "order-too-late.yaml").await?;
    await_queue(demo, name).await?;
    people.store_moves(name, "Accepted").await?;
    demo.timeline.until_phase(name, OrderPhase::Accepted).await?;
    people.store_moves(name, "Cooking").await?;
    demo.timeline.until_phase(name, OrderPhase::Cooking).await?;
    people.customer_cancels(name, "I would rather have pizza").await?;
    let refused = |seen: &crate::timeline::Seen| {
        seen.verdict(name) == Some(CancellationVerdict::Refused)
            && seen.event(name, "CancelRefused").is_some()
    };
    demo.timeline.until("the cancel of too-late to be refused, with an Event", refused).await?;
    let why =
        ["-n", NAMESPACE, "get", "order", name, "-o", "jsonpath={.status.cancellation}: {.status.message}"];
    people.run("the customer reads why", &why).await?;
    people.run("and the Event", &["-n", NAMESPACE, "events", "--for", &format!("order/{name}")]).await?;
    people.store_moves(name, "Cooked").await?;
    deliver(demo, name).await?;
    show_orders(demo).await
}

/// Act 4: the payment provider is out of order, and comes back.
///
/// # Errors
/// As [`to_the_end`].
pub(crate) async fn hard_times(demo: &DemoEnvironment) -> Result<()> {
    let (name, people, console) = ("hard-times", demo.people(), &demo.console);
    console.heading("Act 4: hard-times, an order while the payment provider is out of order");
    console.note("from now on the payment provider answers every call with 503");
    demo.sandbox.set_outage("error").await?;
    apply(demo, "order-in-hard-times.yaml").await?;
    people.run("the operator has tried, and tries no more", &CIRCUIT_OPENS).await?;
    people.run("an administrator looks", &["get", "psp"]).await?;
    demo.timeline.until_phase(name, OrderPhase::PaymentDeferred).await?;
    people.run("when is it tried again?", &["-n", NAMESPACE, "get", "pay", name]).await?;
    console.note("the payment provider is back");
    demo.sandbox.set_outage("none").await?;
    await_queue(demo, name).await?;
    people.run("the circuit was tried, and has closed", &CIRCUIT_CLOSES).await?;
    people.run("an administrator looks again", &["get", "psp"]).await?;
    cook(demo, name).await?;
    deliver(demo, name).await?;
    show_orders(demo).await
}

const CIRCUIT_OPENS: [&str; 4] =
    ["wait", "psp/sandbox", "--for=jsonpath={.status.circuit}=Open", "--timeout=30s"];
const CIRCUIT_CLOSES: [&str; 4] =
    ["wait", "psp/sandbox", "--for=jsonpath={.status.circuit}=Closed", "--timeout=30s"];

pub(crate) async fn apply(demo: &DemoEnvironment, file: &str) -> Result<()> {
    let path = shown(&workspace().join("manifests/samples").join(file))?;
    demo.people().run("the customer orders", &["apply", "-f", &path]).await.map(drop)
}

pub(crate) async fn await_queue(demo: &DemoEnvironment, name: &str) -> Result<()> {
    let queued = |seen: &crate::timeline::Seen| {
        seen.phase(name) == Some(OrderPhase::AwaitingStore) && seen.ticket(name) == Some(TicketStage::Pending)
    };
    demo.timeline.until(&format!("{name} to be paid and in the store's queue"), queued).await
}

pub(crate) async fn cook(demo: &DemoEnvironment, name: &str) -> Result<()> {
    let (people, timeline) = (demo.people(), &demo.timeline);
    people.store_moves(name, "Accepted").await?;
    timeline.until_phase(name, OrderPhase::Accepted).await?;
    people.store_moves(name, "Cooking").await?;
    timeline.until_phase(name, OrderPhase::Cooking).await?;
    people.store_moves(name, "Cooked").await
}

async fn deliver(demo: &DemoEnvironment, name: &str) -> Result<()> {
    let (people, timeline) = (demo.people(), &demo.timeline);
    timeline.until_phase(name, OrderPhase::AwaitingRider).await?;
    let waiting = |seen: &crate::timeline::Seen| seen.delivery(name) == Some(DeliveryStage::Waiting);
    timeline.until(&format!("a delivery for {name}"), waiting).await?;
    people.rider_takes(name).await?;
    timeline.until_phase(name, OrderPhase::RiderAssigned).await?;
    people.rider_moves(name, "PickedUp").await?;
    timeline.until_phase(name, OrderPhase::PickedUp).await?;
    people.rider_moves(name, "Delivered").await?;
    timeline.until_phase(name, OrderPhase::Delivered).await?;
    people.customer_confirms(name).await?;
    timeline.until_phase(name, OrderPhase::Completed).await
}

pub(crate) async fn show_orders(demo: &DemoEnvironment) -> Result<()> {
    demo.people().run("how do the orders stand?", &["get", "orders", "-n", NAMESPACE]).await.map(drop)
}

/// What this demo itself writes in act 1.
fn written_by_people() -> Writes {
    Writes::from([
        (Write::new("orders", "create"), 1),
        (Write::new("tickets", "patch"), 3),
        (Write::new("deliveries", "patch"), 3),
        (Write::new("orders", "patch"), 1),
    ])
}

/// The API server's counters, once they stand still.
async fn settled_writes(access: &ClusterAccess) -> Result<Writes> {
    let started = Instant::now();
    let mut last = writes(&access.kubectl(["get", "--raw", "/metrics"]).await?, GROUP);
    while started.elapsed() < DEADLINE {
        tokio::time::sleep(STANDSTILL).await;
        let now = writes(&access.kubectl(["get", "--raw", "/metrics"]).await?, GROUP);
        if now == last {
            return Ok(now);
        }
        last = now;
    }
    bail!("waited {} s for writes to the API server to cease", DEADLINE.as_secs())
}
