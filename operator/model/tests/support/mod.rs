//! How far the tests that hold a model against its properties go.

use fooddelivery_model::runs::Extent;

/// States that `cargo test` looks at in each configuration, breadth first.
const STATES: usize = 150_000;

/// The first states by `cargo test`, all by `cargo test-all`.
pub(crate) fn extent() -> Extent {
    let all = std::env::var("FOODDELIVERY_TESTS").is_ok_and(|which| which == "all");
    if all { Extent::Exhaustive } else { Extent::First(STATES) }
}
