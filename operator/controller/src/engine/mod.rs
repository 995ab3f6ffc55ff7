//! The one reconcile engine that all kinds use: watch caches with own-write memory, a queue of keys with delays, and
//! a runner with bounded concurrency and per-object back-off. It knows nothing of orders or money.
//!
//! Why not kube-runtime's `Controller`: a reconcile here must also run for a key whose object is gone (children left
//! behind), must see the operator's own write before the watch brings it, and backs off per object. Its `watcher`
//! is what the caches are fed from.

pub mod cache;
pub mod complaint;
pub mod dice;
pub mod key;
pub mod pulse;
pub mod queue;
pub mod runner;
pub mod watch;

pub use cache::{Cache, Cached};
pub use complaint::{Complaint, Heard};
pub use dice::Dice;
pub use key::Key;
pub use pulse::{Pulse, Pulses};
pub use queue::Queue;
pub use runner::{Category, Limits, Outcome, ReconcileError, Reconciler};
