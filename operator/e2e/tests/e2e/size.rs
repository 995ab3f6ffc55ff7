//! What of the long kind is played: storms are small in `cargo test` and of full size in `cargo test-all`, and what takes
//! minutes of CPU, or a machine's patience, is left to the latter.

use std::io::Write;

use fooddelivery_e2e::binaries::TESTS;

fn is_full() -> bool {
    std::env::var(TESTS).is_ok_and(|which| which == "all")
}

/// The size of a storm: `small`, or `full` where all tests were asked for.
pub(crate) fn of(small: usize, full: usize) -> usize {
    if is_full() { full } else { small }
}

/// Whether the test that asks, of the long kind, is not to be played now. Says so, past the test harness, which would keep it
/// to itself.
pub(crate) fn is_left_to_test_all() -> bool {
    if !is_full() {
        // The harness calls the thread of a test by its name.
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        // Whether anybody can read it is no matter for the test.
        let _ = writeln!(std::io::stderr().lock(), "{test}: left to cargo test-all");
    }
    !is_full()
}
