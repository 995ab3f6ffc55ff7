//! Every setting, by flag and by environment.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use fooddelivery_saga::time::{Deadlines, Millis};

use crate::names::ControllerName;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Settings of `run`.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Which controllers run here; `--help` names them.
    #[arg(
        long,
        env = "FOODDELIVERY_CONTROLLERS",
        value_delimiter = ',',
        default_values_t = ControllerName::value_variants().to_vec()
    )]
    pub controllers: Vec<ControllerName>,

    /// Namespaces to watch; all when none is named.
    #[arg(long, env = "FOODDELIVERY_NAMESPACES", value_delimiter = ',')]
    pub namespaces: Vec<String>,

    /// Namespace in which the providers' Secrets live, and the Leases that tell which controllers are at work.
    #[arg(long, env = "FOODDELIVERY_SECRETS_NAMESPACE", default_value = fooddelivery_api::OPERATOR_NAMESPACE)]
    pub secrets_namespace: String,

    /// Context of the kubeconfig to use; in a cluster the service account is used when there is no kubeconfig.
    #[arg(long, env = "FOODDELIVERY_CONTEXT")]
    pub context: Option<String>,

    /// Where /metrics, /livez and /readyz are served. Port 0 takes a free one, which is logged.
    #[arg(long, env = "FOODDELIVERY_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// This replica's name, under which its circuits stand in the status of payment providers and its Lease among those of
    /// the others; without it HOSTNAME, which in a pod is the pod's name. Replicas of one name do the same work twice.
    #[arg(long, env = "FOODDELIVERY_REPLICA")]
    pub replica: Option<String>,

    /// Serves POST /debug/stall?what=loops|threads, too, which stalls this process: for trying out its liveness probe.
    #[arg(long, env = "FOODDELIVERY_DEBUG")]
    pub debug: bool,

    /// How log lines look.
    #[arg(long, env = "FOODDELIVERY_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// What is logged, as a filter such as `info` or `info,fooddelivery_controller=debug`.
    #[arg(long, env = "FOODDELIVERY_LOG", default_value = "info")]
    pub log: String,

    /// Reconciles at a time, per controller.
    #[arg(long, env = "FOODDELIVERY_CONCURRENCY", default_value_t = 64, value_parser = at_least_one)]
    pub concurrency: usize,

    /// How far the counts of stores and riders may lag, in milliseconds, so that many orders need one write.
    #[arg(long, env = "FOODDELIVERY_COUNT_LAG_MS", default_value_t = 30_000)]
    pub count_lag_ms: u64,

    /// Maximum age of a controller's heartbeat, in milliseconds: one without a heartbeat for longer was away, and deadlines
    /// did not run. Three heartbeats fit into it. All operators of a cluster should have the same.
    #[arg(
        long,
        env = "FOODDELIVERY_AVAILABILITY_GAP_MS",
        default_value_t = 30_000,
        value_parser = clap::value_parser!(u32).range(600..)
    )]
    pub availability_gap_ms: u32,

    /// How long a replica's Lease lasts without being renewed, in milliseconds, before the others take over its work; it is
    /// renewed three times in this time. 0: no work is shared, and this replica does everything.
    #[arg(long, env = "FOODDELIVERY_SHARD_LEASE_MS", default_value_t = 9_000, value_parser = none_or_a_second)]
    pub shard_lease_ms: u32,

    /// Minimum time between two writes of a customer's message log, in milliseconds.
    #[arg(long, env = "FOODDELIVERY_MESSAGE_LOG_LAG_MS", default_value_t = 60_000)]
    pub message_log_lag_ms: u64,

    /// Seconds after which orders that have ended and are settled are removed; without it they are kept. Keep their record
    /// elsewhere first.
    #[arg(long, env = "FOODDELIVERY_TTL_AFTER_SETTLED")]
    pub ttl_after_settled: Option<u32>,

    /// Has the API server track who set which field of every order (`metadata.managedFields`), as server-side apply needs it;
    /// without it only of those that were created by server-side apply, as each write to the others then costs a third less.
    /// Of new orders, on Kubernetes 1.36 and later; before, all are tracked.
    #[arg(long, env = "FOODDELIVERY_TRACK_ORDER_FIELDS")]
    pub track_order_fields: bool,

    /// Deadlines where a Store names none.
    #[command(flatten)]
    pub deadlines: DeadlineSettings,
}

/// How long each phase may wait, in seconds, where a Store does not say.
#[derive(Debug, Clone, Args)]
pub struct DeadlineSettings {
    /// Until references exist and the payment is made.
    #[arg(long = "deadline-payment", env = "FOODDELIVERY_DEADLINE_PAYMENT", default_value_t = 900)]
    pub payment: u32,
    /// Until a provider that was out of reach is paid after all.
    #[arg(long = "deadline-deferral", env = "FOODDELIVERY_DEADLINE_DEFERRAL", default_value_t = 7200)]
    pub deferral: u32,
    /// Until the store accepts or rejects.
    #[arg(long = "deadline-acceptance", env = "FOODDELIVERY_DEADLINE_ACCEPTANCE", default_value_t = 900)]
    pub acceptance: u32,
    /// From acceptance until cooked.
    #[arg(long = "deadline-cooking", env = "FOODDELIVERY_DEADLINE_COOKING", default_value_t = 7200)]
    pub cooking: u32,
    /// Until a rider takes the delivery.
    #[arg(long = "deadline-rider", env = "FOODDELIVERY_DEADLINE_RIDER", default_value_t = 3600)]
    pub rider: u32,
    /// From a rider's claim until pick-up.
    #[arg(long = "deadline-pickup", env = "FOODDELIVERY_DEADLINE_PICKUP", default_value_t = 1800)]
    pub pickup: u32,
    /// From pick-up until delivered.
    #[arg(long = "deadline-delivery", env = "FOODDELIVERY_DEADLINE_DELIVERY", default_value_t = 7200)]
    pub delivery: u32,
    /// From delivered until the order completes by itself.
    #[arg(
        long = "deadline-confirmation",
        env = "FOODDELIVERY_DEADLINE_CONFIRMATION",
        default_value_t = 86_400
    )]
    pub confirmation: u32,
}

impl DeadlineSettings {
    /// As the domain takes them.
    pub fn to_deadlines(&self) -> Deadlines {
        let seconds = |n: u32| Millis::seconds(i64::from(n));
        Deadlines {
            payment: seconds(self.payment),
            deferral: seconds(self.deferral),
            acceptance: seconds(self.acceptance),
            cooking: seconds(self.cooking),
            rider: seconds(self.rider),
            pickup: seconds(self.pickup),
            delivery: seconds(self.delivery),
            confirmation: seconds(self.confirmation),
        }
    }
}

impl Settings {
    /// This replica's name.
    pub fn replica(&self) -> String {
        let named = self.replica.clone().or_else(|| std::env::var("HOSTNAME").ok());
        let of_machine = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let name = named.filter(|name| !name.is_empty()).or_else(of_machine).unwrap_or_default();
        if name.trim().is_empty() { format!("pid-{}", std::process::id()) } else { name.trim().to_owned() }
    }

    /// How long settled orders are kept; `None`: for ever.
    pub fn time_to_live(&self) -> Option<Millis> {
        self.ttl_after_settled.map(|seconds| Millis::seconds(i64::from(seconds)))
    }

    /// The message log's lag.
    pub fn message_log_lag(&self) -> Duration {
        Duration::from_millis(self.message_log_lag_ms)
    }

    /// The lag of the counts of stores and riders.
    pub fn count_lag(&self) -> Duration {
        Duration::from_millis(self.count_lag_ms)
    }
}

fn none_or_a_second(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(ms) if ms == 0 || ms >= 1_000 => Ok(ms),
        _ => Err("a whole number of milliseconds is needed: at least 1000, or 0 for no sharing".into()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if n >= 1 => Ok(n),
        _ => Err("a whole number of at least 1 is needed (0 would not mean unbounded)".into()),
    }
}
