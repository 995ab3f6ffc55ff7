//! What the small models share: a copy of an object that somebody has in hand, and three orders at most.

/// A copy, and whether it is still what the API server has: a compare-and-set on it goes through only then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Hand<T> {
    /// What was copied.
    pub value: T,
    /// Whether nobody has written since.
    pub current: bool,
}

impl<T> Hand<T> {
    /// A copy of what is there now.
    pub fn of(value: T) -> Self {
        Self { value, current: true }
    }
}

/// At most so many orders take part.
pub const ORDERS: usize = 3;

/// Some of the orders.
pub type Set = u8;

/// Whether an order is in a set.
pub fn has(set: Set, order: usize) -> bool {
    set & bit(order) != 0
}

/// The set of one order.
pub fn bit(order: usize) -> Set {
    1_u8.checked_shl(u32::try_from(order).unwrap_or(u32::MAX)).unwrap_or(0)
}

/// The orders of a set.
pub fn all(set: Set) -> impl Iterator<Item = usize> {
    (0..ORDERS).filter(move |order| has(set, *order))
}
