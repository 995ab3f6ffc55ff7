//! The network of a cluster for nodes: a bridge in a network namespace of its own (the hub), a link
//! from this machine to it, and one from each node.
//!
//! A process holds the hub, and dies with this one. Its namespace goes with it, and with that both
//! ends of every link: so nothing is ever left behind, not even after SIGKILL. Nothing of this
//! machine's own network is changed but one link, its address and its routes.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::addresses::Addresses;
use crate::command::{CommandError, run};
use crate::dir::ClusterDir;
use crate::ports::random_in;
use crate::process::{ManagedProcess, ProcessError, ProcessSpec, spawn_with_parent};

/// The second byte of networks that are tried: few routers of homes and offices use these.
const SECOND_BYTES: std::ops::Range<u16> = 100..250;
/// How many networks are tried when others have them.
const ATTEMPTS: usize = 20;
/// How long the process that holds the hub may take to have its namespace.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often that is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Why the network for nodes could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The process that holds the hub could not be started.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It did not get a namespace.
    #[error("no network namespace could be made; is this root? unshare said: {0}")]
    NoNamespace(String),
    /// An interface, an address or a route could not be set up.
    #[error("the network for nodes could not be set up: {0}")]
    Command(#[from] CommandError),
    /// All networks that were tried are in use.
    #[error("no network 10.x.0.0/16 is free for nodes")]
    NoneFree,
}

/// The network; dropping it removes it.
pub(crate) struct Network {
    addresses: Addresses,
    x: u8,
    hub: ManagedProcess,
}

impl Network {
    /// Makes the hub, and this machine's link to it.
    pub(crate) fn create(dir: &ClusterDir) -> Result<Self, NetworkError> {
        let hub = ProcessSpec::new("node-network", "unshare").args(["--net", "--", "sleep", "infinity"]);
        let hub = spawn_with_parent(&hub.log_file(dir.log("node-network")))?;
        wait_for_namespace(&hub)?;
        in_namespace(hub.pid(), &["link", "add", "nodes", "type", "bridge"])?;
        in_namespace(hub.pid(), &["link", "set", "nodes", "up"])?;
        for _ in 0..ATTEMPTS {
            let x = u8::try_from(random_in(SECOND_BYTES)).unwrap_or_default();
            if is_routed(x) {
                continue;
            }
            let link = link_name(x);
            let pid = hub.pid().to_string();
            let added =
                run("ip", &["link", "add", &link, "type", "veth", "peer", "name", "host", "netns", &pid]);
            match added {
                Ok(_) => {}
                // Another cluster was quicker.
                Err(error) if error.said.contains("File exists") => continue,
                Err(error) => return Err(error.into()),
            }
            let addresses = Addresses::in_network(x);
            run("ip", &["address", "add", &format!("{}/24", addresses.host()), "dev", &link])?;
            run("ip", &["link", "set", &link, "up"])?;
            in_namespace(hub.pid(), &["link", "set", "host", "master", "nodes", "up"])?;
            return Ok(Self { addresses, x, hub });
        }
        Err(NetworkError::NoneFree)
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// A name for what this cluster has on this machine outside its directory, as its control groups.
    pub(crate) fn unique_name(&self) -> String {
        format!("local-cluster-{}", self.x)
    }

    /// Links node `number` of `of`, whose namespace process `pid` is in, with the others, and lets
    /// this machine reach its pods, and through the first node the Services.
    pub(crate) fn attach(&self, number: u8, of: u8, pid: u32) -> Result<(), NetworkError> {
        let (at, host) = (self.addresses, self.addresses.host().to_string());
        let port = format!("node-{number}");
        let node = pid.to_string();
        let hub = self.hub.pid();
        in_namespace(hub, &["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &node])?;
        in_namespace(hub, &["link", "set", &port, "master", "nodes", "up"])?;
        let own = at.node(number).to_string();
        in_namespace(pid, &["address", "add", &format!("{own}/24"), "dev", "eth0"])?;
        in_namespace(pid, &["link", "set", "eth0", "up"])?;
        in_namespace(pid, &["route", "add", "default", "via", &host])?;
        for other in (1..=of).filter(|&other| other != number) {
            let via = at.node(other).to_string();
            in_namespace(pid, &["route", "add", &at.node_pods(other), "via", &via])?;
        }
        run("ip", &["route", "replace", &at.node_pods(number), "via", &own])?;
        if number == 1 {
            run("ip", &["route", "replace", &at.service_cidr(), "via", &own])?;
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The namespace may outlive the process that holds it for a moment: the kernel clears it away
        // when it comes to it. Without its link it is out of the way at once.
        drop(run("ip", &["link", "delete", &link_name(self.x)]));
    }
}

fn link_name(x: u8) -> String {
    format!("lcluster{x}")
}

/// Runs `ip` in the network namespace of a process.
fn in_namespace(pid: u32, args: &[&str]) -> Result<String, CommandError> {
    let target = pid.to_string();
    run("nsenter", &[&["--target", &target, "--net", "--", "ip"], args].concat())
}

fn wait_for_namespace(hub: &ManagedProcess) -> Result<(), NetworkError> {
    let namespace = |pid: &str| fs::read_link(PathBuf::from(format!("/proc/{pid}/ns/net"))).ok();
    let own = namespace("self");
    let started = Instant::now();
    loop {
        let theirs = namespace(&hub.pid().to_string());
        if theirs.is_some() && theirs != own {
            return Ok(());
        }
        if !hub.is_running() || started.elapsed() >= DEADLINE {
            return Err(NetworkError::NoNamespace(hub.log_tail(3)));
        }
        thread::sleep(POLL);
    }
}

/// Whether a route of this machine leads into 10.x.0.0/16.
fn is_routed(x: u8) -> bool {
    fs::read_to_string("/proc/net/route").is_ok_and(|table| routes_into(&table, x))
}

fn routes_into(table: &str, x: u8) -> bool {
    let destinations = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
    // Addresses are written as the processor reads them from memory.
    let destinations = destinations.filter_map(|hex| u32::from_str_radix(hex, 16).ok());
    destinations.map(u32::to_ne_bytes).any(|bytes| bytes[..2] == [10, x])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_network_that_a_route_leads_into_is_in_use() {
        let table = "Iface\tDestination\tGateway\neth0\t00000000\t01FEA8C0\nlc\t0040C80A\t0B00C80A\n";
        assert!(routes_into(table, 200));
        assert!(!routes_into(table, 201));
    }
}
