//! What serves pods and is no pod: a process on this machine, behind a Service without a selector, with the rights of a user
//! of its own. Makes manifests only.

use std::net::Ipv4Addr;

/// A ClusterRole for a user of the same name, and its binding; `rules` are those of the role, as YAML.
pub(super) fn rights(user: &str, rules: &str) -> String {
    format!(
        r#"apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: "{user}"}}
rules:
{rules}---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: "{user}"}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "{user}"}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: "{user}"}}]
---
"#
    )
}

/// A port of a Service: its name, its number, and its protocol.
pub(super) type ServicePort = (&'static str, u16, &'static str);

/// A Service in `kube-system` whose ports all lead to one of this machine; `address` is its own, or any where there is
/// none.
pub(super) fn service(
    name: &str,
    address: Option<Ipv4Addr>,
    ports: &[ServicePort],
    (host, target): (Ipv4Addr, u16),
) -> String {
    let own = address.map(|address| format!("  clusterIP: {address}\n")).unwrap_or_default();
    let of_service = |(name, port, protocol): &ServicePort| {
        format!("  - {{name: {name}, port: {port}, protocol: {protocol}, targetPort: {target}}}\n")
    };
    let of_slice = |(name, _, protocol): &ServicePort| {
        format!("- {{name: {name}, port: {target}, protocol: {protocol}}}\n")
    };
    format!(
        r#"apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: kube-system}}
spec:
{own}  ports:
{service_ports}---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}
  namespace: kube-system
  labels:
    kubernetes.io/service-name: {name}
    endpointslice.kubernetes.io/managed-by: local-cluster
addressType: IPv4
ports:
{slice_ports}endpoints: [{{addresses: ["{host}"], conditions: {{ready: true}}}}]
---
"#,
        service_ports = ports.iter().map(of_service).collect::<String>(),
        slice_ports = ports.iter().map(of_slice).collect::<String>(),
    )
}
