//! Where objects are kept, and the log of what happened to them, from which watches are fed.
//!
//! One counter gives every write its resourceVersion. The log of a kind reaches back to its floor; what lies further
//! back is gone, as after a compaction.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

/// How far a log reaches back by itself, in events.
const LOG_LIMIT: usize = 100_000;

/// What an object is known by within its kind. The namespace of cluster-scoped objects is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// What was written and is not read, or the other way round: as long as there is any, the next write is one, even if it
/// changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// The defaults that are read were not written.
    pub(super) lacks_defaults: bool,
    /// An empty list of managed fields was, by the policy that ends them. Any write, also a deletion's mark, takes it out.
    pub(super) has_empty_fields: bool,
}

impl Rest {
    /// Whether a write of what is read writes something.
    pub(super) fn is_any(self) -> bool {
        self != Self::default()
    }
}

/// An object as it is read. It never changes; a write puts another in its place.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) value: Value,
    /// Its resourceVersion.
    pub(super) version: u64,
    /// How what was written differs from what is read.
    pub(super) rest: Rest,
    bytes: OnceLock<Bytes>,
}

impl Stored {
    /// Takes a value and stamps the version on it.
    pub(super) fn new(mut value: Value, version: u64, rest: Rest) -> Arc<Self> {
        value["metadata"]["resourceVersion"] = version.to_string().into();
        Arc::new(Self { value, version, rest, bytes: OnceLock::new() })
    }

    /// As JSON; written once, however often it is sent.
    pub(super) fn bytes(&self) -> &Bytes {
        self.bytes.get_or_init(|| Bytes::from(self.value.to_string()))
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) version: u64,
    pub(super) key: Key,
    /// What it is now; for a deletion what it was last, with the version of the deletion.
    pub(super) object: Arc<Stored>,
    pub(super) previous: Option<Arc<Stored>>,
    pub(super) is_deletion: bool,
}

/// The objects of one kind, and their log.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) objects: BTreeMap<Key, Arc<Stored>>,
    pub(super) log: VecDeque<Event>,
    /// Events up to this version are gone.
    pub(super) floor: u64,
}

impl Table {
    /// Puts an object in, and says so.
    pub(super) fn put(&mut self, key: Key, object: Arc<Stored>) {
        let previous = self.objects.insert(key.clone(), object.clone());
        self.record(Event { version: object.version, key, object, previous, is_deletion: false });
    }

    /// Takes an object out, and says so.
    pub(super) fn take(&mut self, key: &Key, version: u64) {
        let Some(previous) = self.objects.remove(key) else { return };
        let object = Stored::new(previous.value.clone(), version, Rest::default());
        let key = key.clone();
        self.record(Event { version, key, object, previous: Some(previous), is_deletion: true });
    }

    fn record(&mut self, event: Event) {
        self.log.push_back(event);
        if self.log.len() > LOG_LIMIT
            && let Some(event) = self.log.pop_front()
        {
            self.floor = event.version;
        }
    }

    /// Forgets the log up to `version`.
    pub(super) fn compact(&mut self, version: u64) {
        self.floor = self.floor.max(version);
        while self.log.front().is_some_and(|event| event.version <= version) {
            self.log.pop_front();
        }
    }

    /// The objects as they were at `version`; `None` when that lies too far back.
    pub(super) fn at(&self, version: u64) -> Option<BTreeMap<Key, Arc<Stored>>> {
        if version < self.floor {
            return None;
        }
        let mut objects = self.objects.clone();
        for event in self.log.iter().rev().take_while(|event| event.version > version) {
            match &event.previous {
                Some(previous) => objects.insert(event.key.clone(), previous.clone()),
                None => objects.remove(&event.key),
            };
        }
        Some(objects)
    }

    /// What happened after `version`; `None` when that lies too far back.
    pub(super) fn since(&self, version: u64) -> Option<impl Iterator<Item = &Event>> {
        if version < self.floor {
            return None;
        }
        let start = self.log.partition_point(|event| event.version <= version);
        Some(self.log.range(start..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_past_can_be_read_as_far_as_the_log_reaches() {
        let mut table = Table::default();
        let key = Key::new("food", "lunch");
        table.put(key.clone(), Stored::new(json!({ "n": 1 }), 1, Rest::default()));
        table.put(key.clone(), Stored::new(json!({ "n": 2 }), 2, Rest::default()));
        table.take(&key, 3);
        let seen =
            |table: &Table, version| table.at(version).map(|all| all.values().map(|o| o.version).collect());
        assert_eq!(seen(&table, 0), Some(vec![]));
        assert_eq!(seen(&table, 1), Some(vec![1]));
        assert_eq!(seen(&table, 2), Some(vec![2]));
        assert_eq!(seen(&table, 3), Some(vec![]));
        table.compact(2);
        assert_eq!(seen(&table, 1), None::<Vec<u64>>);
        assert_eq!(seen(&table, 2), Some(vec![2]));
    }
}
