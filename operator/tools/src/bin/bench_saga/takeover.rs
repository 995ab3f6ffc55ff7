//! A take-over: of two replicas that share many open orders one is killed, and stores go on accepting. How long after the
//! lost one's Lease has lapsed its orders go on is timed from outside.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fooddelivery_api::OPERATOR_NAMESPACE;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};

use crate::actors::{Act, Actors, resource};
use crate::arm::Arm;
use crate::cost;
use crate::crowd::{Size, open_name};
use crate::stage::{NAMESPACE, Stage};

/// Tickets that are accepted after the loss: about half of them are of the lost replica's orders.
const ACCEPTED: usize = 200;
/// How long everything may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// Plays it with so many open orders; gives a sentence.
pub(crate) async fn play(arm: &Arm, open: usize) -> Result<String> {
    ensure!(open >= ACCEPTED, "at least {ACCEPTED} orders have to be open");
    let arm = Arm { replicas: 2, cores: None, crowd: Some(Size::of_open(open)), ..arm.clone() };
    let stage = Stage::set(&arm, None, open, Vec::new()).await?;
    cost::settled(&stage.client).await?;
    let orders: Api<DynamicObject> =
        Api::namespaced_with(stage.client.clone(), NAMESPACE, &resource("Order"));
    let mut changes = watcher(orders, watcher::Config::default()).applied_objects().boxed();
    let victim = stage.operators.last().context("a replica")?;
    victim.kill_hard()?;
    let lapse = lapse(&stage.client, victim.name()).await?;
    let actors = Actors::new(&stage.client, stage.riders);
    let accepting = async {
        for number in 0..ACCEPTED {
            actors.act_on(&open_name(number * (open / ACCEPTED)), "nobody", Act::Ticket("Accepted")).await?;
        }
        anyhow::Ok(())
    };
    let mut shown: BTreeMap<String, Instant> = BTreeMap::new();
    let watching = async {
        while shown.len() < ACCEPTED {
            let order = changes.try_next().await?.context("a watch that goes on")?;
            if order.data["status"]["phase"] == "Accepted" {
                shown.entry(order.name_any()).or_insert_with(Instant::now);
            }
        }
        anyhow::Ok(())
    };
    let both = async { tokio::try_join!(accepting, watching) };
    tokio::time::timeout(PATIENCE, both)
        .await
        .with_context(|| format!("not all go on within {PATIENCE:?}"))??;
    let mut late: Vec<Duration> = shown.values().filter_map(|at| at.checked_duration_since(lapse)).collect();
    late.sort();
    let (first, last) = (late.first(), late.last());
    let (first, last) = first.zip(last).context("no order waited for the take-over")?;
    Ok(format!(
        "{}: {open} open orders of two replicas, one of them killed; of {ACCEPTED} accepted by their stores, {} went on \
         {:.1} to {:.1} s after the lost one's Lease had lapsed, the others before",
        arm.name,
        late.len(),
        first.as_secs_f64(),
        last.as_secs_f64()
    ))
}

/// When a replica's Lease lapses.
async fn lapse(client: &Client, replica: &str) -> Result<Instant> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let spec = leases.get(&format!("fooddelivery-replica.{replica}")).await?.spec.context("a spec")?;
    let renewed = spec.renew_time.context("a renewal")?.0;
    let seconds = spec.lease_duration_seconds.context("a duration")?;
    let remaining =
        renewed.duration_since(Timestamp::now()) + jiff::SignedDuration::from_secs(seconds.into());
    Ok(Instant::now() + Duration::try_from(remaining).context("a Lease that has lapsed already")?)
}
