//! The replicas of the operator: the real thing, on the simulated API server, that can stop at any await.

use std::sync::{Arc, OnceLock};

use clap::Parser;
use fooddelivery_controller::context::Context;
use fooddelivery_controller::replica::{Parts, Replica};
use fooddelivery_controller::settings::Settings;
use fooddelivery_runtime::Jitter;
use fooddelivery_runtime::clock::{Clock, Source};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{PlayError, Scheduler};
use crate::world::BEGINNING_MS;
use crate::{message_provider, provider, transport};

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
    task: JoinHandle<()>,
    /// Dropped with the replica; it never stops in peace.
    _stop: watch::Sender<bool>,
}

/// For so long settled orders are kept where they are removed at all.
const KEPT_SECONDS: u32 = 120;

/// Longer than where it matters: each renewal takes time to play, and who is gone here comes back under the same name.
const SHARD_LEASE_MS: u32 = 900_000;

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
        "--attendance-gap-ms=36000000",
        "--message-log-lag-ms=2000",
        "--shard-lease-ms=0",
    ];
    let parsed = PARSED.get_or_init(|| {
        Flags::try_parse_from(flags).map(|flags| flags.settings).map_err(|error| error.to_string())
    });
    parsed.as_ref().map_err(|error| PlayError::Settings(error.clone()))
}

/// The simulation's time: tokio's, which stands still unless nothing else is to be done.
struct Virtual(Instant);

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

impl Scheduler {
    /// Starts a replica, anew where one of its number has run before.
    pub(super) fn start(&mut self, number: usize) {
        let clock = {
            let world = self.shared.lock();
            Arc::new(Clock::new(Virtual(world.start())))
        };
        let settings = Settings {
            replica: Some(name(number).replace(' ', "-")),
            mirror_lag_ms: if self.plan.mirrors_at_once { 20 } else { self.settings.mirror_lag_ms },
            shard_lease_ms: if self.plan.shares { SHARD_LEASE_MS } else { self.settings.shard_lease_ms },
            ttl_after_settled: self.plan.removes.then_some(KEPT_SECONDS),
            ..self.settings.clone()
        };
        let jitter = Jitter::seeded(self.case.seed ^ (self.crashes << 8) ^ number as u64);
        let parts = Parts {
            clock,
            jitter: Arc::new(jitter),
            ports: provider::ports(&self.shared, number),
            messages: message_provider::ports(&self.shared, number),
        };
        let (stop, stopping) = watch::channel(false);
        let replica = Replica::new(transport::client(&self.shared, number), settings, parts, stopping);
        let context = replica.context().clone();
        let running = Running { context, frozen: Frozen::No, task: tokio::spawn(replica.run()), _stop: stop };
        match self.replicas.get_mut(number) {
            Some(place) => *place = running,
            None => self.replicas.push(running),
        }
    }

    /// A replica stops where it stands, and another one takes its place. What it had sent is on its way still.
    pub(super) async fn crash(&mut self, number: usize) {
        let Some(running) = self.replicas.get(number) else { return };
        running.task.abort();
        self.crashes += 1;
        self.shared.lock().say(name(number), || "crashes".into());
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        self.start(number);
    }
}
