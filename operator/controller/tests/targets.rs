//! What is compiled for `cargo test`: a target that is spared has no tests that would be left out.
#![allow(clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The targets of the workspace, as Cargo sees them.
fn targets() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages.flat_map(|package| package["targets"].as_array().expect("targets").clone()).collect()
}

/// The source files of a target: of a library all but those of programs, of a program its file or its folder. A program's own
/// modules lie in such a folder; `src/main.rs` has the library's beside it.
fn files(root: &Path) -> Vec<PathBuf> {
    let folder = root.parent().expect("a folder");
    let is_folder = root.ends_with("lib.rs") || (root.ends_with("main.rs") && !folder.ends_with("src"));
    let mut left = vec![if is_folder { folder } else { root }.to_owned()];
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder");
            left.extend(
                entries.map(|entry| entry.expect("an entry").path()).filter(|path| !path.ends_with("bin")),
            );
        } else {
            found.push(path);
        }
    }
    found
}

/// The files of targets of which `spared` holds in which `sign` stands.
fn left_out(spared: impl Fn(&Value) -> bool, signs: &[&str]) -> Vec<PathBuf> {
    let targets = targets().into_iter().filter(spared);
    let files = targets.flat_map(|target| files(Path::new(target["src_path"].as_str().expect("a path"))));
    let has_sign = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("a source file");
        text.lines().any(|line| signs.iter().any(|sign| line.trim_start().starts_with(sign)))
    };
    files.filter(has_sign).collect()
}

#[test]
fn what_is_not_compiled_for_tests_has_none() {
    assert_eq!(
        left_out(|target| target["test"] == false, &["#[cfg(test)]", "#[test]", "#[tokio::test"]),
        Vec::<PathBuf>::new()
    );
}

#[test]
fn what_is_not_searched_for_examples_has_none() {
    let is_spared = |target: &Value| target["doctest"] == false && target["kind"][0] == "lib";
    assert_eq!(left_out(is_spared, &["/// ```", "//! ```"]), Vec::<PathBuf>::new());
}

#[test]
fn tests_are_found_where_they_are() {
    assert!(!left_out(|target| target["test"] == true, &["#[test]"]).is_empty());
    assert!(!left_out(|target| target["doctest"] == true, &["/// ```", "//! ```"]).is_empty());
}
