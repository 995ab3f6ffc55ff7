//! `cargo ledger-audit`: holds what the orders and payments of a cluster say against a sandbox provider's ledger, and
//! lists every discrepancy. It changes nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use fooddelivery_e2e::audit::{balances, findings, unclaimed};
use fooddelivery_e2e::sandbox::ledger_at;
use fooddelivery_e2e::{ClusterAccess, Order, Payment};
use kube::Api;
use kube::api::ListParams;
use local_cluster::Progress;

/// Holds orders and payments against a sandbox provider's ledger.
#[derive(Debug, Parser)]
#[command(name = "ledger-audit")]
struct Arguments {
    /// The sandbox's control endpoints, as it prints them when it starts.
    #[arg(long, default_value = "http://127.0.0.1:8788")]
    admin: String,
    /// Context of the kubeconfig; the current one when none is named.
    #[arg(long)]
    context: Option<String>,
    /// Another kubeconfig.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ledger-audit: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<usize> {
    let access =
        ClusterAccess::existing(arguments.kubeconfig.clone(), arguments.context.clone(), &Progress::Quiet)?;
    let client = access.client().await?;
    let orders = Api::<Order>::all(client.clone()).list(&ListParams::default()).await?.items;
    let payments = Api::<Payment>::all(client).list(&ListParams::default()).await?.items;
    let ledger = ledger_at(&arguments.admin).await?;
    let found = findings(&orders, &payments, &ledger);
    for finding in &found {
        println!("discrepancy: {finding}");
    }
    for (id, kept) in unclaimed(&orders, &payments, &ledger) {
        println!("note: order id {id} keeps {kept} KRW, and no order or payment is left that speaks of it");
    }
    println!(
        "{} orders, {} payments, {} movements of {} order ids: {} discrepancies",
        orders.len(),
        payments.len(),
        ledger.len(),
        balances(&ledger).len(),
        found.len()
    );
    Ok(found.len())
}
