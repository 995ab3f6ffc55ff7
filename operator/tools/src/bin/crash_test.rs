//! `cargo crash-test`: orders by the hundred while the operator is killed at random moments. See
//! `fooddelivery_e2e::crash`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use fooddelivery_e2e::TestCluster;
use fooddelivery_e2e::crash::{Plan, Report, run};

/// Kills the operator again and again while orders are placed, cooked, delivered, cancelled and deleted, and a
/// payment provider does its worst; then holds the provider's ledger against what became of them.
#[derive(Debug, Parser)]
#[command(name = "crash-test")]
struct Arguments {
    /// How many orders.
    #[arg(long, default_value_t = 300)]
    orders: usize,
    /// Decides fates, faults and pauses; one is made up and printed when none is given.
    #[arg(long)]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    let orders = arguments.orders;
    println!("crash-test: {orders} orders; again with: cargo crash-test --orders {orders} --seed {seed}");
    let started = Instant::now();
    let report = match crash(Plan { orders, seed }).await {
        Ok(report) => report,
        Err(error) => {
            println!("crash-test: failed: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "crash-test: {} kills of the operator and {} of the API server in {:.0} s; ends: {:?}",
        report.kills,
        report.api_server_kills,
        started.elapsed().as_secs_f64(),
        report.ends
    );
    for finding in &report.findings {
        println!("crash-test: {finding}");
    }
    if report.findings.is_empty() {
        println!("crash-test: passed");
        return ExitCode::SUCCESS;
    }
    println!("crash-test: failed: {} discrepancies with seed {seed}", report.findings.len());
    ExitCode::FAILURE
}

async fn crash(plan: Plan) -> anyhow::Result<Report> {
    let cluster = TestCluster::local().await?;
    run(&cluster, plan, |line| println!("crash-test: {line}")).await
}
