//! Who a node is, and where its files are. Starts and writes nothing.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Who a node is, and where its files are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) number: u8,
    pub(super) address: Ipv4Addr,
    dir: PathBuf,
}

impl Place {
    pub(super) fn new(number: u8, address: Ipv4Addr, cluster_dir: &Path) -> Self {
        let name = format!("node-{number}");
        Self { dir: cluster_dir.join(&name), name, number, address }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The node's folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}
