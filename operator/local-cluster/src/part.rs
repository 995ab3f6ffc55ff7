//! The programs that can be built: from which pinned Go module each comes, and with which flags.
//!
//! Three sets are cached apart: the control plane, which everybody needs; the controller manager, which somebody who
//! deletes nothing does without; and the node tier. Which Kubernetes they are of is a [`Release`]. Builds nothing.

use sha2::{Digest, Sha256};

use crate::go::{goarch, goos};

const PLAIN_LDFLAGS: &str = "-s -w";

/// A Go module under `go/`: its directory, and its files with their texts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) name: &'static str,
    pub(crate) files: &'static [(&'static str, &'static str)],
}

/// A module that only pins programs of others.
macro_rules! pins {
    ($name:literal) => {
        Module {
            name: $name,
            files: &[
                ("go.mod", include_str!(concat!("../go/", $name, "/go.mod"))),
                ("go.sum", include_str!(concat!("../go/", $name, "/go.sum"))),
            ],
        }
    };
}

static METRICS_SERVER: Module = pins!("metrics-server");
static PAUSE: Module = Module {
    name: "pause",
    files: &[
        ("go.mod", include_str!("../go/pause/go.mod")),
        ("main.go", include_str!("../go/pause/main.go")),
    ],
};

static DNS: Module = Module {
    name: "dns",
    files: &[
        ("go.mod", include_str!("../go/dns/go.mod")),
        ("go.sum", include_str!("../go/dns/go.sum")),
        ("main.go", include_str!("../go/dns/main.go")),
    ],
};

/// A release of Kubernetes, and the module that pins it.
#[derive(Debug)]
pub(crate) struct Release {
    /// The version of the `k8s.io/kubernetes` module, without the `v`.
    pub(crate) version: &'static str,
    module: Module,
}

/// Every release that can be built, oldest first.
static RELEASES: [Release; 5] = [
    Release { version: "1.33.13", module: pins!("kubernetes-1.33") },
    Release { version: "1.34.4", module: pins!("kubernetes-1.34") },
    Release { version: "1.35.4", module: pins!("kubernetes-1.35") },
    Release { version: "1.36.3", module: pins!("kubernetes") },
    Release { version: "1.37.2", module: pins!("kubernetes-1.37") },
];
/// Which of them is built where none is asked for; the only one with a node tier.
const DEFAULT_RELEASE: usize = 3;

impl Release {
    /// Every release that can be built, oldest first.
    pub(crate) fn all() -> &'static [Self] {
        &RELEASES
    }

    /// The one that is built where none is asked for.
    pub(crate) fn default() -> &'static Self {
        &RELEASES[DEFAULT_RELEASE]
    }

    /// The one with this version, `1.33.13`, or of this minor version, `1.33`.
    pub(crate) fn find(version: &str) -> Option<&'static Self> {
        RELEASES.iter().find(|release| release.version == version || release.minor_version() == version)
    }

    /// Whether nodes can be built for it.
    pub(crate) fn has_nodes(&self) -> bool {
        self == Self::default()
    }

    /// Major and minor version, for example `1.33`.
    fn minor_version(&self) -> &'static str {
        self.version.rsplit_once('.').map_or(self.version, |(minor, _)| minor)
    }

    /// Without these a server reports a version of its own making; see Kubernetes' `hack/lib/version.sh`.
    fn ldflags(&self) -> String {
        let (major, minor) = self.minor_version().split_once('.').unwrap_or_default();
        let package = "k8s.io/component-base/version";
        format!(
            "{PLAIN_LDFLAGS} -X {package}.gitVersion=v{} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}",
            self.version
        )
    }
}

impl PartialEq for Release {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
    }
}

/// One program to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Etcd,
    KubeApiserver,
    KubeControllerManager,
    Kubectl,
    KubeScheduler,
    Kubelet,
    KubeProxy,
    MetricsServer,
    Dns,
    Pause,
}

impl Part {
    pub(crate) const CONTROL_PLANE: &[Self] = &[Self::Etcd, Self::KubeApiserver, Self::Kubectl];
    pub(crate) const CONTROLLER_MANAGER: &[Self] = &[Self::KubeControllerManager];
    pub(crate) const NODE_TIER: &[Self] =
        &[Self::KubeScheduler, Self::Kubelet, Self::KubeProxy, Self::MetricsServer, Self::Dns, Self::Pause];

    /// The file name of the built program.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::Kubectl => "kubectl",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::MetricsServer => "metrics-server",
            Self::Dns => "dns",
            Self::Pause => "pause",
        }
    }

    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubelet => "k8s.io/kubernetes/cmd/kubelet",
            Self::KubeProxy => "k8s.io/kubernetes/cmd/kube-proxy",
            Self::MetricsServer => "sigs.k8s.io/metrics-server/cmd/metrics-server",
            Self::Dns => "fooddelivery.dev/local-cluster/dns",
            Self::Pause => "fooddelivery.dev/local-cluster/pause",
        }
    }

    /// What `go install` calls the program, where that is not its name.
    pub(crate) fn installed_as(self) -> Option<&'static str> {
        // Go names a program after the last element of its package that is not a version.
        (self == Self::Etcd).then_some("server")
    }

    pub(crate) fn module(self, release: &'static Release) -> &'static Module {
        match self {
            Self::MetricsServer => &METRICS_SERVER,
            Self::Dns => &DNS,
            Self::Pause => &PAUSE,
            // Of the version that this Kubernetes has itself: most of what it is compiled from is then the same.
            Self::Etcd
            | Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::Kubectl
            | Self::KubeScheduler
            | Self::Kubelet
            | Self::KubeProxy => &release.module,
        }
    }

    pub(crate) fn ldflags(self, release: &'static Release) -> String {
        if self.module(release) == &release.module { release.ldflags() } else { PLAIN_LDFLAGS.to_owned() }
    }

    /// From nothing on two cores, in this order: later parts reuse what earlier ones compiled.
    pub(crate) fn seconds_on_two_cores(self) -> u32 {
        match self {
            Self::Etcd => 8,
            Self::KubeApiserver => 208,
            Self::Kubectl => 20,
            Self::KubeControllerManager => 51,
            Self::KubeScheduler => 10,
            Self::Kubelet => 29,
            Self::KubeProxy => 11,
            Self::MetricsServer => 115,
            Self::Dns => 65,
            Self::Pause => 2,
        }
    }
}

/// The modules of these parts, each once and with its parts, in the order in which they first come.
pub(crate) fn by_module(parts: &[Part], release: &'static Release) -> Vec<(&'static Module, Vec<Part>)> {
    let mut modules: Vec<(&'static Module, Vec<Part>)> = Vec::new();
    for &part in parts {
        let module = part.module(release);
        match modules.iter_mut().find(|(known, _)| *known == module) {
            Some((_, parts)) => parts.push(part),
            None => modules.push((module, vec![part])),
        }
    }
    modules
}

/// A name for what is built of these parts: it changes with every pinned version, flag and platform.
pub(crate) fn cache_key(parts: &[Part], release: &'static Release) -> String {
    let modules = by_module(parts, release);
    let texts = modules.iter().flat_map(|(module, _)| module.files).map(|(_, text)| (*text).to_owned());
    let flags = parts.iter().map(|part| part.ldflags(release));
    let platform = [goos(), goarch()].map(str::to_owned);
    key_of(&texts.chain(flags).chain(platform).collect::<Vec<_>>())
}

/// Sixteen hexadecimal digits of the SHA-256 over all parts, each with its length before it.
fn key_of(parts: &[impl AsRef<str>]) -> String {
    let mut hash = Sha256::new();
    for part in parts.iter().map(AsRef::as_ref) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).fold(String::new(), |key, byte| format!("{key}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_key_changes_with_any_content_and_with_where_one_part_ends() {
        let key = key_of(&["a", "b"]);
        assert_eq!(key, key_of(&["a", "b"]));
        assert_ne!(key, key_of(&["a", "c"]));
        assert_ne!(key, key_of(&["ab", ""]));
        let release = Release::default();
        assert_eq!(cache_key(Part::CONTROL_PLANE, release).len(), 16);
        assert_ne!(cache_key(Part::CONTROL_PLANE, release), cache_key(Part::NODE_TIER, release));
        let older = Release::find("1.33").unwrap();
        for parts in [Part::CONTROL_PLANE, Part::CONTROLLER_MANAGER] {
            assert_ne!(cache_key(parts, release), cache_key(parts, older));
        }
    }

    #[test]
    fn the_versions_in_the_flags_are_the_pinned_ones_and_every_module_names_its_programs() {
        for release in Release::all() {
            let pinned = release.module.files[0].1;
            let version = release.version;
            assert!(pinned.contains(&format!("k8s.io/kubernetes v{version} ")), "{version}");
            assert!(release.ldflags().contains(&format!("gitVersion=v{version} ")), "{version}");
            let node_tier = Part::NODE_TIER.iter().filter(|_| release.has_nodes());
            for part in Part::CONTROL_PLANE.iter().chain(Part::CONTROLLER_MANAGER).chain(node_tier) {
                let module = part.module(release);
                assert!(module.files[0].1.contains(part.package()), "{part:?} of {version}");
            }
        }
        assert!(Release::default().has_nodes());
    }

    #[test]
    fn a_release_is_found_by_its_version_and_by_its_minor_version() {
        assert_eq!(Release::find("1.33").unwrap().version, "1.33.13");
        assert_eq!(Release::find("1.37.2").unwrap().version, "1.37.2");
        assert!(Release::find("1.33.1").is_none() && Release::find("1").is_none());
        assert!(Release::find("1.35").unwrap().ldflags().ends_with("version.gitMinor=35"));
    }

    #[test]
    fn parts_of_one_module_are_built_together() {
        let release = Release::default();
        let groups = by_module(&[Part::CONTROL_PLANE, Part::CONTROLLER_MANAGER].concat(), release);
        let names: Vec<_> = groups.iter().map(|(module, parts)| (module.name, parts.len())).collect();
        assert_eq!(names, [("kubernetes", 4)]);
    }
}
