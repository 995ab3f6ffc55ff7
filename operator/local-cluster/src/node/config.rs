//! With which configuration and flags each program of a node runs. Starts nothing.

use std::net::Ipv4Addr;
use std::path::Path;

use super::place::Place;

/// The name of the image that holds a pod's namespaces; made here.
pub(super) const PAUSE_IMAGE: &str = "local-cluster/pause:1";

/// containerd, with everything of its own where it is by default: the node's `/run` and `/var/lib`
/// are its own.
pub(super) fn containerd(cni_plugins: &Path, cni_config: &Path) -> String {
    // restrict_oom_score_adj: without CAP_SYS_RESOURCE, which sandboxes often lack, no process may
    // lower its score, and starting a pod's sandbox would fail.
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {plugins:?}
    conf_dir = {config:?}

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#,
        plugins = cni_plugins.display().to_string(),
        config = cni_config.display().to_string(),
    )
}

/// The pods' network. Each pod has a link of its own to the node, which routes between them: on a
/// common bridge the answers of a Service's pod on the same node would bypass the node's address
/// translation where the kernel has no br_netfilter.
pub(super) fn cni(pods: &str) -> String {
    format!(
        r#"{{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {{
      "type": "ptp",
      "ipMasq": false,
      "ipam": {{
        "type": "host-local",
        "ranges": [[{{"subnet": "{pods}"}}]],
        "routes": [{{"dst": "0.0.0.0/0"}}]
      }}
    }},
    {{"type": "portmap", "capabilities": {{"portMappings": true}}}}
  ]
}}
"#
    )
}

/// The kubelet's configuration.
pub(super) fn kubelet(place: &Place, ca: &Path, control_group: &str, dns: Ipv4Addr) -> String {
    // Amounts, not shares: what a share of the machine's disk is depends on things that are none of
    // this cluster's, and pods that were evicted for those would only puzzle.
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {address}
readOnlyPort: 0
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: {ca:?}}}
authorization: {{mode: Webhook}}
tlsCertFile: {cert:?}
tlsPrivateKeyFile: {key:?}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: {control_group}
failCgroupV1: false
enforceNodeAllocatable: []
failSwapOn: false
oomScoreAdj: 0
clusterDomain: cluster.local
clusterDNS: [{dns}]
resolvConf: ""
evictionHard:
  memory.available: 50Mi
  nodefs.available: 50Mi
  nodefs.inodesFree: 1k
  imagefs.available: 50Mi
imageGCHighThresholdPercent: 100
"#,
        address = place.address,
        ca = ca.display().to_string(),
        cert = place.file("kubelet.crt").display().to_string(),
        key = place.file("kubelet.key").display().to_string(),
    )
}

/// The kubelet's flags.
pub(super) fn kubelet_flags(place: &Place) -> Vec<String> {
    vec![
        format!("--config={}", place.file("kubelet.yaml").display()),
        format!("--kubeconfig={}", place.file("kubelet.kubeconfig").display()),
        format!("--hostname-override={}", place.name),
        format!("--node-ip={}", place.address),
    ]
}

/// kube-proxy's flags.
pub(super) fn proxy_flags(place: &Place, pods: &str) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", place.file("kube-proxy.kubeconfig").display()),
        format!("--hostname-override={}", place.name),
        format!("--cluster-cidr={pods}"),
        "--proxy-mode=iptables".to_owned(),
        // The table's size is this machine's, and its time-outs are fine.
        "--conntrack-max-per-core=0".to_owned(),
        "--conntrack-tcp-timeout-established=0".to_owned(),
        "--conntrack-tcp-timeout-close-wait=0".to_owned(),
    ]
}
