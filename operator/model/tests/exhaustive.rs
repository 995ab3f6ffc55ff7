//! Within their bounds the configurations have no state that breaks a property.
//!
//! `cargo test` takes the first 150,000 steps of each, which is all of the smaller configurations;
//! `cargo test-all` checks every state of all of them.

mod support;

use fooddelivery_model::runs::{RUNS, check};

use support::extent;

#[test]
fn no_state_within_the_bounds_breaks_a_property() {
    let mut broken = Vec::new();
    for run in RUNS {
        let report = check(*run, extent());
        println!("{}", report.text());
        assert!(report.states > 10_000, "the bounds of {} leave nothing to check", run.name);
        broken.extend(report.broken.iter().map(|(property, _)| (run.name, *property)));
    }
    assert_eq!(broken, Vec::new());
}
