//! The domain stays pure: its manifest names no I/O.

#[test]
fn the_domain_depends_on_neither_kube_nor_an_async_runtime() {
    let manifest = include_str!("../Cargo.toml");
    let dependencies = manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split('[').next());
    let names: Vec<&str> = dependencies
        .expect("a dependency table")
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(
        names,
        ["fooddelivery-units", "schemars", "serde"],
        "data formats and units only: no kube, no tokio, no clock, no I/O"
    );
}

#[test]
fn no_source_file_reads_a_clock() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut left = vec![folder];
    let mut seen = 0;
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                std::fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path()),
            );
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(&path).expect("a source file");
        for word in ["SystemTime", "Instant", "std::fs", "std::net", "std::env", "std::thread"] {
            assert!(!text.contains(word), "{} uses {word}", path.display());
        }
    }
    assert!(seen > 8, "the sources were found");
}
