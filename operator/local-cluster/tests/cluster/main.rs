//! Real clusters on this machine, control planes and nodes. One program: they mostly wait, and do so at the same time.
#![expect(clippy::unwrap_used, reason = "helpers fail their test by panicking")]

mod common;
mod control_plane;
mod nodes;
