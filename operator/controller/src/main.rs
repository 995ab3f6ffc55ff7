//! The operator's binary; see `fooddelivery_controller`.

use clap::Parser;
use fooddelivery_controller::cli::{self, Cli};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    cli::main(Cli::parse()).await
}
