//! What a crowd costs when nothing happens: the operator's start among it, its memory, and an idle minute.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cost::{self, Requests};
use crate::meter::{self, OPERATOR, Used};
use crate::stage::Stage;

/// How long nothing happens. The operator's longest pauses are shorter.
const IDLE: Duration = Duration::from_mins(1);

/// What was seen of one replica or all of them, before the first order.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Standing {
    /// From the start of the last replica to its being ready, in s.
    pub(crate) ready_s: f64,
    /// What a replica takes once it is ready, in MiB.
    pub(crate) memory_mb: f64,
    /// CPU of a replica in an idle minute, in hundredths of a core.
    pub(crate) idle_cpu_percent: f64,
    /// What is written of the group in that minute, Events included.
    pub(crate) idle_writes: u64,
}

impl Standing {
    /// Starts the last replica anew and lets it be.
    pub(crate) async fn measure(stage: &Stage) -> Result<Self> {
        let last = stage.operators.last().context("a replica")?;
        last.stop().await?;
        let begun = Instant::now();
        last.restart().await?;
        let ready = begun.elapsed();
        let begins_with = used(stage)?.memory_kb;
        cost::settled(&stage.client).await?;
        let (requests, before) = (Requests::read(&stage.client).await?, used(stage)?);
        tokio::time::sleep(IDLE).await;
        let (after, since) = (used(stage)?, Requests::read(&stage.client).await?.since(&requests));
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        let (memory_mb, busy_ms) = (begins_with as f64 / 1_024.0, (after.cpu_ms - before.cpu_ms) as f64);
        Ok(Self {
            ready_s: ready.as_secs_f64(),
            memory_mb,
            idle_cpu_percent: busy_ms / IDLE.as_secs_f64() / 10.0,
            idle_writes: since.writes(),
        })
    }
}

/// What the last replica has used.
fn used(stage: &Stage) -> Result<Used> {
    let all = meter::read(&stage.processes()?)?;
    all.into_iter().rfind(|it| it.name == OPERATOR).context("an operator that runs")
}
