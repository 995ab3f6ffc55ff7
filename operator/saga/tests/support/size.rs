//! How much is tried: some by `cargo test`, all by `cargo test-all`.

/// How many cases of a property are tried: by `cargo test`, and by `cargo test-all`.
pub fn cases(few: u32, all: u32) -> u32 {
    if std::env::var("FOODDELIVERY_TESTS").is_ok_and(|which| which == "all") { all } else { few }
}
