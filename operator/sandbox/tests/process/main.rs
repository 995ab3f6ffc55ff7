//! The sandbox as a process: its options, its endpoints over plain TCP, what survives a restart, how it stops.
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be set up is a failure")]

mod admin;
mod common;
mod messages;
mod outage;
mod stripe;
mod toss;
