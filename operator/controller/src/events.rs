//! Events for people. An Event's name follows from what it says about which object, so that the API server itself
//! refuses a repetition, also after a restart.

use std::sync::Arc;

use fooddelivery_saga::order::Note;
use fooddelivery_saga::time::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::{Resource, ResourceExt};
use sha2::{Digest, Sha256};
use tracing::{debug, warn};

use crate::api::{ApiError, ApiServer};
use crate::clock::Clock;

/// Who reports.
const REPORTER: &str = "fooddelivery.dev/operator";
/// The longest note that an Event takes.
const NOTE_LIMIT: usize = 1_000;

/// Records Events.
pub struct Events {
    api: ApiServer,
    instance: Arc<str>,
    clock: Arc<Clock>,
}

impl Events {
    /// A recorder that signs with this instance's name.
    pub fn new(api: ApiServer, instance: &str, clock: Arc<Clock>) -> Self {
        Self { api, instance: instance.into(), clock }
    }

    /// Tells people once. A failure is logged and nothing else: what is told also stands in status.
    pub async fn tell<K: Resource<DynamicType = ()>>(&self, object: &K, note: &Note) {
        let regarding = object.object_ref(&());
        self.tell_about(regarding, note).await;
    }

    /// Tells people about an object that may not be readable.
    pub async fn tell_about(&self, regarding: ObjectReference, note: &Note) {
        // Objects without a namespace have their Events in the default one.
        let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".into());
        let event = self.event(&namespace, regarding, note);
        match self.api.create(&namespace, &event).await {
            Ok(_) => {}
            Err(ApiError::AlreadyExists) => debug!(reason = %note.reason, "told before"),
            Err(ApiError::NamespaceTerminating) => {
                debug!(reason = %note.reason, "the namespace takes no Events any more");
            }
            Err(error) => warn!(reason = %note.reason, %error, "an Event could not be recorded"),
        }
    }

    fn event(&self, namespace: &str, regarding: ObjectReference, note: &Note) -> Event {
        let uid = regarding.uid.clone().unwrap_or_default();
        let name = regarding.name.clone().unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [uid.as_str(), note.reason.as_str(), note.message.as_str()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digest: String = hash
            .finalize()
            .iter()
            .take(8)
            .fold(String::new(), |digest, byte| digest + &format!("{byte:02x}"));
        let base: String = name.chars().take(200).collect();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{base}.{digest}")),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            event_time: Some(micro_time(self.clock.now())),
            action: Some("Reconcile".into()),
            reason: Some(note.reason.clone()),
            note: Some(note.message.chars().take(NOTE_LIMIT).collect()),
            type_: Some(if note.warning { "Warning" } else { "Normal" }.into()),
            regarding: Some(regarding),
            reporting_controller: Some(REPORTER.into()),
            reporting_instance: Some(self.instance.to_string()),
            ..Event::default()
        }
    }
}

/// A reference to an object of which only the metadata could be read.
pub fn reference<K: Resource<DynamicType = ()>>(metadata: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Puts the correlation id of all that belongs to an order, its uid, on every log line of this reconcile.
pub fn correlate(uid: Option<String>) {
    if let Some(uid) = uid {
        tracing::Span::current().record("correlation", uid);
    }
}

/// A time as Kubernetes' own kinds have it.
pub(crate) fn micro_time(at: Timestamp) -> MicroTime {
    MicroTime(jiff::Timestamp::from_millisecond(at.0).unwrap_or_default())
}

/// The uid of an object; empty when the API server has not given one.
pub fn uid_of<K: ResourceExt>(object: &K) -> String {
    object.uid().unwrap_or_default()
}
