//! CoreDNS, which answers for the names of Services: a process on this machine, behind the Service
//! `kube-dns`. It knows no other names; nodes have no way to the internet anyway.

use std::net::Ipv4Addr;
use std::path::Path;

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
    let (host, service) = (addresses.host(), addresses.dns_service());
    format!(
        r#"apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: "{USER}"}}
rules:
- {{apiGroups: [""], resources: [services, namespaces], verbs: [list, watch]}}
- {{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: "{USER}"}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "{USER}"}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: "{USER}"}}]
---
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system}}
spec:
  clusterIP: {service}
  ports:
  - {{name: dns, port: 53, protocol: UDP, targetPort: {port}}}
  - {{name: dns-tcp, port: 53, protocol: TCP, targetPort: {port}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: kube-dns
  namespace: kube-system
  labels:
    kubernetes.io/service-name: kube-dns
    endpointslice.kubernetes.io/managed-by: local-cluster
addressType: IPv4
ports:
- {{name: dns, port: {port}, protocol: UDP}}
- {{name: dns-tcp, port: {port}, protocol: TCP}}
endpoints: [{{addresses: ["{host}"], conditions: {{ready: true}}}}]
"#
    )
}
