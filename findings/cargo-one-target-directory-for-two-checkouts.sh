#!/usr/bin/env bash
# cargo 1.95.0: two checkouts of a workspace that share a target directory take each other's programs for their own.
#
# A package is identified by where it lies in its workspace, not on the disk, so that both checkouts have the same files in
# the target directory (build.target-dir, CARGO_TARGET_DIR), and whether these are up to date is decided by the time at
# which a source was changed. A checkout whose files are older than the other one's build is found to be up to date:
# cargo run runs the other checkout's code, and says nothing. What is compiled later against a library that the other
# checkout has built anew may fail with E0460. Another version in the manifest keeps the two apart.
#
# Seen:  cargo run prints "one" in the checkout "two", and "two" only when its version is another one
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset CARGO_BUILD_TARGET_DIR
export CARGO_TARGET_DIR=$folder/target
mkdir -p one/greeting/src one/app/src
cat > one/Cargo.toml <<'TOML'
[workspace]
resolver = "3"
members = ["app", "greeting"]

[workspace.package]
version = "0.1.0"
edition = "2024"
TOML
cat > one/greeting/Cargo.toml <<'TOML'
[package]
name = "greeting"
version.workspace = true
edition.workspace = true
TOML
cat > one/app/Cargo.toml <<'TOML'
[package]
name = "app"
version.workspace = true
edition.workspace = true

[dependencies]
greeting = { path = "../greeting" }
TOML
echo 'pub const TEXT: &str = "one";' > one/greeting/src/lib.rs
echo 'fn main() { println!("{}", greeting::TEXT); }' > one/app/src/main.rs
cp -r one two
echo 'pub const TEXT: &str = "two";' > two/greeting/src/lib.rs
sleep 1
run() { (cd "$1" && cargo +1.95.0 run --quiet); }
seen=$(run one; run two; sed -i 's/^version = .*/version = "0.2.0"/' two/Cargo.toml; run two)
echo "$seen"
[ "$seen" = $'one\none\ntwo' ]
echo "cargo 1.95.0 runs the checkout that was built first, whichever it is called in"
