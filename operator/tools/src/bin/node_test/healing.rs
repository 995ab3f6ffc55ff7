//! What the liveness probe and the other replicas make good: a stalled operator, and one that was killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fooddelivery_e2e::images::VERSION;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::PostParams;

use crate::ground::{Ground, PATIENCE, SYSTEM, Shape, is_ready, node_of, restarts};
use crate::install::{AS_SHIPPED, complete};
use crate::load::{Load, STEADY, longest, median, named, sample};
use crate::{Figures, say};

/// Orders go on within this time when a replica is killed.
const GOES_ON_WITHIN: Duration = Duration::from_secs(15);

/// Both ways of being stalled, one after the other.
pub(crate) async fn heal(ground: &Ground) -> Result<Figures> {
    let mut figures = Figures::new();
    for (what, text) in [("threads", "no thread left to do anything"), ("loops", "its loops stand still")] {
        ground.wait_replicas(1, PATIENCE).await?;
        let pod = ground.pods().await?.into_iter().next().context("no pod")?;
        say(&format!("wedging {}: {text}", pod.name_any()));
        let before = restarts(&pod);
        let path =
            format!("/api/v1/namespaces/{SYSTEM}/pods/{}:8080/proxy/debug/stall?what={what}", pod.name_any());
        // With all threads gone there is no answer, or none in time.
        let _ = ground.kubectl(&["create", "--raw", &path, "-f", "/dev/null", "--request-timeout=3s"]).await;
        let begun = Instant::now();
        let name = format!("stalled-{what}");
        ground.orders().create(&PostParams::default(), &named(&sample()?, &name)).await?;
        let healed = wait_restarted(ground, &pod.name_any(), before).await?;
        complete(ground, &name).await?;
        figures.push(format!(
            "stalled ({text}): restarted by its liveness probe and ready after {:.0} s; an order placed meanwhile was \
             Completed after {:.0} s",
            healed.as_secs_f32(),
            begun.elapsed().as_secs_f32()
        ));
    }
    Ok(figures)
}

async fn wait_restarted(ground: &Ground, name: &str, before: i32) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        let pods = ground.pods().await?;
        let pod = pods.iter().find(|pod| pod.name_any() == name);
        if pod.is_some_and(|pod| restarts(pod) > before && is_ready(pod)) {
            return Ok(begun.elapsed());
        }
        // Such as one that the kubelet evicted: nobody starts it again.
        let status = pod.and_then(|pod| pod.status.as_ref());
        if let Some(reason) = status.and_then(|status| status.reason.as_deref()) {
            let message = status.and_then(|status| status.message.as_deref()).unwrap_or_default();
            bail!("{name} is not going to be restarted: {reason}: {message}");
        }
        ensure!(begun.elapsed() < PATIENCE, "{name} was not restarted within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// SIGKILL for the operator's process in one of two pods, under load.
pub(crate) async fn kill(ground: &Ground) -> Result<Figures> {
    ground.deploy(Shape { tag: VERSION, replicas: (2, 3), ..AS_SHIPPED }).await?;
    ground.wait_replicas(2, PATIENCE).await?;
    say("orders at a steady rate; after 10 s one of two replicas is killed");
    let load = Load::new(ground, "killed").await?;
    load.place(STEADY, Duration::from_secs(10)).await?;
    let pods = ground.pods().await?;
    let victim = pods.first().context("no pod")?;
    kill_container(ground, victim)?;
    load.place(STEADY, Duration::from_secs(25)).await?;
    let waits = load.all_accepted().await?;
    let longest = longest(&waits);
    ensure!(longest < GOES_ON_WITHIN, "an order waited {longest:?}");
    let audit = ground.audit().await?;
    Ok(vec![format!(
        "kill -9 of one of two: {} orders, none lost; the longest wait was {:.1} s, the median {:.2} s; {audit}",
        waits.len(),
        longest.as_secs_f32(),
        median(&waits).as_secs_f32()
    )])
}

fn kill_container(ground: &Ground, pod: &Pod) -> Result<()> {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let id = statuses.into_iter().find_map(|status| status.container_id.as_deref());
    let id = id.and_then(|id| id.strip_prefix("containerd://")).context("no container id")?;
    let mut ctr = ground.tier.command_on(&node_of(pod)?, "ctr")?;
    ctr.args(["--namespace", "k8s.io", "task", "kill", "--signal", "SIGKILL", id]);
    let output = ctr.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    say(&format!("{} was killed", pod.name_any()));
    Ok(())
}
