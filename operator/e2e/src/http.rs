//! One HTTP client for everything of the harness that is not the API server: plain http on the loopback interface.

use std::time::Duration;

use anyhow::{Context, Result};

/// The longest that an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client. It belongs to the tokio runtime in which it is first used.
pub(crate) fn client() -> Result<reqwest::Client> {
    install_crypto();
    let builder = reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
    builder.build().context("the HTTP client cannot be set up")
}

/// Makes ring the process's provider of cryptography.
pub(crate) fn install_crypto() {
    // An error means that one is installed already; only ring is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
