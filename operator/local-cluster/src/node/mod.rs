//! Nodes: everything that runs pods. On this machine: kube-scheduler, metrics-server and a DNS server; in
//! namespaces of their own, a node each: containerd, kubelet and kube-proxy.
//!
//! Nothing of this machine outside the cluster's directory is changed but for one network link and
//! control groups, and both go with the tier.

mod cgroup;
mod config;
mod dns;
mod error;
mod machine;
mod metrics;
mod outside;
mod place;
mod programs;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use cgroup::ControlGroup;
pub use error::NodeError;
use machine::Machine;
use place::Place;
use programs::SystemPrograms;

use crate::addresses::MOST_NODES;
use crate::binaries::{BinarySource, NodeBinaries};
use crate::command::run_command;
use crate::flags::flag;
use crate::image::Image;
use crate::local::{Inner, LocalCluster, check_running};
use crate::network::Network;
use crate::part::Part;
use crate::ports::free_port;
use crate::process::{ManagedProcess, ProcessSpec, spawn_with_parent};
use crate::progress::{Progress, minutes};

/// How long a node may take to be ready, and the metrics API to be there.
const READY_DEADLINE: Duration = Duration::from_mins(1);
/// How often readiness is asked for.
const READY_POLL: Duration = Duration::from_millis(200);
/// Nodes have their own of these, so what this machine has there is hidden from them.
const HIDDEN: [&str; 4] = ["/run", "/var/run", "/var/lib", "/var/log"];
const QUOTED_LINES: usize = 15;

/// How to start a [`NodeTier`].
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// How many nodes: `node-1`, `node-2` and so on. Each reports all of this machine's processors and
    /// memory as its own.
    pub nodes: u8,
    /// Where progress is told.
    pub progress: Progress,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self { nodes: 1, progress: Progress::default() }
    }
}

/// The nodes of a cluster. Dropping it is pulling their plugs.
#[derive(Debug)]
pub struct NodeTier {
    inner: Arc<Tier>,
}

/// The fields are dropped in this order: the cluster, if nobody else has it, comes last.
#[derive(Debug)]
struct Tier {
    machines: Mutex<Vec<Machine>>,
    programs: Vec<ManagedProcess>,
    cluster: Arc<Inner>,
}

impl NodeTier {
    /// Why nodes cannot run on this machine, in one sentence; `None` where they can. Tries the rights
    /// that they need, which takes a tenth of a second.
    pub fn unavailable() -> Option<String> {
        match BinarySource::from_env() {
            Err(error) => Some(error.to_string()),
            Ok(source) if !source.has_controller_manager() => {
                Some(NodeError::NoControllerManager.to_string())
            }
            Ok(_) => SystemPrograms::find_working().err(),
        }
    }

    /// Starts nodes, a scheduler, CoreDNS and metrics-server for a cluster that was started with
    /// [`Options::nodes`](crate::Options::nodes); the nodes are ready and the metrics API is there when
    /// this returns. Builds the programs first where that is needed, which takes minutes.
    ///
    /// # Errors
    /// When something is missing here or does not become ready; nothing is left behind then.
    pub async fn start(cluster: &LocalCluster, options: NodeOptions) -> Result<Self, NodeError> {
        let cluster = Arc::clone(&cluster.inner);
        tokio::task::spawn_blocking(move || Self::start_for(cluster, &options)).await?
    }

    /// [`Self::start`] for blocking code.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_blocking(cluster: &LocalCluster, options: &NodeOptions) -> Result<Self, NodeError> {
        Self::start_for(Arc::clone(&cluster.inner), options)
    }

    /// Makes the images of a docker archive (one that [`Image::write`] or `docker save` wrote) known to
    /// every node. Pods that use them say `imagePullPolicy: Never` or `IfNotPresent`.
    ///
    /// # Errors
    /// When it cannot be read, or containerd refuses it.
    pub async fn import_image(&self, archive: impl Into<PathBuf>) -> Result<(), NodeError> {
        let (inner, archive) = (Arc::clone(&self.inner), archive.into());
        tokio::task::spawn_blocking(move || inner.import_image(&archive)).await?
    }

    /// [`Self::import_image`] for blocking code.
    ///
    /// # Errors
    /// As [`Self::import_image`].
    pub fn import_image_blocking(&self, archive: &Path) -> Result<(), NodeError> {
        self.inner.import_image(archive)
    }

    /// The names and addresses of the nodes that run.
    pub fn nodes(&self) -> Vec<(String, Ipv4Addr)> {
        self.inner.machines().iter().map(|it| (it.name().to_owned(), it.address())).collect()
    }

    /// The address of this machine for pods: where a server of a test has to listen for them.
    pub fn host_address(&self) -> Ipv4Addr {
        // There is one, or the nodes could not have been started.
        self.inner.cluster.network.as_ref().map_or(Ipv4Addr::LOCALHOST, |it| it.addresses().host())
    }

    /// Ends a node, with all that runs on it, as by pulling its plug. Its Node object stays.
    ///
    /// # Errors
    /// When no node of this name runs.
    pub async fn kill_node(&self, name: impl Into<String>) -> Result<(), NodeError> {
        let (inner, name) = (Arc::clone(&self.inner), name.into());
        tokio::task::spawn_blocking(move || inner.kill_node(&name)).await?
    }

    /// [`Self::kill_node`] for blocking code.
    ///
    /// # Errors
    /// As [`Self::kill_node`].
    pub fn kill_node_blocking(&self, name: &str) -> Result<(), NodeError> {
        self.inner.kill_node(name)
    }

    /// A command in the namespaces of a node, for example `ctr`, `iptables` or `ps`.
    ///
    /// # Errors
    /// When no node of this name runs.
    pub fn command_on(&self, node: &str, program: &str) -> Result<Command, NodeError> {
        let machines = self.inner.machines();
        let machine = machines.iter().find(|it| it.name() == node);
        Ok(machine.ok_or_else(|| NodeError::NoSuchNode(node.to_owned()))?.command(program))
    }

    /// Whether all programs still run.
    ///
    /// # Errors
    /// [`ClusterError::Ended`] with the log of one that does not.
    pub fn check_running(&self) -> Result<(), NodeError> {
        self.inner.programs.iter().try_for_each(check_running)?;
        self.inner.machines().iter().try_for_each(Machine::check_running)
    }

    /// Ends all nodes, as by pulling their plugs, and awaits it without blocking the runtime.
    ///
    /// # Errors
    /// When the runtime shuts down meanwhile.
    pub async fn stop(self) -> Result<(), NodeError> {
        Ok(tokio::task::spawn_blocking(move || drop(self)).await?)
    }

    fn start_for(cluster: Arc<Inner>, options: &NodeOptions) -> Result<Self, NodeError> {
        let system = SystemPrograms::find_working().map_err(NodeError::Unavailable)?;
        let network = cluster.network.as_ref().ok_or(NodeError::NotForNodes)?;
        check(&cluster, options)?;
        let binaries = BinarySource::from_env()?.node_tier(&options.progress)?;
        let started = Instant::now();
        cgroup::sweep();
        let scheduler = start_scheduler(&cluster, &binaries)?;
        let metrics_server = start_metrics_server(&cluster, network, &binaries)?;
        let dns = start_dns(&cluster, network, &binaries)?;
        let mut machines = Vec::new();
        let pause = pause_image(&cluster, &binaries)?;
        for number in 1..=options.nodes {
            let address = network.addresses().node(number);
            let place = Place::new(number, address, cluster.dir.path());
            let mut machine = Machine::start(place, options.nodes, &cluster, network, &system, &binaries)?;
            machine.import_image(&pause)?;
            machine.join(network)?;
            machines.push(machine);
        }
        let programs = vec![scheduler, dns, metrics_server];
        let tier = Tier { machines: Mutex::new(machines), programs, cluster };
        tier.wait_until_ready()?;
        let (nodes, seconds) = (options.nodes, started.elapsed().as_secs_f32());
        options.progress.say(&format!("{nodes} nodes ready after {seconds:.1} s"));
        Ok(Self { inner: Arc::new(tier) })
    }
}

impl Tier {
    fn machines(&self) -> MutexGuard<'_, Vec<Machine>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn import_image(&self, archive: &Path) -> Result<(), NodeError> {
        self.machines().iter().try_for_each(|machine| machine.import_image(archive))
    }

    fn kill_node(&self, name: &str) -> Result<(), NodeError> {
        let mut machines = self.machines();
        let at = machines.iter().position(|machine| machine.name() == name);
        let machine = machines.remove(at.ok_or_else(|| NodeError::NoSuchNode(name.to_owned()))?);
        drop(machines);
        drop(machine);
        Ok(())
    }

    fn wait_until_ready(&self) -> Result<(), NodeError> {
        let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        for machine in self.machines().iter() {
            let name = format!("node/{}", machine.name());
            let running = || machine.check_running();
            self.wait_for(&name, ready, running, || machine.kubelet_log())?;
        }
        let available = r#"jsonpath={.status.conditions[?(@.type=="Available")].status}"#;
        let running = || Ok(self.programs.iter().try_for_each(check_running)?);
        let log = || self.programs.last().map(|it| it.log_tail(QUOTED_LINES)).unwrap_or_default();
        self.wait_for("apiservice/v1beta1.metrics.k8s.io", available, running, log)
    }

    /// Waits until a condition of an object is true.
    fn wait_for(
        &self,
        object: &str,
        condition: &str,
        running: impl Fn() -> Result<(), NodeError>,
        log: impl FnOnce() -> String,
    ) -> Result<(), NodeError> {
        let started = Instant::now();
        loop {
            running()?;
            let mut get = self.cluster.kubectl();
            get.args(["get", object, "--output", condition]);
            let answer = match run_command(get) {
                Ok(answer) if answer == "True" => return Ok(()),
                Ok(answer) => format!("its condition is {answer:?} after {}", minutes(started.elapsed())),
                Err(error) => error.said,
            };
            if started.elapsed() >= READY_DEADLINE {
                return Err(NodeError::NotReady { name: object.to_owned(), answer, log: log() });
            }
            thread::sleep(READY_POLL);
        }
    }
}

fn check(cluster: &Inner, options: &NodeOptions) -> Result<(), NodeError> {
    if !cluster.binaries.has_garbage_collection() {
        return Err(NodeError::NoControllerManager);
    }
    if !(1..=MOST_NODES).contains(&options.nodes) {
        return Err(NodeError::Number(options.nodes));
    }
    let dir = cluster.dir.path();
    if HIDDEN.iter().any(|hidden| dir.starts_with(hidden)) {
        return Err(NodeError::HiddenDir(dir.to_owned()));
    }
    Ok(())
}

fn start_scheduler(cluster: &Inner, binaries: &NodeBinaries) -> Result<ManagedProcess, NodeError> {
    let kubeconfig = cluster.write_kubeconfig("scheduler.kubeconfig", "system:kube-scheduler", None)?;
    let spec = ProcessSpec::new("kube-scheduler", binaries.dir.join(Part::KubeScheduler.name()))
        .arg(flag("kubeconfig", &kubeconfig))
        // Alone, and asked by nobody.
        .args(["--leader-elect=false", "--secure-port=0"])
        .current_dir(cluster.dir.path())
        .log_file(cluster.dir.log("kube-scheduler"));
    Ok(spawn_with_parent(&spec)?)
}

fn start_metrics_server(
    cluster: &Inner,
    network: &Network,
    binaries: &NodeBinaries,
) -> Result<ManagedProcess, NodeError> {
    let host = network.addresses().host();
    let port = free_port(host).map_err(NodeError::NoPort)?;
    let kubeconfig = cluster.write_kubeconfig("metrics-server.kubeconfig", metrics::USER, None)?;
    let serving = cluster.pki.serving("metrics-server", &[metrics::SERVICE_NAME])?;
    cluster.dir.write_private("pki/metrics-server.crt", &serving.cert_pem)?;
    cluster.dir.write_private("pki/metrics-server.key", &serving.key_pem)?;
    apply(cluster, "metrics-server", &metrics::manifest(&cluster.pki.ca_pem, host, port))?;
    let program = binaries.dir.join(Part::MetricsServer.name());
    Ok(spawn_with_parent(&metrics::spec(&cluster.dir, &program, &kubeconfig, (host, port)))?)
}

fn start_dns(
    cluster: &Inner,
    network: &Network,
    binaries: &NodeBinaries,
) -> Result<ManagedProcess, NodeError> {
    let addresses = network.addresses();
    let port = free_port(addresses.host()).map_err(NodeError::NoPort)?;
    let kubeconfig = cluster.write_kubeconfig("dns.kubeconfig", dns::USER, None)?;
    apply(cluster, "dns", &dns::manifest(addresses, port))?;
    let config = "dns.conf";
    cluster.dir.write_private(config, &dns::config(&kubeconfig, addresses.host(), port))?;
    let spec = ProcessSpec::new("dns", binaries.dir.join(Part::Dns.name()))
        .arg("-conf")
        .arg(cluster.dir.path().join(config))
        .current_dir(cluster.dir.path())
        .log_file(cluster.dir.log("dns"));
    Ok(spawn_with_parent(&spec)?)
}

/// Writes a manifest into the cluster's directory, and applies it.
fn apply(cluster: &Inner, name: &str, manifest: &str) -> Result<(), NodeError> {
    let file = format!("{name}.yaml");
    cluster.dir.write_private(&file, manifest)?;
    let mut apply = cluster.kubectl();
    apply.args(["apply", "--filename"]).arg(cluster.dir.path().join(file));
    run_command(apply)?;
    Ok(())
}

/// Writes the image whose only program holds the namespaces of a pod.
fn pause_image(cluster: &Inner, binaries: &NodeBinaries) -> Result<PathBuf, NodeError> {
    let archive = cluster.dir.path().join("pause.tar");
    Image::new(config::PAUSE_IMAGE, binaries.dir.join(Part::Pause.name())).write(&archive)?;
    Ok(archive)
}
