//! Names that nobody else has, for what is shared by tests that run at the same time.

use std::hash::{BuildHasher, RandomState};

/// Five random hex digits.
pub(crate) fn suffix() -> String {
    // Every RandomState has its own keys, so hashing anything gives a fresh random number.
    format!("{:05x}", RandomState::new().hash_one(0_u8) & 0xf_ffff)
}
