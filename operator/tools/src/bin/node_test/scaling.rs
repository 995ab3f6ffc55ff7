//! The autoscaler: from one replica to three under load and back, with all three at work. How much more they carry than one is
//! told and not judged: each has little CPU, but on a machine that others slow down its API server is what limits them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fooddelivery_e2e::images::VERSION;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use crate::ground::{Ground, SYSTEM, Shape};
use crate::load::Load;
use crate::{Figures, say};

/// What each replica requests and has.
const CPU: &str = "80m";
/// Orders of which the time is taken.
const BURST: usize = 200;
/// The autoscaler may take so long each way: metrics are up to half a minute old, and it moves by one replica at a time.
const SCALED_WITHIN: Duration = Duration::from_mins(5);

pub(crate) async fn scale(ground: &Ground) -> Result<Figures> {
    say(&format!("one replica with {CPU} of CPU"));
    ground.deploy(Shape { tag: VERSION, cpu: (CPU, CPU), replicas: (1, 1) }).await?;
    ground.wait_replicas(1, SCALED_WITHIN).await?;
    let one = throughput(ground, "one").await?;

    say("up to three are allowed, and orders keep coming until they are there");
    ground.deploy(Shape { tag: VERSION, cpu: (CPU, CPU), replicas: (1, 3) }).await?;
    let load = Load::new(ground, "scaling").await?;
    let growing = Cell::new(true);
    let grown = async {
        let grown = ground.wait_replicas(3, SCALED_WITHIN).await;
        growing.set(false);
        grown
    };
    let (grown, placed) = tokio::join!(grown, load.place_while(one * 1.2, || growing.get()));
    let grown = grown?;
    placed?;
    // What has piled up goes first; then all three are there for the rest.
    load.all_accepted().await?;
    // Nobody takes a replica away while it is measured.
    ground.deploy(Shape { tag: VERSION, cpu: (CPU, CPU), replicas: (3, 3) }).await?;
    ground.wait_replicas(3, SCALED_WITHIN).await?;
    let three = throughput(ground, "three").await?;
    let ratio = three / one;
    let shares = shares(ground).await?;

    say("quiet: the autoscaler takes replicas away");
    ground.deploy(Shape { tag: VERSION, cpu: (CPU, CPU), replicas: (1, 3) }).await?;
    let shrunk = ground.wait_replicas(1, SCALED_WITHIN).await?;
    let audit = ground.audit().await?;
    Ok(vec![format!(
        "autoscaled 1 to 3 in {:.0} s under load and back in {:.0} s when quiet: {one:.1} orders a second with one \
         replica of {CPU}, {three:.1} with three, {ratio:.2} times; {shares}; {audit}",
        grown.as_secs_f32(),
        shrunk.as_secs_f32()
    )])
}

/// Orders a second, from many that are placed at once.
async fn throughput(ground: &Ground, prefix: &str) -> Result<f64> {
    let load = Load::new(ground, prefix).await?;
    let begun = Instant::now();
    load.place_all(BURST).await?;
    load.all_accepted().await?;
    let rate = f64::from(u32::try_from(BURST)?) / begun.elapsed().as_secs_f64();
    say(&format!("{BURST} orders at once: {rate:.1} a second"));
    Ok(rate)
}

/// How the replicas that are there share all orders, by their Leases and logs.
async fn shares(ground: &Ground) -> Result<String> {
    let leases = Api::<Lease>::namespaced(ground.client.clone(), SYSTEM);
    let label = ListParams::default().labels("app.kubernetes.io/component=fooddelivery-replica");
    let members = leases.list(&label).await?.items.len();
    let mut moved = BTreeMap::new();
    for pod in ground.pods().await? {
        let log = ground.kubectl(&["-n", SYSTEM, "logs", &pod.name_any()]).await?;
        let own = log.lines().filter(|line| line.contains("order moved") && line.contains("/three-")).count();
        moved.insert(pod.name_any(), own);
    }
    let least = moved.values().min().copied().unwrap_or(0);
    ensure!(moved.len() == 3 && least > 0, "a replica has no part of the work: {moved:?}");
    let parts: Vec<String> = moved.values().map(ToString::to_string).collect();
    Ok(format!("{members} Leases, steps of the last {BURST} orders by replica: {}", parts.join(", ")))
}
