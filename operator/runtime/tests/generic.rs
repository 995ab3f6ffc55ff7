//! The runtime stays generic: its manifest reaches neither the domain nor the API types, and no word of the domain occurs.
#![allow(clippy::expect_used)]

use std::path::{Path, PathBuf};

/// Words of the domain, none of which a generic runtime has a reason to know.
const WORDS: [&str; 7] = ["order", "payment", "ticket", "delivery", "rider", "coupon", "customer"];

fn sources() -> Vec<(PathBuf, String)> {
    let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source file");
        found.push((path, text));
    }
    assert!(found.len() > 12, "the sources were found");
    found
}

#[test]
fn the_manifest_names_no_crate_of_the_domain() {
    let manifest = include_str!("../Cargo.toml");
    let own: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| name.starts_with("fooddelivery-"))
        .collect();
    assert_eq!(own, ["fooddelivery-units"], "a leaf, and nothing of the domain or its API");
}

#[test]
fn no_word_of_the_domain_occurs() {
    for (path, text) in sources() {
        let words = text.split(|c: char| !c.is_ascii_alphabetic()).map(str::to_ascii_lowercase);
        for word in words {
            let singular = word.strip_suffix('s').unwrap_or(&word);
            assert!(!WORDS.contains(&singular), "{}: {word:?}", path.display());
        }
    }
}
