//! The domain of the food-delivery saga, pure.
//!
//! Nothing here knows of Kubernetes, of an async runtime, of a clock or of any I/O: what is to be done is decided
//! from a snapshot and a time that the caller hands in. The caller carries a decision out, looks again and asks
//! again, so that a crash between any two steps loses nothing: the next decision is made from what is there.
//!
//! * [`table`]: one transition table per kind; the CEL rules of CRDs and policies are generated from it.
//! * [`reason`]: every reason that is given, with a sentence for users.
//! * [`quote`]: what an order costs, from the store's menu; [`blocker`] why it has no price; [`money`].
//! * [`machine`]: the shape of all decisions; a machine for each of them. [`order`], [`payment`], [`ticket`], [`delivery`];
//!   [`coupon`], [`redemption`], [`counter`]: what is redeemed and counted, exactly once.
//! * [`notification`], [`order_notification`], [`message_log`]: what people are told, and what they can read of it later.
//! * [`readiness`], [`provider`], [`circuit`]: whether a provider can be called, what it can answer, and whether it is called
//!   at all.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod blocker;
pub mod circuit;
pub mod counter;
pub mod coupon;
pub mod delivery;
pub mod machine;
pub mod message_log;
pub mod money;
pub mod notification;
pub mod order;
pub mod order_notification;
pub mod payment;
pub mod phases;
pub mod provider;
pub mod quote;
pub mod readiness;
pub mod reason;
pub mod redemption;
pub mod table;
pub mod ticket;
pub mod time;
pub mod view;
