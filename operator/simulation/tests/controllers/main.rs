//! Each controller alone: what it makes of the objects that are there, what it leaves alone, and what it says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod coupon;
mod customer;
mod delivery;
mod message_provider;
mod notification;
mod order;
mod payment;
mod payment_provider;
mod recount;
mod rider;
mod sharing;
mod store;
mod ticket;
