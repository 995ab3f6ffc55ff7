//! The operator's binary; see `fooddelivery_controller`.

use clap::Parser;
use fooddelivery_controller::cli::{self, Cli};

/// A quarter of the operator's work is allocating and freeing, which this takes half as long for; what a new list has
/// replaced goes back to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    cli::main(Cli::parse()).await
}
