//! What the API server was asked, by its own counters.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fooddelivery_api::GROUP;
use fooddelivery_e2e::metrics::{self, Writes};
use http::Request as HttpRequest;
use kube::Client;

/// How long a quiet operator writes nothing.
const QUIET: Duration = Duration::from_secs(3);
/// How long it may take to become quiet.
const PATIENCE: Duration = Duration::from_mins(2);

/// Counts since the API server's start.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    writes: Writes,
    conflicts: u64,
    reads: u64,
}

impl Requests {
    pub(crate) async fn read(client: &Client) -> Result<Self> {
        let text = client.request_text(HttpRequest::get("/metrics").body(Vec::new())?).await?;
        Ok(Self {
            writes: metrics::writes(&text, GROUP),
            conflicts: metrics::conflicts(&text, GROUP),
            reads: metrics::reads(&text, GROUP),
        })
    }

    /// What has come since.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let writes = metrics::difference(&before.writes, &self.writes, &Writes::new());
        let conflicts = self.conflicts.saturating_sub(before.conflicts);
        Self { writes, conflicts, reads: self.reads.saturating_sub(before.reads) }
    }

    /// All writes to the group and all Events.
    pub(crate) fn writes(&self) -> u64 {
        metrics::total(&self.writes)
    }

    /// The same by verb and resource, in a line.
    pub(crate) fn writes_by_resource(&self) -> String {
        let some = self.writes.iter().filter(|(_, count)| **count > 0);
        some.map(|(what, count)| format!("{count} {} {}", what.verb, what.resource))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Writes that lost a compare-and-set.
    pub(crate) fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Reads of single objects of the group.
    pub(crate) fn reads(&self) -> u64 {
        self.reads
    }
}

/// Waits until nothing more is written: counts lag behind the orders that they count.
pub(crate) async fn settled(client: &Client) -> Result<()> {
    let begun = Instant::now();
    let mut last = Requests::read(client).await?.writes();
    loop {
        tokio::time::sleep(QUIET).await;
        let now = Requests::read(client).await?.writes();
        if now == last {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "something is written for ever");
        last = now;
    }
}
