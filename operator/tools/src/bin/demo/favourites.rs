//! Act 5: a preferred store, a coupon, two riders who race for one delivery, and what the customer was told.

use anyhow::{Result, ensure};
use fooddelivery_e2e::{DeliveryStage, OrderPhase};

use crate::acts::{apply, await_queue, cook, show_orders};
use crate::environment::DemoEnvironment;
use crate::people::NAMESPACE;
use crate::timeline::Seen;

/// Plays the act.
///
/// # Errors
/// When a step is refused that should not be, or one is taken that should be refused, or something is not seen in time.
pub(crate) async fn favourites(demo: &DemoEnvironment) -> Result<()> {
    let (name, people) = ("favourites", demo.people());
    demo.console.heading("Act 5: favourites, at the preferred store, with a coupon; two riders race for it");
    apply(demo, "order-of-favourites.yaml").await?;
    await_queue(demo, name).await?;
    let order = ["-n", NAMESPACE, "get", "order", name, "-o", "wide"];
    people.run("the store was the customer's choice once; the discount is taken off", &order).await?;
    people.run("the coupon knows", &["-n", NAMESPACE, "get", "coupons"]).await?;
    cook(demo, name).await?;
    race(demo, name).await?;
    demo.timeline.until_phase(name, OrderPhase::RiderAssigned).await?;
    for stage in ["PickedUp", "Delivered"] {
        people.rider_moves(name, stage).await?;
    }
    demo.timeline.until_phase(name, OrderPhase::Delivered).await?;
    people.customer_confirms(name).await?;
    demo.timeline.until_phase(name, OrderPhase::Completed).await?;
    let told = |seen: &Seen| seen.holds(name, "Notified");
    demo.timeline.until("the customer to be told everything", told).await?;
    let counts = ["-n", NAMESPACE, "get", "store", "hanok", "-o", "jsonpath={.status.ordersByMenuItem}"];
    people.run("what was ordered here so far", &counts).await?;
    people.run("and who brought it", &["-n", NAMESPACE, "get", "riders"]).await?;
    show_orders(demo).await
}

/// Two riders take the delivery at the same moment: the API server lets one.
async fn race(demo: &DemoEnvironment, name: &str) -> Result<()> {
    demo.timeline.until_phase(name, OrderPhase::AwaitingRider).await?;
    let waiting = |seen: &Seen| seen.delivery(name) == Some(DeliveryStage::Waiting);
    demo.timeline.until(&format!("a delivery for {name}"), waiting).await?;
    let people = demo.people();
    let open = "--field-selector=spec.dropoff.region=mapo,spec.stage=Waiting";
    people.run("what the riders of the region see", &["-n", NAMESPACE, "get", "deliveries", open]).await?;
    let patch = |rider: &str| format!(r#"{{"spec":{{"riderRef":{{"name":"{rider}"}}}}}}"#);
    let (minjun, sora) = (patch("minjun"), patch("sora"));
    let take = |patch| ["-n", NAMESPACE, "patch", "delivery", name, "--type=merge", "-p", patch];
    let (take_minjun, take_sora) = (take(minjun.as_str()), take(sora.as_str()));
    let (first, second) = tokio::join!(
        people.try_to("rider minjun", &take_minjun),
        people.try_to("rider sora, at the same moment", &take_sora)
    );
    ensure!(first.is_ok() != second.is_ok(), "exactly one of two riders gets a delivery");
    let refused = first.err().or(second.err()).unwrap_or_default();
    ensure!(refused.contains("already taken by"), "the other one is told who has it: {refused}");
    Ok(())
}
