//! Feeds a cache from a watch, and tells a listener which keys changed.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use kube::Resource;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as start};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::{info, warn};

use super::cache::Malformed;
use super::{Cache, Cached, Key};

/// What a watch brought.
pub enum Change<'a, K> {
    /// This object is new or changed, or was just deleted.
    Object(&'a Key, Option<&'a K>),
    /// This object has a shape that this version does not know.
    Malformed(&'a Key, &'a Malformed),
}

/// Watches until `stop` turns true. `synced` is called once, when the first list is complete. One malformed object
/// harms nothing but itself.
pub async fn run<K>(
    api: Api<DeserializeGuard<K>>,
    scope: Option<String>,
    cache: Arc<Cache<K>>,
    listener: impl Fn(Change<'_, K>) + Send,
    synced: impl Fn() + Send,
    mut stop: watch::Receiver<bool>,
) where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let kind = K::kind(&()).to_string();
    let config = watcher::Config::default().any_semantic();
    let mut events = start(api, config).default_backoff().boxed();
    let mut said = String::new();
    loop {
        let event = tokio::select! {
            event = events.try_next() => event,
            _ = stop.changed() => return,
        };
        match event {
            Ok(Some(event)) => {
                if !said.is_empty() {
                    info!(kind, "the watch is back");
                    said.clear();
                }
                take_in(event, scope.as_deref(), &cache, &listener, &synced);
            }
            Ok(None) => return,
            Err(error) => {
                let text = error.to_string();
                if said != text {
                    warn!(kind, error = %text, "the watch broke; it is started again");
                    said = text;
                }
            }
        }
    }
}

fn take_in<K: Resource<DynamicType = ()> + Clone>(
    event: Event<DeserializeGuard<K>>,
    scope: Option<&str>,
    cache: &Cache<K>,
    listener: &impl Fn(Change<'_, K>),
    synced: &impl Fn(),
) {
    match event {
        Event::Init => cache.relist_begins(scope),
        Event::InitApply(DeserializeGuard(object)) | Event::Apply(DeserializeGuard(object)) => match object {
            Ok(object) => {
                let (metadata, key, object) = (object.meta().clone(), Key::of(&object), Arc::new(object));
                cache.apply(&metadata, key.clone(), Cached::Object(object.clone()));
                listener(Change::Object(&key, Some(&object)));
            }
            Err(invalid) => {
                let name = invalid.metadata.name.clone().unwrap_or_default();
                let key = Key::new(&invalid.metadata.namespace.clone().unwrap_or_default(), &name);
                let malformed = Arc::new(Malformed { metadata: invalid.metadata, error: invalid.error });
                cache.apply(&malformed.metadata, key.clone(), Cached::Malformed(malformed.clone()));
                listener(Change::Malformed(&key, &malformed));
            }
        },
        Event::Delete(object) => {
            let (metadata, key) = (object.meta().clone(), Key::of(&object));
            cache.delete(&metadata, &key);
            listener(Change::Object(&key, object.0.as_ref().ok()));
        }
        Event::InitDone => {
            for key in cache.relist_ends(scope) {
                listener(Change::Object(&key, None));
            }
            synced();
        }
    }
}
