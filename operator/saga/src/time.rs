//! Points in time and spans, as the domain uses them. The clock itself is the caller's.

pub use fooddelivery_units::{Millis, Timestamp};

/// How long each phase may wait. From the Store where it names one, else from the operator's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Until references exist and the payment has been made.
    pub payment: Millis,
    /// Until a provider that was out of reach has been paid after all.
    pub deferral: Millis,
    /// Until the store accepts or rejects.
    pub acceptance: Millis,
    /// From acceptance until cooked.
    pub cooking: Millis,
    /// Until a rider takes the delivery.
    pub rider: Millis,
    /// From a rider's claim until pick-up; then the claim is released.
    pub pickup: Millis,
    /// From pick-up until delivered.
    pub delivery: Millis,
    /// From delivered until the order completes by itself.
    pub confirmation: Millis,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            payment: Millis::seconds(15 * 60),
            deferral: Millis::seconds(2 * 3600),
            acceptance: Millis::seconds(15 * 60),
            cooking: Millis::seconds(2 * 3600),
            rider: Millis::seconds(3600),
            pickup: Millis::seconds(30 * 60),
            delivery: Millis::seconds(2 * 3600),
            confirmation: Millis::seconds(24 * 3600),
        }
    }
}

/// No deadline fires sooner than this after the operator began to watch: the actors first get a chance to be heard.
pub const RESTART_GRACE: Millis = Millis::seconds(30);
