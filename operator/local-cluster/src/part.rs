//! The programs that can be built: from which pinned Go module each comes, and with which flags.
//!
//! Two sets are cached apart: the control plane, which everybody needs, and the node tier. Builds nothing.

use sha2::{Digest, Sha256};

use crate::go::{goarch, goos};

/// The version of the `k8s.io/kubernetes` module in `go/kubernetes/go.mod`.
pub(crate) const KUBERNETES_VERSION: &str = "1.36.3";
/// Without these the server reports a version of its own making; see Kubernetes' `hack/lib/version.sh`.
const KUBERNETES_LDFLAGS: &str = "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.36.3 \
    -X k8s.io/component-base/version.gitMajor=1 \
    -X k8s.io/component-base/version.gitMinor=36";
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

static ETCD: Module = pins!("etcd");
static KUBERNETES: Module = pins!("kubernetes");
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
    pub(crate) const CONTROL_PLANE: [Self; 4] =
        [Self::Etcd, Self::KubeApiserver, Self::KubeControllerManager, Self::Kubectl];
    pub(crate) const NODE_TIER: [Self; 6] =
        [Self::KubeScheduler, Self::Kubelet, Self::KubeProxy, Self::MetricsServer, Self::Dns, Self::Pause];

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

    pub(crate) fn module(self) -> &'static Module {
        match self {
            Self::Etcd => &ETCD,
            Self::MetricsServer => &METRICS_SERVER,
            Self::Dns => &DNS,
            Self::Pause => &PAUSE,
            _ => &KUBERNETES,
        }
    }

    pub(crate) fn ldflags(self) -> &'static str {
        if self.module() == &KUBERNETES { KUBERNETES_LDFLAGS } else { PLAIN_LDFLAGS }
    }

    /// From nothing on two cores, in this order: later parts reuse what earlier ones compiled.
    pub(crate) fn seconds_on_two_cores(self) -> u32 {
        match self {
            Self::Etcd => 27,
            Self::KubeApiserver => 200,
            Self::KubeControllerManager => 51,
            Self::Kubectl => 20,
            Self::KubeScheduler => 10,
            Self::Kubelet => 29,
            Self::KubeProxy => 11,
            Self::MetricsServer => 115,
            Self::Dns => 65,
            Self::Pause => 2,
        }
    }
}

/// The modules of these parts, each once.
pub(crate) fn modules(parts: &[Part]) -> Vec<&'static Module> {
    let mut modules: Vec<&'static Module> = Vec::new();
    for part in parts {
        if !modules.contains(&part.module()) {
            modules.push(part.module());
        }
    }
    modules
}

/// A name for what is built of these parts: it changes with every pinned version, flag and platform.
pub(crate) fn cache_key(parts: &[Part]) -> String {
    let texts = modules(parts).into_iter().flat_map(|module| module.files).map(|(_, text)| *text);
    let flags = parts.iter().map(|part| part.ldflags());
    key_of(&texts.chain(flags).chain([goos(), goarch()]).collect::<Vec<_>>())
}

/// Sixteen hexadecimal digits of the SHA-256 over all parts, each with its length before it.
fn key_of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
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
        assert_eq!(cache_key(&Part::CONTROL_PLANE).len(), 16);
        assert_ne!(cache_key(&Part::CONTROL_PLANE), cache_key(&Part::NODE_TIER));
    }

    #[test]
    fn the_versions_in_the_flags_are_the_pinned_ones_and_every_module_names_its_programs() {
        let pinned = KUBERNETES.files[0].1;
        assert!(pinned.contains(&format!("k8s.io/kubernetes v{KUBERNETES_VERSION} ")));
        assert!(KUBERNETES_LDFLAGS.contains(&format!("gitVersion=v{KUBERNETES_VERSION} ")));
        for part in Part::CONTROL_PLANE.into_iter().chain(Part::NODE_TIER) {
            assert!(part.module().files[0].1.contains(part.package()), "{part:?}");
        }
    }
}
