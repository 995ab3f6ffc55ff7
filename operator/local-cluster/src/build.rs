//! Builds programs from the Go modules pinned in `go/`, with `go install`.
//!
//! The modules' files are part of this program, so it works from any directory, and Go
//! verifies every download against them. Builds into a directory that the caller gives; where that
//! is and that only one process builds at a time is the business of `binaries`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::go::{Go, GoError, goarch, goos};
use crate::part::{KUBERNETES_VERSION, Part, modules};
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
    #[error("go could not build {program}; it said:\n{output}")]
    Compile {
        /// The program.
        program: &'static str,
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
    work_dir: &Path,
    progress: &Progress,
) -> Result<PathBuf, BuildError> {
    check_disk(go, work_dir)?;
    progress.say(&announcement(parts, cores()));
    let bin = work_dir.join("bin");
    write_modules(parts, work_dir)?;
    create_dir(&bin)?;
    create_dir(&work_dir.join("tmp"))?;
    download(go, parts, work_dir, progress)?;
    for (index, &part) in parts.iter().enumerate() {
        compile(go, parts, index, work_dir, progress)?;
        if let Some(built) = part.installed_as() {
            let built = bin.join(built);
            fs::rename(&built, bin.join(part.name()))
                .map_err(|source| BuildError::Io { path: built, source })?;
        }
    }
    Ok(bin)
}

fn download(go: &Go, parts: &[Part], work_dir: &Path, progress: &Progress) -> Result<(), BuildError> {
    let steps = parts.len() + 1;
    let about = minutes(DOWNLOAD_TIME);
    let mut step = progress.step(&format!("[1/{steps}] downloading the Go modules (about {about})"));
    for part in parts {
        // Loading all dependencies downloads exactly what the build needs.
        let log = work_dir.join(format!("download-{}.log", part.name()));
        let list = go_spec(go, work_dir, *part).args(["list", "-deps", part.package()]).log_file(&log);
        let downloaded = run(&list, || step.tick())?;
        if !downloaded {
            step.finish("failed");
            return Err(failure(&log, BuildError::Download));
        }
    }
    step.finish("done");
    Ok(())
}

fn compile(
    go: &Go,
    parts: &[Part],
    index: usize,
    work_dir: &Path,
    progress: &Progress,
) -> Result<(), BuildError> {
    let part = parts[index];
    let (number, steps) = (index + 2, parts.len() + 1);
    let about = minutes(compile_time(parts, index, cores()));
    let mut step = progress.step(&format!("[{number}/{steps}] compiling {} (about {about})", part.name()));
    let log = work_dir.join(format!("compile-{}.log", part.name()));
    let install = go_spec(go, work_dir, part)
        .args(["install", "-trimpath", "-ldflags", part.ldflags(), part.package()])
        .log_file(&log);
    if run(&install, || step.tick())? {
        step.finish("done");
        return Ok(());
    }
    step.finish("failed");
    Err(failure(&log, |output| BuildError::Compile { program: part.name(), output }))
}

/// What a `go` command for this part has in common with the others. The flags and settings are part
/// of the key of Go's own build cache.
fn go_spec(go: &Go, work_dir: &Path, part: Part) -> ProcessSpec {
    ProcessSpec::new("go", &go.program)
        .current_dir(work_dir.join(part.module().name))
        .env("CGO_ENABLED", "0")
        .env("GOBIN", work_dir.join("bin"))
        // What an interrupted build leaves behind is removed with the work directory.
        .env("GOTMPDIR", work_dir.join("tmp"))
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .env("GOTOOLCHAIN", "local")
        // GOBIN is refused for other platforms than this one, which the environment may ask for.
        .env("GOOS", goos())
        .env("GOARCH", goarch())
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

fn announcement(parts: &[Part], cores: u32) -> String {
    let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
    let compiling: Duration = (0..parts.len()).map(|index| compile_time(parts, index, cores)).sum();
    format!(
        "building {} (Kubernetes {KUBERNETES_VERSION}): about {} min here, because they are compiled from \
         source; this happens once, later starts take seconds",
        names.join(", "),
        (DOWNLOAD_TIME + compiling).as_secs().div_ceil(60)
    )
}

/// How long compiling a part from nothing is going to take, roughly.
fn compile_time(parts: &[Part], index: usize, cores: u32) -> Duration {
    let part = parts[index];
    // Alone, kubectl cannot reuse what was compiled for the API server.
    let seconds = if parts == [Part::Kubectl] { 80 } else { part.seconds_on_two_cores() };
    // The work scales with the cores, but for linking, which is about a tenth of it.
    Duration::from_secs(u64::from((seconds * 9 / 10 * 2 / cores.max(1)) + seconds / 10))
}

fn cores() -> u32 {
    thread::available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok()).unwrap_or(1)
}

fn check_disk(go: &Go, work_dir: &Path) -> Result<(), BuildError> {
    let kubernetes = go.module_cache.join(format!("k8s.io/kubernetes@v{KUBERNETES_VERSION}"));
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

fn write_modules(parts: &[Part], work_dir: &Path) -> Result<(), BuildError> {
    for module in modules(parts) {
        let dir = work_dir.join(module.name);
        create_dir(&dir)?;
        for (name, text) in module.files {
            let path = dir.join(name);
            fs::write(&path, text).map_err(|source| BuildError::Io { path, source })?;
        }
    }
    Ok(())
}

fn create_dir(path: &Path) -> Result<(), BuildError> {
    fs::create_dir(path).map_err(|source| BuildError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_says_how_long_and_why() {
        assert_eq!(
            announcement(&Part::CONTROL_PLANE, 2),
            "building etcd, kube-apiserver, kube-controller-manager, kubectl (Kubernetes 1.36.3): about 6 min \
             here, because they are compiled from source; this happens once, later starts take seconds"
        );
        assert!(compile_time(&Part::CONTROL_PLANE, 1, 8) < compile_time(&Part::CONTROL_PLANE, 1, 2));
        assert!(compile_time(&Part::CONTROL_PLANE, 1, 1) > compile_time(&Part::CONTROL_PLANE, 1, 2));
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
