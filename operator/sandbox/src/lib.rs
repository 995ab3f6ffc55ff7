//! A payment provider to run against, speaking the protocols of Toss Payments and of Stripe: no money, but all the
//! rules.
//!
//! It is as strict as the real ones where that matters to a caller (idempotency keys, single-use payment keys,
//! intents that are canceled for good, refunds that never exceed the capture), keeps a ledger that tests audit, and
//! misbehaves on request: delays, 5xx and dropped connections before or after the money moved, declines, 409, 429,
//! duplicate delivery, and outages of the provider as a whole.
//!
//! It also receives messages for customers, as Kakao AlimTalk (NHN Cloud's protocol) and as a signed webhook, and keeps
//! what came, in order, with a mark on every repeat ([`messages`]).
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
mod dialect;
mod execution;
pub mod faults;
mod front;
pub mod idempotency;
pub mod ledger;
pub mod messages;
mod outage;
mod protocol;
mod recovery;
pub mod server;
mod state;
mod stripe;
mod toss;

pub use calls::CallRecord;
pub use config::{Config, SecretKey, ServerErrorMemory};
pub use dialect::Dialect;
pub use messages::{Channel, MessageRecord, MessageResult};
pub use outage::Outage;
pub use server::{Handle, ServeError, serve};
