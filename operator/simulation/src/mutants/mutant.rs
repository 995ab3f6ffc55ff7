//! The mistakes, by name.

use std::fmt;
use std::str::FromStr;

/// A mistake at the edge of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// An order's status is written whatever was written meanwhile.
    BlindOrderStatus,
    /// A payment's status is written whatever was written meanwhile.
    BlindPaymentStatus,
    /// The provider is called first, and the intent to call it is stored afterwards.
    ChargeBeforeIntent,
    /// A child is moved in the newest copy that is known, not in the one that was decided on, and the order is not read
    /// again before.
    NewestCopy,
    /// A dying order is let go before its money is back.
    LetGoEarly,
    /// Every call to the provider has an idempotency key of its own.
    FreshKey,
    /// What a new list no longer has stays in the cache.
    VanishedStay,
    /// The number of attempts goes up by one for every charge whose outcome is not known.
    CountedTwice,
    /// Whether the order still wants to be paid is looked up in the cache.
    CachedStanding,
    /// What leaves is put into what a count keeps whenever it is looked at, whatever the list says.
    CountOnEvent,
    /// What leaves goes before its count keeps it, as if it had not come so far that it counts.
    GoesUnkept,
    /// Whether an order wants a coupon, or gives it back, is looked up in the cache.
    CouponFromCache,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::BlindOrderStatus,
        Self::BlindPaymentStatus,
        Self::ChargeBeforeIntent,
        Self::NewestCopy,
        Self::LetGoEarly,
        Self::FreshKey,
        Self::VanishedStay,
        Self::CountedTwice,
        Self::CachedStanding,
        Self::CountOnEvent,
        Self::GoesUnkept,
        Self::CouponFromCache,
    ];
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl FromStr for Mutant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|mutant| mutant.to_string() == name);
        found.ok_or_else(|| format!("there is no mutant {name:?}"))
    }
}
