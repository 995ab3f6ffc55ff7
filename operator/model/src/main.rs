//! Checks every configuration and says what came of it.

use std::process::ExitCode;

use fooddelivery_model::runs::{ASSUMPTION, Extent, RUNS, check};
use fooddelivery_model::small::{SMALL, check_small};

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|part| name.contains(part));
    let big = RUNS.iter().filter(|run| is_wanted(run.name)).map(|run| check(*run, Extent::Exhaustive));
    let small =
        SMALL.iter().filter(|run| is_wanted(run.name)).map(|run| check_small(*run, Extent::Exhaustive));
    let mut whole = true;
    for report in big.chain(small) {
        print!("{}", report.text());
        whole &= report.broken.is_empty();
    }
    println!("Assumed unless `freezes`: {ASSUMPTION}.");
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
