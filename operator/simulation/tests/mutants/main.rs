//! The simulation finds mistakes: each mutant makes one, and has to be found by a schedule that breaks nothing without it.
//! How many schedules that takes is printed for each.
//!
//! All of them are hunted for with `FOODDELIVERY_TESTS=all`, in some minutes; otherwise those that are found at once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod scratch;

use std::fmt::Display;
use std::io::Write;
use std::time::Instant;

use fooddelivery_simulation::mutants::Mutant;
use fooddelivery_simulation::plan::Case;
use fooddelivery_simulation::scheduler::play;

/// The simulation makes and drops objects all the time: a quarter of it was spent in the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// More schedules than any mutant takes.
const SCHEDULES_MAX: u64 = 6_000;
/// Seed of the campaign that hunts.
const SEED: u64 = 42;

fn is_full() -> bool {
    std::env::var("FOODDELIVERY_TESTS").is_ok_and(|tier| tier == "all")
}

/// A schedule by its number from 0, and the promise that it breaks.
struct Found {
    number: u64,
    property: String,
}

/// Prints what came of a hunt, past the test harness, which would keep it to itself. Says whether the mutant was found.
fn report(mutant: impl Display, begun: Instant, found: Option<&Found>) -> bool {
    let took = begun.elapsed().as_secs_f64();
    let sentence = match found {
        Some(Found { number, property }) => {
            let case = Case::of(SEED, *number, None);
            let sound = play(&case, None, false).unwrap();
            assert_eq!(sound.broken, None, "schedule {number} breaks without {mutant}");
            format!("found in {} schedules ({}) in {took:.1} s: {property}", number + 1, case.pattern)
        }
        None => format!("not found in {SCHEDULES_MAX} schedules in {took:.1} s"),
    };
    writeln!(std::io::stdout(), "{mutant}: {sentence}").unwrap();
    found.is_some()
}

fn hunt(mutant: Mutant, schedules: u64) -> Option<Found> {
    (0..schedules).find_map(|number| {
        let case = Case { mutant: Some(mutant), ..Case::of(SEED, number, None) };
        let broken = play(&case, None, false).unwrap().broken?;
        Some(Found { number, property: broken.property.to_owned() })
    })
}

#[test]
fn every_mutant_at_the_edge_is_found() {
    let quick = [Mutant::FreshKey, Mutant::ChargeBeforeIntent, Mutant::LetGoEarly];
    let mutants = if is_full() { Mutant::ALL.to_vec() } else { quick.to_vec() };
    let is_missed = |mutant: &Mutant| {
        let begun = Instant::now();
        let found = hunt(*mutant, SCHEDULES_MAX);
        !report(mutant, begun, found.as_ref())
    };
    let missed: Vec<Mutant> = mutants.into_iter().filter(is_missed).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn every_mutant_of_the_code_is_found() {
    let mutants = scratch::with_patches();
    assert!(!mutants.is_empty(), "there are patches");
    if !is_full() {
        return;
    }
    let program = scratch::built();
    let is_missed = |mutant: &String| {
        let begun = Instant::now();
        let found = scratch::hunt(&program, mutant, SEED, SCHEDULES_MAX);
        !report(mutant, begun, found.as_ref())
    };
    let missed: Vec<String> = mutants.into_iter().filter(is_missed).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
