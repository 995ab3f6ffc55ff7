//! Which of a cache's objects have changed in a way that somebody asks about, however the change came: by a watch, by an own
//! write or by a live read. Nothing is kept of an object that has not changed since it was asked about.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::Observer;
use crate::key::Key;

/// Says of a cache's objects whether they differ from when that was asked last: see
/// [`Cache::difference`](super::Cache::difference).
#[derive(Clone, Default)]
pub struct Difference {
    changed: Arc<Mutex<HashSet<Key>>>,
}

impl Difference {
    /// Whether the object has come, gone, or changed in that way at least once since it was last asked about. It stays true of
    /// one that has changed back.
    pub fn take(&self, key: &Key) -> bool {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }
}

/// Notes differences as they come into a cache.
pub(super) struct Comparer<F> {
    pub(super) difference: Difference,
    pub(super) differs: F,
}

impl<K, F: Fn(&K, &K) -> bool + Send + Sync> Observer<K> for Comparer<F> {
    fn changed(&self, key: &Key, old: Option<&K>, new: Option<&K>) {
        let differs = match (old, new) {
            (Some(old), Some(new)) => (self.differs)(old, new),
            (None, _) | (_, None) => true,
        };
        if differs {
            self.difference.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        }
    }
}
