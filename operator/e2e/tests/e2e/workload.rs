//! The manifests of the workload, applied to a real API server: what a cluster accepts, what of it takes effect without a
//! node, and what the API server does with the levels and quotas. That pods run is for the tests on nodes.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use fooddelivery_e2e::binaries::workspace;
use fooddelivery_e2e::{ClusterAccess, LONG, POLL, Programs, TestCluster};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::client::Body;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const NAMESPACE: &str = "fooddelivery-system";
const OPERATOR: &str = "system:serviceaccount:fooddelivery-system:fooddelivery-operator";

/// A cluster to which the sandbox overlay was applied, in one go and from nothing. Warnings are errors.
async fn cluster() -> Result<Arc<TestCluster>> {
    static STAGE: OnceCell<Arc<TestCluster>> = OnceCell::const_new();
    let made = STAGE.get_or_try_init(async || {
        let access = ClusterAccess::local(local_cluster::Progress::Stderr).await?;
        apply(&access, "manifests/overlays/sandbox").await?;
        TestCluster::on(access).await
    });
    made.await.cloned()
}

async fn apply(access: &ClusterAccess, folder: &str) -> Result<String> {
    let folder = workspace().join(folder);
    access
        .kubectl(["apply".as_ref(), "--warnings-as-errors".as_ref(), "-k".as_ref(), folder.as_os_str()])
        .await
}

async fn json_of(cluster: &TestCluster, args: &[&str]) -> Result<Value> {
    let all = args.iter().copied().chain(["-o", "json"]);
    Ok(serde_json::from_str(&cluster.access().kubectl(all).await?)?)
}

async fn rendered(cluster: &TestCluster, folder: &Path) -> Result<Vec<Value>> {
    let text = cluster.access().kubectl(["kustomize".as_ref(), folder.as_os_str()]).await?;
    text.split("\n---\n").map(|document| Ok(serde_saphyr::from_str(document)?)).collect()
}

fn find<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is_it = |d: &&Value| d["kind"] == kind && d["metadata"]["name"] == name;
    documents.iter().find(is_it).unwrap_or_else(|| panic!("{kind} {name} is among the manifests"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overlay_applies_from_nothing_and_its_pods_are_what_pod_security_admits() -> Result<()> {
    let cluster = cluster().await?;
    for (namespace, deployment) in [(NAMESPACE, "fooddelivery-operator"), ("fooddelivery-sandbox", "sandbox")]
    {
        // Made by the controllers of Kubernetes, so admitted as `restricted` and with all that it names.
        let begun = Instant::now();
        let pod = loop {
            let pods = json_of(&cluster, &["-n", namespace, "get", "pods"]).await?;
            if let Some(pod) = pods["items"].as_array().and_then(|all| all.first()) {
                break pod.clone();
            }
            anyhow::ensure!(begun.elapsed() < LONG, "no pod of {deployment}");
            tokio::time::sleep(POLL).await;
        };
        assert!(pod["metadata"]["name"].as_str().unwrap().starts_with(deployment));
        let mut loose = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "loose", "namespace": namespace }, "spec": pod["spec"],
        });
        let trial = ["create", "--dry-run=server", "-f", "-"];
        cluster.access().kubectl_with_input(trial, &loose.to_string()).await.context("the same pod")?;
        loose["spec"]["securityContext"]["runAsNonRoot"] = false.into();
        let refused = cluster.access().kubectl_with_input(trial, &loose.to_string()).await;
        assert!(format!("{:#}", refused.expect_err("restricted")).contains("violates PodSecurity"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_leaves_the_number_of_replicas_to_the_autoscaler() -> Result<()> {
    let cluster = cluster().await?;
    let replicas = async || {
        let deployment =
            json_of(&cluster, &["-n", NAMESPACE, "get", "deploy", "fooddelivery-operator"]).await?;
        anyhow::Ok(deployment["spec"]["replicas"].clone())
    };
    let scale = ["-n", NAMESPACE, "scale", "deploy/fooddelivery-operator"];
    cluster.access().kubectl(scale.into_iter().chain(["--replicas=3"])).await?;
    apply(cluster.access(), "manifests/overlays/sandbox").await?;
    assert_eq!(replicas().await?, 3);
    let scaler = json_of(&cluster, &["-n", NAMESPACE, "get", "hpa", "fooddelivery-operator"]).await?;
    assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], "fooddelivery-operator");
    assert_eq!(scaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 50);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_images_are_of_this_version_and_the_settings_are_known_to_it() -> Result<()> {
    let cluster = cluster().await?;
    let documents = rendered(&cluster, &workspace().join("manifests/overlays/sandbox")).await?;
    for (deployment, image) in [("fooddelivery-operator", "operator"), ("sandbox", "sandbox")] {
        let found = &find(&documents, "Deployment", deployment)["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(found["image"], format!("fooddelivery/{image}:{}", env!("CARGO_PKG_VERSION")));
    }
    let settings = documents.iter().find(|d| {
        let name = d["metadata"]["name"].as_str().unwrap_or_default();
        d["kind"] == "ConfigMap" && name.starts_with("fooddelivery-operator-")
    });
    let settings = settings.context("the ConfigMap of the settings")?["data"].as_object().unwrap();
    let help = Command::new(&Programs::find_or_build()?.operator).args(["run", "--help"]).output()?;
    let help = String::from_utf8(help.stdout)?;
    for name in settings.keys().map(String::as_str).chain(["FOODDELIVERY_REPLICA"]) {
        assert!(help.contains(&format!("[env: {name}=")), "{name} is a setting");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_setting_is_a_changed_pod_template() -> Result<()> {
    let cluster = cluster().await?;
    let named = |documents: &[Value]| {
        let deployment = find(documents, "Deployment", "fooddelivery-operator");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        container["envFrom"][0]["configMapRef"]["name"].as_str().unwrap().to_owned()
    };
    let before = named(&rendered(&cluster, &workspace().join("manifests/default")).await?);
    // As in docs/operate/configure.md: an overlay of one's own.
    let overlay = cluster.access().dir().join("overlay");
    std::fs::create_dir_all(&overlay)?;
    let up = "../".repeat(overlay.components().count() - 1);
    let default = workspace().join("manifests/default");
    let text = format!(
        "resources: ['{up}{}']\nconfigMapGenerator:\n- name: fooddelivery-operator\n  namespace: {NAMESPACE}\n  \
         behavior: merge\n  literals: [FOODDELIVERY_LOG=debug]\n",
        default.strip_prefix("/")?.display()
    );
    std::fs::write(overlay.join("kustomization.yaml"), text)?;
    let documents = rendered(&cluster, &overlay).await?;
    let after = named(&documents);
    assert_ne!(before, after);
    let settings = find(&documents, "ConfigMap", &after)["data"].clone();
    assert_eq!(
        (&settings["FOODDELIVERY_LOG"], &settings["FOODDELIVERY_LOG_FORMAT"]),
        (&json!("debug"), &json!("json"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandboxs_marketplace_calls_services_that_the_overlay_has() -> Result<()> {
    let cluster = cluster().await?;
    let marketplace = workspace().join("manifests/overlays/sandbox/marketplace");
    apply(cluster.access(), "manifests/overlays/sandbox/marketplace").await?;
    let mut endpoints = 0;
    for document in rendered(&cluster, &marketplace).await? {
        let Some(endpoint) = document["spec"]["endpoint"].as_str() else { continue };
        let url: http::Uri = endpoint.parse()?;
        let host: Vec<&str> = url.host().context("a host")?.split('.').collect();
        let [name, namespace, "svc"] = host[..] else { bail!("{endpoint} is no Service") };
        let service = json_of(&cluster, &["-n", namespace, "get", "service", name]).await?;
        assert_eq!(service["spec"]["ports"][0]["port"], url.port_u16().unwrap());
        endpoints += 1;
    }
    assert_eq!(endpoints, 3);
    let order = workspace().join("manifests/samples/order.yaml");
    let args = ["create", "--dry-run=server", "-f"].map(AsRef::as_ref);
    cluster.access().kubectl(args.into_iter().chain([order.as_os_str()])).await?;
    Ok(())
}

/// The schema and the level by which a request of this user was handled.
async fn handled_by(
    client: &Client,
    user: &str,
    groups: &[&str],
    method: &str,
    path: &str,
) -> Result<[String; 2]> {
    let mut request = http::Request::builder().method(method).uri(path).header("Impersonate-User", user);
    for group in groups {
        request = request.header("Impersonate-Group", *group);
    }
    let body = if method == "POST" { b"{}".to_vec() } else { Vec::new() };
    let request = request.header("content-type", "application/json").body(Body::from(body))?;
    let answer = client.send(request).await?;
    let header = |name: &str| {
        let found = answer.headers().get(name).with_context(|| format!("{name}, of {path}"))?;
        anyhow::Ok(found.to_str()?.to_owned())
    };
    Ok([header("X-Kubernetes-PF-FlowSchema-UID")?, header("X-Kubernetes-PF-PriorityLevel-UID")?])
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_kept_in_a_level_of_their_own_and_the_operator_in_another() -> Result<()> {
    let cluster = cluster().await?;
    let client = cluster.access().client().await?;
    let orders = "/apis/fooddelivery.dev/v1alpha1/namespaces/default/orders";
    let everybody: &[&str] = &["system:authenticated"];
    let accounts: &[&str] = &["system:authenticated", "system:serviceaccounts"];
    let account = "system:serviceaccount:default:poller";
    let expected = |name: &'static str| {
        let cluster = &cluster;
        async move {
            let uid = async |kind: &str| {
                let object = json_of(cluster, &["get", kind, name]).await?;
                anyhow::Ok(object["metadata"]["uid"].as_str().context("a uid")?.to_owned())
            };
            anyhow::Ok([uid("flowschema").await?, uid("prioritylevelconfiguration").await?])
        }
    };
    let (readers, operator) =
        (expected("fooddelivery-readers").await?, expected("fooddelivery-operator").await?);
    // An API server takes up new schemas within a second or two.
    let begun = Instant::now();
    while handled_by(&client, "jiwoo", everybody, "GET", orders).await? != readers {
        anyhow::ensure!(begun.elapsed() < LONG, "the schemas are not in force");
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(handled_by(&client, account, accounts, "GET", orders).await?, readers);
    for (method, path) in
        [("GET", orders), ("POST", orders), ("GET", "/api/v1/namespaces/default"), ("GET", "/version")]
    {
        assert_eq!(handled_by(&client, OPERATOR, accounts, method, path).await?, operator, "{method} {path}");
    }
    // What people create, and what else they read, is not held up by those who poll.
    for (method, path) in [("POST", orders), ("GET", "/api/v1/namespaces/default/pods")] {
        let found = handled_by(&client, "jiwoo", everybody, method, path).await?;
        assert!(found != readers && found != operator, "{method} {path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_refuses_the_order_that_is_one_too_many() -> Result<()> {
    let ns = cluster().await?.namespace("quota").await?;
    let sample = std::fs::read_to_string(workspace().join("manifests/samples/quota.yaml"))?;
    let sample = sample.replace("namespace: food\n", &format!("namespace: {}\n", ns.name));
    ns.apply_yaml(&sample.replace("\"5000\"", "\"2\"")).await.map_err(anyhow::Error::msg)?;
    let quotas: Api<ResourceQuota> = ns.api();
    let begun = Instant::now();
    while quotas.get("orders").await?.status.and_then(|s| s.used).is_none() {
        anyhow::ensure!(begun.elapsed() < 4 * LONG, "nobody counts");
        tokio::time::sleep(POLL).await;
    }
    // Who admits has a copy of its own, that comes later.
    while let Err(error) = ns.order("breakfast", |_| {}).await {
        let is_early = format!("{error:#}").contains("status unknown for quota");
        anyhow::ensure!(is_early && begun.elapsed() < 5 * LONG, "{error:#}");
        tokio::time::sleep(POLL).await;
    }
    ns.order("lunch", |_| {}).await?;
    let refused = ns.order("dinner", |_| {}).await.expect_err("the third of two");
    let said = format!("{refused:#}");
    for part in [
        "exceeded quota: orders",
        "used: count/orders.fooddelivery.dev=2",
        "limited: count/orders.fooddelivery.dev=2",
    ] {
        assert!(said.contains(part), "{said}");
    }
    Ok(())
}
