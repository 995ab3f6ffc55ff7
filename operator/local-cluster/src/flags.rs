//! With which flags each program of the control plane runs. Starts nothing.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use crate::addresses::Addresses;
use crate::binaries::Binaries;
use crate::dir::ClusterDir;
use crate::pki::FRONT_PROXY_NAME;
use crate::process::ProcessSpec;

/// Where, in the cluster's directory, the controller manager's kubeconfig is.
pub(crate) const CONTROLLER_MANAGER_KUBECONFIG: &str = "controller-manager.kubeconfig";

/// The addresses, and the TCP ports of one attempt to start: etcd's on 127.0.0.1, the API server's on
/// the cluster's address of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoints {
    pub(crate) addresses: Addresses,
    pub(crate) etcd: u16,
    pub(crate) apiserver: u16,
}

impl Endpoints {
    pub(crate) fn apiserver(self) -> SocketAddr {
        (self.addresses.host(), self.apiserver).into()
    }

    pub(crate) fn etcd_url(self) -> String {
        format!("http://127.0.0.1:{}", self.etcd)
    }
}

/// etcd over plain http on the loopback interface, where losing the data is fine.
pub(crate) fn etcd(binaries: &Binaries, dir: &ClusterDir, at: Endpoints) -> ProcessSpec {
    let url = at.etcd_url();
    ProcessSpec::new("etcd", &binaries.etcd)
        .arg(flag("data-dir", &dir.etcd_data()))
        .arg(format!("--listen-client-urls={url}"))
        .arg(format!("--advertise-client-urls={url}"))
        // It is the only member: nobody calls this port, so any free one will do.
        .arg("--listen-peer-urls=http://127.0.0.1:0")
        .arg("--unsafe-no-fsync")
        .current_dir(dir.path())
        .log_file(dir.log("etcd"))
}

/// `extra` comes last, so it overrides.
pub(crate) fn apiserver(
    binaries: &Binaries,
    dir: &ClusterDir,
    at: Endpoints,
    extra: &[String],
) -> ProcessSpec {
    let pki = |name: &str| dir.pki().join(name);
    let host = at.addresses.host();
    let mut spec = ProcessSpec::new("kube-apiserver", &binaries.kube_apiserver)
        .arg(format!("--etcd-servers={}", at.etcd_url()))
        .arg(format!("--secure-port={}", at.apiserver))
        .arg(format!("--bind-address={host}"))
        .arg(format!("--advertise-address={host}"))
        .arg(flag("cert-dir", &dir.pki()))
        .arg(flag("tls-cert-file", &pki("apiserver.crt")))
        .arg(flag("tls-private-key-file", &pki("apiserver.key")))
        .arg(flag("client-ca-file", &pki("ca.crt")))
        .arg(flag("service-account-key-file", &pki("service-account.pub")))
        .arg(flag("service-account-signing-key-file", &pki("service-account.key")))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .args(["--authorization-mode=Node,RBAC", "--allow-privileged=true"])
        .arg(format!("--service-cluster-ip-range={}", at.addresses.service_cidr()))
        // The aggregation layer: its CA is not the client CA, or any client could name any user.
        .arg(flag("requestheader-client-ca-file", &pki("front-proxy-ca.crt")))
        .arg(format!("--requestheader-allowed-names={FRONT_PROXY_NAME}"))
        .arg("--requestheader-username-headers=X-Remote-User")
        .arg("--requestheader-group-headers=X-Remote-Group")
        .arg("--requestheader-extra-headers-prefix=X-Remote-Extra-")
        .arg(flag("proxy-client-cert-file", &pki("front-proxy-client.crt")))
        .arg(flag("proxy-client-key-file", &pki("front-proxy-client.key")))
        .arg(flag("kubelet-client-certificate", &pki("kubelet-client.crt")))
        .arg(flag("kubelet-client-key", &pki("kubelet-client.key")))
        .arg("--kubelet-preferred-address-types=InternalIP")
        // Without it, open watches keep an API server that is to end for a minute; with it, a second.
        .arg("--shutdown-watch-termination-grace-period=1s")
        // A fifth more writes a second, for twice the memory.
        .env("GOGC", "400")
        .current_dir(dir.path())
        .log_file(dir.log("kube-apiserver"));
    if host.is_loopback() {
        // Endpoints may not be loopback addresses: the reconciler would only log errors.
        spec = spec.arg("--endpoint-reconciler-type=none");
    } else {
        // This machine is no node: Service addresses of aggregated API servers may lead nowhere here.
        spec = spec.arg("--enable-aggregator-routing=true");
    }
    if !binaries.has_garbage_collection() {
        // Nobody makes the service accounts that this plugin asks for.
        spec = spec.arg("--disable-admission-plugins=ServiceAccount");
    }
    spec.args(extra)
}

/// `None` where there is no controller manager.
///
/// `extra` comes last, so it overrides.
pub(crate) fn controller_manager(
    binaries: &Binaries,
    dir: &ClusterDir,
    extra: &[String],
) -> Option<ProcessSpec> {
    let program = binaries.kube_controller_manager.as_ref()?;
    let spec = ProcessSpec::new("kube-controller-manager", program)
        .arg(flag("kubeconfig", &dir.path().join(CONTROLLER_MANAGER_KUBECONFIG)))
        .arg("--use-service-account-credentials=true")
        .arg(flag("service-account-private-key-file", &dir.pki().join("service-account.key")))
        .arg(flag("root-ca-file", &dir.pki().join("ca.crt")))
        .arg("--leader-elect=false")
        // The default of 20 a second makes the start, with a token for each of its controllers, last
        // seconds longer, and large deletions too.
        .args(["--kube-api-qps=500", "--kube-api-burst=500"])
        // Serves nothing, so it needs no port, no certificate and no way to authenticate callers.
        .arg("--secure-port=0")
        .current_dir(dir.path())
        .log_file(dir.log("kube-controller-manager"));
    Some(spec.args(extra))
}

/// `--name=path`; a path need not be text.
pub(crate) fn flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(path);
    flag
}
