//! What a crowd costs when nothing happens: the operator's start among it, its memory, and an idle minute.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::cost::{self, Requests};
use crate::crowd;
use crate::meter::{self, OPERATOR, Used};
use crate::stage::Stage;

/// How long nothing happens. The operator's longest pauses are shorter.
const IDLE: Duration = Duration::from_mins(1);

/// How long a replica may be at work after its start.
const PATIENCE: Duration = Duration::from_mins(5);
/// CPU in some seconds, in ms, from which on a replica is at work.
const BUSY_MS: u64 = 100;

/// What was seen of one replica or all of them, before the first order.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Standing {
    /// From the start of the last replica to its being ready, in s.
    pub(crate) ready_s: f64,
    /// From the placing of an order just then to its being paid and shown to its store, in s.
    pub(crate) first_order_s: f64,
    /// What a replica takes once it is ready, in MiB.
    pub(crate) memory_mb: f64,
    /// CPU of a replica in an idle minute, in hundredths of a core.
    pub(crate) idle_cpu_percent: f64,
    /// What is written of the group in that minute, Events included.
    pub(crate) idle_writes: u64,
    /// The same by verb and resource.
    pub(crate) idle_writes_by_resource: String,
}

impl Standing {
    /// Lets a stage be whose replicas have just been started.
    pub(crate) async fn measure(stage: &Stage) -> Result<Self> {
        let begins_with = used(stage)?.memory_kb;
        let first_order = crowd::first_order(&stage.client).await?;
        at_rest(stage).await?;
        let (requests, before) = (Requests::read(&stage.client).await?, used(stage)?);
        tokio::time::sleep(IDLE).await;
        let (after, since) = (used(stage)?, Requests::read(&stage.client).await?.since(&requests));
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        let (memory_mb, busy_ms) = (begins_with as f64 / 1_024.0, (after.cpu_ms - before.cpu_ms) as f64);
        Ok(Self {
            first_order_s: first_order.as_secs_f64(),
            ready_s: stage.last_start.as_secs_f64(),
            memory_mb,
            idle_cpu_percent: busy_ms / IDLE.as_secs_f64() / 10.0,
            idle_writes: since.writes(),
            idle_writes_by_resource: since.writes_by_resource(),
        })
    }
}

/// Waits until the last replica has looked at everything that it has found and done what was to be done.
async fn at_rest(stage: &Stage) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let before = used(stage)?.cpu_ms;
        cost::settled(&stage.client).await?;
        if used(stage)?.cpu_ms - before < BUSY_MS {
            return Ok(());
        }
    }
    bail!("a replica is at work for ever")
}

/// What the last replica has used.
fn used(stage: &Stage) -> Result<Used> {
    let all = meter::read(&stage.processes()?)?;
    all.into_iter().rfind(|it| it.name == OPERATOR).context("an operator that runs")
}
