//! The table against the simulation: what comes of it is written down in `transcripts/`, and must not change unseen.
//! `UPDATE_TRANSCRIPTS=1 cargo test -p fooddelivery-simulation --test conformance` writes it anew; that it is also what
//! a real control plane does, `cargo test -p fooddelivery-e2e --test conformance` says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use fooddelivery_simulation::conformance::{Simulated, all, run};

#[tokio::test(start_paused = true)]
async fn the_simulation_does_what_is_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let mut drifted = Vec::new();
    let mut names = Vec::new();
    for scenario in all() {
        let name = scenario.name.replace(' ', "-");
        let path = folder.join(format!("{name}.txt"));
        let world = Simulated::new().expect("the manifests can be simulated");
        let transcript = run(&scenario, &world).await.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &transcript).unwrap();
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != transcript {
            drifted.push(name.clone());
        }
        assert!(!names.contains(&name), "two scenarios are called {name}");
        names.push(name);
    }
    assert!(drifted.is_empty(), "not what is written down: {drifted:?}");
    assert!(names.len() >= 30);
}
