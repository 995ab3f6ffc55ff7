//! A simulated cluster: an API server in memory behind `kube::Client`, and the proof that it is one.
//!
//! [`apiserver`] is the server: deterministic, with the rules and policies of the real cluster, compiled from the same
//! source. [`conformance`] is a table of interactions that runs against it and against a real control plane
//! (`operator/e2e/tests/conformance.rs`) and must have the same outcome on both, so that the simulation cannot drift
//! into wishful thinking.

pub mod actors;
pub mod apiserver;
pub mod campaign;
pub mod choices;
pub mod conformance;
pub mod message_provider;
pub mod mutants;
pub mod objects;
pub mod oracle;
pub mod payment_port;
pub mod plan;
mod ports;
pub mod provider;
pub mod scheduler;
pub mod shrink;
pub mod trace;
mod transport;
pub mod world;
