//! A real cluster on this machine: started, used, restarted, stopped and orphaned.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use local_cluster::{Cluster, ControllerManager, LocalCluster, Options, Progress, Shutdown};

use super::common::{kubectl, wait_until};

fn is_alive(pid: u32) -> bool {
    // A zombie has ended: whoever started it only has not asked yet.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

const POLICY: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: stamp}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  failurePolicy: Fail
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: 'Object{metadata: Object.metadata{labels: {"stamped": object.metadata.name}}}'
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: stamp}
spec: {policyName: stamp}
"#;

const CRD: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: orders.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: orders, singular: order, kind: Order}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

/// An owner and its dependent, both of a kind that the controller manager has not seen before.
async fn assert_that_a_new_kind_is_collected(cluster: &LocalCluster) {
    let apply = |text: &str| {
        let manifest = cluster.dir().join("manifest.yaml");
        fs::write(&manifest, text).unwrap();
        kubectl(cluster, &["apply", "-f", manifest.to_str().unwrap()]).unwrap();
    };
    apply(CRD);
    kubectl(cluster, &["wait", "--for=condition=Established", "crd/orders.example.com"]).unwrap();
    cluster.restart_controller_manager().await.unwrap();
    let order = "{apiVersion: example.com/v1, kind: Order, metadata: {name: owner}}";
    apply(order);
    let uid = kubectl(cluster, &["get", "order", "owner", "-o", "jsonpath={.metadata.uid}"]).unwrap();
    let owner = format!("{{apiVersion: example.com/v1, kind: Order, name: owner, uid: {uid}}}");
    apply(&order.replace("name: owner", &format!("name: dependent, ownerReferences: [{owner}]")));
    kubectl(cluster, &["delete", "order", "owner"]).unwrap();
    wait_until("the dependent is garbage-collected", Duration::from_mins(1), || {
        is_gone(cluster, "order/dependent")
    });
}

fn is_gone(cluster: &LocalCluster, object: &str) -> bool {
    kubectl(cluster, &["get", object]).is_err_and(|said| said.contains("NotFound"))
}

#[tokio::test]
async fn a_cluster_serves_restarts_collects_garbage_and_leaves_nothing_behind() {
    let options = Options { progress: Progress::Quiet, ..Options::default() };
    let cluster = LocalCluster::start(options).await.unwrap();
    let (dir, mut pids) = (cluster.dir().to_owned(), cluster.pids());
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    assert_eq!(pids.len(), if cluster.has_garbage_collection() { 3 } else { 2 });
    assert!(cluster.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));

    assert!(kubectl(&cluster, &["get", "ns"]).unwrap().contains("kube-system"));
    kubectl(&cluster, &["create", "ns", "shop"]).unwrap();
    kubectl(&cluster, &["-n", "shop", "create", "configmap", "menu"]).unwrap();
    kubectl(&cluster, &["delete", "ns", "shop", "--wait=false"]).unwrap();

    // The policy takes effect with a delay; until then the object is created again and again.
    let manifest = dir.join("policy.yaml");
    fs::write(&manifest, POLICY).unwrap();
    kubectl(&cluster, &["apply", "-f", manifest.to_str().unwrap()]).unwrap();
    wait_until("a MutatingAdmissionPolicy stamps a new object", Duration::from_mins(1), || {
        kubectl(&cluster, &["delete", "configmap", "probe", "--ignore-not-found"]).unwrap();
        kubectl(&cluster, &["create", "configmap", "probe"]).unwrap();
        let label = ["get", "configmap", "probe", "-o", "jsonpath={.metadata.labels.stamped}"];
        kubectl(&cluster, &label).unwrap() == "probe"
    });
    if cluster.has_garbage_collection() {
        wait_until("the deleted namespace vanishes", Duration::from_mins(1), || is_gone(&cluster, "ns/shop"));
        assert_that_a_new_kind_is_collected(&cluster).await;
    }

    let url = cluster.server_url().to_owned();
    for shutdown in [Shutdown::Graceful, Shutdown::Kill] {
        let before = cluster.pids();
        cluster.restart_apiserver(shutdown).await.unwrap();
        let after = cluster.pids();
        assert!(after[0] == before[0] && after[1] != before[1], "only the API server is another");
        assert!(!is_alive(before[1]));
        assert_eq!(cluster.server_url(), url);
        kubectl(&cluster, &["get", "configmap", "probe"]).unwrap();
        pids.extend(after);
    }
    cluster.check_running().unwrap();
    // A killed API server says nothing; one that came to the end of its shutdown says so.
    let log = fs::read_to_string(dir.join("kube-apiserver.log")).unwrap();
    assert!(log.contains("quota evaluator worker shutdown"), "one of the two shutdowns came to its end");

    Cluster::Local(cluster).stop().await.unwrap();
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
    assert!(!dir.exists());
}

#[test]
fn dropping_a_cluster_kills_it_at_once_and_an_api_server_that_cannot_start_is_quoted() {
    let options = Options { progress: Progress::Quiet, ..Options::default() };
    let cluster = LocalCluster::start_blocking(&options).unwrap();
    let (dir, pids) = (cluster.dir().to_owned(), cluster.pids());
    let dropping = Instant::now();
    drop(cluster);
    // An API server that was asked to end first would say so in its log, and take seconds.
    assert!(dropping.elapsed() < Duration::from_secs(20));
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
    assert!(!dir.exists());

    let apiserver_flags = vec!["--no-such-flag".to_owned()];
    let said = LocalCluster::start_blocking(&Options { apiserver_flags, ..options }).unwrap_err().to_string();
    assert!(said.starts_with("kube-apiserver has ended") && said.contains("unknown flag"), "{said}");
}

#[test]
fn a_cluster_without_a_controller_manager_serves_all_the_same() {
    let options = Options {
        controller_manager: ControllerManager::Absent,
        progress: Progress::Quiet,
        ..Options::default()
    };
    let cluster = LocalCluster::start_blocking(&options).unwrap();
    assert!(cluster.pids().len() == 2 && !cluster.has_garbage_collection());
    kubectl(&cluster, &["create", "ns", "shop"]).unwrap();
    kubectl(&cluster, &["-n", "shop", "create", "serviceaccount", "cook"]).unwrap();
    assert!(kubectl(&cluster, &["-n", "shop", "create", "token", "cook"]).unwrap().starts_with("ey"));
    cluster.restart_controller_manager_blocking().unwrap();
    assert_eq!(cluster.pids().len(), 2, "there is none to be started anew");
}

fn children_of(parent: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let lists = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap());
    lists
        .flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

fn up(dir: &Path) -> (std::process::Child, PathBuf) {
    let mut up = Command::new(env!("CARGO_BIN_EXE_local-cluster"));
    up.args(["up", "--dir"]).arg(dir).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut up = up.spawn().unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let kubeconfig = first.strip_prefix("export KUBECONFIG='").unwrap().strip_suffix('\'').unwrap();
    (up, kubeconfig.into())
}

#[test]
fn children_die_with_a_killed_parent_and_its_directory_can_be_used_again() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("cluster");
    let (mut killed, kubeconfig) = up(&dir);
    assert!(kubeconfig.is_file());
    let children = children_of(killed.id());
    assert!(children.len() >= 2, "{children:?}");
    killed.kill().unwrap();
    killed.wait().unwrap();
    wait_until("the children die", Duration::from_secs(30), || !children.iter().any(|pid| is_alive(*pid)));

    let (mut second, _) = up(&dir);
    let children = children_of(second.id());
    let asked = Command::new("kill").arg(second.id().to_string()).status().unwrap();
    assert!(asked.success());
    assert!(second.wait().unwrap().success(), "SIGTERM is an orderly end");
    assert!(!children.iter().any(|pid| is_alive(*pid)));
    assert!(!dir.exists());
}
