//! `cargo bench-saga`: what an order costs, end to end, on a real control plane. Loads, actors, provider and operator run on
//! this machine; every run has a control plane of its own. Figures differ from hour to hour, so that only those of one
//! call compare: `--baseline REV` plays another revision in turns with this one and gives the ratios.

mod actors;
mod arm;
mod cost;
mod crowd;
mod figures;
mod load;
mod meter;
mod profile;
mod replay;
mod report;
mod revision;
mod stage;
mod standing;
mod takeover;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use arm::Arm;
use clap::Parser;
use crowd::Size;
use figures::Figures;
use load::{Pace, Plan};
use revision::Revision;

/// How a call is played.
#[derive(Debug, Parser)]
#[command(about = "Measures what an order costs, on a real control plane")]
struct Options {
    /// Orders of each run.
    #[arg(long, default_value_t = 600)]
    orders: usize,
    /// Orders in flight, closed loop: the next one is placed when one is completed. May be given several times.
    #[arg(long, default_values_t = [1, 16, 64, 256])]
    in_flight: Vec<usize>,
    /// Orders a second, open loop: placed at this rate, however many are open. May be given several times.
    #[arg(long)]
    rate: Vec<f64>,
    /// What a call of the provider takes, `MIN-MAX` in ms, such as 400-740; absent: no added time.
    #[arg(long)]
    provider_latency: Option<String>,
    /// How long an actor takes before each step, in ms.
    #[arg(long, default_value_t = 0)]
    step_time: u64,
    /// Rounds of all runs; what is said is the median.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Another revision, built in a worktree and played in turns with this one.
    #[arg(long)]
    baseline: Option<String>,
    /// Replicas of the operator. May be given several times, to be compared with the first.
    #[arg(long, default_values_t = [1])]
    replicas: Vec<usize>,
    /// How much of a processor each replica has, such as 0.05: less than it could use, so that it is what limits. Needs root.
    #[arg(long)]
    replica_cpu: Option<f64>,
    /// Plays everything a second time, among so many times 100,000 customers, 20,000 uses of coupons, 1,000 stores, 2,000
    /// riders and 30,000 orders that have ended, and measures the operator's start and an idle minute among them.
    #[arg(long)]
    crowd: Option<f64>,
    /// Plays a take-over of half of so many open orders, and nothing else.
    #[arg(long)]
    take_over: Option<usize>,
    /// Counts every request by user and kind, and replays the writes without the operator: two runs more for each number in
    /// flight.
    #[arg(long)]
    replay: bool,
    /// Writes the API server's profiles of CPU and allocations into this folder, and the functions that have most of each as
    /// text, which needs `go`: one run more for each pace.
    #[arg(long)]
    profile: Option<PathBuf>,
    /// Fails when the operator writes more often for an order, at any pace.
    #[arg(long)]
    writes_max: Option<f64>,
    /// Fails when single objects are read more often for an order, at any pace.
    #[arg(long)]
    reads_max: Option<f64>,
    /// Writes every figure of every run into this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let mut revisions = vec![Revision::current()?];
    if let Some(name) = &options.baseline {
        revisions.push(Revision::in_worktree(name)?);
    }
    let crowd = options.crowd.map(Size::of_town);
    let arms = Arm::all(&revisions, &options.replicas, options.replica_cpu, crowd);
    if let Some(open) = options.take_over {
        for arm in arms.iter().filter(|arm| arm.crowd.is_none()) {
            say(&takeover::play(arm, open).await?)?;
        }
        return Ok(());
    }
    let closed = options.in_flight.iter().map(|count| Pace::Closed { in_flight: *count });
    let open = options.rate.iter().map(|rate| Pace::Open { per_second: *rate });
    let plan = |pace| Plan {
        orders: options.orders,
        pace,
        latency: options.provider_latency.clone(),
        step: Duration::from_millis(options.step_time),
    };
    let plans: Vec<Plan> = closed.chain(open).map(plan).collect();
    say(&report::preamble(options.provider_latency.as_deref())?)?;
    let mut all: Vec<Figures> = Vec::new();
    for round in 1..=options.rounds {
        for plan in &plans {
            for arm in &arms {
                let figures = load::play(arm, plan).await?;
                say(&report::line(round, &figures))?;
                all.push(figures);
            }
        }
    }
    say(&report::table(&all, &arms))?;
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&all)?)?;
    }
    // What is placed at a rate has no number in flight to be replayed with.
    for (plan, in_flight) in plans.iter().zip(options.in_flight.iter().filter(|_| options.replay)) {
        for arm in &arms {
            say(&replay::compare(arm, plan, *in_flight).await?)?;
        }
    }
    if let Some(dir) = &options.profile {
        for plan in &plans {
            for arm in &arms {
                say(&profile::write(arm, plan, dir).await?)?;
            }
        }
    }
    options.judge(&all, &arms)
}

impl Options {
    /// Fails where an order of this revision took too much, or an idle minute wrote anything.
    fn judge(&self, all: &[Figures], arms: &[Arm]) -> Result<()> {
        let ours = |it: &&Figures| {
            arms.iter().any(|arm| arm.name == it.arm && arm.revision.name == arms[0].revision.name)
        };
        for figures in all.iter().filter(ours) {
            let (writes, reads) =
                (figures.writes_per_order + figures.conflicts_per_order, figures.reads_per_order);
            let pace = figures.pace.text();
            if let Some(standing) = &figures.standing {
                let (writes, what) = (standing.idle_writes, &standing.idle_writes_by_resource);
                ensure!(writes == 0, "{writes} writes in an idle minute are too many: {what}");
            }
            ensure!(
                self.writes_max.is_none_or(|max| writes <= max),
                "{pace}: {writes:.1} writes an order are too many"
            );
            ensure!(
                self.reads_max.is_none_or(|max| reads <= max),
                "{pace}: {reads:.1} reads an order are too many"
            );
        }
        Ok(())
    }
}

fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}
