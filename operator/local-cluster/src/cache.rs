//! The cache of built programs, in entries that are complete or absent: an entry is built next to its place and
//! renamed into it, once, however many processes ask at the same time. Knows nothing of how programs are built.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::build::BuildError;
use crate::part::{Part, Release, cache_key};
use crate::process::find_in_path;
use crate::progress::Progress;

/// How often another process's lock is tried.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// Why programs are not in the cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The cache cannot be written or locked.
    #[error("the cache cannot be used: {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The programs had to be built and could not be.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Programs that are there together or not at all, in a directory of their own.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    dir: PathBuf,
    parts: &'static [Part],
}

impl Entry {
    /// The entry of a cache with these parts of a release; `kind` begins its name.
    pub(crate) fn new(cache: &Path, kind: &str, parts: &'static [Part], release: &'static Release) -> Self {
        Self { dir: cache.join(format!("{kind}-{}", cache_key(parts, release))), parts }
    }

    /// Where a program of it is, or is going to be.
    pub(crate) fn program(&self, part: Part) -> PathBuf {
        self.dir.join(part.name())
    }

    /// Where its programs are, or are going to be.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where it is built.
    pub(crate) fn work_dir(&self) -> PathBuf {
        self.dir.with_extension("building")
    }

    fn is_complete(&self) -> bool {
        self.parts.iter().all(|part| find_in_path(self.program(*part)).is_some())
    }

    fn lock(&self, progress: &Progress) -> Result<File, CacheError> {
        if let Some(cache) = self.dir.parent() {
            fs::create_dir_all(cache).map_err(cache_error(cache))?;
        }
        let path = self.dir.with_extension("lock");
        lock(&path, progress).map_err(cache_error(&path))
    }

    /// Moves its programs from `bin`, by way of `work_dir`, so that all of them come at once.
    fn fill(&self, bin: &Path, work_dir: &Path) -> Result<(), CacheError> {
        let staged = work_dir.join("entry");
        fs::create_dir(&staged).map_err(cache_error(&staged))?;
        for part in self.parts {
            let built = bin.join(part.name());
            fs::rename(&built, staged.join(part.name())).map_err(cache_error(&built))?;
        }
        fs::rename(&staged, &self.dir).map_err(cache_error(&self.dir))
    }
}

/// Makes sure that all entries are there. What is missing is built at once by `build`, which is given the parts and an
/// empty directory, and returns the directory below it that then holds them.
///
/// Locks are taken in the order of `entries`: whoever asks for several names them in the same order, or they could
/// wait for each other.
///
/// # Errors
/// When the cache cannot be used, or the build fails; nothing is left behind then.
pub(crate) fn ensure(
    entries: &[&Entry],
    progress: &Progress,
    build: impl FnOnce(&[Part], &Path) -> Result<PathBuf, BuildError>,
) -> Result<(), CacheError> {
    let mut missing = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is_complete()) {
        missing.push((entry, entry.lock(progress)?));
    }
    // Another process may have built some while this one waited.
    missing.retain(|(entry, _)| !entry.is_complete());
    let Some((first, _)) = missing.first() else { return Ok(()) };
    for (entry, _) in &missing {
        // Under the lock nobody uses these: one is of an interrupted build, the other lacks a file.
        for dir in [&entry.work_dir(), &entry.dir] {
            remove_dir(dir).map_err(cache_error(dir))?;
        }
    }
    let work_dir = first.work_dir();
    fs::create_dir(&work_dir).map_err(cache_error(&work_dir))?;
    let parts: Vec<Part> = missing.iter().flat_map(|(entry, _)| entry.parts).copied().collect();
    let filled = build(&parts, &work_dir)
        .map_err(CacheError::from)
        .and_then(|bin| missing.iter().try_for_each(|(entry, _)| entry.fill(&bin, &work_dir)));
    let removed = remove_dir(&work_dir).map_err(cache_error(&work_dir));
    drop(missing);
    filled.and(removed)
}

fn cache_error(path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_owned();
    move |source| CacheError::Io { path, source }
}

/// Waits for the lock, and says so. It is released with the file or with the process.
fn lock(path: &Path, progress: &Progress) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let mut waiting = None;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => waiting
                .get_or_insert_with(|| {
                    progress.step("waiting for another process that builds the same programs")
                })
                .tick(),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        thread::sleep(LOCK_POLL);
    }
    if let Some(waiting) = waiting {
        waiting.finish("done");
    }
    Ok(file)
}

fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn waiting_for_the_lock_of_another_process_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock(&path, &Progress::Quiet).unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&said);
        let progress = Progress::Sink(Arc::new(move |line| sink.lock().unwrap().push(line.to_owned())));
        let waiter = thread::spawn(move || lock(&path, &progress).unwrap());
        while said.lock().unwrap().is_empty() {
            thread::sleep(Duration::from_millis(5));
        }
        drop(held);
        waiter.join().unwrap();
        assert_eq!(said.lock().unwrap()[0], "waiting for another process that builds the same programs");
    }

    #[test]
    fn a_build_that_lacks_a_program_of_one_entry_does_not_make_that_entry() {
        let dir = tempfile::tempdir().unwrap();
        let entry = |kind, parts| Entry::new(dir.path(), kind, parts, Release::default());
        let (dns, pause) = (entry("dns", &[Part::Dns]), entry("pause", &[Part::Pause]));
        let said = ensure(&[&dns, &pause], &Progress::Quiet, |parts, work_dir| {
            assert_eq!(parts, [Part::Dns, Part::Pause]);
            let only_dns = fs::copy("/bin/true", work_dir.join("dns"));
            only_dns
                .map(|_| work_dir.to_owned())
                .map_err(|source| BuildError::Io { path: "dns".into(), source })
        });
        assert!(said.unwrap_err().to_string().starts_with("the cache cannot be used"));
        assert!(dns.is_complete() && !pause.dir().exists() && !dns.work_dir().exists());
    }
}
