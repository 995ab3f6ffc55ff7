//! Installs `manifests/base` and waits until it is in force: kinds served, policies effective. Where the API server has
//! the kind, the policy that stamps finalizers comes with it, as an operator applies it at its start.
//!
//! An API server takes up admission policies about a second after they are applied, all that it knows at a time. What
//! is created in between escapes them, so nothing else is to be created until [`install`] returns.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fooddelivery_api::policies::birth::{self, Tracking};
use fooddelivery_api::{FINALIZER, GROUP, VERSION, crds};
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::access::ClusterAccess;
use crate::binaries::workspace;
use crate::wait::{LONG, POLL};

/// How often an API server takes up new policies, with room. Those applied in one go may come in two portions.
const POLICY_REFRESH: Duration = Duration::from_millis(1_200);
/// The kind that servers before Kubernetes 1.36 do not serve as v1.
const MUTATING_POLICY: &str = "MutatingAdmissionPolicy";
/// Part of what the policy for children says.
const CHILDREN_ARE_REFUSED: &str = "created and deleted by the operator alone";

/// What was installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// Whether the API server stamps the finalizer on new orders. Where it does not, the operator writes it.
    pub stamps_finalizers: bool,
}

/// Applies the base, and what an operator would at its start, and waits until it is in force. `say` is told what is
/// worth knowing.
///
/// # Errors
/// When something is refused, or not in force within [`LONG`].
pub async fn install(access: &ClusterAccess, say: impl Fn(&str)) -> Result<Installed> {
    let installed = install_base(access, &workspace(), say).await?;
    if installed.stamps_finalizers {
        let list =
            json!({ "apiVersion": "v1", "kind": "List", "items": birth::documents(Tracking::Applied) });
        let apply = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=fooddelivery-operator",
            "-f",
            "-",
        ];
        access.kubectl_with_input(apply, &list.to_string()).await?;
        wait_stamped(access).await?;
    }
    Ok(installed)
}

/// Applies the base that is below `root`, a checkout of some revision, by the one command and waits until it is in force. On a local cluster the controller manager is
/// started anew, so that garbage collection knows the new kinds. `say` is told what is worth knowing.
///
/// # Errors
/// As [`install`].
pub async fn install_base(access: &ClusterAccess, root: &Path, say: impl Fn(&str)) -> Result<Installed> {
    let client = access.client().await?;
    let stamps_finalizers = serves_mutating_policies(&client).await?;
    if !stamps_finalizers {
        say("this API server has no MutatingAdmissionPolicy (v1): the operator writes the finalizers itself");
    }
    // The kinds first: some revisions have policies that take objects of them as parameters, and a server that takes up
    // such a policy before it has found the kind looks again only half a minute later.
    access.kubectl(["apply".as_ref(), "-k".as_ref(), root.join("crds").as_os_str()]).await?;
    wait_served(&client).await?;
    // The largest CRD is a tenth of what the last-applied annotation can hold.
    let base = root.join("manifests/base");
    access.kubectl(["apply".as_ref(), "-k".as_ref(), base.as_os_str()]).await?;
    let applied = Instant::now();
    let restarted = async {
        match access.local_cluster() {
            Some(cluster) => Ok(cluster.restart_controller_manager().await?),
            None => Ok(()),
        }
    };
    tokio::try_join!(restarted, wait_effective(&client, applied))?;
    Ok(Installed { stamps_finalizers })
}

/// Waits until the API server stamps the finalizer on new orders.
///
/// # Errors
/// When it does not within [`LONG`].
pub async fn wait_stamped(access: &ClusterAccess) -> Result<()> {
    let client = access.client().await?;
    let begun = Instant::now();
    loop {
        let seen = match is_stamped(&client).await {
            Ok(true) => return Ok(()),
            Ok(false) => "a trial order has none".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        let limit = LONG.as_secs();
        ensure!(begun.elapsed() < LONG, "no finalizers are stamped after {limit} s: {seen}");
        tokio::time::sleep(POLL).await;
    }
}

async fn serves_mutating_policies(client: &Client) -> Result<bool> {
    let served = client.list_api_group_resources("admissionregistration.k8s.io/v1").await?;
    Ok(served.resources.iter().any(|resource| resource.kind == MUTATING_POLICY))
}

/// Waits until discovery names all kinds: some time after they are established.
async fn wait_served(client: &Client) -> Result<()> {
    let all = crds::all().context("the CRDs")?;
    let plurals: Vec<&String> = all.iter().map(|crd| &crd.spec.names.plural).collect();
    let version = format!("{GROUP}/{VERSION}");
    let begun = Instant::now();
    loop {
        // Not found until the first of them is served.
        let served =
            client.list_api_group_resources(&version).await.map(|list| list.resources).unwrap_or_default();
        let served: Vec<&String> = served.iter().map(|resource| &resource.name).collect();
        if plurals.iter().all(|plural| served.contains(plural)) {
            return Ok(());
        }
        ensure!(begun.elapsed() < LONG, "of the new kinds are served only: {served:?}");
        tokio::time::sleep(POLL).await;
    }
}

async fn wait_effective(client: &Client, applied: Instant) -> Result<()> {
    let mut seen = String::new();
    while applied.elapsed() < LONG {
        // A kind that is established may still be answered with 404 or 503 for a moment.
        seen = match (is_stamped(client).await, is_payment_refused(client).await) {
            (Ok(_), Ok(true)) => {
                tokio::time::sleep(POLICY_REFRESH.saturating_sub(applied.elapsed())).await;
                return Ok(());
            }
            (Ok(_), Ok(false)) => "an alien payment is not refused".to_owned(),
            (Err(error), _) | (_, Err(error)) => format!("{error:#}"),
        };
        tokio::time::sleep(POLL).await;
    }
    bail!("the admission policies are not effective after {} s: {seen}", LONG.as_secs())
}

async fn is_stamped(client: &Client) -> Result<bool> {
    let spec = json!({
        "customerRef": { "name": "probe" }, "storeRef": { "name": "probe" },
        "items": [{ "menuItem": "probe", "quantity": 1 }],
        "delivery": { "address": "probe", "region": "probe" },
        "payment": { "providerRef": { "name": "probe" }, "token": "probe" },
    });
    let created = dry_run(client, "Order", "orders", spec).await.context("a trial order is refused")?;
    Ok(created.finalizers().iter().any(|finalizer| finalizer == FINALIZER))
}

async fn is_payment_refused(client: &Client) -> Result<bool> {
    let spec = json!({
        "orderRef": { "name": "probe", "uid": "probe" },
        "quote": { "storeUid": "probe", "lines": [], "discount": 0, "total": 0, "currency": "KRW" },
        "providerRef": { "name": "probe" }, "providerOrderId": "probe", "token": "probe",
        "whenUnavailable": "Fail", "desired": "Captured",
    });
    match dry_run(client, "Payment", "payments", spec).await {
        Ok(_) => Ok(false),
        Err(kube::Error::Api(status)) if status.message.contains(CHILDREN_ARE_REFUSED) => Ok(true),
        Err(error) => Err(error).context("a trial payment is refused, but not by the policy"),
    }
}

async fn dry_run(client: &Client, kind: &str, plural: &str, spec: Value) -> kube::Result<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, kind), plural);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource);
    let object = DynamicObject::new("fooddelivery-probe", &resource).data(json!({ "spec": spec }));
    api.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await
}
