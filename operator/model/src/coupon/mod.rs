//! A model of its own: orders that race for a coupon, and two replicas of its controller. The machine of `saga::redemption`
//! decides here as it does in the operator, with its postconditions. Transcribed is what the model varies: see [`controller`]
//! for the coupon's own controller, [`order`] for the steps of the others.
//!
//! Caches are not kept. A copy of the counts that is old is one that was taken before others wrote; that an order holds
//! its coupon is the one thing that is believed without a live read, and any replica may believe it at any time after it
//! was so. What a replica sends may arrive at any later time, and as often as the bounds allow: so a payment, or a
//! tombstone, may be made whenever it might have been asked for before.

pub mod controller;
mod decisions;
pub mod model;
pub mod order;
pub mod world;

/// The bounds of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Orders that name the coupon.
    pub orders: usize,
    /// How many may hold it.
    pub limit: Option<i64>,
    /// How many orders of one customer may hold it. The last order is another customer's than the first two.
    pub per_customer: Option<i64>,
    /// Number of orders, from the first on, that may be cancelled, deleted and declined at any time.
    pub undone: usize,
    /// Payments that are ever made for one order, tombstones among them.
    pub payments: u8,
    /// Crashes, or answers to writes that never come: what was sent may still arrive.
    pub crashes: u8,
    /// Whether the lists are long, so that who may leave them leaves them with a write.
    pub long: bool,
    /// The mutant under test, if any.
    pub mutant: Option<Mutant>,
}

/// A mutant of how decisions are carried out; each must be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Orders that give the coupon back are believed from the cache.
    NoLiveRead,
    /// Counts are written without compare-and-set.
    BlindCounts,
    /// A payment says that the coupon was given back before it has left the count.
    MarkFirst,
    /// What was given back is taken off without a list of who gave it.
    NoList,
    /// A payment with the discount is made before the coupon is kept.
    PaidUnkept,
    /// A deleted order goes whatever its coupon knows of it.
    OwesNothing,
    /// A payment that was undone before it began gives the coupon back, too.
    CountsUnbegun,
    /// Of those that gave the coupon back, only orders that are there leave the list.
    GoneStayListed,
}
