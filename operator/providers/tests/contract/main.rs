//! The Toss adapter against the sandbox, over real TCP: every outcome of the port, and what the ledger says of it.

mod charge;
mod common;
mod fault;
mod refund;
mod transport;
