//! Real nodes on this machine: pods under strict security, a Service, metrics, and nothing left behind.
//! Left to `cargo test-all`, and skipped, saying why, where nodes cannot run.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use local_cluster::{Image, LocalCluster, NodeOptions, NodeTier, Options, Progress};

use super::common::{kubectl, wait_until};

/// A server that asks the API server for what it is asked for: a real program with something to say,
/// that shows whether a pod reaches the `kubernetes` Service with its token.
const PODS: &str = r"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: proxy, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: proxy}}
  template:
    metadata: {labels: {app: proxy}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: DoNotSchedule
        labelSelector: {matchLabels: {app: proxy}}
      containers:
      - name: proxy
        image: test/kubectl:1
        imagePullPolicy: Never
        args: [proxy, --address=0.0.0.0, --port=8080, --accept-hosts=.*]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
        resources: {requests: {cpu: 10m, memory: 32Mi}}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
---
apiVersion: v1
kind: Service
metadata: {name: proxy, namespace: shop}
spec: {selector: {app: proxy}, ports: [{port: 80, targetPort: 8080}]}
";

/// A pod that asks the Service by its name, once.
const ASKER: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: asker, namespace: shop}
spec:
  restartPolicy: OnFailure
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: asker
    image: test/kubectl:1
    imagePullPolicy: Never
    args: [get, --raw=/version, --server=http://proxy.shop]
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
";

/// Whether the test is to be skipped; says why.
fn skipped() -> bool {
    let all = std::env::var("FOODDELIVERY_TESTS").is_ok_and(|which| which == "all");
    let why = if all { NodeTier::unavailable() } else { Some("left to cargo test-all".to_owned()) };
    if let Some(why) = &why {
        // Not by eprintln, which the test harness keeps to itself.
        drop(writeln!(std::io::stderr(), "skipped: {why}"));
    }
    why.is_some()
}

/// The body of a GET, with curl.
fn get(address: &str, path: &str) -> Option<String> {
    let url = format!("http://{address}{path}");
    let output = Command::new("curl").args(["--silent", "--fail", "--max-time", "5", &url]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Network links and control groups of the cluster in 10.x.0.0/16.
fn traces(x: u8) -> Vec<String> {
    let names = |dir: &str| -> Vec<String> {
        let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
        entries.flatten().map(|entry| entry.path().display().to_string()).collect()
    };
    let mut groups = names("/sys/fs/cgroup");
    groups.extend(groups.clone().iter().flat_map(|dir| names(dir)));
    let (group, link) = (format!("/local-cluster-{x}-"), format!("/lcluster{x}"));
    let ours = |name: &String| name.contains(&group) || name.ends_with(&link);
    groups.into_iter().chain(names("/sys/class/net")).filter(ours).collect()
}

fn apply(cluster: &LocalCluster, manifest: &str) {
    let file = cluster.dir().join("manifest.yaml");
    fs::write(&file, manifest).unwrap();
    kubectl(cluster, &["apply", "-f", file.to_str().unwrap()]).unwrap();
}

fn assert_that_pods_reach(service: &str, tier: &NodeTier, nodes: &BTreeSet<String>) {
    // From each pod's network, often enough that the Service sends it to itself as well.
    let ask = format!(
        "for pod in $(ip netns list | cut -d' ' -f1); do for i in 1 2 3 4 5 6 7 8; do
         ip netns exec $pod curl --silent --fail --max-time 5 http://{service}/version || exit 1; done; done"
    );
    for node in nodes {
        // That one node's kube-proxy knows the Service says nothing of the other's.
        wait_until(&format!("the pods of {node} reach the Service"), Duration::from_mins(1), || {
            let output = tier.command_on(node, "sh").unwrap().args(["-c", &ask]).output().unwrap();
            let answers = String::from_utf8(output.stdout).unwrap();
            output.status.success() && answers.matches("v1.36.").count() == 8
        });
    }
}

fn assert_that_a_pod_finds_the_service_by_its_name(cluster: &LocalCluster) {
    apply(cluster, ASKER);
    let ended = "--for=jsonpath={.status.phase}=Succeeded";
    let waited = kubectl(cluster, &["-n", "shop", "wait", ended, "pod/asker", "--timeout=180s"]);
    waited.unwrap_or_else(|said| {
        let log = kubectl(cluster, &["-n", "shop", "logs", "asker"]);
        panic!("{said}\n{}", log.unwrap_or_else(|said| said))
    });
    assert!(kubectl(cluster, &["-n", "shop", "logs", "asker"]).unwrap().contains("v1.36."));
}

#[test]
fn pods_run_on_two_nodes_behind_a_service_and_are_measured() {
    if skipped() {
        return;
    }
    let options = Options { nodes: true, progress: Progress::Quiet, ..Options::default() };
    let cluster = LocalCluster::start_blocking(&options).unwrap();
    let options = NodeOptions { nodes: 2, progress: Progress::Quiet };
    let tier = NodeTier::start_blocking(&cluster, &options).unwrap();
    let archive = cluster.dir().join("kubectl.tar");
    Image::new("test/kubectl:1", cluster.kubectl_path()).write(&archive).unwrap();
    tier.import_image_blocking(&archive).unwrap();

    apply(&cluster, PODS);
    let rolled_out =
        kubectl(&cluster, &["-n", "shop", "rollout", "status", "deployment/proxy", "--timeout=60s"]);
    rolled_out.unwrap_or_else(|said| {
        let pods = kubectl(&cluster, &["-n", "shop", "describe", "pods"]);
        panic!("{said}\n{}", pods.unwrap_or_default())
    });

    let list = |what: &str| {
        kubectl(
            &cluster,
            &[
                "-n",
                "shop",
                "get",
                "pods",
                "-l",
                "app=proxy",
                "-o",
                &format!("jsonpath={{.items[*].{what}}}"),
            ],
        )
        .unwrap()
    };
    let nodes: BTreeSet<String> = list("spec.nodeName").split_whitespace().map(str::to_owned).collect();
    assert_eq!(nodes.len(), 2, "one pod on each node");
    // From this machine to each pod, and from a pod to the API server's Service.
    for address in list("status.podIP").split_whitespace() {
        let version = get(&format!("{address}:8080"), "/version").unwrap();
        assert!(version.contains("v1.36."), "{version}");
    }
    let service = ["-n", "shop", "get", "service", "proxy", "-o", "jsonpath={.spec.clusterIP}"];
    let service = kubectl(&cluster, &service).unwrap();
    wait_until("the Service answers", Duration::from_mins(1), || get(&service, "/version").is_some());
    assert_that_pods_reach(&service, &tier, &nodes);
    assert_that_a_pod_finds_the_service_by_its_name(&cluster);

    wait_until("pods are measured", Duration::from_mins(1), || {
        kubectl(&cluster, &["-n", "shop", "top", "pods", "-l", "app=proxy", "--no-headers"])
            .is_ok_and(|measured| measured.lines().count() == 2)
    });
    assert!(kubectl(&cluster, &["top", "nodes"]).unwrap().contains("node-2"));
    let pod = list("metadata.name").split(' ').next().unwrap().to_owned();
    assert!(kubectl(&cluster, &["-n", "shop", "logs", &pod]).unwrap().contains("Starting to serve"));
    tier.kill_node_blocking("node-2").unwrap();
    assert!(tier.command_on("node-2", "true").is_err());
    tier.check_running().unwrap();
    assert_eq!(tier.nodes().len(), 1);

    let x = tier.host_address().octets()[1];
    let left = traces(x);
    assert!(
        left.iter().any(|it| it.ends_with("node-1")) && !left.iter().any(|it| it.ends_with("node-2")),
        "{left:?}"
    );
    drop(tier);
    drop(cluster);
    assert_eq!(traces(x), [""; 0]);
}

#[test]
fn nodes_die_with_a_killed_parent() {
    if skipped() {
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let mut up = Command::new(env!("CARGO_BIN_EXE_local-cluster"));
    up.args(["up", "--nodes", "1", "--dir"]).arg(parent.path().join("cluster"));
    let mut up = up.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let ready = BufReader::new(up.stdout.take().unwrap()).lines().next();
    assert!(ready.unwrap().unwrap().starts_with("export KUBECONFIG="));
    let inside = format!("{}/", parent.path().display());
    assert!(users_of(&inside) > 0);
    up.kill().unwrap();
    up.wait().unwrap();
    wait_until("everything of the cluster ends", Duration::from_mins(1), || users_of(&inside) == 0);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&inside), "{mounts}");
    fs::remove_dir_all(parent.path().join("cluster")).unwrap();
}

/// How many processes have this text in their command line.
fn users_of(text: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("cmdline"));
    let is_user = |path: &Path| {
        let line = fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    processes.filter(|path| is_user(path)).count()
}
