//! Money: whole units of one currency, as `i64`.

/// The only currency of this version, ISO 4217.
pub const CURRENCY: &str = "KRW";
