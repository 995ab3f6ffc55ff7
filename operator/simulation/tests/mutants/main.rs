//! The simulation finds mistakes: each mutant makes one, and has to be found by a schedule that breaks nothing without it.
//! How many schedules that takes is printed for each.
//!
//! `cargo test-all` hunts for all of them, in a copy of the source with the patches of `operator/simulation/mutants/`, which
//! is built once and optimised; `cargo test` sees to it that the patches apply, and hunts for those that are found at once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod scratch;

use std::io::Write;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use fooddelivery_simulation::mutants::Mutant;
use fooddelivery_simulation::plan::{Case, Pattern};
use fooddelivery_simulation::scheduler::play;

use scratch::Hunted;

/// The simulation makes and drops objects all the time: a quarter of it was spent in the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where a mutant is hunted for, in order, and in how many schedules at most. Some take a single thing that goes wrong, or
/// nothing; the others are rare, and soonest found where everything does.
const GROUNDS: [(Option<Pattern>, u64); 2] = [(None, 140), (Some(Pattern::Storm), 4_000)];
/// Seed of the campaign that hunts.
const SEED: u64 = 42;
/// Hunts at the same time, each in a process of one thread.
const HUNTS: usize = 2;

/// A schedule by its number from 0 among those of the pattern, or of all, and the promise that it breaks.
struct Found {
    pattern: Option<Pattern>,
    number: u64,
    property: String,
}

/// Prints what came of a hunt, past the test harness, which would keep it to itself. Says whether the mutant was found.
fn report(mutant: &str, begun: Instant, found: Option<&Found>) -> bool {
    let took = begun.elapsed().as_secs_f64();
    let sentence = match found {
        Some(Found { pattern, number, property }) => {
            let case = Case::of(SEED, *number, *pattern);
            let sound = play(&case, None, false).unwrap();
            assert_eq!(sound.broken, None, "schedule {number} breaks without {mutant}");
            format!("found in {} schedules ({}) in {took:.1} s: {property}", number + 1, case.pattern)
        }
        None => format!("not found in {took:.1} s in {GROUNDS:?}"),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{mutant}: {sentence}").unwrap();
    found.is_some()
}

#[test]
fn every_mutant_is_found() {
    let of_the_code = scratch::with_patches().into_iter().map(Hunted::OfTheCode);
    let of_the_edge = Mutant::ALL.into_iter().map(|mutant| Hunted::AtTheEdge(mutant.to_string()));
    let all: Vec<Hunted> = of_the_edge.chain(of_the_code).collect();
    assert_eq!(all.len(), 18, "a mutant that is no longer hunted for is a gap");
    if std::env::var("FOODDELIVERY_TESTS").is_ok_and(|which| which == "all") {
        let program = scratch::built();
        let (waiting, missed) = (Mutex::new(all), Mutex::new(Vec::new()));
        let hunt = || {
            while let Some(hunted) = { waiting.lock().unwrap().pop() } {
                let begun = Instant::now();
                let hunt = |(pattern, schedules)| scratch::hunt(&program, &hunted, pattern, schedules);
                let found = GROUNDS.into_iter().find_map(hunt);
                if !report(hunted.name(), begun, found.as_ref()) {
                    missed.lock().unwrap().push(hunted.name().to_owned());
                }
            }
        };
        thread::scope(|scope| (0..HUNTS).for_each(|_| drop(scope.spawn(hunt))));
        let missed = missed.into_inner().unwrap();
        assert!(missed.is_empty(), "not found: {missed:?}");
    }
}

#[test]
fn the_mutants_that_any_schedule_finds_are_found_at_once() {
    for mutant in [Mutant::FreshKey, Mutant::ChargeBeforeIntent] {
        let begun = Instant::now();
        let found = (0..20).find_map(|number| {
            let case = Case { mutant: Some(mutant), ..Case::of(SEED, number, None) };
            let broken = play(&case, None, false).unwrap().broken?;
            Some(Found { pattern: None, number, property: broken.property.to_owned() })
        });
        assert!(report(&mutant.to_string(), begun, found.as_ref()));
    }
}
