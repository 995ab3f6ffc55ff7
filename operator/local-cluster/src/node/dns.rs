//! CoreDNS, which answers for the names of Services: a process on this machine, behind the Service
//! `kube-dns`. It knows no other names; nodes have no way to the internet anyway.

use std::net::Ipv4Addr;
use std::path::Path;

use super::outside;
use crate::addresses::Addresses;

/// Who it is for the API server.
pub(super) const USER: &str = "system:coredns";

/// CoreDNS's own configuration.
pub(super) fn config(kubeconfig: &Path, host: Ipv4Addr, port: u16) -> String {
    format!(
        "cluster.local:{port} {{
    bind {host}
    errors
    kubernetes cluster.local {{
        kubeconfig {:?}
    }}
}}
",
        kubeconfig.display().to_string()
    )
}

/// What it may read, and where it is.
pub(super) fn manifest(addresses: Addresses, port: u16) -> String {
    let rules = r#"- {apiGroups: [""], resources: [services, namespaces], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
"#;
    let ports = [("dns", 53, "UDP"), ("dns-tcp", 53, "TCP")];
    let place = (addresses.host(), port);
    outside::rights(USER, rules) + &outside::service("kube-dns", Some(addresses.dns_service()), &ports, place)
}
