//! The reference pages of the command line and of the metrics are what the code has.
//! `UPDATE_MANIFESTS=1 cargo test -p fooddelivery-controller --test reference` renews them.
#![allow(clippy::expect_used)]

mod flags;
mod metrics;

use std::path::Path;

const RENEW: &str = "UPDATE_MANIFESTS=1 cargo test -p fooddelivery-controller --test reference";

fn compare(name: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    if std::env::var_os("UPDATE_MANIFESTS").is_some() {
        std::fs::write(&path, generated).expect("the page can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "docs/reference/{name} has drifted: {RENEW}");
}
