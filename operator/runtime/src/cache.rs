//! A cache of one kind, fed by watches and by the operator's own writes.
//!
//! Own-write memory: what a write returned is put in at once, so that the next decision does not rest on an older
//! copy. Of two copies the one with the higher resourceVersion wins (they are comparable within a kind); a copy that
//! the watch has already gone past is not put in, so that an object deleted meanwhile does not come back.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::key::Key;

/// What stands under a key.
#[derive(Debug)]
pub enum Cached<K> {
    /// An object that can be read.
    Object(Arc<K>),
    /// One that cannot: nothing is done with it.
    Malformed(Arc<Malformed>),
}

/// An object that does not have the shape that this version expects.
#[derive(Debug)]
pub struct Malformed {
    /// Its metadata, as far as it could be read.
    pub metadata: ObjectMeta,
    /// What is wrong with it.
    pub error: String,
}

impl<K> Clone for Cached<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Object(object) => Self::Object(object.clone()),
            Self::Malformed(malformed) => Self::Malformed(malformed.clone()),
        }
    }
}

struct Entry<K> {
    version: u64,
    cached: Cached<K>,
    /// When this process last asked the API server, by a read or a write of its own, and learnt that this version stood there.
    confirmed: Option<Instant>,
}

struct Inner<K> {
    entries: HashMap<Key, Entry<K>>,
    /// The highest version that a watch has brought, by namespace.
    watched: HashMap<Arc<str>, u64>,
    /// Keys seen since a relist began, by the namespace that it covers.
    relisting: HashMap<Option<String>, Vec<Key>>,
    /// What was found gone before a watch said so. Should the watch break before it does, the new list is all that
    /// tells those who wait for it.
    forgotten: HashSet<Key>,
}

impl<K> Inner<K> {
    fn watched(&self, key: &Key) -> u64 {
        self.watched.get(&key.namespace).copied().unwrap_or(0)
    }

    fn saw(&mut self, key: &Key, version: u64) {
        let watched = self.watched.entry(key.namespace.clone()).or_default();
        *watched = version.max(*watched);
    }
}

/// The cache of one kind.
pub struct Cache<K> {
    inner: RwLock<Inner<K>>,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        let inner = Inner {
            entries: HashMap::new(),
            watched: HashMap::new(),
            relisting: HashMap::new(),
            forgotten: HashSet::new(),
        };
        Self { inner: RwLock::new(inner) }
    }
}

fn version(metadata: &ObjectMeta) -> Option<u64> {
    metadata.resource_version.as_ref()?.parse().ok()
}

fn keys<K>(objects: Vec<(Key, Arc<K>)>) -> Vec<Key> {
    objects.into_iter().map(|(key, _)| key).collect()
}

impl<K: ResourceExt> Cache<K> {
    fn read(&self) -> RwLockReadGuard<'_, Inner<K>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<K>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands under `key`.
    pub fn get(&self, key: &Key) -> Option<Cached<K>> {
        self.read().entries.get(key).map(|entry| entry.cached.clone())
    }

    /// The object under `key`, if it can be read.
    pub fn object(&self, key: &Key) -> Option<Arc<K>> {
        match self.get(key) {
            Some(Cached::Object(object)) => Some(object),
            Some(Cached::Malformed(_)) | None => None,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read().entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The objects that `keep` picks, sorted by key.
    pub fn objects_where(&self, keep: impl Fn(&K) -> bool) -> Vec<(Key, Arc<K>)> {
        self.picked(|_, object| keep(object))
    }

    /// The keys of these.
    pub fn keys_where(&self, keep: impl Fn(&K) -> bool) -> Vec<Key> {
        keys(self.objects_where(keep))
    }

    /// The objects in a namespace (empty for cluster-scoped kinds) that `keep` picks, sorted by key.
    pub fn objects_in(&self, namespace: &str, keep: impl Fn(&K) -> bool) -> Vec<(Key, Arc<K>)> {
        self.picked(|key, object| *key.namespace == *namespace && keep(object))
    }

    /// The keys of these.
    pub fn keys_in(&self, namespace: &str, keep: impl Fn(&K) -> bool) -> Vec<Key> {
        keys(self.objects_in(namespace, keep))
    }

    fn picked(&self, keep: impl Fn(&Key, &K) -> bool) -> Vec<(Key, Arc<K>)> {
        let picked = |(key, entry): (&Key, &Entry<K>)| match &entry.cached {
            Cached::Object(object) if keep(key, object) => Some((key.clone(), object.clone())),
            Cached::Object(_) | Cached::Malformed(_) => None,
        };
        let mut objects: Vec<(Key, Arc<K>)> = self.read().entries.iter().filter_map(picked).collect();
        objects.sort_by(|(a, _), (b, _)| a.cmp(b));
        objects
    }

    /// What is held, and in which version: for those who compare it with what there is.
    pub fn versions(&self) -> Vec<(Key, u64)> {
        self.read().entries.iter().map(|(key, entry)| (key.clone(), entry.version)).collect()
    }

    /// Puts in what a write of the operator's own returned.
    pub fn remember(&self, object: K) {
        self.put_in(object, None);
    }

    /// Puts in what a write or a live read returned that was asked for at `asked`, and keeps in mind when that was.
    pub fn confirm(&self, object: K, asked: Instant) {
        self.put_in(object, Some(asked));
    }

    fn put_in(&self, object: K, asked: Option<Instant>) {
        let Some(version) = version(object.meta()) else { return };
        let key = Key::of(&object);
        let mut inner = self.write();
        let watched = inner.watched(&key);
        match inner.entries.get_mut(&key) {
            Some(known) if known.version == version => known.confirmed = known.confirmed.max(asked),
            Some(known) if known.version > version => {}
            // A version that the watch has gone past may be of an object deleted since.
            None if version <= watched => {}
            Some(_) | None => {
                let cached = Cached::Object(Arc::new(object));
                inner.entries.insert(key, Entry { version, cached, confirmed: asked });
            }
        }
    }

    /// When this process last asked the API server and learnt that `object` stood there in this version; `None` when it never
    /// did, or holds another version by now.
    pub fn confirmed(&self, key: &Key, object: &K) -> Option<Instant> {
        let version = version(object.meta())?;
        let inner = self.read();
        let entry = inner.entries.get(key).filter(|entry| entry.version == version)?;
        entry.confirmed
    }

    /// Takes out what a live read did not find, unless something newer than `seen` has come in meanwhile.
    pub fn forget(&self, key: &Key, seen: Option<&K>) {
        let seen = seen.and_then(|object| version(object.meta()));
        let mut inner = self.write();
        if inner.entries.get(key).is_some_and(|entry| Some(entry.version) == seen) {
            inner.entries.remove(key);
            inner.forgotten.insert(key.clone());
        }
    }

    /// Takes in an object that a watch brought. An older copy than the one held changes nothing.
    pub fn apply(&self, metadata: &ObjectMeta, key: Key, cached: Cached<K>) {
        let version = version(metadata).unwrap_or(0);
        let mut inner = self.write();
        inner.saw(&key, version);
        inner.forgotten.remove(&key);
        for (scope, seen) in &mut inner.relisting {
            if scope.as_deref().is_none_or(|namespace| namespace == &*key.namespace) {
                seen.push(key.clone());
            }
        }
        let known = inner.entries.get(&key).map(|entry| (entry.version, entry.confirmed));
        if known.is_none_or(|(known, _)| known <= version) {
            let confirmed = known.filter(|(known, _)| *known == version).and_then(|(_, confirmed)| confirmed);
            inner.entries.insert(key, Entry { version, cached, confirmed });
        }
    }

    /// Takes out an object whose deletion a watch brought.
    pub fn delete(&self, metadata: &ObjectMeta, key: &Key) {
        let version = version(metadata).unwrap_or(u64::MAX);
        let mut inner = self.write();
        inner.forgotten.remove(key);
        if version != u64::MAX {
            inner.saw(key, version);
        }
        // A namesake that was created after it stays.
        if inner.entries.get(key).is_some_and(|entry| entry.version <= version) {
            inner.entries.remove(key);
        }
    }

    /// A watch starts anew in `scope` (a namespace, or everywhere).
    pub fn relist_begins(&self, scope: Option<&str>) {
        self.write().relisting.insert(scope.map(str::to_owned), Vec::new());
    }

    /// The relist is complete: what it did not bring is gone. Returns the keys that vanished, sorted. An own write that the
    /// list was too old to hold goes too, and comes back with the watch that follows; kept, it might be an object
    /// that was deleted while no watch ran, and stay for ever.
    pub fn relist_ends(&self, scope: Option<&str>) -> Vec<Key> {
        let mut inner = self.write();
        let seen = inner.relisting.remove(&scope.map(str::to_owned)).unwrap_or_default();
        let seen: HashSet<Key> = seen.into_iter().collect();
        let covered = |key: &Key| scope.is_none_or(|namespace| namespace == &*key.namespace);
        let known = inner.entries.keys().chain(&inner.forgotten);
        let mut vanished: Vec<Key> =
            known.filter(|key| covered(key) && !seen.contains(*key)).cloned().collect();
        inner.forgotten.retain(|key| !covered(key));
        vanished.sort();
        vanished.dedup();
        for key in &vanished {
            inner.entries.remove(key);
        }
        vanished
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn object(name: &str, version: u64) -> ConfigMap {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("food".into()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    fn watched(cache: &Cache<ConfigMap>, object: ConfigMap) {
        let (metadata, key) = (object.metadata.clone(), Key::of(&object));
        cache.apply(&metadata, key, Cached::Object(Arc::new(object)));
    }

    fn held(cache: &Cache<ConfigMap>, name: &str) -> Option<String> {
        cache.object(&Key::new("food", name)).and_then(|o| o.resource_version())
    }

    #[test]
    fn an_own_write_is_seen_at_once_and_no_older_copy_replaces_it() {
        let cache = Cache::default();
        watched(&cache, object("a", 5));
        cache.remember(object("a", 7));
        watched(&cache, object("a", 6));
        assert_eq!(held(&cache, "a").as_deref(), Some("7"));
    }

    #[test]
    fn a_version_is_confirmed_by_who_asked_for_it_and_by_no_watch() {
        let cache = Cache::default();
        let (key, asked) = (Key::new("food", "a"), Instant::now());
        watched(&cache, object("a", 5));
        assert_eq!(cache.confirmed(&key, &object("a", 5)), None, "what a watch brings may be old");
        cache.confirm(object("a", 5), asked);
        watched(&cache, object("a", 5));
        assert_eq!(cache.confirmed(&key, &object("a", 5)), Some(asked));
        assert_eq!(cache.confirmed(&key, &object("a", 4)), None, "it was another version that stood there");
        watched(&cache, object("a", 6));
        assert_eq!(cache.confirmed(&key, &object("a", 6)), None);
        assert_eq!(cache.confirmed(&key, &object("a", 5)), None, "somebody has written since");
    }

    #[test]
    fn an_own_write_does_not_bring_a_deleted_object_back() {
        let cache = Cache::default();
        watched(&cache, object("a", 5));
        let gone = object("a", 8);
        cache.delete(&gone.metadata, &Key::of(&gone));
        cache.remember(object("a", 7));
        assert_eq!(held(&cache, "a"), None);
    }

    #[test]
    fn a_late_deletion_does_not_take_a_namesake_that_came_after() {
        let cache = Cache::default();
        cache.remember(object("a", 9));
        let gone = object("a", 8);
        cache.delete(&gone.metadata, &Key::of(&gone));
        assert_eq!(held(&cache, "a").as_deref(), Some("9"));
    }

    #[test]
    fn a_relist_takes_out_what_it_did_not_bring() {
        let cache = Cache::default();
        watched(&cache, object("a", 5));
        watched(&cache, object("b", 6));
        cache.relist_begins(None);
        watched(&cache, object("b", 6));
        let vanished = cache.relist_ends(None);
        assert_eq!(vanished, vec![Key::new("food", "a")]);
        assert_eq!((held(&cache, "a"), held(&cache, "b").as_deref()), (None, Some("6")));
    }

    #[test]
    fn what_was_found_gone_before_the_watch_said_so_is_told_by_the_next_list() {
        let cache = Cache::default();
        watched(&cache, object("a", 5));
        cache.forget(&Key::new("food", "a"), Some(&object("a", 5)));
        cache.relist_begins(None);
        assert_eq!(cache.relist_ends(None), vec![Key::new("food", "a")]);
        cache.relist_begins(None);
        assert_eq!(cache.relist_ends(None), Vec::<Key>::new(), "once");
    }

    #[test]
    fn a_relist_of_one_namespace_leaves_the_others_alone() {
        let cache = Cache::default();
        watched(&cache, object("a", 5));
        cache.relist_begins(Some("elsewhere"));
        assert_eq!(cache.relist_ends(Some("elsewhere")), Vec::<Key>::new());
        assert_eq!(held(&cache, "a").as_deref(), Some("5"));
    }
}
