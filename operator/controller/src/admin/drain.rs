//! `drain`: no new orders, and then wait until those that there are have come to their end and their money is where it
//! belongs. It is a person's command; the operator goes on working meanwhile, for it is the one who brings them to an end.
//!
//! The state is in a ConfigMap that two admission policies read (`fooddelivery_api::policies::drain`). No order slips
//! through: what is open is looked at only after the API server was seen to refuse new orders, and `Drained` is written
//! over exactly the ConfigMap that said `Draining`.
//!
//! `Drained` means that no order is left at all. A settled order still has its finalizer, which the operator takes off only
//! after a live look at its payment, ticket and delivery; were their kinds gone first, it could not, and for ever would not.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use fooddelivery_api::policies::drain::{
    DRAIN_CONFIG_MAP, DRAIN_FIRST, DRAINED, DRAINING, NAMESPACES, NO_NEW_ORDERS, STATE,
};
use fooddelivery_api::{GROUP, OPERATOR_NAMESPACE, VERSION};
use fooddelivery_saga::phases::PaymentPhase;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

/// Interval at which something that is waited for is looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time that an API server may take to act on the ConfigMap.
const IN_FORCE_TIMEOUT: Duration = Duration::from_secs(30);
/// After the refusal was seen: other API servers hear of the ConfigMap a moment later, and creates are under way.
const GRACE: Duration = Duration::from_secs(3);
/// Maximum number of objects in a page of a list.
const PAGE_SIZE: u32 = 500;
/// Maximum number of open orders that are named.
const NAMED_MAX: usize = 5;

/// What is asked for.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// Only in this namespace; may be given several times. Kinds can be deleted only after all have been drained.
    #[arg(long, short)]
    pub namespace: Vec<String>,
    /// Seconds after which to give up; new orders stay refused.
    #[arg(long)]
    pub timeout: Option<u64>,
    /// Once all are settled, delete the orders, and wait until they and their payments are gone.
    #[arg(long)]
    pub delete_orders: bool,
    /// Take new orders again.
    #[arg(long, conflicts_with_all = ["namespace", "timeout", "delete_orders"])]
    pub undo: bool,
}

/// Does it, and tells `say` how far it is.
///
/// # Errors
/// A sentence for the person at the terminal.
pub async fn drain(client: Client, options: &Options, say: impl FnMut(&str)) -> anyhow::Result<()> {
    let (marker, namespaces) = (Marker::new(&client), options.namespace.join(","));
    let mut work = Work { client, namespaces: options.namespace.clone(), say };
    if options.undo {
        marker.write(json!({ STATE: null, NAMESPACES: null }), None).await?;
        work.wait_intake(true).await?;
        (work.say)("new orders are taken again");
        return Ok(());
    }
    let was = marker.read().await?;
    let of = was.get(NAMESPACES).cloned().unwrap_or_default();
    if was.contains_key(STATE) && of != namespaces {
        let of = if of.is_empty() { "all namespaces".into() } else { of };
        bail!("a drain of {of} is under way: end it with --undo first");
    }
    let scope = (!namespaces.is_empty()).then_some(namespaces);
    let draining = marker.write(json!({ STATE: DRAINING, NAMESPACES: scope }), None).await?;
    work.wait_intake(false).await?;
    (work.say)("new orders are refused");
    tokio::time::sleep(GRACE).await;
    let settled = async {
        let orders = work.settle().await?;
        if options.delete_orders { work.delete().await.map(|()| 0) } else { Ok(orders) }
    };
    let left = match options.timeout.map(Duration::from_secs) {
        None => settled.await?,
        Some(limit) => tokio::time::timeout(limit, settled).await.map_err(|_| {
            anyhow!("still not done after {} s; new orders stay refused (--undo ends that)", limit.as_secs())
        })??,
    };
    if left > 0 {
        (work.say)(&format!(
            "every order is settled; {left} are there still, and while they are the kinds stay (--delete-orders)"
        ));
        return Ok(());
    }
    let version = draining.resource_version();
    let drained = marker.write(json!({ STATE: DRAINED }), version.as_deref()).await;
    drained.context("somebody has changed the drain's ConfigMap meanwhile: run drain again")?;
    if work.namespaces.is_empty() {
        work.wait_uninstall().await?;
        (work.say)("drained: no order is left, and the kinds may be deleted (kubectl delete -k crds)");
    } else {
        (work.say)(&format!("drained: no order is left in {}", work.namespaces.join(", ")));
    }
    Ok(())
}

/// The ConfigMap that says how far it is.
struct Marker {
    api: Api<ConfigMap>,
}

impl Marker {
    fn new(client: &Client) -> Self {
        Self { api: Api::namespaced(client.clone(), OPERATOR_NAMESPACE) }
    }

    async fn read(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let found = self.api.get_opt(DRAIN_CONFIG_MAP).await.context("the drain's ConfigMap")?;
        Ok(found.and_then(|map| map.data).unwrap_or_default())
    }

    /// Merges `data` in, over exactly the version that is named.
    async fn write(&self, data: Value, version: Option<&str>) -> anyhow::Result<ConfigMap> {
        let mut change = json!({ "data": data });
        if let Some(version) = version {
            change["metadata"] = json!({ "resourceVersion": version });
        }
        let written = self.api.patch(DRAIN_CONFIG_MAP, &PatchParams::default(), &Patch::Merge(&change)).await;
        let place = || format!("ConfigMap {OPERATOR_NAMESPACE}/{DRAIN_CONFIG_MAP} (of manifests/base)");
        written.with_context(place)
    }
}

/// What is not at its end: each `NAMESPACE/NAME` with its phase.
pub type Open = Vec<(String, String)>;

struct Work<Say> {
    client: Client,
    namespaces: Vec<String>,
    say: Say,
}

impl<Say: FnMut(&str)> Work<Say> {
    /// Waits until the API server takes new orders, or does not.
    async fn wait_intake(&self, taken: bool) -> anyhow::Result<()> {
        let namespace = self.namespaces.first().map_or(OPERATOR_NAMESPACE, String::as_str);
        let orders = self.api_in("Order", Some(namespace));
        let trial = DynamicObject::new("fooddelivery-drain-trial", &resource("Order")).data(trial_order());
        let params = PostParams { dry_run: true, ..PostParams::default() };
        wait_in_force(async || {
            let answer = orders.create(&params, &trial).await;
            let refused = matches!(&answer, Err(error) if error.to_string().contains(NO_NEW_ORDERS));
            let told = answer.err().map_or_else(|| "a trial order is taken".to_owned(), |e| e.to_string());
            if refused == taken { Err(told) } else { Ok(()) }
        })
        .await
    }

    /// Waits until the API server would let the kinds go.
    async fn wait_uninstall(&self) -> anyhow::Result<()> {
        let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        let crds: Api<DynamicObject> = Api::all_with(self.client.clone(), &ApiResource::from_gvk(&gvk));
        let (name, params) = (format!("orders.{GROUP}"), DeleteParams::default().dry_run());
        wait_in_force(async || match crds.delete(&name, &params).await {
            Err(error) if error.to_string().contains(DRAIN_FIRST) => Err(error.to_string()),
            // Whether this person may delete it is another question.
            _ => Ok(()),
        })
        .await
    }

    /// Waits until no order is open and no money on its way; how many orders there are then.
    async fn settle(&mut self) -> anyhow::Result<usize> {
        let mut told = String::new();
        loop {
            let orders = self.list("Order").await?;
            let mut open: Open = orders.iter().filter_map(open_order).collect();
            let what = if open.is_empty() { "payments" } else { "orders" };
            if open.is_empty() {
                open = self.list("Payment").await?.iter().filter_map(moving_payment).collect();
            }
            if open.is_empty() {
                return Ok(orders.len());
            }
            self.tell(&mut told, progress(&open, what));
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Deletes all orders, which are settled, and waits until they are gone.
    async fn delete(&mut self) -> anyhow::Result<()> {
        for order in self.list("Order").await? {
            let api = self.api_in("Order", order.namespace().as_deref());
            match api.delete(&order.name_any(), &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                answer => drop(answer.with_context(|| format!("order {}", named(&order)))?),
            }
        }
        let mut told = String::new();
        loop {
            let left = self.list("Order").await?.len() + self.list("Payment").await?.len();
            if left == 0 {
                return Ok(());
            }
            self.tell(&mut told, "waiting until orders and payments are gone".into());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// What has changed since it was last told.
    fn tell(&mut self, told: &mut String, text: String) {
        if *told != text {
            (self.say)(&text);
            *told = text;
        }
    }

    fn api_in(&self, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let resource = resource(kind);
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    async fn list(&self, kind: &str) -> anyhow::Result<Vec<DynamicObject>> {
        let mut found = Vec::new();
        let all = [None];
        let chosen: Vec<_> = self.namespaces.iter().map(|name| Some(name.as_str())).collect();
        for scope in if chosen.is_empty() { &all[..] } else { &chosen[..] } {
            let (api, mut params) = (self.api_in(kind, *scope), ListParams::default().limit(PAGE_SIZE));
            loop {
                let page = api.list(&params).await.with_context(|| format!("the list of {kind} objects"))?;
                let next = page.metadata.continue_.filter(|token| !token.is_empty());
                found.extend(page.items);
                match next {
                    Some(token) => params = params.continue_token(&token),
                    None => break,
                }
            }
        }
        Ok(found)
    }
}

/// Asks until the answer is that it is in force; for at most [`IN_FORCE_TIMEOUT`].
async fn wait_in_force<F: Future<Output = Result<(), String>>>(
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Ok(()) => return Ok(()),
            Err(told) if begun.elapsed() >= IN_FORCE_TIMEOUT => {
                bail!("the API server does not act on it (are the policies of manifests/base there?): {told}")
            }
            Err(_) => tokio::time::sleep(POLL_INTERVAL / 4).await,
        }
    }
}

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, VERSION, kind))
}

/// An order that every rule of the kind lets through.
fn trial_order() -> Value {
    json!({ "spec": {
        "customerRef": { "name": "trial" }, "storeRef": { "name": "trial" },
        "items": [{ "menuItem": "trial", "quantity": 1 }],
        "delivery": { "address": "trial", "region": "trial" },
        "payment": { "providerRef": { "name": "trial" }, "token": "trial" },
    }})
}

fn named(object: &DynamicObject) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

fn holds(order: &DynamicObject, condition: &str) -> bool {
    let conditions = order.data["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == condition && c["status"] == "True")
}

fn phase(object: &DynamicObject) -> String {
    object.data["status"]["phase"].as_str().unwrap_or("unknown").to_owned()
}

/// An order that has not ended, or whose money is not where it belongs: its `NAMESPACE/NAME` and phase.
pub fn open_order(order: &DynamicObject) -> Option<(String, String)> {
    let is_over = holds(order, "Ended") && holds(order, "Settled");
    (!is_over).then(|| (named(order), phase(order)))
}

/// A payment whose money is on its way, or waits for a person: its `NAMESPACE/NAME` and phase.
pub fn moving_payment(payment: &DynamicObject) -> Option<(String, String)> {
    let word = phase(payment);
    let phase = PaymentPhase::parse(&word);
    (phase != PaymentPhase::Captured && !phase.is_over()).then(|| (named(payment), word))
}

/// `open orders: 2 AwaitingStore, 1 Cooking (food/lunch, food/dinner, …)`.
pub fn progress(open: &Open, what: &str) -> String {
    let mut by_phase: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, phase) in open {
        *by_phase.entry(phase).or_default() += 1;
    }
    let counts: Vec<String> = by_phase.iter().map(|(phase, count)| format!("{count} {phase}")).collect();
    let mut names: Vec<&str> = open.iter().take(NAMED_MAX).map(|(name, _)| name.as_str()).collect();
    if open.len() > NAMED_MAX {
        names.push("…");
    }
    format!("open {what}: {} ({})", counts.join(", "), names.join(", "))
}
