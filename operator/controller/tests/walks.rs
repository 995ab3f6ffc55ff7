//! Who walks over a whole cache: only a start, a new list, a take-over, and who asks for a kind of which there are a few. Anybody
//! else looks up in an index, which costs what is found.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The methods of a cache that look at all of its objects.
const WALKS: [&str; 3] = [".walk(", ".walk_keys(", ".versions("];

/// Functions that may, by file, and when they do.
const WALKERS: [(&str, &str, &str); 8] = [
    ("controller/src/controllers/coupon/mod.rs", "reserved_coupons", "after a complete list"),
    ("controller/src/controllers/rider/mod.rs", "register", "after a complete list"),
    ("controller/src/controllers/store/mod.rs", "register", "after a complete list"),
    ("controller/src/shared/notifications.rs", "providers", "message providers: a few, in no namespace"),
    ("controller/src/sharding/shard.rs", "keys_of_orders", "on a take-over"),
    ("controller/src/sharding/shard.rs", "own", "on a take-over"),
    ("controller/src/sharding/takeover.rs", "resync_moved", "payment providers, on a take-over"),
    ("runtime/src/sharding/mod.rs", "leases_where", "the replicas' Leases"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("cache/tests.rs") {
            found.push(path);
        }
    }
}

/// The function that a line is in, by what stands before it.
fn function(before: &[&str]) -> String {
    let name = |line: &&str| {
        let (head, rest) = line.split_once("fn ")?;
        let is_head =
            head.split_whitespace().all(|word| word.starts_with("pub") || matches!(word, "async" | "const"));
        is_head.then(|| rest.split(['(', '<']).next().unwrap_or_default().to_owned())
    };
    before.iter().rev().find_map(name).unwrap_or_default()
}

fn walkers() -> BTreeSet<(String, String)> {
    let operator = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of all crates");
    let mut files = Vec::new();
    for folder in ["controller/src", "runtime/src"] {
        sources(&operator.join(folder), &mut files);
    }
    assert!(files.len() > 50, "the sources were found");
    let mut found = BTreeSet::new();
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a source file");
        let lines: Vec<&str> = text.lines().collect();
        let name = path.strip_prefix(operator).expect("below it").to_string_lossy().into_owned();
        for (number, line) in lines.iter().enumerate() {
            // What a cache does with itself.
            let is_own = name == "runtime/src/cache/mod.rs" && line.contains("self.walk(");
            if WALKS.iter().any(|walk| line.contains(walk)) && !is_own {
                found.insert((name.clone(), function(&lines[..=number])));
            }
        }
    }
    found
}

#[test]
fn nobody_walks_over_a_cache_but_those_who_may() {
    let known = WALKERS.iter().map(|(file, function, _)| ((*file).to_owned(), (*function).to_owned()));
    assert_eq!(
        walkers(),
        known.collect(),
        "an index finds what is looked for: see controller/src/indexes.rs"
    );
}
