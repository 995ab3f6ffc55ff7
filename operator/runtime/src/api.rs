//! Requests to the API server: bounded in time, counted, compare-and-set where they write, and with errors in the
//! categories that decisions are made on.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Status;
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::causes::with_root_cause;
use crate::guard::Guarded;
use crate::key::Key;
use crate::metrics::Metrics;
use crate::runner::{Category, ReconcileError};

/// Maximum duration of a request to the API server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Somebody wrote first.
    #[error("changed meanwhile")]
    Conflict,
    /// There is one of this name already, perhaps still terminating.
    #[error("exists already")]
    AlreadyExists,
    /// There is none.
    #[error("does not exist")]
    NotFound,
    /// A rule refuses the step: somebody else's step came first.
    #[error("refused by a rule: {0}")]
    Invalid(String),
    /// The namespace is being deleted: nothing can be created in it any more.
    #[error("the namespace is being deleted")]
    NamespaceTerminating,
    /// The operator may not.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// No answer in time, or none that helps.
    #[error("{0}")]
    Unavailable(String),
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match (status.code, status.reason.as_str()) {
                (409, "AlreadyExists") => Self::AlreadyExists,
                (409, _) => Self::Conflict,
                (404, _) => Self::NotFound,
                (422, _) => Self::Invalid(status.message.clone()),
                (403, _) if is_terminating(&status) => Self::NamespaceTerminating,
                (403, _) => Self::Forbidden(status.message.clone()),
                (code, _) => Self::Unavailable(format!("the API server answered {code}: {}", status.message)),
            },
            other => {
                let why = with_root_cause(&other);
                Self::Unavailable(format!("the API server could not be asked: {why}"))
            }
        }
    }
}

impl From<ApiError> for ReconcileError {
    fn from(error: ApiError) -> Self {
        let category = match error {
            ApiError::Conflict | ApiError::AlreadyExists | ApiError::NotFound => Category::Conflict,
            ApiError::NamespaceTerminating => Category::Expected,
            ApiError::Invalid(_) | ApiError::Forbidden(_) | ApiError::Unavailable(_) => Category::Transient,
        };
        Self { category, message: error.to_string() }
    }
}

/// The kinds that live in namespaces.
pub trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Namespaced for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

/// The API server, as the controllers use it.
#[derive(Clone)]
pub struct ApiServer {
    client: Client,
    metrics: Arc<dyn Metrics>,
    latency: Arc<WriteLatency>,
}

/// How long the API server takes for a write: an average over the last ones, in microseconds.
#[derive(Debug, Default)]
struct WriteLatency(AtomicU64);

impl WriteLatency {
    /// The share of a new measurement in the average, as a power of two.
    const WEIGHT: u32 = 4;

    fn add(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX >> Self::WEIGHT);
        // Two at a time may lose one of them: the next ones make up for it.
        let known = self.0.load(Ordering::Relaxed);
        self.0.store(known - (known >> Self::WEIGHT) + (took >> Self::WEIGHT), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

impl ApiServer {
    /// Over a client; every request is counted.
    pub fn new(client: Client, metrics: Arc<dyn Metrics>) -> Self {
        Self { client, metrics, latency: Arc::default() }
    }

    /// The client, for watches.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// How long a write takes at the time, on average.
    pub fn write_latency(&self) -> Duration {
        self.latency.get()
    }

    fn namespaced<K: Namespaced>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn bounded<T>(
        &self,
        kind: &str,
        verb: &'static str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ApiError> {
        let asked = Instant::now();
        let result = match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Ok(result) => result.map_err(ApiError::from),
            Err(_) => Err(ApiError::Unavailable("the API server did not answer in time".into())),
        };
        if result.is_ok() && !matches!(verb, "get" | "list") {
            self.latency.add(asked.elapsed());
        }
        let word = match &result {
            Ok(_) => "ok",
            Err(ApiError::Conflict | ApiError::AlreadyExists) => "conflict",
            Err(ApiError::NotFound) => "not_found",
            Err(ApiError::Invalid(_) | ApiError::Forbidden(_) | ApiError::NamespaceTerminating) => "refused",
            Err(ApiError::Unavailable(_)) => "error",
        };
        self.metrics.request(kind, verb, word);
        result
    }

    /// Reads an object live.
    ///
    /// # Errors
    /// [`ApiError::Unavailable`] or [`ApiError::Forbidden`]; that there is none is no error.
    pub async fn read<K: Namespaced>(&self, key: &Key) -> Result<Option<K>, ApiError> {
        if !is_name(&key.name) {
            return Ok(None);
        }
        let api = self.namespaced::<K>(&key.namespace);
        self.bounded(&K::kind(&()), "get", api.get_opt(&key.name)).await
    }

    /// Reads all objects with a label live.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn list<K: Namespaced>(
        &self,
        namespace: &str,
        (label, value): (&str, &str),
    ) -> Result<Vec<K>, ApiError> {
        let (api, params) = (self.namespaced::<K>(namespace), ListParams::default());
        let params = params.labels(&format!("{label}={value}"));
        Ok(self.bounded(&K::kind(&()), "list", api.list(&params)).await?.items)
    }

    /// Reads a cluster-scoped object live.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_cluster<K>(&self, name: &str) -> Result<Option<K>, ApiError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        if !is_name(name) {
            return Ok(None);
        }
        let api: Api<K> = Api::all(self.client.clone());
        self.bounded(&K::kind(&()), "get", api.get_opt(name)).await
    }

    /// Reads all objects of a cluster-scoped kind live, also those that this version cannot read.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn list_cluster<K>(&self) -> Result<Vec<Guarded<K>>, ApiError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<Guarded<K>> = Api::all(self.client.clone());
        Ok(self.bounded(&K::kind(&()), "list", api.list(&ListParams::default())).await?.items)
    }

    /// Creates an object.
    ///
    /// # Errors
    /// [`ApiError::AlreadyExists`], also while a namesake is terminating; [`ApiError::NamespaceTerminating`].
    pub async fn create<K: Namespaced>(&self, namespace: &str, object: &K) -> Result<K, ApiError> {
        let api = self.namespaced::<K>(namespace);
        self.bounded(&K::kind(&()), "create", api.create(&PostParams::default(), object)).await
    }

    /// Merge-patches spec or metadata, if the object is still as it was read.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] when it is not; [`ApiError::Invalid`] when a rule refuses the step.
    pub async fn patch<K: Namespaced>(&self, object: &K, mut change: Value) -> Result<K, ApiError> {
        change["metadata"]["resourceVersion"] = json!(object.resource_version());
        change["metadata"]["uid"] = json!(object.uid());
        let api = self.namespaced::<K>(&object.namespace().unwrap_or_default());
        let (name, params) = (object.name_any(), PatchParams::default());
        self.bounded(&K::kind(&()), "patch", api.patch(&name, &params, &Patch::Merge(&change))).await
    }

    /// Writes a status, if the object is still as it was read: a merge patch of what differs.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub async fn write_status<K: Namespaced>(
        &self,
        object: &K,
        old: &impl Serialize,
        new: &impl Serialize,
    ) -> Result<K, ApiError> {
        let change = status_change(object, old, new)?;
        let api = self.namespaced::<K>(&object.namespace().unwrap_or_default());
        let (name, params) = (object.name_any(), PatchParams::default());
        self.bounded(&K::kind(&()), "patch_status", api.patch_status(&name, &params, &Patch::Merge(&change)))
            .await
    }

    /// The same for a cluster-scoped object.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub async fn write_cluster_status<K>(
        &self,
        object: &K,
        old: &impl Serialize,
        new: &impl Serialize,
    ) -> Result<K, ApiError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let change = status_change(object, old, new)?;
        let api: Api<K> = Api::all(self.client.clone());
        let (name, params) = (object.name_any(), PatchParams::default());
        self.bounded(&K::kind(&()), "patch_status", api.patch_status(&name, &params, &Patch::Merge(&change)))
            .await
    }

    /// Deletes exactly this object, not a namesake.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] when a namesake stands there.
    pub async fn delete<K: Namespaced>(&self, object: &K) -> Result<(), ApiError> {
        self.delete_if(object, Preconditions { uid: object.uid(), resource_version: None }).await
    }

    /// Deletes an object if it is still as it was read.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] when it is not.
    pub async fn delete_unchanged<K: Namespaced>(&self, object: &K) -> Result<(), ApiError> {
        let resource_version = object.resource_version();
        self.delete_if(object, Preconditions { uid: object.uid(), resource_version }).await
    }

    async fn delete_if<K: Namespaced>(
        &self,
        object: &K,
        preconditions: Preconditions,
    ) -> Result<(), ApiError> {
        let api = self.namespaced::<K>(&object.namespace().unwrap_or_default());
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        let name = object.name_any();
        match self.bounded(&K::kind(&()), "delete", api.delete(&name, &params)).await {
            Ok(_) | Err(ApiError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether an object can be called so. References are what people wrote, and stand in the path of a request: what is no
/// name names nothing, and must neither be asked for again and again nor lead elsewhere.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.first().is_some_and(|first| is_plain(*first))
        && bytes.last().is_some_and(|last| is_plain(*last))
        && bytes.iter().all(|byte| is_plain(*byte) || matches!(byte, b'-' | b'.'))
}

/// The change that puts `finalizer` on an object.
pub fn with_finalizer<K: ResourceExt>(object: &K, finalizer: &str) -> Value {
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(finalizer.to_owned());
    json!({ "metadata": { "finalizers": finalizers } })
}

/// The change that takes `finalizer`, and no other, from an object.
pub fn without_finalizer<K: ResourceExt>(object: &K, finalizer: &str) -> Value {
    let finalizers: Vec<&String> = object.finalizers().iter().filter(|known| *known != finalizer).collect();
    json!({ "metadata": { "finalizers": finalizers } })
}

fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

fn status_change<K: Resource>(
    object: &K,
    old: &impl Serialize,
    new: &impl Serialize,
) -> Result<Value, ApiError> {
    let unreadable = |e: serde_json::Error| ApiError::Unavailable(format!("a status cannot be written: {e}"));
    let old = serde_json::to_value(old).map_err(unreadable)?;
    let new = serde_json::to_value(new).map_err(unreadable)?;
    Ok(json!({
        "metadata": { "resourceVersion": object.meta().resource_version, "uid": object.meta().uid },
        "status": difference(&old, &new),
    }))
}

/// The JSON merge patch (RFC 7396) that makes `new` of `old`.
fn difference(old: &Value, new: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return new.clone() };
    let mut patch = serde_json::Map::new();
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in new {
        match old.get(name) {
            Some(known) if known == value => {}
            Some(known) => {
                patch.insert(name.clone(), difference(known, value));
            }
            None => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_follows_what_writes_take() {
        let latency = WriteLatency::default();
        assert_eq!(latency.get(), Duration::ZERO);
        (0..100).for_each(|_| latency.add(Duration::from_millis(40)));
        assert!((39..=40).contains(&latency.get().as_millis()), "{:?}", latency.get());
        (0..100).for_each(|_| latency.add(Duration::from_millis(4)));
        assert!((3..=5).contains(&latency.get().as_millis()), "{:?}", latency.get());
    }

    #[test]
    fn a_merge_patch_unsets_what_is_gone_and_leaves_out_what_is_the_same() {
        let old = json!({ "phase": "A", "reason": "X", "total": 1, "deep": { "a": 1, "b": 2 } });
        let new = json!({ "phase": "B", "total": 1, "deep": { "a": 1, "c": 3 }, "list": [1] });
        assert_eq!(
            difference(&old, &new),
            json!({ "phase": "B", "reason": null, "deep": { "b": null, "c": 3 }, "list": [1] })
        );
    }

    #[test]
    fn what_is_no_name_is_no_part_of_a_path() {
        for name in ["lunch", "a", "spring-10", "a.b.c", "0"] {
            assert!(is_name(name), "{name}");
        }
        for other in ["", ".", "..", "SPRING", "10%", "a b", "../secrets/toss", "a?watch=true", "-a", "a."] {
            assert!(!is_name(other), "{other}");
        }
    }
}
