//! The replicas of the operator: the real thing, on the simulated API server, that can stop at any await.

use std::sync::{Arc, OnceLock};

use clap::Parser;
use fooddelivery_controller::context::Context;
use fooddelivery_controller::settings::Settings;
use fooddelivery_runtime::clock::Source;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::error::PlayError;
use crate::world::BEGINNING_MS;

/// Which of a replica's watches bring nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frozen {
    No,
    All,
    Only(&'static str),
}

impl Frozen {
    /// Whether the watch of a kind, by plural, brings nothing.
    pub(super) fn stops(self, plural: &str) -> bool {
        match self {
            Self::No => false,
            Self::All => true,
            Self::Only(kind) => kind == plural,
        }
    }
}

/// A replica that runs.
pub(super) struct Running {
    pub(super) context: Arc<Context>,
    pub(super) frozen: Frozen,
    pub(super) task: JoinHandle<()>,
    /// Dropped with the replica; it never stops in peace.
    pub(super) _stop: watch::Sender<bool>,
}

/// How long settled orders are kept where they are removed at all, in seconds.
pub(super) const KEPT_SECONDS: u32 = 120;

/// Longer than where it matters: each renewal takes time to play, and who is gone here comes back under the same name.
pub(super) const SHARD_LEASE_MS: u32 = 900_000;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

/// The operator's own settings, with deadlines short enough to be waited for.
pub(super) fn settings() -> Result<&'static Settings, PlayError> {
    static PARSED: OnceLock<Result<Settings, String>> = OnceLock::new();
    let flags = [
        "simulation",
        "--replica=a",
        "--deadline-payment=600",
        "--deadline-deferral=900",
        "--deadline-confirmation=1200",
        "--availability-gap-ms=36000000",
        "--count-lag-ms=1500",
        "--message-log-lag-ms=2000",
        "--shard-lease-ms=0",
    ];
    let parsed = PARSED.get_or_init(|| {
        Flags::try_parse_from(flags).map(|flags| flags.settings).map_err(|error| error.to_string())
    });
    parsed.as_ref().map_err(|error| PlayError::Settings(error.clone()))
}

/// The simulation's time: tokio's, which stands still unless nothing else is to be done.
pub(super) struct Virtual(pub(super) Instant);

impl Source for Virtual {
    fn wall_ms(&self) -> i64 {
        BEGINNING_MS + self.monotonic_ms()
    }

    fn monotonic_ms(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// A replica's name.
pub(super) fn name(replica: usize) -> &'static str {
    ["replica a", "replica b", "replica c"].get(replica).copied().unwrap_or("replica")
}
