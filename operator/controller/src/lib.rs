//! The food-delivery operator: one reconcile engine, and a controller per kind on top of it.
//!
//! Each controller observes (caches and live reads), lets `saga` decide, and acts. What is decided where, and which
//! check watches it, is told in ARCHITECTURE.md.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod api;
pub mod attendance;
mod child;
pub mod circuits;
pub mod cli;
pub mod clock;
pub mod context;
pub mod counts;
pub mod coupon;
pub mod delivery;
pub mod drain;
pub mod engine;
pub mod events;
pub mod gateway;
pub mod health;
pub mod lag;
pub mod message;
pub mod metrics;
pub mod order;
pub mod payment;
pub mod planted;
pub mod provider;
pub mod recount;
pub mod replica;
pub mod routes;
pub mod run;
pub mod settings;
pub mod shards;
pub mod telemetry;
pub mod ticket;
