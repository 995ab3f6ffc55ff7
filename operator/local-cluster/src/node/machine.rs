//! One node: containerd, kubelet and kube-proxy in namespaces of their own, as on a machine of theirs.
//!
//! Processes, mounts, network interfaces and packet filters of a node and of all its pods live in a
//! PID, a mount and a network namespace, which die with their first process, and that dies with this
//! one. Only the control group has to be removed by hand.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::cgroup::ControlGroup;
use super::config;
use super::error::NodeError;
use super::place::Place;
use super::programs::SystemPrograms;
use crate::binaries::NodeBinaries;
use crate::command::{program_path, run_command, system_path};
use crate::dir::DirError;
use crate::local::{Inner, check_running};
use crate::network::Network;
use crate::process::{ManagedProcess, ProcessSpec, spawn_with_parent};

/// How long the namespaces may take to be there, and to be gone.
const NAMESPACES: Duration = Duration::from_secs(20);
/// How long containerd may take to answer.
const CONTAINERD: Duration = Duration::from_secs(30);
/// How often something is looked at.
const POLL: Duration = Duration::from_millis(20);
const QUOTED_LINES: usize = 15;
/// The namespace of containerd that the kubelet's images and containers are in.
const CONTAINERD_NAMESPACE: &str = "k8s.io";

/// The node's first process: hides this machine's `/run`, `/var/lib` and `/var/log` behind the node's
/// own, and then awaits children whose parents have ended.
const FIRST_PROCESS: &str = r#"set -e
programs=$1 node=$2
mount --bind "$programs" "$node/bin"
mount --bind "$node/lib" /var/lib
mount --bind "$node/log" /var/log
mount -t tmpfs -o mode=755 tmpfs /run
mount --make-rshared /
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
: > "$node/up"
while :; do sleep 3600 & wait; done
"#;

/// A node that runs. Dropping it is pulling its plug.
#[derive(Debug)]
pub(super) struct Machine {
    place: Place,
    /// In the order in which they were started.
    programs: Vec<ManagedProcess>,
    namespaces: Namespaces,
    /// Removed after the namespaces, and with them all processes, are gone.
    _control_group: ControlGroup,
}

/// The first process of a node's namespaces.
#[derive(Debug)]
struct Namespaces {
    /// `unshare`, whose end is that of its child, the first process.
    holder: ManagedProcess,
    first_process: u32,
}

impl Machine {
    /// Starts everything but the kubelet and kube-proxy.
    pub(super) fn start(
        place: Place,
        of: u8,
        cluster: &Inner,
        network: &Network,
        system: &SystemPrograms,
        binaries: &NodeBinaries,
    ) -> Result<Self, NodeError> {
        let control_group = format!("{}-{}", network.unique_name(), place.name);
        let control_group = ControlGroup::create(control_group).map_err(NodeError::ControlGroup)?;
        write_files(&place, cluster, network, system, &control_group)?;
        let namespaces = Namespaces::start(&place, binaries)?;
        network.attach(place.number, of, namespaces.first_process)?;
        let mut machine = Self { place, programs: Vec::new(), namespaces, _control_group: control_group };
        let config = machine.place.file("containerd.toml");
        machine.run("containerd", &system.containerd, ["--config".into(), config.into_os_string()])?;
        machine.wait_for_containerd()?;
        Ok(machine)
    }

    /// Starts the kubelet and kube-proxy.
    pub(super) fn join(&mut self, network: &Network) -> Result<(), NodeError> {
        let program = |name: &str| self.place.file("bin").join(name);
        let (kubelet, proxy) = (program("kubelet"), program("kube-proxy"));
        let flags = config::kubelet_flags(&self.place).into_iter().map(Into::into);
        self.run("kubelet", &kubelet, flags)?;
        let flags = config::proxy_flags(&self.place, &network.addresses().pods());
        self.run("kube-proxy", &proxy, flags.into_iter().map(Into::into))
    }

    pub(super) fn name(&self) -> &str {
        &self.place.name
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        self.place.address
    }

    pub(super) fn check_running(&self) -> Result<(), NodeError> {
        Ok(self.programs.iter().try_for_each(check_running)?)
    }

    /// The end of the kubelet's log, which knows best why a node is not ready.
    pub(super) fn kubelet_log(&self) -> String {
        let kubelet = self.programs.iter().find(|program| program.name().starts_with("kubelet"));
        kubelet.map(|kubelet| kubelet.log_tail(QUOTED_LINES)).unwrap_or_default()
    }

    /// Makes the images of a docker archive known to the node.
    pub(super) fn import_image(&self, archive: &Path) -> Result<(), NodeError> {
        // By standard input, because the archive may lie where the node has something else.
        let file =
            fs::File::open(archive).map_err(|source| DirError::Io { path: archive.to_owned(), source })?;
        let mut command = self.ctr(&["images", "import", "-"]);
        command.stdin(file);
        run_command(command)?;
        Ok(())
    }

    /// A command of containerd's client on the node.
    fn ctr(&self, args: &[&str]) -> Command {
        let mut command = self.command("ctr");
        command.args(["--namespace", CONTAINERD_NAMESPACE]).args(args).stdin(Stdio::null());
        command
    }

    /// A command in the node's namespaces.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program_path("nsenter"));
        command.args(self.enter()).arg(program_path(program)).env("PATH", system_path());
        command
    }

    fn enter(&self) -> [String; 6] {
        let first = self.namespaces.first_process.to_string();
        ["--target".into(), first, "--mount".into(), "--net".into(), "--pid".into(), "--".into()]
    }

    fn run(
        &mut self,
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = std::ffi::OsString>,
    ) -> Result<(), NodeError> {
        let spec = ProcessSpec::new(format!("{name} of {}", self.place.name), "nsenter")
            .args(self.enter())
            .arg(program)
            .args(args)
            // Its children are runc and the network plugins, which need those of root.
            .env("PATH", system_path())
            .log_file(self.place.file(&format!("{name}.log")));
        self.programs.push(spawn_with_parent(&spec)?);
        Ok(())
    }

    fn wait_for_containerd(&self) -> Result<(), NodeError> {
        let started = Instant::now();
        loop {
            self.check_running()?;
            let Err(error) = run_command(self.ctr(&["version"])) else { return Ok(()) };
            if started.elapsed() >= CONTAINERD {
                let log = self.programs.iter().map(|it| it.log_tail(QUOTED_LINES)).collect();
                let name = format!("containerd of {}", self.place.name);
                return Err(NodeError::NotReady { name, answer: error.said, log });
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.namespaces.end();
    }
}

impl Namespaces {
    fn start(place: &Place, binaries: &NodeBinaries) -> Result<Self, NodeError> {
        let spec = ProcessSpec::new(format!("first process of {}", place.name), "unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private", "--", "sh", "-c", FIRST_PROCESS, "sh"])
            .arg(&binaries.dir)
            .arg(place.dir())
            .env("PATH", system_path())
            .log_file(place.file("first-process.log"));
        let holder = spawn_with_parent(&spec)?;
        let started = Instant::now();
        while !place.file("up").exists() {
            check_running(&holder)?;
            if started.elapsed() >= NAMESPACES {
                let log = holder.log_tail(QUOTED_LINES);
                let answer = "no namespaces".to_owned();
                return Err(NodeError::NotReady { name: holder.name().to_owned(), answer, log });
            }
            thread::sleep(POLL);
        }
        let holder_pid = holder.pid();
        let children = fs::read_to_string(format!("/proc/{holder_pid}/task/{holder_pid}/children"));
        let first_process = children.ok().and_then(|pids| pids.trim().parse().ok());
        let first_process = first_process.ok_or(NodeError::NoFirstProcess)?;
        Ok(Self { holder, first_process })
    }

    /// Ends everything in the namespaces at once, and waits for it.
    fn end(&self) {
        // Nothing is left to tell of a failure.
        drop(self.holder.kill());
        let started = Instant::now();
        while is_alive(self.first_process) && started.elapsed() < NAMESPACES {
            thread::sleep(POLL);
        }
    }
}

/// A first process becomes a zombie only after all others of its namespace have been awaited.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

fn write_files(
    place: &Place,
    cluster: &Inner,
    network: &Network,
    system: &SystemPrograms,
    control_group: &ControlGroup,
) -> Result<(), NodeError> {
    // What an earlier node of this name left; nothing of it is mounted any more.
    if place.dir().exists() {
        fs::remove_dir_all(place.dir())
            .map_err(|source| DirError::Io { path: place.dir().to_owned(), source })?;
    }
    for dir in ["bin", "lib", "log", "cni"] {
        let path = place.file(dir);
        fs::create_dir_all(&path).map_err(|source| DirError::Io { path, source })?;
    }
    let (pki, dir) = (&cluster.pki, &cluster.dir);
    let write = |name: &str, text: &str| dir.write_private(&format!("{}/{name}", place.name), text);
    let address = place.address.to_string();
    let serving = pki.serving(&format!("system:node:{}", place.name), &[&place.name, &address])?;
    write("kubelet.crt", &serving.cert_pem)?;
    write("kubelet.key", &serving.key_pem)?;
    let kubeconfig = |program: &str| format!("{}/{program}.kubeconfig", place.name);
    let user = format!("system:node:{}", place.name);
    cluster.write_kubeconfig(&kubeconfig("kubelet"), &user, Some("system:nodes"))?;
    cluster.write_kubeconfig(&kubeconfig("kube-proxy"), "system:kube-proxy", None)?;
    let (ca, dns) = (dir.pki().join("ca.crt"), network.addresses().dns_service());
    write("kubelet.yaml", &config::kubelet(place, &ca, &control_group.path(), dns))?;
    write("cni/10-pods.conflist", &config::cni(&network.addresses().node_pods(place.number)))?;
    write("containerd.toml", &config::containerd(&system.cni_plugins, &place.file("cni")))?;
    Ok(())
}
