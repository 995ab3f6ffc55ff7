//! A copy of the source with all patches of `operator/simulation/mutants/` applied, and the simulation built from it, once.
//!
//! A patch is called `NN-Name.patch`, and makes its mistake where the variable `MUTANT` has that name; so they can be
//! applied together, and one build has them all.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fooddelivery_simulation::plan::Pattern;

use super::{Found, SEED};

/// What a mutated program looks at to know which mistake it is to make.
const SWITCH: &str = "MUTANT";
/// The simulation's program, called otherwise so that it never takes the place of the real one.
const PROGRAM: &str = "mutated-simulate";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn tree() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants")
}

fn patches() -> Vec<PathBuf> {
    let folder = root().join("operator/simulation/mutants");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut patches: Vec<PathBuf> =
        files.filter(|path| path.extension() == Some(OsStr::new("patch"))).collect();
    patches.sort();
    patches
}

/// Makes the copy, and returns the names of the mutants in it.
pub(super) fn with_patches() -> Vec<String> {
    let (root, tree) = (root(), tree());
    if tree.exists() {
        fs::remove_dir_all(&tree).unwrap();
    }
    fs::create_dir_all(&tree).unwrap();
    for part in ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", ".cargo", "operator"] {
        copy(&root.join(part), &tree.join(part));
    }
    call_it_another_version(&tree.join("Cargo.toml"));
    let programs = tree.join("operator/simulation/src/bin");
    fs::rename(programs.join("simulate.rs"), programs.join(format!("{PROGRAM}.rs"))).unwrap();
    patches().iter().map(|patch| apply(patch, &tree)).collect()
}

/// Cargo names what it builds after package and version, wherever the source lies: with the same version, libraries with
/// mistakes would take the place of the real ones.
fn call_it_another_version(manifest: &Path) {
    let text = fs::read_to_string(manifest).unwrap();
    let version = concat!("version = \"", env!("CARGO_PKG_VERSION"), "\"");
    assert_eq!(text.matches(version).count(), 1, "{}", manifest.display());
    let other = concat!("version = \"", env!("CARGO_PKG_VERSION"), "-mutants\"");
    fs::write(manifest, text.replace(version, other)).unwrap();
}

/// Times of change are kept, so that a second run builds only what a patch has changed.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
        let changed = fs::metadata(from).unwrap().modified().unwrap();
        fs::File::options().write(true).open(to).unwrap().set_modified(changed).unwrap();
    }
}

fn apply(patch: &Path, tree: &Path) -> String {
    let name = patch.file_stem().and_then(OsStr::to_str).unwrap();
    // The copy lies within a repository, of which git is to know nothing here.
    let applied = Command::new("git")
        .args(["apply", "-C1", "--recount"])
        .arg(patch)
        .current_dir(tree)
        .env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap())
        .output()
        .expect("git is installed");
    assert!(
        applied.status.success(),
        "{} does not apply any more: the code that it changes has changed. Make the same mistake in the code as it \
         is now (operator/simulation/mutants/README.md says how).\n{}",
        patch.display(),
        String::from_utf8_lossy(&applied.stderr)
    );
    let mutant = name.split_once('-').expect("a patch is called NN-Name.patch").1;
    let text = fs::read_to_string(patch).unwrap();
    assert!(text.contains(&format!("Ok(\"{mutant}\")")), "{name} asks for {SWITCH} = {mutant}");
    mutant.to_owned()
}

/// What is optimised, and how far: as `cargo test-all` has it, of which all that is not of this workspace is built already.
fn optimised() -> Vec<String> {
    let config = fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
    config.split('"').filter(|quoted| quoted.starts_with("profile.")).map(str::to_owned).collect()
}

/// Builds the simulation from the copy, beside what is built already; says where the program is.
pub(super) fn built() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    // The packages of the workspace change their version in Cargo.lock; all others are there.
    cargo.args(["build", "--quiet", "--offline", "--package", "fooddelivery-simulation", "--bin", PROGRAM]);
    cargo.args(optimised().iter().flat_map(|setting| ["--config", setting]));
    let status = cargo.arg("--target-dir").arg(target).current_dir(tree()).status().unwrap();
    assert!(status.success(), "the code with the patches does not compile");
    target.join("debug").join(PROGRAM)
}

/// A mutant, by its name and by where it stands.
pub(super) enum Hunted {
    /// [`fooddelivery_simulation::mutants::Mutant`].
    AtTheEdge(String),
    /// A patch.
    OfTheCode(String),
}

impl Hunted {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::AtTheEdge(name) | Self::OfTheCode(name) => name,
        }
    }
}

/// The first schedule of these that finds the mutant.
pub(super) fn hunt(
    program: &Path,
    hunted: &Hunted,
    pattern: Option<Pattern>,
    schedules: u64,
) -> Option<Found> {
    let mut simulate = Command::new(program);
    simulate.args(["--brief", "--threads", "1", "--seed", &SEED.to_string()]);
    simulate.args(["--schedules", &schedules.to_string()]);
    if let Some(pattern) = pattern {
        simulate.args(["--pattern", pattern.as_str()]);
    }
    match hunted {
        Hunted::AtTheEdge(name) => simulate.args(["--mutant", name]),
        Hunted::OfTheCode(name) => simulate.env(SWITCH, name),
    };
    let output = simulate.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    // schedule 17 (storm): money is captured at most once
    let found = text.lines().find_map(|line| line.strip_prefix("schedule ")?.split_once(": "));
    let Some((schedule, property)) = found else {
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        return None;
    };
    let number = schedule.split(' ').next().unwrap().parse().unwrap();
    Some(Found { pattern, number, property: property.to_owned() })
}
