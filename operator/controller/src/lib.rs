//! The food-delivery operator: a controller per kind, on the generic runtime.
//!
//! Each controller gathers (caches and live reads), lets `saga` decide, and applies. What may import what: `controllers`
//! stand on `shared`, that on `context`, that on the runtime; no controller imports another. What is decided where, and
//! which check watches it, is told in ARCHITECTURE.md.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod admin;
mod availability;
pub mod cli;
pub mod context;
mod controllers;
pub mod indexes;
mod keeping;
pub mod metrics;
pub mod names;
pub mod queues;
mod registry;
pub mod replica;
pub mod run;
pub mod settings;
mod sharding;
mod shared;
pub mod stamp;
pub mod telemetry;

pub use shared::message_clients::MakeMessagePort;
pub use shared::payment_clients::MakePort;
