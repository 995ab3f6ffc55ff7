//! The real controllers under many schedules (in `cargo test-all`: ten thousand), and what makes that worth something: the
//! same seed gives the same run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use fooddelivery_simulation::campaign::{Campaign, describe};
use fooddelivery_simulation::plan::{Case, Pattern};
use fooddelivery_simulation::scheduler::play;

/// The simulation makes and drops objects all the time: a quarter of it was spent in the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many schedules are played: by `cargo test`, and by `cargo test-all`.
const SCHEDULES: [u64; 2] = [80, 10_000];
/// How orders end in any 80 schedules.
const USUAL: [&str; 5] =
    ["Completed", "Cancelled", "PaymentFailed", "Completed, deleted", "Cancelled, deleted"];
/// How they end in one of some hundreds.
const RARE: [&str; 1] = ["Rejected"];

/// How many are played again, to the same end: of each pattern two, and five.
const TWICE: [u64; 2] = [14, 35];

/// Whether this is `cargo test-all`.
fn is_all() -> bool {
    std::env::var("FOODDELIVERY_TESTS").is_ok_and(|which| which == "all")
}

#[test]
fn no_schedule_breaks_a_promise() {
    let all = is_all();
    let schedules = SCHEDULES[usize::from(all)];
    let campaign = Campaign {
        from: 0,
        schedules,
        seed: 2026,
        pattern: None,
        mutant: None,
        threads: 2,
        failures: 1,
        progress: None,
    };
    let summary = campaign.run(|_| {}).unwrap();
    println!("{}", summary.text());
    if let Some(failure) = summary.failures.first() {
        panic!("{}", describe(failure).unwrap());
    }
    assert_eq!(summary.schedules, schedules);
    // Nothing is proved by schedules that end before anything happens.
    let outcomes: BTreeSet<&str> = summary.outcomes.keys().map(|(_, outcome)| outcome.as_str()).collect();
    for outcome in USUAL.iter().chain(if all { &RARE[..] } else { &[] }) {
        assert!(outcomes.contains(outcome), "no order ended as {outcome}: {outcomes:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_last_write() {
    for number in 0..TWICE[usize::from(is_all())] {
        let case = Case::of(7, number, None);
        let (one, other) = (play(&case, None, true).unwrap(), play(&case, None, true).unwrap());
        assert_eq!(one.trace, other.trace, "{case:?}");
        let again = play(&case, Some(one.choices.clone()), true).unwrap();
        assert_eq!(one.trace, again.trace, "its choices are all that makes it: {case:?}");
    }
}

#[test]
fn a_crash_is_tried_after_every_write_and_call() {
    let nths: BTreeSet<u64> = (0..160).map(|number| Case::of(1, number, Some(Pattern::Crash)).nth).collect();
    assert_eq!(nths, (0..80).collect());
}
