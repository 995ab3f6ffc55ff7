//! A node is drained while orders come in: the disruption budget lets one replica go at a time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, EvictParams, ListParams};

use crate::ground::{Ground, PATIENCE, SYSTEM, Shape, is_ready, node_of};
use crate::install::AS_SHIPPED;
use crate::load::{Load, STEADY, longest};
use crate::{Figures, say};

pub(crate) async fn drain(ground: &Ground) -> Result<Figures> {
    // Always two: a third would take part in what is asked of the budget.
    ground.deploy(Shape { replicas: (2, 2), ..AS_SHIPPED }).await?;
    ground.wait_replicas(2, PATIENCE).await?;
    // The sandbox's bank is in its pod, so its node stays.
    let kept = sandbox_node(ground).await?;
    let nodes: Vec<String> = ground.tier.nodes().into_iter().map(|(name, _)| name).collect();
    let drained = nodes.iter().find(|name| **name != kept).context("a second node")?.clone();
    say(&format!("both replicas go to {drained}"));
    ground.kubectl(&["cordon", &kept]).await?;
    ground.kubectl(&["-n", SYSTEM, "rollout", "restart", "deployment/fooddelivery-operator"]).await?;
    ground.rolled_out().await?;
    ground.wait_replicas(2, PATIENCE).await?;
    let on: BTreeSet<String> = ground.pods().await?.iter().map(node_of).collect::<Result<_>>()?;
    ensure!(on == BTreeSet::from([drained.clone()]), "they are on {on:?}");
    let refused = refused_eviction(ground).await?;
    ground.kubectl(&["uncordon", &kept]).await?;
    ground.wait_replicas(2, PATIENCE).await?;

    say(&format!("{drained} is drained while orders come in"));
    let load = Load::new(ground, "drained").await?;
    load.place(STEADY, Duration::from_secs(5)).await?;
    let (fewest, drain, placed) = tokio::join!(
        fewest_ready(ground, Duration::from_secs(20)),
        async {
            let begun = Instant::now();
            let args = ["drain", &drained, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s"];
            ground.kubectl(&args).await?;
            anyhow::Ok(begun.elapsed())
        },
        load.place(STEADY, Duration::from_secs(20))
    );
    let (fewest, took) = (fewest?, drain?);
    placed?;
    let waits = load.all_accepted().await?;
    ground.kubectl(&["uncordon", &drained]).await?;
    ensure!(fewest >= 1, "for a moment no replica was ready");
    let audit = ground.audit().await?;
    Ok(vec![format!(
        "node drained in {:.1} s: never fewer than {fewest} of 2 replicas ready; {refused}; {} orders, none lost, the \
         longest wait {:.2} s; {audit}",
        took.as_secs_f32(),
        waits.len(),
        longest(&waits).as_secs_f32()
    )])
}

async fn sandbox_node(ground: &Ground) -> Result<String> {
    let pods = Api::<Pod>::namespaced(ground.client.clone(), "fooddelivery-sandbox");
    node_of(pods.list(&ListParams::default()).await?.items.first().context("no sandbox")?)
}

/// Asks for both replicas to be evicted at once: the budget lets one go.
async fn refused_eviction(ground: &Ground) -> Result<String> {
    let both = "--for=jsonpath={.status.disruptionsAllowed}=1";
    ground.kubectl(&["-n", SYSTEM, "wait", both, "pdb/fooddelivery-operator", "--timeout=60s"]).await?;
    let api = Api::<Pod>::namespaced(ground.client.clone(), SYSTEM);
    let pods = ground.pods().await?;
    let (mut evicted, mut refused) = (0, 0);
    for pod in &pods {
        match api.evict(&pod.name_any(), &EvictParams::default()).await {
            Ok(_) => evicted += 1,
            Err(kube::Error::Api(status)) if status.code == 429 => refused += 1,
            Err(error) => return Err(error.into()),
        }
    }
    ensure!((evicted, refused) == (1, 1), "of two evictions {evicted} were granted and {refused} refused");
    Ok("of two evictions at once the budget refused one".into())
}

async fn fewest_ready(ground: &Ground, lasting: Duration) -> Result<usize> {
    let begun = Instant::now();
    let mut fewest = usize::MAX;
    while begun.elapsed() < lasting {
        let ready = ground.pods().await?.iter().filter(|pod| is_ready(pod)).count();
        fewest = fewest.min(ready);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(fewest)
}
