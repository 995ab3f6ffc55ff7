//! Bugs of known kinds, planted on purpose: the simulation has to find each of them (feature `planted`, which nothing
//! but its tests turns on). Without the feature every question is answered "no" at compile time.

use fooddelivery_saga::phases::TicketStage;
use fooddelivery_saga::time::Timestamp;
use fooddelivery_saga::view::{Child, TicketSeen};

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// An order's status is written whatever was written meanwhile.
    BlindOrderStatus,
    /// A payment's status is written whatever was written meanwhile.
    BlindPaymentStatus,
    /// The provider is called first, and the intent to call it is stored afterwards.
    ChargeBeforeIntent,
    /// A child is moved in the newest copy that is known, not in the one that was decided on, and the order is not read
    /// again before.
    NewestCopy,
    /// A child under an order's name is taken for its own, whoever's it is.
    AdoptNamesake,
    /// A dying order is let go before its money is back.
    LetGoEarly,
    /// Every call to the provider has an idempotency key of its own.
    FreshKey,
    /// Nothing stands where the ticket of an order that is undone could still be made.
    NoTombstone,
    /// What a new list no longer has stays in the cache.
    VanishedStay,
    /// A new list tells nobody of what it brings: only changes are acted upon.
    EdgesOnly,
    /// The number of attempts goes up by one for every call whose outcome is not known.
    CountedTwice,
    /// Whether the order still wants to be paid is looked up in the cache.
    CachedStanding,
    /// What is not marked yet is counted whenever it is looked at, whatever the list says.
    CountOnEvent,
    /// Whether an order wants a coupon, or gives it back, is looked up in the cache.
    CouponFromCache,
    /// An order that is deleted waits neither for its coupon nor for its counts.
    ForgetCoupon,
}

/// A ticket's tombstone, for [`Bug::NoTombstone`], which only believes that there is one.
pub fn tombstone(created_at: Timestamp) -> Child<TicketSeen> {
    let stage = TicketStage::Cancelled;
    Child::Present(TicketSeen { stage, reason: String::new(), created_at, deleting: false })
}

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in everything that runs in this thread, or none.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether `bug` is planted here.
#[cfg(feature = "planted")]
pub fn has(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether `bug` is planted here: never.
#[cfg(not(feature = "planted"))]
pub const fn has(_: Bug) -> bool {
    false
}
