//! The operator's binary; see `fooddelivery_controller`.

use clap::Parser;
use fooddelivery_controller::cli::{self, Cli};

/// A quarter of the operator's work was allocating and freeing, by the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    cli::main(Cli::parse()).await
}
