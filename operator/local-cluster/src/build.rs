//! Builds programs from the Go modules pinned in `go/`, with `go install`.
//!
//! The modules' files are part of this program, so it works from any directory, and Go
//! verifies every download against them. Builds into a directory that the caller gives; where that
//! is and that only one process builds at a time is the business of `cache`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::go::{Go, GoError, goarch, goos};
use crate::part::{Module, Part, Release, by_module};
use crate::process::{ProcessError, ProcessSpec, log_tail, spawn_with_parent};
use crate::progress::{Progress, minutes};

const GIB: u64 = 1 << 30;
/// Free disk space for a build from nothing: modules 1.0 GB, build cache 3.3 GB, programs 0.3 GB
/// and what the linker needs for a while.
const COLD_BUILD_BYTES: u64 = 6 * GIB;
/// Free disk space where the modules are there already; the build cache then mostly is as well.
const WARM_BUILD_BYTES: u64 = GIB;
/// Time for the download and, on two cores, for compiling everything from nothing.
const DOWNLOAD_TIME: Duration = Duration::from_secs(45);
/// How often the build is looked at.
const POLL: Duration = Duration::from_millis(100);
/// No debug information, which the linker would only leave out again (`-s -w`).
const GCFLAGS: &str = "-gcflags=all=-dwarf=false";
/// How many of Go's last lines an error quotes.
const QUOTED_LINES: usize = 12;

/// Why programs could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no usable Go.
    #[error(transparent)]
    Go(#[from] GoError),
    /// Too little disk space to begin with.
    #[error(
        "not enough disk space to build the control plane: about {} GB are needed under {}, {:.1} GB are free",
        needed / GIB, path.display(), gib(*free)
    )]
    Disk {
        /// The directory that is to be written to.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The disk became full on the way.
    #[error(
        "the disk became full while building the control plane: about 6 GB are needed for a build from nothing"
    )]
    DiskFull,
    /// Go could not get the modules.
    #[error(
        "the Go modules of the control plane could not be downloaded; is there a network, or a GOPROXY that \
         can be reached? go said:\n{0}"
    )]
    Download(String),
    /// Go could not compile a program.
    #[error("go could not build {programs}; it said:\n{output}")]
    Compile {
        /// The programs, with commas between them.
        programs: String,
        /// Go's last lines.
        output: String,
    },
    /// Go could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The build directory could not be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Builds `parts` and returns the directory, under `work_dir`, that then holds them and nothing
/// else. `work_dir` must be there and empty.
pub(crate) fn build(
    go: &Go,
    parts: &[Part],
    release: &'static Release,
    work_dir: &Path,
    progress: &Progress,
) -> Result<PathBuf, BuildError> {
    check_disk(go, release, work_dir)?;
    progress.say(&announcement(parts, release, cores()));
    let bin = work_dir.join("bin");
    let batches: Vec<Batch> = by_module(parts, release)
        .into_iter()
        .map(|(module, parts)| Batch { go, module, parts, release, work_dir })
        .collect();
    for batch in &batches {
        batch.write_module()?;
    }
    create_dir(&bin)?;
    create_dir(&work_dir.join("tmp"))?;
    let steps = batches.len() + 1;
    let packages = download(&batches, steps, progress)?;
    for (index, (batch, packages)) in batches.iter().zip(packages).enumerate() {
        batch.compile(&format!("{}/{steps}", index + 2), packages, progress)?;
    }
    Ok(bin)
}

/// Downloads what the batches need; how many packages each compiles.
fn download(batches: &[Batch<'_>], steps: usize, progress: &Progress) -> Result<Vec<usize>, BuildError> {
    let about = minutes(DOWNLOAD_TIME);
    let mut step = progress.step(&format!("[1/{steps}] downloading the Go modules (about {about})"));
    let mut packages = Vec::new();
    for batch in batches {
        match batch.download(|| step.tick()) {
            Ok(count) => packages.push(count),
            Err(error) => {
                step.finish("failed");
                return Err(error);
            }
        }
    }
    step.finish("done");
    Ok(packages)
}

/// The programs of one module: one `go install` builds them, so that none waits while another is linked.
struct Batch<'a> {
    go: &'a Go,
    module: &'static Module,
    parts: Vec<Part>,
    release: &'static Release,
    work_dir: &'a Path,
}

impl Batch<'_> {
    fn write_module(&self) -> Result<(), BuildError> {
        let dir = self.work_dir.join(self.module.name);
        create_dir(&dir)?;
        for (name, text) in self.module.files {
            let path = dir.join(name);
            fs::write(&path, text).map_err(|source| BuildError::Io { path, source })?;
        }
        Ok(())
    }

    fn packages(&self) -> impl Iterator<Item = &'static str> {
        self.parts.iter().map(|part| part.package())
    }

    /// Loading all dependencies downloads exactly what the build needs; how many packages they are.
    fn download(&self, tick: impl FnMut()) -> Result<usize, BuildError> {
        let log = self.log("download");
        let list = self.go_spec().args(["list", "-deps"]).args(self.packages()).log_file(&log);
        if run(&list, tick)? { Ok(lines(&log)) } else { Err(failure(&log, BuildError::Download)) }
    }

    fn compile(&self, number: &str, packages: usize, progress: &Progress) -> Result<(), BuildError> {
        let names = names(&self.parts);
        let about = minutes(compile_time(&self.parts, cores()));
        let mut step = progress.step(&format!("[{number}] compiling {names} (about {about})"));
        let log = self.log("compile");
        let ldflags = self.parts.first().map(|part| part.ldflags(self.release)).unwrap_or_default();
        let install = self
            .go_spec()
            // With -v it tells each package that it compiles.
            .args(["install", "-v", "-trimpath", GCFLAGS, "-ldflags", &ldflags])
            .args(self.packages())
            .log_file(&log);
        let so_far = || format!("{} of {packages} packages", lines(&log).min(packages));
        if !run(&install, || step.tick_with(so_far))? {
            step.finish("failed");
            return Err(failure(&log, |output| BuildError::Compile { programs: names, output }));
        }
        step.finish("done");
        self.rename_programs()
    }

    fn rename_programs(&self) -> Result<(), BuildError> {
        let bin = self.work_dir.join("bin");
        for part in &self.parts {
            if let Some(built) = part.installed_as() {
                let built = bin.join(built);
                fs::rename(&built, bin.join(part.name()))
                    .map_err(|source| BuildError::Io { path: built, source })?;
            }
        }
        Ok(())
    }

    fn log(&self, what: &str) -> PathBuf {
        self.work_dir.join(format!("{what}-{}.log", self.module.name))
    }

    /// What the `go` commands have in common. The flags and settings are part of the key of Go's own build cache.
    fn go_spec(&self) -> ProcessSpec {
        ProcessSpec::new("go", &self.go.program)
            .current_dir(self.work_dir.join(self.module.name))
            .env("CGO_ENABLED", "0")
            .env("GOBIN", self.work_dir.join("bin"))
            // What an interrupted build leaves behind is removed with the work directory.
            .env("GOTMPDIR", self.work_dir.join("tmp"))
            .env("GOFLAGS", "-mod=readonly")
            .env("GOWORK", "off")
            .env("GOTOOLCHAIN", "local")
            // For the compiler itself: fewer rounds of its garbage collector, for some more memory.
            .env("GOGC", "400")
            // GOBIN is refused for other platforms than this one, which the environment may ask for.
            .env("GOOS", goos())
            .env("GOARCH", goarch())
    }
}

/// Runs to the end; whether it succeeded.
fn run(spec: &ProcessSpec, mut tick: impl FnMut()) -> Result<bool, BuildError> {
    let process = spawn_with_parent(spec)?;
    loop {
        if let Some(status) = process.wait_timeout(POLL)? {
            return Ok(status.success());
        }
        tick();
    }
}

fn failure(log: &Path, otherwise: impl FnOnce(String) -> BuildError) -> BuildError {
    let output = log_tail(log, QUOTED_LINES);
    if output.contains("no space left on device") { BuildError::DiskFull } else { otherwise(output) }
}

/// Lines of a log, which may not be there yet.
fn lines(log: &Path) -> usize {
    fs::read_to_string(log).map_or(0, |text| text.lines().count())
}

fn names(parts: &[Part]) -> String {
    parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(", ")
}

fn announcement(parts: &[Part], release: &Release, cores: u32) -> String {
    let compiling = compile_time(parts, cores);
    format!(
        "building {} (Kubernetes {}): about {} min here, because they are compiled from \
         source; this happens once, later starts take seconds",
        names(parts),
        release.version,
        (DOWNLOAD_TIME + compiling).as_secs().div_ceil(60)
    )
}

/// How long compiling parts from nothing is going to take, roughly.
fn compile_time(parts: &[Part], cores: u32) -> Duration {
    // Alone, kubectl cannot reuse what was compiled for the API server.
    let alone = parts == [Part::Kubectl];
    let seconds = if alone { 80 } else { parts.iter().map(|part| part.seconds_on_two_cores()).sum() };
    // The work scales with the cores, but for linking, which is about a tenth of it.
    Duration::from_secs(u64::from((seconds * 9 / 10 * 2 / cores.max(1)) + seconds / 10))
}

fn cores() -> u32 {
    thread::available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok()).unwrap_or(1)
}

fn check_disk(go: &Go, release: &Release, work_dir: &Path) -> Result<(), BuildError> {
    let kubernetes = go.module_cache.join(format!("k8s.io/kubernetes@v{}", release.version));
    let needed = if kubernetes.is_dir() { WARM_BUILD_BYTES } else { COLD_BUILD_BYTES };
    for dir in [go.build_cache.as_path(), go.module_cache.as_path(), work_dir] {
        enough_space(dir, free_bytes(dir), needed)?;
    }
    Ok(())
}

/// `free` is `None` where the system does not tell; the build then finds out.
fn enough_space(path: &Path, free: Option<u64>, needed: u64) -> Result<(), BuildError> {
    match free {
        Some(free) if free < needed => Err(BuildError::Disk { path: path.to_owned(), needed, free }),
        _ => Ok(()),
    }
}

/// Bytes that this user may still write where `dir` is, or is going to be.
fn free_bytes(dir: &Path) -> Option<u64> {
    let existing = dir.ancestors().find(|ancestor| ancestor.is_dir())?;
    let stat = rustix::fs::statvfs(existing).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

// One decimal is shown: what a float loses at this size does not matter.
#[expect(clippy::cast_precision_loss, reason = "one decimal of a number of gigabytes is shown")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}

fn create_dir(path: &Path) -> Result<(), BuildError> {
    fs::create_dir(path).map_err(|source| BuildError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_says_how_long_and_why() {
        let said = |parts: &[Part]| announcement(parts, Release::default(), 2);
        let both = [Part::CONTROL_PLANE, Part::CONTROLLER_MANAGER].concat();
        assert_eq!(
            said(&both),
            "building etcd, kube-apiserver, kubectl, kube-controller-manager (Kubernetes 1.36.3): about 6 min \
             here, because they are compiled from source; this happens once, later starts take seconds"
        );
        assert!(said(Part::CONTROL_PLANE).contains("kubectl (Kubernetes 1.36.3): about 5 min here"));
        assert!(
            said(Part::CONTROLLER_MANAGER)
                .contains("kube-controller-manager (Kubernetes 1.36.3): about 2 min")
        );
        let on = |cores| compile_time(Part::CONTROL_PLANE, cores);
        assert!(on(8) < on(2) && on(1) > on(2));
    }

    #[test]
    fn too_little_disk_space_is_said_in_one_sentence() {
        let said = enough_space(Path::new("/cache"), Some(GIB * 5 / 2), COLD_BUILD_BYTES).unwrap_err();
        assert_eq!(
            said.to_string(),
            "not enough disk space to build the control plane: about 6 GB are needed under /cache, \
             2.5 GB are free"
        );
        enough_space(Path::new("/cache"), Some(COLD_BUILD_BYTES), COLD_BUILD_BYTES).unwrap();
        assert!(free_bytes(Path::new("/nonexistent/below")).unwrap() > 0);
    }

    #[test]
    fn a_full_disk_is_told_apart_from_a_failed_download() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        fs::write(&log, "k8s.io/api@v0.36.3: Get \"https://proxy/x\": dial tcp: no such host\n").unwrap();
        let said = failure(&log, BuildError::Download).to_string();
        assert!(said.contains("could not be downloaded") && said.contains("no such host"), "{said}");
        fs::write(&log, "write /x: no space left on device\n").unwrap();
        assert!(failure(&log, BuildError::Download).to_string().starts_with("the disk became full"));
    }
}
