//! metrics-server: a process on this machine, registered with the API server as `metrics.k8s.io`.

use std::net::Ipv4Addr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::outside;
use crate::dir::ClusterDir;
use crate::flags::flag;
use crate::process::ProcessSpec;

/// Who it is for the API server and the kubelets.
pub(super) const USER: &str = "system:metrics-server";
/// Under which name the API server calls it.
pub(super) const SERVICE_NAME: &str = "metrics-server.kube-system.svc";

/// How it runs: measures every ten seconds, which is as often as it may.
pub(super) fn spec(
    dir: &ClusterDir,
    program: &Path,
    kubeconfig: &Path,
    (host, port): (Ipv4Addr, u16),
) -> ProcessSpec {
    let pki = |name: &str| dir.pki().join(name);
    ProcessSpec::new("metrics-server", program)
        .arg(flag("kubeconfig", kubeconfig))
        .arg(flag("authentication-kubeconfig", kubeconfig))
        .arg(flag("authorization-kubeconfig", kubeconfig))
        .arg(format!("--bind-address={host}"))
        .arg(format!("--secure-port={port}"))
        .arg(flag("tls-cert-file", &pki("metrics-server.crt")))
        .arg(flag("tls-private-key-file", &pki("metrics-server.key")))
        .arg(flag("kubelet-certificate-authority", &pki("ca.crt")))
        .args(["--metric-resolution=10s", "--kubelet-request-timeout=5s"])
        .arg("--kubelet-preferred-address-types=InternalIP")
        .current_dir(dir.path())
        .log_file(dir.log("metrics-server"))
}

/// What it may do, and where it is.
pub(super) fn manifest(ca_pem: &str, host: Ipv4Addr, port: u16) -> String {
    let rules = r#"- {apiGroups: [""], resources: [nodes/metrics], verbs: [get]}
- {apiGroups: [""], resources: [pods, nodes], verbs: [get, list, watch]}
"#;
    let service = outside::service("metrics-server", None, &[("https", 443, "TCP")], (host, port));
    outside::rights(USER, rules) + &service + &extension(ca_pem)
}

/// What an extension of the API server needs beyond that, and its registration.
fn extension(ca_pem: &str) -> String {
    let ca = STANDARD.encode(ca_pem);
    format!(
        r#"apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: "{USER}:auth-delegator"}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:auth-delegator"}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: "{USER}"}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: "{USER}:auth-reader", namespace: kube-system}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: "{USER}"}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: "{USER}:reader"
  labels:
    rbac.authorization.k8s.io/aggregate-to-admin: "true"
    rbac.authorization.k8s.io/aggregate-to-edit: "true"
    rbac.authorization.k8s.io/aggregate-to-view: "true"
rules:
- {{apiGroups: [metrics.k8s.io], resources: [pods, nodes], verbs: [get, list, watch]}}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {{name: v1beta1.metrics.k8s.io}}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  caBundle: {ca}
  service: {{name: metrics-server, namespace: kube-system, port: 443}}
"#
    )
}
