//! An index over a cache: which of its objects stand under a term. It is changed with the cache, under the cache's lock, so
//! that who has seen an object there finds it here.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use super::Observer;
use crate::key::Key;

/// By term, then by key: a namespace's are beside each other, too.
type Entries = BTreeSet<(Arc<str>, Key)>;

/// Finds the keys of a cache's objects by a term: see [`Cache::index`](super::Cache::index).
#[derive(Clone)]
pub struct Index {
    entries: Arc<RwLock<Entries>>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { entries: Arc::default() }
    }

    /// The keys of the objects under a term, in all namespaces, sorted.
    pub fn keys(&self, term: &str) -> Vec<Key> {
        self.found(term, "", |_| true)
    }

    /// The keys of those in a namespace, sorted.
    pub fn keys_in(&self, namespace: &str, term: &str) -> Vec<Key> {
        self.found(term, namespace, |key| *key.namespace == *namespace)
    }

    /// The keys of the objects under this term or a greater one, in all namespaces, sorted by term and then by key.
    pub fn keys_from(&self, term: &str) -> Vec<Key> {
        let first = (Arc::from(term), Key::new("", ""));
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.range((Bound::Included(first), Bound::Unbounded)).map(|(_, key)| key.clone()).collect()
    }

    /// From the first key of `namespace` on, as long as they are of the term and `goes_on`.
    fn found(&self, term: &str, namespace: &str, goes_on: impl Fn(&Key) -> bool) -> Vec<Key> {
        let first = (Arc::from(term), Key::new(namespace, ""));
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let from_there = entries.range((Bound::Included(first), Bound::Unbounded));
        let meant = from_there.take_while(|(known, key)| **known == *term && goes_on(key));
        meant.map(|(_, key)| key.clone()).collect()
    }
}

/// Keeps an index as its cache is.
pub(super) struct Indexer<F> {
    pub(super) index: Index,
    pub(super) term: F,
}

impl<K, F> Observer<K> for Indexer<F>
where
    F: for<'a> Fn(&'a K) -> Option<Cow<'a, str>> + Send + Sync,
{
    fn changed(&self, key: &Key, old: Option<&K>, new: Option<&K>) {
        let (old, new) = (old.and_then(&self.term), new.and_then(&self.term));
        if old == new {
            return;
        }
        let mut entries = self.index.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = old {
            entries.remove(&(Arc::from(&*old), key.clone()));
        }
        if let Some(new) = new {
            let term = shared(&entries, &new);
            entries.insert((term, key.clone()));
        }
    }
}

/// A term as it stands in the index already, so that its text is kept once.
fn shared(entries: &Entries, term: &str) -> Arc<str> {
    let term: Arc<str> = term.into();
    let first = entries.range((Bound::Included((term.clone(), Key::new("", ""))), Bound::Unbounded)).next();
    first.filter(|(known, _)| *known == term).map_or(term, |(known, _)| known.clone())
}
