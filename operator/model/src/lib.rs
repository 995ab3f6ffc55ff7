//! A model of an order, its payment, ticket and delivery, the payment provider, the actors and the operator's
//! replicas, checked exhaustively within stated bounds.
//!
//! What is decided is not modelled: the decisions and the transition tables of `saga` run here as they run in the
//! operator. What is modelled is all around them: the API server with compare-and-set and stage rules, caches that lag,
//! steps that are decided and carried out later, crashes, a provider whose answers get lost and whose requests arrive
//! late, and actors who act at any moment. The model must carry decisions out as the controllers do; where they
//! change, it changes.
//!
//! Coupons, counts and messages have small models of their own ([`coupon`], [`counter`], [`notification`]), so that they do
//! not multiply the states of an order's saga.
//!
//! One assumption about time is made: a ticket's or delivery's create follows the live read of its order in one step.
//! Where [`bounds::Bounds::freezes`] is set it is not made, and a ticket made too late need only be ended or cleared.

pub mod bank;
pub mod bounds;
pub mod calls;
pub mod children;
pub mod counter;
pub mod coupon;
pub mod flight;
pub mod liveness;
pub mod model;
pub mod notification;
mod notification_decisions;
pub mod objects;
pub mod order;
pub mod payment;
pub mod properties;
pub mod runs;
pub mod saga;
pub mod small;
pub mod snapshot;
pub mod versions;
pub mod views;
pub mod world;
