//! The one directory that holds every file of a cluster: where things are in it, that only one
//! cluster uses it, and its removal.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pki::{Credential, Pki};

/// Marks a directory as a cluster's, and is locked while the cluster lives.
const LOCK: &str = "local-cluster.lock";
/// Says that the directory is to stay.
const KEEP: &str = "keep";
/// How the names of temporary directories begin.
const PREFIX: &str = "local-cluster-";
/// A younger directory may be one whose maker has not locked it yet.
const SWEEP_AGE: Duration = Duration::from_mins(1);
/// Maximum tries for a lock that somebody holds.
const LOCK_TRIES_MAX: usize = 20;
/// Time between two of them.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why the cluster's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// It holds files that are not a cluster's.
    #[error("{} is not empty and not the directory of an earlier local cluster", .0.display())]
    NotOurs(PathBuf),
    /// Another cluster lives in it.
    #[error("{} is in use by another local cluster", .0.display())]
    InUse(PathBuf),
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The directory of one cluster. Dropping it removes it, unless it is to be kept.
pub(crate) struct ClusterDir {
    path: PathBuf,
    keep: bool,
    /// Held for its lock.
    _lock: File,
}

impl ClusterDir {
    /// `dir` is created where missing and emptied where an earlier cluster left it; `None` makes a
    /// temporary directory.
    pub(crate) fn create(dir: Option<&Path>, keep: bool) -> Result<Self, DirError> {
        let path = if let Some(dir) = dir {
            fs::create_dir_all(dir).and_then(|()| dir.canonicalize()).map_err(io_error(dir))?
        } else {
            let parent = std::env::temp_dir();
            sweep(&parent);
            let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent);
            made.map_err(io_error(&parent))?.keep()
        };
        let lock_path = path.join(LOCK);
        let is_empty = fs::read_dir(&path).map_err(io_error(&path))?.next().is_none();
        if !is_empty && !lock_path.is_file() {
            return Err(DirError::NotOurs(path));
        }
        let lock = OpenOptions::new().create(true).append(true).open(&lock_path);
        let lock = lock.map_err(io_error(&lock_path))?;
        match try_lock(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DirError::InUse(path)),
            Err(TryLockError::Error(source)) => return Err(DirError::Io { path: lock_path, source }),
        }
        let created = Self { path, keep, _lock: lock };
        created.empty()?;
        fs::create_dir(created.pki()).map_err(io_error(&created.pki()))?;
        if keep {
            created.write_private(KEEP, "")?;
        }
        Ok(created)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of certificates and keys.
    pub(crate) fn pki(&self) -> PathBuf {
        self.path.join("pki")
    }

    /// The data directory of etcd, which etcd makes.
    pub(crate) fn etcd_data(&self) -> PathBuf {
        self.path.join("etcd")
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    /// The log of one program.
    pub(crate) fn log(&self, program: &str) -> PathBuf {
        self.path.join(format!("{program}.log"))
    }

    /// Writes a file that only this user may read.
    pub(crate) fn write_private(&self, name: &str, text: &str) -> Result<(), DirError> {
        let path = self.path.join(name);
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(io_error(&path))
    }

    /// Writes everything under `pki/`: `<name>.crt` and `<name>.key`.
    pub(crate) fn write_pki(&self, pki: &Pki) -> Result<(), DirError> {
        let write = |name: &str, text: &str| self.write_private(&format!("pki/{name}"), text);
        let write_credential = |name: &str, credential: &Credential| {
            write(&format!("{name}.crt"), &credential.cert_pem)?;
            write(&format!("{name}.key"), &credential.key_pem)
        };
        write("ca.crt", &pki.ca_pem)?;
        write("front-proxy-ca.crt", &pki.front_proxy_ca_pem)?;
        write("service-account.pub", &pki.service_account_public_pem)?;
        write("service-account.key", &pki.service_account_key_pem)?;
        write_credential("apiserver", &pki.apiserver)?;
        write_credential("kubelet-client", &pki.kubelet_client)?;
        write_credential("front-proxy-client", &pki.front_proxy_client)
    }

    /// Forgets etcd's data and the logs, for another attempt to start.
    pub(crate) fn forget_attempt(&self) -> Result<(), DirError> {
        let entries = fs::read_dir(&self.path).map_err(io_error(&self.path))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path == self.etcd_data() || path.extension().is_some_and(|it| it == "log") {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Removes the directory, unless it is to be kept.
    pub(crate) fn remove(&self) -> Result<(), DirError> {
        if self.keep { Ok(()) } else { remove(&self.path) }
    }

    /// Everything but the lock: it is only reached with the lock held.
    fn empty(&self) -> Result<(), DirError> {
        let entries = fs::read_dir(&self.path).map_err(io_error(&self.path))?;
        let paths = entries.flatten().map(|entry| entry.path());
        paths.filter(|path| !path.ends_with(LOCK)).try_for_each(|path| remove(&path))
    }
}

impl Drop for ClusterDir {
    fn drop(&mut self) {
        // The next cluster's sweep removes what stays behind here.
        drop(self.remove());
    }
}

/// Removes temporary directories of clusters whose process was killed before it could do so.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if ours && is_abandoned(&entry.path(), SWEEP_AGE) {
            // Another user's cannot be removed, and need not be.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Takes the lock, if nobody holds it. A process that is just being started holds for a moment whatever its parent had
/// locked, also what the parent has let go meanwhile, so a lock that is held is tried again for a while.
fn try_lock(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES_MAX {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            done => return done,
        }
    }
    lock.try_lock()
}

fn is_abandoned(dir: &Path, age: Duration) -> bool {
    let Ok(lock) = OpenOptions::new().append(true).open(dir.join(LOCK)) else { return false };
    let modified = lock.metadata().and_then(|metadata| metadata.modified());
    let old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed >= age));
    old && !dir.join(KEEP).exists() && lock.try_lock().is_ok()
}

fn remove(path: &Path) -> Result<(), DirError> {
    let removed =
        if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(DirError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DirError {
    let path = path.to_owned();
    move |source| DirError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::Addresses;

    #[test]
    fn a_directory_with_foreign_files_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "x").unwrap();
        assert!(matches!(ClusterDir::create(Some(dir.path()), false), Err(DirError::NotOurs(_))));
        assert!(dir.path().join("thesis.tex").exists());
    }

    #[test]
    fn a_directory_in_use_is_refused_and_one_that_was_left_is_begun_anew() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("cluster");
        let kept = ClusterDir::create(Some(&dir), true).unwrap();
        kept.write_private("etcd.log", "old").unwrap();
        assert!(matches!(ClusterDir::create(Some(&dir), false), Err(DirError::InUse(_))));
        drop(kept);
        assert!(dir.join("etcd.log").exists(), "kept");
        let anew = ClusterDir::create(Some(&dir), false).unwrap();
        assert!(!dir.join("etcd.log").exists());
        drop(anew);
        assert!(!dir.exists());
    }

    #[test]
    fn only_what_nobody_uses_or_wants_counts_as_abandoned() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("cluster");
        let used = ClusterDir::create(Some(&dir), true).unwrap();
        assert!(!is_abandoned(&dir, Duration::ZERO), "in use");
        drop(used);
        assert!(!is_abandoned(&dir, Duration::ZERO), "to be kept");
        fs::remove_file(dir.join(KEEP)).unwrap();
        assert!(!is_abandoned(&dir, SWEEP_AGE), "too young");
        assert!(is_abandoned(&dir, Duration::ZERO));
        assert!(!is_abandoned(parent.path(), Duration::ZERO), "no cluster's");
    }

    #[test]
    fn keys_can_be_read_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let dir = ClusterDir::create(Some(&parent.path().join("cluster")), false).unwrap();
        dir.write_pki(&Pki::generate(Addresses::loopback()).unwrap()).unwrap();
        let mode = fs::metadata(dir.pki().join("apiserver.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
