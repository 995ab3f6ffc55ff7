//! The IPv4 addresses of one cluster: the API server's, and the ranges of nodes, pods and Services.
//! Computes only.

use std::net::Ipv4Addr;

/// The range of Service addresses of a cluster without nodes, where nothing can reach one anyway.
const LOOPBACK_SERVICES: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 16);
/// How many nodes a cluster's network has room for.
pub(crate) const MOST_NODES: u8 = 8;

/// The addresses of one cluster. A cluster for nodes has 10.x.0.0/16 to itself, so that several can
/// run on one machine:
///
/// | range | what |
/// |---|---|
/// | 10.x.0.1 | this machine, and the API server on it |
/// | 10.x.0.10+n | node n, from 1 |
/// | 10.x.64+n.0/24 | its pods |
/// | 10.x.128.0/17 | Services; 10.x.128.1 is `kubernetes`, 10.x.128.10 `kube-dns` |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    second_byte: Option<u8>,
}

impl Addresses {
    /// All on 127.0.0.1.
    pub(crate) fn loopback() -> Self {
        Self { second_byte: None }
    }

    /// In 10.x.0.0/16.
    pub(crate) fn in_network(x: u8) -> Self {
        Self { second_byte: Some(x) }
    }

    /// Where the API server listens, and where this machine is for pods.
    pub(crate) fn host(self) -> Ipv4Addr {
        self.second_byte.map_or(Ipv4Addr::LOCALHOST, |x| Ipv4Addr::new(10, x, 0, 1))
    }

    /// The range of Service addresses.
    pub(crate) fn service_cidr(self) -> String {
        let (first, bits) = self.services();
        format!("{first}/{bits}")
    }

    /// The address of the `kubernetes` Service, the first of the range.
    pub(crate) fn kubernetes_service(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.services().0) + 1)
    }

    /// The address of the Service that answers for the names of Services.
    pub(crate) fn dns_service(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.services().0) + 10)
    }

    /// The address of node `number`, from 1 to [`MOST_NODES`].
    pub(crate) fn node(self, number: u8) -> Ipv4Addr {
        let [a, b, ..] = self.host().octets();
        Ipv4Addr::new(a, b, 0, 10 + number)
    }

    /// The pods of node `number`.
    pub(crate) fn node_pods(self, number: u8) -> String {
        let [a, b, ..] = self.host().octets();
        format!("{a}.{b}.{}.0/24", 64 + number)
    }

    /// The pods of all nodes.
    pub(crate) fn pods(self) -> String {
        let [a, b, ..] = self.host().octets();
        format!("{a}.{b}.64.0/18")
    }

    fn services(self) -> (Ipv4Addr, u8) {
        self.second_byte.map_or(LOOPBACK_SERVICES, |x| (Ipv4Addr::new(10, x, 128, 0), 17))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_of_a_cluster_for_nodes_lie_apart_in_its_network() {
        let addresses = Addresses::in_network(200);
        assert_eq!(addresses.host().to_string(), "10.200.0.1");
        assert_eq!(addresses.node(2).to_string(), "10.200.0.12");
        assert_eq!(addresses.node_pods(MOST_NODES), "10.200.72.0/24");
        assert_eq!(addresses.pods(), "10.200.64.0/18");
        assert_eq!(addresses.service_cidr(), "10.200.128.0/17");
        assert_eq!(addresses.kubernetes_service().to_string(), "10.200.128.1");
        assert_eq!(addresses.dns_service().to_string(), "10.200.128.10");
    }

    #[test]
    fn a_cluster_without_nodes_is_on_the_loopback_interface() {
        let addresses = Addresses::loopback();
        assert_eq!(addresses.host(), Ipv4Addr::LOCALHOST);
        assert_eq!(addresses.service_cidr(), "10.96.0.0/16");
        assert_eq!(addresses.kubernetes_service().to_string(), "10.96.0.1");
    }
}
