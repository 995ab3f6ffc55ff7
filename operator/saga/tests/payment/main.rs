//! Decisions about a payment, one situation at a time: every step of its table is taken in one of them, and where the
//! provider's word does not settle it, nothing moves that could move twice.
#![allow(clippy::unwrap_used)]

mod circuit;
mod free;
mod prepared;
mod refunds;
mod review;
mod scope;
mod steps;
mod support;
mod token;
