//! Finds the programs: of the control plane in `KUBEBUILDER_ASSETS`, else, as those of the node tier,
//! in a cache, else builds them into that cache.

use std::env;
use std::iter;
use std::path::{Path, PathBuf};

use crate::build::build;
use crate::cache::{self, CacheError, Entry};
use crate::go::Go;
use crate::part::{Part, Release};
use crate::process::find_in_path;
use crate::progress::Progress;

/// Names the version of Kubernetes that is to be built, where it is another than the usual one.
pub const KUBERNETES_VERSION: &str = "FOODDELIVERY_KUBERNETES_VERSION";

/// Why the programs are not there.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// `KUBEBUILDER_ASSETS` names a directory that lacks a program.
    #[error("KUBEBUILDER_ASSETS is {}, but there is no executable {missing} in it", assets.display())]
    Assets {
        /// The directory.
        assets: PathBuf,
        /// The program.
        missing: &'static str,
    },
    /// None of the variables that say where a cache may be is set.
    #[error("there is no place for a cache: none of FOODDELIVERY_CACHE, XDG_CACHE_HOME and HOME is set")]
    NoCacheDir,
    /// The version that was asked for cannot be built.
    #[error("Kubernetes {asked} cannot be built here; what can be are {}", kubernetes_versions().join(", "))]
    UnknownVersion {
        /// What was asked for.
        asked: String,
    },
    /// Nodes of that version cannot be built.
    #[error("nodes are built for Kubernetes {} only, not for {version}", Release::default().version)]
    NoNodes {
        /// The version that was asked for.
        version: &'static str,
    },
    /// The cache lacks programs, and they could not be built into it.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The versions of Kubernetes whose control plane can be built, oldest first.
pub fn kubernetes_versions() -> Vec<&'static str> {
    Release::all().iter().map(|release| release.version).collect()
}

/// The programs of a control plane, as absolute paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The etcd server.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// The controller manager, where it was wanted; `KUBEBUILDER_ASSETS` rarely has one.
    pub kube_controller_manager: Option<PathBuf>,
    /// The command-line client.
    pub kubectl: PathBuf,
}

impl Binaries {
    /// As the environment says ([`BinarySource::from_env`]). Blocks for minutes when it has to build.
    ///
    /// # Errors
    /// When a program is missing and cannot be built.
    pub fn find_or_build(progress: &Progress) -> Result<Self, BinariesError> {
        BinarySource::from_env()?.find_or_build(progress)
    }

    /// Whether a controller manager is there, so that dependents of deleted objects and contents of
    /// deleted namespaces are removed.
    pub fn has_garbage_collection(&self) -> bool {
        self.kube_controller_manager.is_some()
    }

    fn in_assets(assets: &Path) -> Result<Self, BinariesError> {
        let executable = |part: Part| {
            find_in_path(assets.join(part.name()))
                .ok_or_else(|| BinariesError::Assets { assets: assets.to_owned(), missing: part.name() })
        };
        Ok(Self {
            etcd: executable(Part::Etcd)?,
            kube_apiserver: executable(Part::KubeApiserver)?,
            kube_controller_manager: executable(Part::KubeControllerManager).ok(),
            kubectl: executable(Part::Kubectl)?,
        })
    }
}

/// The programs of the node tier, in one directory.
#[derive(Clone, Debug)]
pub(crate) struct NodeBinaries {
    pub(crate) dir: PathBuf,
}

/// Where programs are looked for and built.
#[derive(Clone, Debug)]
pub struct BinarySource {
    assets: Option<PathBuf>,
    cache: PathBuf,
    go: Option<PathBuf>,
    release: &'static Release,
    controller_manager: bool,
}

impl BinarySource {
    /// `KUBEBUILDER_ASSETS` where it is set; a cache in `FOODDELIVERY_CACHE`, else in
    /// `$XDG_CACHE_HOME/fooddelivery`, else in `~/.cache/fooddelivery`; `go` from PATH. What is built is
    /// the version that `FOODDELIVERY_KUBERNETES_VERSION` names (1.33.13, or 1.33), else the usual one.
    ///
    /// # Errors
    /// When none of the variables for the cache is set, or the version cannot be built.
    pub fn from_env() -> Result<Self, BinariesError> {
        Self::from_variables(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
    }

    fn from_variables(get: impl Fn(&str) -> Option<PathBuf>) -> Result<Self, BinariesError> {
        let cache = get("FOODDELIVERY_CACHE")
            .or_else(|| get("XDG_CACHE_HOME").map(|dir| dir.join("fooddelivery")))
            .or_else(|| get("HOME").map(|dir| dir.join(".cache/fooddelivery")))
            .ok_or(BinariesError::NoCacheDir)?;
        // Absolute, because programs are run and kept for later with other working directories.
        let absolute =
            |dir: PathBuf| std::path::absolute(&dir).map_err(|source| CacheError::Io { path: dir, source });
        let assets = get("KUBEBUILDER_ASSETS").map(absolute).transpose()?;
        let release = match get(KUBERNETES_VERSION) {
            None => Release::default(),
            Some(asked) => find_release(&asked.to_string_lossy())?,
        };
        Ok(Self { assets, cache: absolute(cache)?, go: None, release, controller_manager: true })
    }

    /// The same for another version of Kubernetes: 1.33.13, or 1.33.
    ///
    /// # Errors
    /// When that version cannot be built.
    pub fn with_kubernetes(self, version: &str) -> Result<Self, BinariesError> {
        Ok(Self { release: find_release(version)?, ..self })
    }

    /// The same with a controller manager or without one: then none is built, and none is taken that is there already.
    #[must_use]
    pub fn with_controller_manager(self, wanted: bool) -> Self {
        Self { controller_manager: wanted, ..self }
    }

    /// The version of Kubernetes that is built where nothing else is given.
    pub fn kubernetes_version(&self) -> &'static str {
        self.release.version
    }

    /// All programs. Blocks for minutes when it has to build.
    ///
    /// # Errors
    /// When a program is missing and cannot be built.
    pub fn find_or_build(&self, progress: &Progress) -> Result<Binaries, BinariesError> {
        if let Some(assets) = &self.assets {
            let found = Binaries::in_assets(assets)?;
            let wanted = found.kube_controller_manager.filter(|_| self.controller_manager);
            return Ok(Binaries { kube_controller_manager: wanted, ..found });
        }
        let control_plane = self.control_plane();
        let manager =
            self.controller_manager.then(|| self.entry("controller-manager", Part::CONTROLLER_MANAGER));
        let entries: Vec<&Entry> = iter::once(&control_plane).chain(&manager).collect();
        self.ensure(&entries, progress)?;
        Ok(Binaries {
            etcd: control_plane.program(Part::Etcd),
            kube_apiserver: control_plane.program(Part::KubeApiserver),
            kube_controller_manager: manager.map(|entry| entry.program(Part::KubeControllerManager)),
            kubectl: control_plane.program(Part::Kubectl),
        })
    }

    /// Only kubectl. Blocks for a minute or two when it has to build it.
    ///
    /// # Errors
    /// When it is missing and cannot be built.
    pub fn kubectl(&self, progress: &Progress) -> Result<PathBuf, BinariesError> {
        let in_assets = self.assets.as_ref().map(|assets| assets.join(Part::Kubectl.name()));
        let mut known = in_assets.into_iter().chain([self.control_plane().program(Part::Kubectl)]);
        if let Some(known) = known.find_map(find_in_path) {
            return Ok(known);
        }
        let alone = self.entry("kubectl", &[Part::Kubectl]);
        self.ensure(&[&alone], progress)?;
        Ok(alone.program(Part::Kubectl))
    }

    /// Whether [`Self::find_or_build`] is going to have a controller manager.
    pub(crate) fn has_controller_manager(&self) -> bool {
        let program = Part::KubeControllerManager.name();
        let is_to_be_had = |assets: &PathBuf| find_in_path(assets.join(program)).is_some();
        self.controller_manager && self.assets.as_ref().is_none_or(is_to_be_had)
    }

    /// The programs that nodes need next to a control plane's. Blocks for minutes when it has to build.
    ///
    /// # Errors
    /// When one is missing and cannot be built.
    pub fn node_programs(&self, progress: &Progress) -> Result<Vec<PathBuf>, BinariesError> {
        let dir = self.node_tier(progress)?.dir;
        Ok(Part::NODE_TIER.iter().map(|part| dir.join(part.name())).collect())
    }

    pub(crate) fn node_tier(&self, progress: &Progress) -> Result<NodeBinaries, BinariesError> {
        if !self.release.has_nodes() {
            return Err(BinariesError::NoNodes { version: self.release.version });
        }
        let entry = self.entry("node-tier", Part::NODE_TIER);
        self.ensure(&[&entry], progress)?;
        Ok(NodeBinaries { dir: entry.dir().to_owned() })
    }

    fn control_plane(&self) -> Entry {
        self.entry("control-plane", Part::CONTROL_PLANE)
    }

    fn entry(&self, kind: &str, parts: &'static [Part]) -> Entry {
        Entry::new(&self.cache, kind, parts, self.release)
    }

    fn ensure(&self, entries: &[&Entry], progress: &Progress) -> Result<(), CacheError> {
        cache::ensure(entries, progress, |parts, work_dir| {
            build(&Go::find(self.go.as_deref())?, parts, self.release, work_dir, progress)
        })
    }
}

fn find_release(version: &str) -> Result<&'static Release, BinariesError> {
    Release::find(version).ok_or_else(|| BinariesError::UnknownVersion { asked: version.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_go::{FAKE_GO, install_go};
    use crate::part::cache_key;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;
    use std::thread;

    struct Fixture {
        dir: tempfile::TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            install_go(dir.path(), FAKE_GO);
            // With the module there, no room for a build from nothing is asked for.
            fs::create_dir_all(dir.path().join("module-cache/k8s.io/kubernetes@v1.36.3")).unwrap();
            Self { dir }
        }

        fn source(&self) -> BinarySource {
            let go = Some(self.dir.path().join("go"));
            BinarySource {
                assets: None,
                cache: self.dir.path().join("cache"),
                go,
                release: Release::default(),
                controller_manager: true,
            }
        }

        fn calls(&self) -> Vec<String> {
            let calls = fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
            calls.lines().map(str::to_owned).collect()
        }

        fn touch(&self, name: &str) {
            fs::write(self.dir.path().join(name), "").unwrap();
        }

        fn cache_entries(&self) -> Vec<String> {
            let entries = fs::read_dir(self.dir.path().join("cache")).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> =
                names.filter(|name| Path::new(name).extension().is_none_or(|it| it != "lock")).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn processes_that_ask_at_the_same_time_build_once() {
        let fixture = Arc::new(Fixture::new());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let source = fixture.source();
                thread::spawn(move || source.find_or_build(&Progress::Quiet).unwrap())
            })
            .collect();
        let found: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
        assert!(found[0].etcd.ends_with("etcd") && found[0].has_garbage_collection());
        assert_eq!(
            fixture.calls(),
            ["go.etcd.io/etcd/server/v3 k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl \
                 k8s.io/kubernetes/cmd/kube-controller-manager in kubernetes with -mod=readonly 0",]
        );
        let key = |parts| cache_key(parts, Release::default());
        assert_eq!(
            fixture.cache_entries(),
            [
                format!("control-plane-{}", key(Part::CONTROL_PLANE)),
                format!("controller-manager-{}", key(Part::CONTROLLER_MANAGER)),
            ]
        );
    }

    #[test]
    fn a_controller_manager_is_built_only_where_it_is_wanted_and_then_alone() {
        let fixture = Fixture::new();
        let without = fixture.source().with_controller_manager(false);
        assert!(!without.has_controller_manager());
        let found = without.find_or_build(&Progress::Quiet).unwrap();
        assert!(!found.has_garbage_collection());
        assert_eq!(fixture.cache_entries().len(), 1);
        let with = fixture.source().find_or_build(&Progress::Quiet).unwrap();
        assert_eq!(with.kube_apiserver, found.kube_apiserver);
        assert!(with.kube_controller_manager.is_some_and(|program| program.is_file()));
        let calls = fixture.calls();
        assert_eq!(
            calls,
            [
                "go.etcd.io/etcd/server/v3 k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl \
                 in kubernetes with -mod=readonly 0",
                "k8s.io/kubernetes/cmd/kube-controller-manager in kubernetes with -mod=readonly 0",
            ]
        );
        // One that is there changes nothing for who wants none.
        assert!(!without.find_or_build(&Progress::Quiet).unwrap().has_garbage_collection());
    }

    #[test]
    fn processes_with_and_without_a_controller_manager_do_not_wait_in_a_circle() {
        let fixture = Fixture::new();
        let threads = [true, false, true, false].map(|wanted| {
            let source = fixture.source().with_controller_manager(wanted);
            thread::spawn(move || source.find_or_build(&Progress::Quiet).unwrap())
        });
        for thread in threads {
            assert!(thread.join().unwrap().kubectl.is_file());
        }
        let programs = |call: String| call.split(" in ").next().unwrap_or_default().split(' ').count();
        assert_eq!(fixture.calls().into_iter().map(programs).sum::<usize>(), 4);
    }

    #[test]
    fn a_failed_build_leaves_nothing_and_the_next_one_succeeds() {
        let fixture = Fixture::new();
        fixture.touch("broken");
        let error = fixture.source().find_or_build(&Progress::Quiet).unwrap_err();
        assert_eq!(
            error.to_string(),
            "go could not build etcd, kube-apiserver, kubectl, kube-controller-manager; it said:\nundefined: x"
        );
        assert!(fixture.cache_entries().is_empty());
        fs::remove_file(fixture.dir.path().join("broken")).unwrap();
        fixture.source().find_or_build(&Progress::Quiet).unwrap();
    }

    #[test]
    fn what_an_interrupted_build_left_is_removed_and_not_used() {
        let fixture = Fixture::new();
        let source = fixture.source();
        let manager = source.entry("controller-manager", Part::CONTROLLER_MANAGER);
        let halves = [source.control_plane().work_dir(), manager.work_dir()];
        for half in &halves {
            fs::create_dir_all(half.join("bin")).unwrap();
            fs::write(half.join("bin/etcd"), "half").unwrap();
        }
        let found = source.find_or_build(&Progress::Quiet).unwrap();
        assert_ne!(fs::read_to_string(found.etcd).unwrap(), "half");
        assert!(!halves.iter().any(|half| half.exists()));
    }

    #[test]
    fn a_failed_download_is_said_with_the_last_words_of_go() {
        let fixture = Fixture::new();
        fixture.touch("offline");
        let said = fixture.source().find_or_build(&Progress::Quiet).unwrap_err().to_string();
        assert!(said.starts_with("the Go modules of the control plane could not be downloaded"), "{said}");
        assert!(said.ends_with("dial tcp: no such host"), "{said}");
    }

    #[test]
    fn a_go_that_is_too_old_is_said_before_anything_is_built() {
        let fixture = Fixture::new();
        install_go(fixture.dir.path(), &FAKE_GO.replace("go1.26.8", "go1.24.1"));
        let said = fixture.source().find_or_build(&Progress::Quiet).unwrap_err().to_string();
        assert!(
            said.ends_with("is Go 1.24: Go 1.26 or later is needed to build the control plane from source")
        );
        assert!(fixture.calls().is_empty());
    }

    #[test]
    fn kubectl_alone_builds_only_kubectl_and_is_taken_from_a_whole_build() {
        let fixture = Fixture::new();
        fixture.source().kubectl(&Progress::Quiet).unwrap();
        assert_eq!(fixture.calls(), ["k8s.io/kubernetes/cmd/kubectl in kubernetes with -mod=readonly 0"]);
        let whole = fixture.source().find_or_build(&Progress::Quiet).unwrap();
        assert_eq!(fixture.source().kubectl(&Progress::Quiet).unwrap(), whole.kubectl);
    }

    #[test]
    fn assets_without_a_controller_manager_have_no_garbage_collection() {
        let dir = tempfile::tempdir().unwrap();
        let add = |name: &str| {
            fs::write(dir.path().join(name), "").unwrap();
            fs::set_permissions(dir.path().join(name), PermissionsExt::from_mode(0o755)).unwrap();
        };
        let assets = Some(dir.path().to_owned());
        let (cache, release) = ("/nonexistent".into(), Release::default());
        let source = BinarySource { assets, cache, go: None, release, controller_manager: true };
        add("etcd");
        add("kubectl");
        let said = source.find_or_build(&Progress::Quiet).unwrap_err().to_string();
        assert!(said.ends_with("but there is no executable kube-apiserver in it"), "{said}");
        add("kube-apiserver");
        assert!(!source.find_or_build(&Progress::Quiet).unwrap().has_garbage_collection());
        add("kube-controller-manager");
        assert!(source.find_or_build(&Progress::Quiet).unwrap().has_garbage_collection());
        let without = source.with_controller_manager(false);
        assert!(!without.find_or_build(&Progress::Quiet).unwrap().has_garbage_collection());
    }

    #[test]
    fn another_release_is_built_from_its_own_module_and_kept_apart_and_has_no_nodes() {
        let fixture = Fixture::new();
        fs::create_dir_all(fixture.dir.path().join("module-cache/k8s.io/kubernetes@v1.33.13")).unwrap();
        let older = BinarySource { release: Release::find("1.33").unwrap(), ..fixture.source() };
        older.find_or_build(&Progress::Quiet).unwrap();
        let calls = fixture.calls();
        assert!(calls[0].ends_with("in kubernetes-1.33 with -mod=readonly 0"), "{calls:?}");
        fixture.source().find_or_build(&Progress::Quiet).unwrap();
        assert_eq!(fixture.cache_entries().len(), 4);
        let said = older.node_tier(&Progress::Quiet).unwrap_err().to_string();
        assert_eq!(said, "nodes are built for Kubernetes 1.36.3 only, not for 1.33.13");
    }

    #[test]
    fn a_version_that_cannot_be_built_is_refused_with_those_that_can() {
        let source = |version: &str| {
            let version = version.to_owned();
            BinarySource::from_variables(move |name| match name {
                KUBERNETES_VERSION => Some(version.clone().into()),
                "HOME" => Some("/home/ada".into()),
                _ => None,
            })
        };
        assert_eq!(source("1.35").unwrap().kubernetes_version(), "1.35.4");
        assert_eq!(
            source("1.32").unwrap_err().to_string(),
            "Kubernetes 1.32 cannot be built here; what can be are 1.33.13, 1.34.4, 1.35.4, 1.36.3, 1.37.2"
        );
    }

    #[test]
    fn the_cache_is_where_the_first_variable_that_is_set_says() {
        let cache = |set: &[(&str, &str)]| {
            let get = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
            BinarySource::from_variables(get).map(|source| source.cache)
        };
        let home = ("HOME", "/home/ada");
        let xdg = ("XDG_CACHE_HOME", "/xdg");
        assert_eq!(cache(&[home]).unwrap(), Path::new("/home/ada/.cache/fooddelivery"));
        assert_eq!(cache(&[home, xdg]).unwrap(), Path::new("/xdg/fooddelivery"));
        assert_eq!(cache(&[home, xdg, ("FOODDELIVERY_CACHE", "/own")]).unwrap(), Path::new("/own"));
        assert!(matches!(cache(&[]), Err(BinariesError::NoCacheDir)));
    }
}
