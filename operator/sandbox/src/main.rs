//! The sandbox as a process of its own: reads the options, serves until SIGTERM or SIGINT.

use std::io::Write;

use anyhow::Context;
use clap::Parser;
use fooddelivery_sandbox::{Config, serve};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Standard output carries the two address lines alone, so that a script can read them.
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let handle = serve(config).await?;
    // In this order: who waits for the second line knows both.
    let (admin, listen) = (handle.admin_url(), handle.url());
    write!(std::io::stdout(), "sandbox: admin on {admin}\nsandbox: listening on {listen}\n")
        .context("cannot print the addresses")?;

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    handle.shutdown().await;
    Ok(())
}
