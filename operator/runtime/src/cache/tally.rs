//! A tally over a cache: for each group of its objects one aggregate (a number, a sum), changed by each object that comes or
//! goes, so that it is read without looking at any of them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::Observer;
use crate::key::Key;

/// What a group of objects comes to. Removing an object undoes exactly what adding it did, whatever came between.
pub trait Aggregate<K>: Default + Clone + Send + Sync + 'static {
    /// An object joins the group.
    fn add(&mut self, object: &K);
    /// An object, as it was when it joined, leaves the group.
    fn remove(&mut self, object: &K);
}

#[derive(Default)]
struct Group<A> {
    members: usize,
    aggregate: A,
}

/// Reads the aggregates of a cache's groups: see [`Cache::tally`](super::Cache::tally).
pub struct Tally<A> {
    groups: Arc<RwLock<HashMap<Key, Group<A>>>>,
}

impl<A> Clone for Tally<A> {
    fn clone(&self) -> Self {
        Self { groups: self.groups.clone() }
    }
}

impl<A: Default + Clone> Tally<A> {
    pub(super) fn new() -> Self {
        Self { groups: Arc::default() }
    }

    /// What a group comes to: the namespace of its objects, and its name. Of no objects, nothing.
    pub fn of(&self, group: &Key) -> A {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups.get(group).map(|group| group.aggregate.clone()).unwrap_or_default()
    }

    /// Number of groups that have an object.
    #[cfg(test)]
    pub(super) fn groups(&self) -> usize {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Keeps a tally as its cache is.
pub(super) struct Tallier<A, F> {
    pub(super) tally: Tally<A>,
    pub(super) group: F,
}

impl<K, A, F> Observer<K> for Tallier<A, F>
where
    A: Aggregate<K>,
    F: for<'a> Fn(&'a K) -> Option<Cow<'a, str>> + Send + Sync,
{
    fn changed(&self, key: &Key, old: Option<&K>, new: Option<&K>) {
        let of_group = |object: &K| {
            let name = (self.group)(object)?;
            Some(Key { namespace: key.namespace.clone(), name: Arc::from(&*name) })
        };
        let left = old.and_then(|object| Some((of_group(object)?, object)));
        let joined = new.and_then(|object| Some((of_group(object)?, object)));
        let mut groups = self.tally.groups.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((name, object)) = joined {
            let group = groups.entry(name).or_default();
            group.members += 1;
            group.aggregate.add(object);
        }
        if let Some((name, object)) = left
            && let Some(group) = groups.get_mut(&name)
        {
            group.members -= 1;
            if group.members == 0 {
                groups.remove(&name);
            } else {
                group.aggregate.remove(object);
            }
        }
    }
}
