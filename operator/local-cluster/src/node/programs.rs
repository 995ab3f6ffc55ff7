//! What of this machine the node tier needs: programs that are not built here, and the rights to use
//! them. Finds them, and tries whether they work; changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use super::cgroup::ControlGroup;
use crate::command::{find_program, program_path, run};

/// Where distributions and others put the network plugins.
const CNI_DIRS: [&str; 4] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni/bin"];
const CNI_PLUGINS: [&str; 4] = ["ptp", "host-local", "portmap", "loopback"];
/// With the Debian package that each comes from.
const PROGRAMS: [(&str, &str); 8] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
];

/// What is tried in namespaces as those of a node; the first step that fails is said.
const TRIAL: &str = r#"
mount -t tmpfs tmpfs /run || { echo >&2 "file systems cannot be mounted"; exit 1; }
mount --make-rshared / || { echo >&2 "mounts cannot be shared"; exit 1; }
echo 1 > /proc/sys/net/ipv4/ip_forward || { echo >&2 "packets cannot be forwarded"; exit 1; }
ip link add trial0 type veth peer name trial1 || { echo >&2 "no virtual network links can be made"; exit 1; }
ip link add trial2 type bridge || { echo >&2 "no network bridges can be made"; exit 1; }
iptables --wait --table nat --list-rules || { echo >&2 "iptables does not work"; exit 1; }
"#;

/// The programs and plugins, once all are there.
#[derive(Clone, Debug)]
pub(super) struct SystemPrograms {
    pub(super) containerd: PathBuf,
    pub(super) cni_plugins: PathBuf,
}

impl SystemPrograms {
    /// `Err` is one sentence that says why nodes cannot run here.
    pub(super) fn find() -> Result<Self, String> {
        if cfg!(not(target_os = "linux")) {
            return Err("nodes run on Linux only".to_owned());
        }
        if !rustix::process::geteuid().is_root() {
            return Err("nodes take root, and this is another user".to_owned());
        }
        for (program, package) in PROGRAMS {
            if find_program(program).is_none() {
                return Err(format!("nodes need {program} (Debian package {package}), which is not there"));
            }
        }
        let has_plugins = |dir: &Path| CNI_PLUGINS.iter().all(|plugin| dir.join(plugin).is_file());
        let cni_plugins = CNI_DIRS.iter().map(PathBuf::from).find(|dir| has_plugins(dir)).ok_or_else(|| {
            format!(
                "nodes need the network plugins {} (Debian package containernetworking-plugins), which are not there",
                CNI_PLUGINS.join(", ")
            )
        })?;
        Ok(Self { containerd: program_path("containerd"), cni_plugins })
    }

    /// As [`Self::find`], and tries the rights that nodes need. Takes a tenth of a second.
    pub(super) fn find_working() -> Result<Self, String> {
        let found = Self::find()?;
        let file_systems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !file_systems.lines().any(|line| line.ends_with("\toverlay")) {
            return Err(
                "nodes need the overlay file system, which this kernel does not have (yet)".to_owned()
            );
        }
        let trial_group = format!("local-cluster-trial-{}", std::process::id());
        ControlGroup::create(trial_group)
            .map_err(|error| format!("nodes need control groups, which cannot be made here: {error}"))?;
        let namespaces = ["--mount", "--net", "--pid", "--fork", "--mount-proc", "--propagation", "private"];
        let in_namespaces = |script| run("unshare", &[&namespaces[..], &["--", "sh", "-c", script]].concat());
        in_namespaces("true")
            .map_err(|error| format!("nodes need namespaces, which cannot be made here: {}", error.said))?;
        in_namespaces(TRIAL).map_err(|error| format!("nodes cannot run here: {}", last_line(&error.said)))?;
        Ok(found)
    }
}

fn last_line(text: &str) -> &str {
    text.lines().next_back().unwrap_or(text)
}
