//! `cargo simulate`: plays schedules of the operator against a simulated cluster, and tells what broke.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fooddelivery_simulation::campaign::{Campaign, Failure, describe};
use fooddelivery_simulation::mutants::Mutant;
use fooddelivery_simulation::plan::{Case, Pattern};
use fooddelivery_simulation::scheduler::play;

/// The simulation makes and drops objects all the time: a quarter of it was spent in the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the operator's real controllers on a simulated API server, deterministically, many times.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Flags {
    /// How many schedules.
    #[arg(long, default_value_t = 10_000)]
    schedules: u64,
    /// Number of the first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Everything follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only schedules of this kind: plain, stale, crash, missed, two, faults, storm.
    #[arg(long)]
    pattern: Option<Pattern>,
    /// A mistake that every replica makes, to see that it is found: FreshKey and others.
    #[arg(long)]
    mutant: Option<Mutant>,
    /// Only name the schedules that break a promise, without their shortest trace.
    #[arg(long)]
    brief: bool,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Stop after so many failures.
    #[arg(long, default_value_t = 1)]
    failures: usize,
    /// Play this one schedule, by its own seed, and tell it.
    #[arg(long)]
    case: Option<u64>,
    /// Of that schedule: after which write or call it crashes.
    #[arg(long, default_value_t = 0)]
    nth: u64,
    /// Of that schedule: its choices, in place of those that follow from its seed.
    #[arg(long, value_delimiter = ',')]
    replay: Option<Vec<u32>>,
}

fn say(text: &str) {
    // A closed terminal is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

fn main() -> anyhow::Result<ExitCode> {
    let flags = Flags::parse();
    if let Some(seed) = flags.case {
        return one(&flags, seed);
    }
    let campaign = Campaign {
        from: flags.from,
        schedules: flags.schedules,
        seed: flags.seed,
        pattern: flags.pattern,
        mutant: flags.mutant,
        threads: flags.threads,
        failures: flags.failures,
        progress: Some(Duration::from_secs(5)),
    };
    let summary = campaign.run(say)?;
    for failure in summary.failures.iter().take(flags.failures) {
        match &failure.report.broken {
            Some(broken) if flags.brief => {
                let (number, pattern) = (failure.number, failure.case.pattern);
                say(&format!("schedule {number} ({pattern}): {}", broken.property));
            }
            _ => say(&describe(failure)?),
        }
    }
    say(&summary.text());
    Ok(if summary.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(flags: &Flags, seed: u64) -> anyhow::Result<ExitCode> {
    let case =
        Case { seed, pattern: flags.pattern.unwrap_or(Pattern::Plain), nth: flags.nth, mutant: flags.mutant };
    if flags.replay.is_none() {
        let report = play(&case, None, false)?;
        if report.broken.is_some() {
            say(&describe(&Failure { case, number: 0, report })?);
            return Ok(ExitCode::FAILURE);
        }
    }
    let report = play(&case, flags.replay.clone(), true)?;
    for line in &report.trace {
        say(line);
    }
    match report.broken {
        None => {
            say(&format!("ended as {}; no promise was broken", report.outcomes.join(", ")));
            Ok(ExitCode::SUCCESS)
        }
        Some(broken) => {
            say(&format!("Broken: {}: {}", broken.property, broken.sentence));
            Ok(ExitCode::FAILURE)
        }
    }
}
