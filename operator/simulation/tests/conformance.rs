//! The table against the simulation: what comes of it is written down in `transcripts/`, and must not change unseen.
//! `UPDATE_TRANSCRIPTS=1 cargo test -p fooddelivery-simulation --test conformance` writes it anew; that it is also what
//! a real control plane does, `cargo test -p fooddelivery-e2e --test conformance` says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use fooddelivery_simulation::conformance::{Scenario, Simulated, all, run};

/// Where the transcripts of servers without MutatingAdmissionPolicy are that differ from the others.
const OLDER: &str = "before-1.36";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts")
}

async fn transcript(scenario: &Scenario, world: Simulated) -> String {
    run(scenario, &world).await.unwrap_or_else(|error| panic!("{}: {error:#}", scenario.name))
}

fn is_update() -> bool {
    std::env::var_os("UPDATE_TRANSCRIPTS").is_some()
}

#[tokio::test(start_paused = true)]
async fn the_simulation_does_what_is_written_down() {
    let mut drifted = Vec::new();
    let mut names = Vec::new();
    for scenario in all() {
        let name = scenario.name.replace(' ', "-");
        let path = folder().join(format!("{name}.txt"));
        let world = Simulated::new().expect("the manifests can be simulated");
        let transcript = transcript(&scenario, world).await;
        if is_update() {
            std::fs::create_dir_all(folder()).unwrap();
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

#[tokio::test(start_paused = true)]
async fn a_server_before_1_36_differs_in_what_is_written_down_and_nowhere_else() {
    let mut drifted = Vec::new();
    let mut differing = 0;
    for scenario in all() {
        let name = scenario.name.replace(' ', "-");
        let path = folder().join(OLDER).join(format!("{name}.txt"));
        let usual = Simulated::new().expect("the manifests can be simulated");
        let older = Simulated::without_mutating_policies().expect("the manifests can be simulated");
        let (usual, older) = (transcript(&scenario, usual).await, transcript(&scenario, older).await);
        if is_update() && usual != older {
            std::fs::create_dir_all(folder().join(OLDER)).unwrap();
            std::fs::write(&path, &older).unwrap();
        } else if is_update() && path.exists() {
            std::fs::remove_file(&path).unwrap();
        }
        let written = std::fs::read_to_string(&path).ok();
        if written.as_ref().unwrap_or(&usual) != &older || (usual == older && written.is_some()) {
            drifted.push(name.clone());
        }
        differing += usize::from(usual != older);
    }
    assert!(drifted.is_empty(), "not what is written down: {drifted:?}");
    assert!(differing > 0, "the stamp is seen by some scenario");
}
