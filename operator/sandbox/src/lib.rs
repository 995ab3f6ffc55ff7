//! A payment provider to run against, speaking the Toss Payments protocol: no money, but all the rules.
//!
//! It is as strict as the real one where that matters to a caller (idempotency keys, single-use payment keys,
//! refunds that never exceed the capture), keeps a ledger that tests audit, and misbehaves on request: delays,
//! 5xx and dropped connections before or after the money moved, declines, 409, 429, duplicate delivery.
//!
//! [`server::serve`] starts it in-process for tests; the binary is a thin shell around the same function.
//!
//! Invariants: money moves only in [`bank`], under one lock, and every movement is in the [`ledger`] before it is
//! answered; a request once accepted runs to its end even when the client is gone.

pub mod bank;
mod calls;
pub mod config;
mod connection;
mod control;
mod execution;
pub mod faults;
pub mod idempotency;
pub mod ledger;
pub mod server;
mod state;
mod toss;

pub use calls::CallRecord;
pub use config::{Config, SecretKey, ServerErrorMemory};
pub use server::{Handle, ServeError, serve};
