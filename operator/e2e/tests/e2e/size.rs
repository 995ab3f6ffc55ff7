//! How large the storms are: small in `cargo test`, of full size in `cargo test-all`.

/// `FOODDELIVERY_TESTS=all`, as `cargo test-all` sets it.
const TESTS: &str = "FOODDELIVERY_TESTS";

/// The size of a storm: `small`, or `full` where all tests were asked for.
pub(crate) fn of(small: usize, full: usize) -> usize {
    if std::env::var(TESTS).is_ok_and(|which| which == "all") { full } else { small }
}
