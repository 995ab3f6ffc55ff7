//! A cache of one kind, fed by watches and by the operator's own writes.
//!
//! Own-write memory: what a write returned is put in at once, so that the next decision does not rest on an older
//! copy. Of two copies the one with the higher resourceVersion wins (they are comparable within a kind); a copy that
//! the watch has already gone past is not put in, so that an object deleted meanwhile does not come back.
//!
//! Nobody looks for objects by walking over all of them, but at a start, after a list or in tests: what is looked for has an
//! [`Index`], and what is added up a [`Tally`], both kept with each object that comes, changes or goes.

mod difference;
mod held;
mod index;
mod tally;
#[cfg(test)]
mod tests;
mod trim;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use crate::key::Key;

use difference::Comparer;
pub use difference::Difference;
use held::Held;
pub use held::Keeping;
pub use index::Index;
use index::Indexer;
use tally::Tallier;
pub use tally::{Aggregate, Tally};
use trim::trim;
pub use trim::{LARGE_ANNOTATION_BYTES, trim_annotations};

/// What stands under a key.
#[derive(Debug)]
pub enum Cached<K> {
    /// An object that can be read.
    Object(Arc<K>),
    /// One that cannot: nothing is done with it.
    Malformed(Arc<Malformed>),
}

/// An object that does not have the shape that this version expects.
#[derive(Debug, Clone)]
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

impl<K> Cached<K> {
    fn object(&self) -> Option<&K> {
        match self {
            Self::Object(object) => Some(object),
            Self::Malformed(_) => None,
        }
    }
}

struct Entry<K> {
    version: u64,
    held: Held<K>,
}

/// What comes in, and how it will be held; made before the cache is locked.
struct Incoming<K> {
    entry: Entry<K>,
    cached: Cached<K>,
}

/// Something that is kept beside the objects, as they are.
trait Observer<K>: Send + Sync {
    /// What can be read under `key` was `old`, and is `new` now.
    fn changed(&self, key: &Key, old: Option<&K>, new: Option<&K>);
}

struct Inner<K> {
    keeping: Arc<Keeping<K>>,
    entries: HashMap<Key, Entry<K>>,
    /// The highest version that a watch has brought, by namespace.
    watched: HashMap<Arc<str>, u64>,
    /// Keys seen since a relist began, by the namespace that it covers.
    relisting: HashMap<Option<String>, Vec<Key>>,
    /// What was found gone before a watch said so. Should the watch break before it does, the new list is all that
    /// tells those who wait for it.
    forgotten: HashSet<Key>,
    observers: Vec<Box<dyn Observer<K>>>,
}

impl<K> Inner<K> {
    /// The one way in.
    fn put(&mut self, mut key: Key, Incoming { entry, cached }: Incoming<K>) {
        // Its text is kept once.
        if let Some((namespace, _)) = self.watched.get_key_value(&key.namespace) {
            key.namespace = namespace.clone();
        }
        let known = self.entries.get_key_value(&key);
        let (known, old) = known.map_or((&key, None), |(known, old)| (known, self.keeping.object(&old.held)));
        for observer in &self.observers {
            observer.changed(known, old.as_deref(), cached.object());
        }
        self.entries.insert(key, entry);
    }

    /// The one way out.
    fn take(&mut self, key: &Key) {
        let Some(old) = self.entries.remove(key) else { return };
        let old = self.keeping.object(&old.held);
        for observer in &self.observers {
            observer.changed(key, old.as_deref(), None);
        }
    }

    fn observe(&mut self, observer: Box<dyn Observer<K>>) {
        for (key, entry) in &self.entries {
            observer.changed(key, None, self.keeping.object(&entry.held).as_deref());
        }
        self.observers.push(observer);
    }

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
    keeping: Arc<Keeping<K>>,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self::new(Keeping::trimmed(|_| {}))
    }
}

impl<K> Cache<K> {
    /// One that keeps its objects so; what nobody asks for of any object is taken from it anyway.
    pub fn new(keeping: Keeping<K>) -> Self {
        let keeping = Arc::new(keeping);
        let inner = Inner {
            keeping: keeping.clone(),
            entries: HashMap::new(),
            watched: HashMap::new(),
            relisting: HashMap::new(),
            forgotten: HashSet::new(),
            observers: Vec::new(),
        };
        Self { inner: RwLock::new(inner), keeping }
    }

    /// Whether an object has come to rest: it is seldom asked for and seldom changes.
    pub fn rests(&self, object: &K) -> bool {
        self.keeping.rests(object)
    }

    fn incoming(&self, version: u64, cached: Cached<K>) -> Incoming<K> {
        let held = match &cached {
            Cached::Object(object) => self.keeping.hold(object.clone()),
            Cached::Malformed(malformed) => Held::Malformed(malformed.clone()),
        };
        Incoming { entry: Entry { version, held }, cached }
    }
}

fn version(metadata: &ObjectMeta) -> Option<u64> {
    metadata.resource_version.as_ref()?.parse().ok()
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
        self.read().entries.get(key).map(|entry| self.keeping.cached(&entry.held))
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

    /// Those of `keys` that can be read, sorted as they are.
    pub fn objects(&self, keys: &[Key]) -> Vec<(Key, Arc<K>)> {
        let inner = self.read();
        let object = |key: &Key| Some((key.clone(), self.keeping.object(&inner.entries.get(key)?.held)?));
        keys.iter().filter_map(object).collect()
    }

    /// An index over what can be read, now and from now on: under which term an object stands, if under any, by what it
    /// says of itself alone. `term` is asked with the cache locked.
    pub fn index(&self, term: impl for<'a> Fn(&'a K) -> Option<Cow<'a, str>> + Send + Sync + 'static) -> Index
    where
        K: 'static,
    {
        let index = Index::new();
        self.write().observe(Box::new(Indexer { index: index.clone(), term }));
        index
    }

    /// A tally over what can be read, now and from now on: into which group of its namespace an object belongs, if into any,
    /// by what it says of itself alone. `group` and the aggregate are asked with the cache locked.
    pub fn tally<A: Aggregate<K>>(
        &self,
        group: impl for<'a> Fn(&'a K) -> Option<Cow<'a, str>> + Send + Sync + 'static,
    ) -> Tally<A>
    where
        K: 'static,
    {
        let tally = Tally::new();
        self.write().observe(Box::new(Tallier { tally: tally.clone(), group }));
        tally
    }

    /// Notes from now on which objects come, go or differ, in their old and their new copy, as `differs` says. It is asked with
    /// the cache locked.
    pub fn difference(&self, differs: impl Fn(&K, &K) -> bool + Send + Sync + 'static) -> Difference
    where
        K: 'static,
    {
        let difference = Difference::default();
        self.write().observe(Box::new(Comparer { difference: difference.clone(), differs }));
        difference
    }

    /// Walks over all objects: those that `keep` picks, sorted by key.
    pub fn walk(&self, keep: impl Fn(&Key, &K) -> bool) -> Vec<(Key, Arc<K>)> {
        let picked = |(key, entry): (&Key, &Entry<K>)| {
            let object = self.keeping.object(&entry.held)?;
            keep(key, &object).then(|| (key.clone(), object))
        };
        let mut objects: Vec<(Key, Arc<K>)> = self.read().entries.iter().filter_map(picked).collect();
        objects.sort_by(|(a, _), (b, _)| a.cmp(b));
        objects
    }

    /// Walks over all objects: the keys of those that can be read, sorted.
    pub fn walk_keys(&self) -> Vec<Key> {
        let readable = |entry: &Entry<K>| !matches!(entry.held, Held::Malformed(_));
        let inner = self.read();
        let known = inner.entries.iter().filter(|(_, entry)| readable(entry));
        let mut keys: Vec<Key> = known.map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys
    }

    /// What is held, and in which version: for those who compare it with what there is.
    pub fn versions(&self) -> Vec<(Key, u64)> {
        self.read().entries.iter().map(|(key, entry)| (key.clone(), entry.version)).collect()
    }

    /// Puts in what a write or a live read of the operator's own returned.
    pub fn remember(&self, mut object: K) {
        let Some(version) = version(object.meta()) else { return };
        self.trim(&mut object);
        let key = Key::of(&object);
        let incoming = self.incoming(version, Cached::Object(Arc::new(object)));
        let mut inner = self.write();
        let known = inner.entries.get(&key).map(|entry| entry.version);
        // Without an entry, a version that the watch has gone past may be of an object deleted since.
        let outdated = known.map_or(version <= inner.watched(&key), |known| known >= version);
        if !outdated {
            inner.put(key, incoming);
        }
    }

    /// Takes out what a live read did not find, unless something newer than `seen` has come in meanwhile.
    pub fn forget(&self, key: &Key, seen: Option<&K>) {
        let seen = seen.and_then(|object| version(object.meta()));
        let mut inner = self.write();
        if inner.entries.get(key).is_some_and(|entry| Some(entry.version) == seen) {
            inner.take(key);
            inner.forgotten.insert(key.clone());
        }
    }

    /// Takes in an object that a watch brought, and returns it with its key, as it is held. An older copy than the one held
    /// changes nothing.
    pub fn apply(&self, mut object: K) -> (Key, Arc<K>) {
        self.trim(&mut object);
        let (key, version) = (Key::of(&object), version(object.meta()));
        let object = Arc::new(object);
        self.take_in(key.clone(), version, Cached::Object(object.clone()));
        (key, object)
    }

    /// The same for one that cannot be read.
    pub fn apply_malformed(&self, mut malformed: Malformed) -> (Key, Arc<Malformed>) {
        let metadata = &mut malformed.metadata;
        trim(metadata);
        let name = |part: &Option<String>| part.clone().unwrap_or_default();
        let key = Key::new(&name(&metadata.namespace), &name(&metadata.name));
        let version = version(metadata);
        let malformed = Arc::new(malformed);
        self.take_in(key.clone(), version, Cached::Malformed(malformed.clone()));
        (key, malformed)
    }

    fn take_in(&self, key: Key, version: Option<u64>, cached: Cached<K>) {
        let version = version.unwrap_or(0);
        let incoming = self.incoming(version, cached);
        let mut inner = self.write();
        inner.saw(&key, version);
        inner.forgotten.remove(&key);
        for (scope, seen) in &mut inner.relisting {
            if scope.as_deref().is_none_or(|namespace| namespace == &*key.namespace) {
                seen.push(key.clone());
            }
        }
        if inner.entries.get(&key).is_none_or(|entry| entry.version <= version) {
            inner.put(key, incoming);
        }
    }

    fn trim(&self, object: &mut K) {
        trim(object.meta_mut());
        (self.keeping.trim)(object);
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
            inner.take(key);
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
            inner.take(key);
        }
        vanished
    }
}
