//! Tries one version: builds its control plane, installs on it, and runs demo and tests on it as processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fooddelivery_e2e::Programs;
use fooddelivery_e2e::binaries::{BIN_DIR, TESTS, cargo, workspace};
use local_cluster::{BinarySource, KUBERNETES_VERSION, LocalCluster, Options, Progress};

use crate::table::{Outcome, Row, TRIED};

/// What is applied, one after the other, on a cluster that has nothing yet.
const INSTALLED: [&str; 2] = ["manifests/base", "manifests/default"];
/// What tells whether the API server has MutatingAdmissionPolicy.
const DISCOVERY: &str = "/apis/admissionregistration.k8s.io/v1";

/// One version, and where logs go.
pub(crate) struct Bench<'a> {
    /// Its control plane.
    pub(crate) source: &'a BinarySource,
    /// A directory for logs, and for what Go compiles on the way.
    pub(crate) dir: &'a Path,
}

impl Bench<'_> {
    /// Tries everything, whatever fails.
    ///
    /// # Errors
    /// When the control plane cannot be built or started, or a program cannot be run.
    pub(crate) fn try_out(&self) -> Result<Row> {
        let version = self.source.kubernetes_version();
        eprintln!("compat: Kubernetes {version}");
        self.build()?;
        let (install, stamps_finalizers) = self.install()?;
        let mut outcomes = [Outcome { passed: false, took: std::time::Duration::ZERO }; TRIED.len()];
        for (outcome, what) in outcomes.iter_mut().zip(TRIED) {
            *outcome = self.run(what)?;
        }
        Ok(Row { version: version.to_owned(), install, stamps_finalizers, outcomes })
    }

    /// As a process of its own, with a build cache of its own: what Go compiles on the way takes gigabytes, and no other
    /// version can use it.
    fn build(&self) -> Result<()> {
        let go_cache = self.dir.join("go");
        let mut build = cargo();
        build.args(["run", "--quiet", "--package", "local-cluster", "--", "build"]);
        build.env("GOCACHE", &go_cache).env(KUBERNETES_VERSION, self.source.kubernetes_version());
        let status = build.current_dir(workspace()).stdin(Stdio::null()).stdout(Stdio::null()).status();
        let removed = if go_cache.exists() { std::fs::remove_dir_all(&go_cache) } else { Ok(()) };
        ensure!(status.context("cargo cannot be run")?.success(), "the control plane was not built");
        removed.with_context(|| go_cache.display().to_string())
    }

    /// Applies what a person applies, each by one command. Also whether the API server has MutatingAdmissionPolicy.
    fn install(&self) -> Result<(Outcome, bool)> {
        let cluster = LocalCluster::start_with(
            self.source.find_or_build(&Progress::Stderr)?,
            &Options { progress: Progress::Stderr, ..Options::default() },
        )?;
        let begun = Instant::now();
        let mut said = String::new();
        let mut passed = true;
        for folder in INSTALLED {
            let applied = kubectl(&cluster, &["apply", "-k", folder])?;
            passed &= applied.status.success();
            said += &String::from_utf8_lossy(&applied.stdout);
            said += &String::from_utf8_lossy(&applied.stderr);
        }
        let outcome = Outcome { passed, took: begun.elapsed() };
        let log = self.log("install");
        std::fs::write(&log, said).with_context(|| log.display().to_string())?;
        self.tell("install", outcome);
        let served = kubectl(&cluster, &["get", "--raw", DISCOVERY])?;
        ensure!(served.status.success(), "{DISCOVERY}: {}", String::from_utf8_lossy(&served.stderr));
        let stamps = String::from_utf8_lossy(&served.stdout).contains("\"mutatingadmissionpolicies\"");
        cluster.stop_blocking()?;
        Ok((outcome, stamps))
    }

    /// The demo, or the end-to-end tests of a module.
    fn run(&self, what: &str) -> Result<Outcome> {
        let mut run = cargo();
        let module = format!("{what}::");
        let arguments: &[&str] = if what == "demo" {
            &["run", "--package", env!("CARGO_PKG_NAME"), "--bin", "demo"]
        } else {
            &["test", "--package", "fooddelivery-e2e", "--test", "e2e", "--", &module]
        };
        let path = self.log(what);
        let log = File::create(&path).with_context(|| path.display().to_string())?;
        let programs = Programs::find_or_build()?;
        let of_programs = programs.operator.parent().context("a program without a folder")?;
        run.args(arguments).env(KUBERNETES_VERSION, self.source.kubernetes_version());
        // Also what is left to `cargo test-all`: without it the transcripts would pass unread.
        run.env(TESTS, "all").env(BIN_DIR, of_programs);
        run.current_dir(workspace()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let begun = Instant::now();
        let passed = run.status().context("cargo cannot be run")?.success();
        let outcome = Outcome { passed, took: begun.elapsed() };
        self.tell(what, outcome);
        Ok(outcome)
    }

    fn tell(&self, what: &str, outcome: Outcome) {
        let (word, seconds) = (if outcome.passed { "passed" } else { "failed" }, outcome.took.as_secs());
        let version = self.source.kubernetes_version();
        eprintln!("compat: {version}: {what} {word} after {seconds} s ({})", self.log(what).display());
    }

    fn log(&self, what: &str) -> PathBuf {
        self.dir.join(format!("{}-{what}.log", self.source.kubernetes_version()))
    }
}

fn kubectl(cluster: &LocalCluster, arguments: &[&str]) -> Result<Output> {
    let mut kubectl: Command = cluster.kubectl();
    kubectl
        .args(arguments)
        .current_dir(workspace())
        .stdin(Stdio::null())
        .output()
        .context("kubectl cannot be run")
}
