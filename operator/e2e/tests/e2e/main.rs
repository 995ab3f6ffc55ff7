//! The end-to-end tests: the operator as a process, on a real control plane.
//!
//! They are one program, so that they share control planes, and run many at a time, as they mostly wait
//! (`RUST_TEST_THREADS` in `.cargo/config.toml`; how many namespaces are open at once, the harness decides):
//!
//! - most keep to a namespace of the shared cluster, with an operator and a payment provider of their own;
//! - those that create MessageProviders, which are cluster-scoped, share another and take turns in it (`messages`);
//! - actors with tokens and the manifests of the workload have a cluster each, as its API server is started otherwise, or
//!   with other manifests (`actors`, `workload`);
//! - those that stop the API server, count its requests, change its policies or take the kinds away have a cluster to
//!   themselves, two of them at a time (`TestCluster::exclusive`, `fresh`).
//!
//! Storms are small here, and of full size in `cargo test-all` (`size`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod actors;
mod breaker;
mod cli_and_logs;
mod conformance;
mod counts;
mod coupon_storms;
mod coupons;
mod crash;
mod crash_run;
mod deadlines;
mod deletion;
mod docs;
mod drain;
mod finalizers;
mod flows;
mod full_lists;
mod harness;
mod images;
mod marketplace;
mod messages;
mod money;
mod monitoring;
mod permissions;
mod recount;
mod refusals;
mod removal;
mod secrets;
mod shards;
mod size;
mod tracking;
mod unknown_values;
mod wording;
mod workload;
