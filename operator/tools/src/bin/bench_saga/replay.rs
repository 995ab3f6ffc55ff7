//! The ceiling: every write of a run once more, without the operator. A run is played with an audit log that has all bodies;
//! then its writes are sent again to a fresh control plane, each as the user who had sent it, those of an order in their order
//! and as many orders at a time as were in flight. What was compared and set then is compared and set now.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use fooddelivery_api::policies::operator_user;
use fooddelivery_e2e::requests::Request;
use http::Method;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::actors::resource;
use crate::arm::Arm;
use crate::load::{Plan, play_recorded};
use crate::meter::{LOAD, Measured, Window};
use crate::stage::{NAMESPACE, Stage};

/// Kinds that are there before the first order.
const OF_MARKETPLACE: [&str; 3] = ["Store", "Rider", "Customer"];

/// Plays so many orders with an audit log, so many of them in flight, replays the writes, and says what came of both.
pub(crate) async fn compare(arm: &Arm, plan: &Plan, in_flight: usize) -> Result<String> {
    let (earlier, played) = play_recorded(arm, plan).await?;
    let counts = counts(&played, plan.orders);
    let replayed = replay(arm, plan, in_flight, chains(&played), &recorded_uids(&earlier)).await?;
    Ok(format!("\n{}, {}: requests an order, by user\n{counts}{replayed}", plan.pace.text(), arm.name))
}

/// Requests to the group an order, by user, program, verb and resource.
fn counts(played: &[Request], orders: usize) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for request in played.iter().filter(|request| request.verb != "watch") {
        let Some(target) = &request.object_ref else { continue };
        let user = request.user.username.rsplit(':').next().unwrap_or_default();
        let program = request.user_agent.split('/').next().unwrap_or_default();
        let lost = if request.code() == 409 { ", lost" } else { "" };
        *counts
            .entry(format!("{user} ({program}) {} {}{lost}", request.verb, target.resource()))
            .or_default() += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let line = |(what, count): (String, usize)| format!("  {:>7.2}  {what}\n", count as f64 / orders as f64);
    counts.into_iter().map(line).collect()
}

/// A write to be sent again.
struct Write {
    by_operator: bool,
    method: Method,
    path: String,
    body: Value,
    /// What it is a write to, once it has a name.
    key: String,
    /// The object's uid as it was recorded, of a write that creates one.
    made: Option<String>,
}

/// The writes of each order, in the order in which the first of each was made. One that is of no order, such as a store's
/// counts, follows the one that came before it.
fn chains(played: &[Request]) -> Vec<Vec<Write>> {
    let mut chains: Vec<Vec<Write>> = Vec::new();
    let mut of_order: HashMap<String, usize> = HashMap::new();
    let mut last = 0;
    let is_done = |request: &&Request| request.is_write() && (200..300).contains(&request.code());
    let mut done: Vec<&Request> = played.iter().filter(is_done).collect();
    done.sort_by_key(|request| request.revision());
    for request in done {
        let (Some(target), Some(body)) = (&request.object_ref, &request.request_object) else { continue };
        if target.namespace != NAMESPACE {
            continue;
        }
        let made = request.response_object.as_ref().filter(|_| request.verb == "create");
        let name = made.and_then(|it| it["metadata"]["name"].as_str()).unwrap_or(&target.name).to_owned();
        let of = body["regarding"]["name"].as_str().unwrap_or(&name);
        if let Some(order) = of.strip_prefix("order-") {
            last = *of_order.entry(order.to_owned()).or_insert_with(|| {
                chains.push(Vec::new());
                chains.len() - 1
            });
        }
        let method = match request.verb.as_str() {
            "create" => Method::POST,
            "update" => Method::PUT,
            "patch" => Method::PATCH,
            _ => continue,
        };
        let Some(chain) = chains.get_mut(last) else { continue };
        chain.push(Write {
            by_operator: request.user.username == operator_user(),
            method,
            path: request.path.clone(),
            body: body.clone(),
            key: format!("{}/{name}", target.resource),
            made: made.and_then(|it| it["metadata"]["uid"].as_str()).map(str::to_owned),
        });
    }
    chains
}

/// The uids of what was there before the first order, by `resource/name`.
fn recorded_uids(earlier: &[Request]) -> HashMap<String, String> {
    let uid = |request: &Request| {
        let target = request.object_ref.as_ref()?;
        let object = request.response_object.as_ref()?;
        Some((format!("{}/{}", target.resource, target.name), object["metadata"]["uid"].as_str()?.to_owned()))
    };
    earlier.iter().filter_map(uid).collect()
}

/// What is known of the objects of the replay.
#[derive(Clone)]
struct Known {
    /// Each recorded uid, and the one that stands for it now.
    uids: Arc<Mutex<HashMap<String, String>>>,
    /// The last version of each object, by `resource/name`. Locked while it is written to.
    versions: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<String>>>>>,
    actors: Client,
    operator: Client,
}

async fn replay(
    arm: &Arm,
    plan: &Plan,
    in_flight: usize,
    chains: Vec<Vec<Write>>,
    recorded: &HashMap<String, String>,
) -> Result<String> {
    let stage = Stage::set(arm, plan.latency.as_deref(), in_flight, Vec::new()).await?;
    // It has applied what the API server does in its stead, and is not needed any more.
    stage.stop_replicas().await?;
    let known = Known {
        uids: Arc::default(),
        versions: Arc::default(),
        actors: stage.client.clone(),
        operator: stage.operator_client.clone(),
    };
    known.learn_marketplace(recorded).await?;
    let (orders, writes) = (chains.len(), chains.iter().map(Vec::len).sum::<usize>());
    let (mut window, mut done) = (Window::new(stage.processes()?, orders)?, 0);
    let mut running: JoinSet<Result<()>> = JoinSet::new();
    let mut waiting = chains.into_iter();
    for chain in waiting.by_ref().take(in_flight) {
        running.spawn(sent(known.clone(), chain));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
        done += 1;
        if let Some(chain) = waiting.next() {
            running.spawn(sent(known.clone(), chain));
        }
        window.reached(done)?;
    }
    let Measured { lasted, done, used } = window.close()?;
    let of_servers = used.iter().filter(|(begin, _)| begin.name != LOAD);
    let cpu: u64 = of_servers.map(|(begin, end)| end.cpu_ms - begin.cpu_ms).sum();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let (done, cpu, writes) = (done as f64, cpu as f64, writes as f64 / orders as f64);
    Ok(format!(
        "  its {writes:.1} writes an order alone: {:.1} orders/s, {:.0} ms of CPU an order\n",
        done / lasted.as_secs_f64(),
        cpu / done
    ))
}

async fn sent(known: Known, chain: Vec<Write>) -> Result<()> {
    for write in chain {
        let what = format!("{} {}", write.method, write.path);
        known.send(write).await.context(what)?;
    }
    Ok(())
}

impl Known {
    /// Stores, riders and customers: those of the recording, and those that stand for them now.
    async fn learn_marketplace(&self, recorded: &HashMap<String, String>) -> Result<()> {
        for kind in OF_MARKETPLACE {
            let of_kind = resource(kind);
            let api: Api<DynamicObject> = Api::namespaced_with(self.actors.clone(), NAMESPACE, &of_kind);
            for object in api.list(&ListParams::default()).await?.items {
                let metadata = object.metadata;
                let key = format!("{}/{}", of_kind.plural, metadata.name.unwrap_or_default());
                if let Some((was, now)) = recorded.get(&key).cloned().zip(metadata.uid) {
                    self.uids.lock().unwrap_or_else(PoisonError::into_inner).insert(was, now);
                }
                *self.version(&key).lock().await = metadata.resource_version.unwrap_or_default();
            }
        }
        Ok(())
    }

    fn version(&self, key: &str) -> Arc<tokio::sync::Mutex<String>> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(versions.entry(key.to_owned()).or_default())
    }

    async fn send(&self, mut write: Write) -> Result<()> {
        let version = self.version(&write.key);
        let mut version = version.lock().await;
        {
            let uids = self.uids.lock().unwrap_or_else(PoisonError::into_inner);
            renamed(&mut write.body, &uids);
        }
        if let Some(compared) = write.body.pointer_mut("/metadata/resourceVersion") {
            *compared = version.as_str().into();
        }
        let content = if write.method != Method::PATCH {
            "application/json"
        } else if write.body.is_array() {
            "application/json-patch+json"
        } else {
            "application/merge-patch+json"
        };
        let request = http::Request::builder()
            .method(write.method)
            .uri(&write.path)
            .header("content-type", content)
            .body(serde_json::to_vec(&write.body)?)?;
        let client = if write.by_operator { &self.operator } else { &self.actors };
        let answer: Value = client.request(request).await?;
        answer["metadata"]["resourceVersion"].as_str().unwrap_or_default().clone_into(&mut version);
        if let (Some(was), Some(now)) = (write.made, answer["metadata"]["uid"].as_str()) {
            self.uids.lock().unwrap_or_else(PoisonError::into_inner).insert(was, now.to_owned());
        }
        Ok(())
    }
}

/// Puts today's uids in the place of recorded ones, wherever a text is one.
fn renamed(value: &mut Value, uids: &HashMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(now) = uids.get(text) {
                now.clone_into(text);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|item| renamed(item, uids)),
        Value::Object(fields) => fields.values_mut().for_each(|field| renamed(field, uids)),
        _ => {}
    }
}
