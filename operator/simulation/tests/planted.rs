//! The simulation finds mistakes: each of these bugs is planted in the real controllers, and has to be found.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Instant;

use fooddelivery_controller::planted::{Bug, plant};
use fooddelivery_simulation::plan::{Case, Pattern};
use fooddelivery_simulation::player::play;

/// The simulation makes and drops objects all the time: a quarter of it was spent in the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// More than any of them takes.
const AT_MOST: u64 = 6_000;

/// How many schedules it takes, and what they break.
fn hunt(bug: Bug) -> Option<(u64, Pattern, &'static str)> {
    plant(Some(bug));
    let found = (0..AT_MOST).find_map(|number| {
        let case = Case::of(42, number, None);
        let broken = play(&case, None, false).unwrap().broken?;
        Some((number + 1, case.pattern, broken.property))
    });
    plant(None);
    let (schedules, ..) = found?;
    // What breaks without the bug, too, has not found it.
    let sound = play(&Case::of(42, schedules - 1, None), None, false).unwrap();
    assert_eq!(sound.broken, None, "schedule {schedules} breaks without {bug:?}");
    found
}

#[test]
fn every_planted_bug_is_found() {
    let bugs = [
        Bug::BlindOrderStatus,
        Bug::BlindPaymentStatus,
        Bug::ChargeBeforeIntent,
        Bug::NewestCopy,
        Bug::AdoptNamesake,
        Bug::LetGoEarly,
        Bug::FreshKey,
        Bug::NoTombstone,
        Bug::VanishedStay,
        Bug::EdgesOnly,
        Bug::CountedTwice,
        Bug::CachedStanding,
        Bug::CountOnEvent,
        Bug::CouponFromCache,
        Bug::ForgetCoupon,
    ];
    let mut missed = Vec::new();
    for bug in bugs {
        let begun = Instant::now();
        let found = hunt(bug);
        let took = begun.elapsed().as_secs_f64();
        if let Some((schedules, pattern, property)) = found {
            println!("{bug:?}: found by schedule {schedules} ({pattern}) in {took:.1} s: {property}");
        } else {
            println!("{bug:?}: not found in {AT_MOST} schedules, {took:.1} s");
            missed.push(bug);
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
