//! The ground: a control plane with two nodes, the images on them, and the means to use it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fooddelivery_e2e::audit::{balances, findings};
use fooddelivery_e2e::sandbox::ledger_at;
use fooddelivery_e2e::{ClusterAccess, Entry, Order, Payment};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use local_cluster::{NodeOptions, NodeTier, Options, Progress};

use crate::images::{Archives, dir};
use crate::say;

/// Where the operator is.
pub(crate) const SYSTEM: &str = fooddelivery_api::OPERATOR_NAMESPACE;
/// Where the orders are.
pub(crate) const FOOD: &str = "food";
/// For what takes seconds on a quiet machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// How the operator is deployed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    /// The tag of its image.
    pub(crate) tag: &'a str,
    /// CPU that each replica requests, and has at most.
    pub(crate) cpu: (&'a str, &'a str),
    /// What the autoscaler keeps to.
    pub(crate) replicas: (u32, u32),
}

/// A cluster with nodes.
pub(crate) struct Ground {
    pub(crate) access: ClusterAccess,
    pub(crate) tier: NodeTier,
    pub(crate) client: Client,
    pub(crate) images: Archives,
}

impl Ground {
    pub(crate) async fn open(images: Archives, keep_dir: bool) -> Result<Self> {
        let options = Options { nodes: true, keep_dir, progress: Progress::default(), ..Options::default() };
        let access = ClusterAccess::local_with(options).await?;
        let cluster = access.local_cluster().context("a local cluster")?;
        let tier = NodeTier::start(cluster, NodeOptions { nodes: 2, progress: Progress::default() }).await?;
        let current = [&images.current.operator, &images.current.sandbox];
        for archive in current.into_iter().chain(&images.previous) {
            tier.import_image(archive).await?;
        }
        let client = access.client().await?;
        Ok(Self { access, tier, client, images })
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.tier.stop().await?;
        self.access.stop().await
    }

    /// kubectl, for people's commands.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.access.kubectl(args.iter().copied()).await
    }

    pub(crate) fn orders(&self) -> Api<Order> {
        Api::namespaced(self.client.clone(), FOOD)
    }

    /// The overlay that the node test applies: the sandbox's, with images that are there already.
    fn overlay(&self, shape: Shape<'_>) -> Result<PathBuf> {
        let overlay = dir().join("overlay");
        std::fs::create_dir_all(&overlay)?;
        let Shape { tag, cpu: (request, limit), replicas: (min, max) } = shape;
        let sandbox = &self.images.current.tag;
        let text = format!(
            r#"apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../../../manifests/overlays/sandbox]
images:
  - {{name: fooddelivery/operator, newTag: "{tag}"}}
  - {{name: fooddelivery/sandbox, newTag: "{sandbox}"}}
configMapGenerator:
  - name: fooddelivery-operator
    namespace: fooddelivery-system
    behavior: merge
    literals: [FOODDELIVERY_DEBUG=true]
patches:
  - target: {{kind: Deployment}}
    patch: |-
      - {{op: add, path: /spec/template/spec/containers/0/imagePullPolicy, value: Never}}
  - target: {{kind: Deployment, name: fooddelivery-operator}}
    patch: |-
      - {{op: replace, path: /spec/template/spec/containers/0/resources/requests/cpu, value: "{request}"}}
      - {{op: replace, path: /spec/template/spec/containers/0/resources/limits/cpu, value: "{limit}"}}
  - target: {{kind: HorizontalPodAutoscaler}}
    patch: |-
      - {{op: replace, path: /spec/minReplicas, value: {min}}}
      - {{op: replace, path: /spec/maxReplicas, value: {max}}}
      - {{op: replace, path: /spec/behavior/scaleDown/stabilizationWindowSeconds, value: 15}}
      - {{op: replace, path: /spec/behavior/scaleDown/policies/0/periodSeconds, value: 15}}
      - {{op: replace, path: /spec/behavior/scaleUp/policies/0/periodSeconds, value: 15}}
"#
        );
        std::fs::write(overlay.join("kustomization.yaml"), text)?;
        Ok(overlay)
    }

    /// Applies it, and waits until it has rolled out.
    pub(crate) async fn deploy(&self, shape: Shape<'_>) -> Result<()> {
        let overlay = self.overlay(shape)?;
        self.kubectl(&["apply", "-k", &overlay.display().to_string()]).await?;
        self.rolled_out().await
    }

    pub(crate) async fn rolled_out(&self) -> Result<()> {
        let waiting =
            ["-n", SYSTEM, "rollout", "status", "deployment/fooddelivery-operator", "--timeout=180s"];
        self.kubectl(&waiting).await.map(drop)
    }

    /// The operator's pods that are not going.
    pub(crate) async fn pods(&self) -> Result<Vec<Pod>> {
        let params = ListParams::default().labels("app.kubernetes.io/name=fooddelivery-operator");
        let pods = Api::<Pod>::namespaced(self.client.clone(), SYSTEM).list(&params).await?;
        Ok(pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    /// Waits for so many replicas, all ready; how long it took.
    pub(crate) async fn wait_replicas(&self, wanted: usize, patience: Duration) -> Result<Duration> {
        let begun = Instant::now();
        let mut told = None;
        loop {
            let pods = self.pods().await?;
            let (there, ready) = (pods.len(), pods.iter().filter(|pod| is_ready(pod)).count());
            if (there, ready) == (wanted, wanted) {
                return Ok(begun.elapsed());
            }
            if told.replace(ready) != Some(ready) {
                say(&format!("{ready} replicas are ready; waiting for {wanted}"));
            }
            ensure!(begun.elapsed() < patience, "{there} replicas, and not {wanted}, after {patience:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The bank's ledger, from the sandbox's pod.
    async fn ledger(&self) -> Result<Vec<Entry>> {
        let params = ListParams::default().labels("app.kubernetes.io/name=fooddelivery-sandbox");
        let pods = Api::<Pod>::namespaced(self.client.clone(), "fooddelivery-sandbox").list(&params).await?;
        let address = pods.items.iter().find_map(|pod| pod.status.as_ref()?.pod_ip.clone());
        ledger_at(&format!("http://{}:8788", address.context("the sandbox has no address")?)).await
    }

    /// Holds all orders against the ledger.
    pub(crate) async fn audit(&self) -> Result<String> {
        let orders = self.orders().list(&ListParams::default()).await?.items;
        let payments = Api::<Payment>::namespaced(self.client.clone(), FOOD);
        let payments = payments.list(&ListParams::default()).await?.items;
        let ledger = self.ledger().await?;
        let found = findings(&orders, &payments, &ledger);
        ensure!(found.is_empty(), "the ledger disagrees: {}", found.join("; "));
        // Also of what no order speaks any more.
        let twice = balances(&ledger).values().filter(|balance| balance.captures > 1).count();
        ensure!(twice == 0, "{twice} orders were charged twice");
        Ok(format!("ledger audit: {} orders, {} movements, 0 discrepancies", orders.len(), ledger.len()))
    }

    /// For whoever reads why it failed.
    pub(crate) async fn show_what_there_is(&self) {
        for args in [
            &["get", "pods", "-A", "-o", "wide"][..],
            &["-n", SYSTEM, "get", "hpa,pdb,lease"],
            &["-n", SYSTEM, "describe", "pods"],
            &["-n", SYSTEM, "logs", "deployment/fooddelivery-operator", "--tail=40"],
            &["-n", "fooddelivery-sandbox", "logs", "deployment/sandbox", "--tail=20"],
        ] {
            let said = self.kubectl(args).await.unwrap_or_else(|error| format!("{error:#}"));
            say(&format!("kubectl {}\n{said}", args.join(" ")));
        }
    }
}

/// Whether a pod says that it is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// How often a pod's container was started again.
pub(crate) fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|status| status.restart_count).sum()
}

/// The node that a pod runs on.
pub(crate) fn node_of(pod: &Pod) -> Result<String> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    node.with_context(|| format!("{} is on no node", pod.name_any()))
}
