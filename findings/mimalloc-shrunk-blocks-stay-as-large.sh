#!/usr/bin/env bash
# mimalloc 0.1.52 (Rust; libmimalloc-sys 0.1.49): what shrink_to_fit gives back, as long as more than half of it is used, is
# nothing.
#
# `String::shrink_to_fit`, `into_boxed_str` and `into_boxed_slice` ask the allocator for a smaller block. The standard
# library's contract allows any answer, and glibc splits the block; mimalloc's realloc returns the same one whenever the new
# size is at least half of the old. A text that was built by doubling, as serde_json's writer does, keeps the buffer of the
# last doubling, half as much again on average, though its capacity says otherwise. A cache of many such texts is as much
# larger. A copy (`Box::from(&*text)`) gets a block of its size.
#
# Seen:  text 1100 bytes; capacity after shrink_to_fit 1100, usable 2048; of a copy usable 1280
#        100000 of them: shrunk 206 MB, copied 130 MB resident
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "seen"
version = "0.0.0"
edition = "2024"
[dependencies]
libmimalloc-sys = { version = "=0.1.49", features = ["extended"] }
mimalloc = "=0.1.52"
TOML
cat > src/main.rs <<'RUST'
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TEXT: usize = 1_100;
const COUNT: usize = 100_000;

/// A text as a writer that doubles its buffer leaves it.
fn written() -> String {
    let mut text = String::with_capacity(2_048);
    text.extend(std::iter::repeat_n('x', TEXT));
    text
}

fn usable(text: &str) -> usize {
    unsafe { libmimalloc_sys::mi_usable_size(text.as_ptr().cast()) }
}

fn resident_mb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1_024 / 1_000_000
}

fn grown(make: impl Fn() -> Box<str>) -> usize {
    let before = resident_mb();
    let all: Vec<Box<str>> = (0..COUNT).map(|_| make()).collect();
    let grown = resident_mb() - before;
    std::mem::forget(all);
    grown
}

fn main() {
    let mut shrunk = written();
    shrunk.shrink_to_fit();
    let copy: Box<str> = Box::from(&*shrunk);
    println!(
        "text {TEXT} bytes; capacity after shrink_to_fit {}, usable {}; of a copy usable {}",
        shrunk.capacity(),
        usable(&shrunk),
        usable(&copy)
    );
    assert_eq!(shrunk.capacity(), TEXT);
    assert!(usable(&shrunk) >= 2_048 && usable(&copy) < 1_536, "no longer so");
    let of_shrunk = grown(|| written().into_boxed_str());
    let of_copies = grown(|| Box::from(&*written()));
    println!("{COUNT} of them: shrunk {of_shrunk} MB, copied {of_copies} MB resident");
    assert!(of_shrunk * 2 > of_copies * 3, "no longer so");
}
RUST
cargo run --release --quiet
