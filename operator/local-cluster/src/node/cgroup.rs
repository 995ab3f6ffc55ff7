//! The control group under which a node's kubelet keeps its pods, in every hierarchy of this machine:
//! made before the kubelet starts, removed when the pods are gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Where hierarchies are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// How the names of all groups made here begin.
const PREFIX: &str = "local-cluster-";
/// Over which time a limit of CPU is kept, as the kubelet has it.
const PERIOD: Duration = Duration::from_millis(100);
/// How long the kernel may take to see that a group is empty.
const REMOVAL: Duration = Duration::from_secs(5);
/// How often a removal is tried.
const POLL: Duration = Duration::from_millis(20);
/// A younger group may be one whose maker has not put anything into it yet.
const SWEEP_AGE: Duration = Duration::from_mins(1);

/// A control group, in every hierarchy. Dropping it removes it; what runs in it has to have ended.
#[derive(Debug)]
pub(crate) struct ControlGroup {
    name: String,
}

impl ControlGroup {
    /// `name` begins with `local-cluster-`.
    pub(crate) fn create(name: String) -> io::Result<Self> {
        let hierarchies = hierarchies();
        if hierarchies.is_empty() {
            return Err(io::Error::other(format!("no control groups are mounted at {ROOT}")));
        }
        let created = Self { name };
        for hierarchy in hierarchies {
            if hierarchy.unified {
                delegate(&hierarchy.path);
            }
            let group = hierarchy.path.join(&created.name);
            fs::create_dir_all(&group)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", group.display())))?;
            if hierarchy.unified {
                delegate(&group);
            }
        }
        Ok(created)
    }

    /// As the kubelet takes it: from the root of each hierarchy.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// Gives its processes so much of a processor, all together.
    pub(crate) fn limit_cpu(&self, cores: f64) -> io::Result<()> {
        let quota = PERIOD.mul_f64(cores).as_micros();
        let period = PERIOD.as_micros();
        let Some(group) = self.of_cpu() else {
            return Err(io::Error::other("no control group limits CPU here"));
        };
        if group.join("cpu.max").exists() {
            return fs::write(group.join("cpu.max"), format!("{quota} {period}"));
        }
        fs::write(group.join("cpu.cfs_period_us"), period.to_string())?;
        fs::write(group.join("cpu.cfs_quota_us"), quota.to_string())
    }

    /// Moves a process under the limit of CPU.
    pub(crate) fn add(&self, pid: u32) -> io::Result<()> {
        self.of_cpu().map_or(Ok(()), |group| fs::write(group.join("cgroup.procs"), pid.to_string()))
    }

    /// This group in the hierarchy whose groups can be limited.
    fn of_cpu(&self) -> Option<PathBuf> {
        let mut groups = hierarchies().into_iter().map(|hierarchy| hierarchy.path.join(&self.name));
        groups.find(|group| ["cpu.max", "cpu.cfs_quota_us"].iter().any(|it| group.join(it).exists()))
    }

    fn remove(&self) {
        let started = Instant::now();
        for hierarchy in hierarchies() {
            let group = hierarchy.path.join(&self.name);
            while !remove_tree(&group) && started.elapsed() < REMOVAL {
                thread::sleep(POLL);
            }
        }
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes what clusters that were killed left behind: only groups without processes can be removed.
pub(crate) fn sweep() {
    for hierarchy in hierarchies() {
        let Ok(entries) = fs::read_dir(&hierarchy.path) else { continue };
        for entry in entries.flatten() {
            let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            let age = changed.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            if ours && age.is_some_and(|age| age >= SWEEP_AGE) {
                remove_tree(&entry.path());
            }
        }
    }
}

struct Hierarchy {
    path: PathBuf,
    /// Of version 2, with all controllers in one.
    unified: bool,
}

/// Those with controllers, and systemd's, in which container runtimes keep a group as well.
fn hierarchies() -> Vec<Hierarchy> {
    hierarchies_in(&fs::read_to_string("/proc/self/mounts").unwrap_or_default())
}

fn hierarchies_in(mounts: &str) -> Vec<Hierarchy> {
    let parse = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (path, kind) = (PathBuf::from(words.next()?), words.next()?);
        let unified = match kind {
            "cgroup" => false,
            // Next to version 1 it has no controllers, but runtimes keep groups there as well.
            "cgroup2" => true,
            _ => return None,
        };
        path.starts_with(ROOT).then_some(Hierarchy { path, unified })
    };
    mounts.lines().filter_map(parse).collect()
}

/// Lets groups below have the controllers that the kubelet asks for, as far as there are such.
fn delegate(group: &Path) {
    for controller in ["cpu", "cpuset", "memory", "pids", "hugetlb", "io"] {
        drop(fs::write(group.join("cgroup.subtree_control"), format!("+{controller}")));
    }
}

/// Whether it is gone then.
fn remove_tree(group: &Path) -> bool {
    let Ok(entries) = fs::read_dir(group) else { return !group.exists() };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    match fs::remove_dir(group) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let found = |mounts: &str| {
            let all = hierarchies_in(mounts).into_iter();
            all.map(|it| (it.path.display().to_string(), it.unified)).collect::<Vec<_>>()
        };
        let first = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                     cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let (cpu, unified) = ("/sys/fs/cgroup/cpu".to_owned(), "/sys/fs/cgroup/unified".to_owned());
        assert_eq!(found(first), [(cpu, false), (unified, true)]);
        let second = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\nproc /proc proc rw 0 0\n";
        assert_eq!(found(second), [("/sys/fs/cgroup".to_owned(), true)]);
    }
}
