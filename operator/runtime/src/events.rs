//! Kubernetes Events. An Event's name is derived from its object and its text, so that the API server itself refuses a
//! repetition, also after a restart.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use sha2::{Digest, Sha256};
use tracing::{debug, warn};

use crate::api::{ApiError, ApiServer};
use crate::clock::Clock;
use crate::time::micro_time;

/// Maximum length of an Event's note, in bytes, as the API server counts.
const NOTE_LENGTH_MAX: usize = 1_024;
/// Stands where a note was cut.
const CUT: &str = "…";

/// The text of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note<'a> {
    /// Whether the Event is of type Warning rather than Normal.
    pub warning: bool,
    /// A single word in CamelCase.
    pub reason: &'a str,
    /// One sentence.
    pub message: &'a str,
}

/// Records Events.
pub struct Events {
    api: ApiServer,
    reporter: &'static str,
    instance: Arc<str>,
    clock: Arc<Clock>,
}

impl Events {
    /// A recorder that signs as the controller `reporter`, with this instance's name.
    pub fn new(api: ApiServer, reporter: &'static str, instance: &str, clock: Arc<Clock>) -> Self {
        Self { api, reporter, instance: instance.into(), clock }
    }

    /// Records an Event about an object, once. A failure is logged and nothing else: status says the same.
    pub async fn record<K: Resource<DynamicType = ()>>(&self, object: &K, note: Note<'_>) {
        let regarding = object.object_ref(&());
        self.record_about(regarding, note).await;
    }

    /// Records an Event about an object that may not be readable.
    pub async fn record_about(&self, regarding: ObjectReference, note: Note<'_>) {
        // Objects without a namespace have their Events in the default one.
        let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".into());
        let event = self.event(&namespace, regarding, note);
        match self.api.create(&namespace, &event).await {
            Ok(_) => {}
            Err(ApiError::AlreadyExists) => debug!(reason = %note.reason, "Event recorded before"),
            Err(ApiError::NamespaceTerminating) => {
                debug!(reason = %note.reason, "the namespace takes no Events any more");
            }
            Err(error) => warn!(reason = %note.reason, %error, "cannot record an Event"),
        }
    }

    fn event(&self, namespace: &str, regarding: ObjectReference, note: Note<'_>) -> Event {
        let uid = regarding.uid.clone().unwrap_or_default();
        let name = regarding.name.clone().unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [uid.as_str(), note.reason, note.message] {
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
            reason: Some(note.reason.to_owned()),
            note: Some(cut(note.message)),
            type_: Some(if note.warning { "Warning" } else { "Normal" }.into()),
            regarding: Some(regarding),
            reporting_controller: Some(self.reporter.to_owned()),
            reporting_instance: Some(self.instance.to_string()),
            ..Event::default()
        }
    }
}

/// As much of a message as a note takes.
fn cut(message: &str) -> String {
    if message.len() <= NOTE_LENGTH_MAX {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(NOTE_LENGTH_MAX - CUT.len());
    format!("{}{CUT}", &message[..end])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_where_the_api_server_would_refuse_it_and_between_two_letters() {
        for whole in ["가".repeat(341), "a".repeat(1_024)] {
            assert_eq!(cut(&whole), whole);
        }
        for (letter, kept) in [("가", 340), ("a", 1_021), ("é", 510)] {
            assert_eq!(cut(&letter.repeat(1_100)), letter.repeat(kept) + CUT, "{letter}");
        }
    }
}
