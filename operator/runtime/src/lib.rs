//! The runtime: what any operator needs, whatever its kinds are. It depends on neither the domain nor the API types.
//!
//! * [`cache`], [`watch`], [`guard`]: watch caches with own-write memory.
//! * [`queue`], [`runner`]: keys with due times; bounded concurrency, back-off per object.
//! * [`driver`]: one reconcile: gather, decide, apply, until there is nothing left to decide.
//! * [`api`], [`events`]: requests to the API server, bounded and counted; Events.
//! * [`leases`], [`sharding`]: which controllers are available, and which objects are this replica's.
//! * [`clock`], [`jitter`], [`debounce`], [`log_on_change`]: time, randomness, delayed writes, deduplicated logs.
//! * [`health`], [`watchdog`], [`metrics`]: probes and measurements.
//!
//! Why not kube-runtime's `Controller`: a reconcile here must also run for a key whose object is gone (children left
//! behind), must see the operator's own write before the watch brings it, and backs off per object. Its `watcher`
//! is what the caches are fed from.

pub mod api;
pub mod cache;
mod causes;
pub mod clock;
pub mod contention;
pub mod debounce;
pub mod driver;
pub mod events;
pub mod guard;
pub mod health;
pub mod jitter;
pub mod key;
pub mod leases;
pub mod log_on_change;
pub mod metrics;
pub mod queue;
pub mod runner;
pub mod sharding;
pub mod time;
pub mod watch;
pub mod watchdog;

pub use cache::{Cache, Cached};
pub use contention::ContentionBackoff;
pub use debounce::Debounce;
pub use jitter::Jitter;
pub use key::Key;
pub use log_on_change::{Change, LogOnChange};
pub use metrics::Metrics;
pub use queue::Queue;
pub use runner::{Category, Limits, Outcome, ReconcileError, Reconciler};
pub use watchdog::{LoopWatchdog, LoopWatchdogs};
