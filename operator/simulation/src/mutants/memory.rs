//! What a replica has seen of the API server: the last of each object that a list, a watch or an answer of its own writes
//! brought. Its caches hold the same; so a read that is answered from here is a read that should have been live.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::objects::text;

type Objects = BTreeMap<(String, String), Value>;

/// Objects by plural, namespace and name.
#[derive(Debug, Default)]
pub(super) struct Memory(BTreeMap<String, Objects>);

fn key(object: &Value) -> (String, String) {
    let metadata = &object["metadata"];
    (text(&metadata["namespace"]).to_owned(), text(&metadata["name"]).to_owned())
}

fn version(object: &Value) -> u64 {
    text(&object["metadata"]["resourceVersion"]).parse().unwrap_or(0)
}

impl Memory {
    /// The object of a kind, by namespace and name.
    pub(super) fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.0.get(plural)?.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Takes in a copy of an object, unless a newer one is known.
    pub(super) fn take_in(&mut self, plural: &str, object: &Value) {
        let objects = self.0.entry(plural.to_owned()).or_default();
        if objects.get(&key(object)).is_none_or(|known| version(known) <= version(object)) {
            objects.insert(key(object), object.clone());
        }
    }

    /// Takes out an object that was deleted, unless a namesake was made since.
    pub(super) fn take_out(&mut self, plural: &str, object: &Value) {
        if let Some(objects) = self.0.get_mut(plural)
            && objects.get(&key(object)).is_some_and(|known| version(known) <= version(object))
        {
            objects.remove(&key(object));
        }
    }

    /// Takes in a list of all objects of a kind, and returns those that it no longer has.
    pub(super) fn relist(&mut self, plural: &str, listed: &[Value]) -> Vec<Value> {
        let before = self.0.remove(plural).unwrap_or_default();
        let listed: Objects = listed.iter().map(|object| (key(object), object.clone())).collect();
        let vanished = before.into_iter().filter(|(key, _)| !listed.contains_key(key)).map(|(_, o)| o);
        let vanished = vanished.collect();
        self.0.insert(plural.to_owned(), listed);
        vanished
    }
}
