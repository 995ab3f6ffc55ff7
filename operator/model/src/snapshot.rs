//! What the small models share: a snapshot of an object that a decision rests on, and sets of at most three orders.

/// A copy of an object, and whether the API server still has the same: a compare-and-set on it goes through only then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Snapshot<T> {
    /// What was copied.
    pub value: T,
    /// Whether nobody has written since.
    pub current: bool,
}

impl<T> Snapshot<T> {
    /// A copy of what is there now.
    pub fn of(value: T) -> Self {
        Self { value, current: true }
    }
}

/// Maximum number of orders that take part.
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
