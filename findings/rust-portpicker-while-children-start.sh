#!/usr/bin/env bash
# portpicker 0.1.1 (Rust) in a program that starts other programs: a port that it has just called free is refused.
#
# It listens on a port to see whether that is free, and closes it. Every socket is opened close-on-exec, but a child that
# another thread starts meanwhile holds copies of all of them from its fork to its exec, and a listening socket that anybody
# holds keeps its port: who binds the port in that moment is told "address in use", though nobody ever used it. So a test
# harness that picks ports and starts servers side by side fails now and then, the more often the more it starts. A probe
# that binds, with SO_REUSEADDR, and does not listen keeps nobody out.
#
# Seen:  of 3,000 ports 0 are refused in a quiet program, and 9 to 17 beside four threads that start /bin/true
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "harness"
version = "0.1.0"
edition = "2021"

[dependencies]
portpicker = "=0.1.1"
TOML
cat > src/main.rs <<'RUST'
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// How many of the ports that were picked are refused while this many threads start children.
fn refused(starters: usize) -> usize {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..starters {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    Command::new("true").status().expect("it runs");
                }
            });
        }
        let is_refused = |_: &usize| {
            let port = portpicker::pick_unused_port().expect("a port");
            TcpListener::bind(("0.0.0.0", port)).is_err()
        };
        let refused = (0..3_000).filter(is_refused).count();
        done.store(true, Ordering::Relaxed);
        refused
    })
}

fn main() {
    let (quiet, busy) = (refused(0), refused(4));
    println!("{quiet} refused in a quiet program, {busy} while children are started");
    assert!(quiet == 0 && busy > 0);
}
RUST
cargo run --quiet
echo "portpicker 0.1.1 listens in order to look, which a child that starts meanwhile goes on doing"
