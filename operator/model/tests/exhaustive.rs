//! Within their bounds the configurations have no state that breaks a property.

use fooddelivery_model::runs::{RUNS, check};

#[test]
fn no_state_within_the_bounds_breaks_a_property() {
    let mut broken = Vec::new();
    for run in RUNS {
        let report = check(*run, false);
        println!("{}", report.text());
        assert!(report.states > 10_000, "the bounds of {} leave nothing to check", run.name);
        broken.extend(report.broken.iter().map(|(property, _)| (run.name, *property)));
    }
    assert_eq!(broken, Vec::new());
}
