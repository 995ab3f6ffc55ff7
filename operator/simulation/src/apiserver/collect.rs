//! What the controllers of Kubernetes do behind the API server's back: garbage collection by ownerReferences, and the
//! end of namespaces. Each is an explicit step, so that a scheduler can place it anywhere.
//!
//! They act by requests, as the users that they are, so policies apply to them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::delete::{FOREGROUND, ORPHAN};
use super::metadata;
use super::request::{Request, Verb};
use super::server::Server;
use super::store::Key;

const COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";
const NAMESPACES: &str = "system:serviceaccount:kube-system:namespace-controller";

/// How it stands with an owner.
enum Owner {
    /// Nobody here knows its kind: it is let be.
    OfUnknownKind,
    /// There is none.
    Lost,
    /// It waits for its dependents to go first.
    Waiting,
    /// It is there.
    Solid,
}

/// What is to be done to an object.
struct Task {
    number: usize,
    key: Key,
    verb: Verb,
    body: Value,
}

impl Server {
    /// One round of the garbage collector: deletes what has lost its owners, lets go of what an orphaning owner left
    /// behind, and finishes foreground deletions whose dependents are gone. Says how many requests it sent; a round
    /// that sends none has nothing left to do.
    pub fn collect_garbage(&mut self, now: Timestamp) -> usize {
        let mut tasks = Vec::new();
        for number in 0..self.tables.len() {
            for (key, object) in &self.tables[number].objects {
                let task = self.owner_task(number, key, &object.value);
                let task = task.or_else(|| self.dependent_task(number, key, &object.value));
                tasks.extend(task);
            }
        }
        self.run(tasks, COLLECTOR, now)
    }

    /// One round of the namespace controller: asks for the deletion of everything in terminating namespaces, and
    /// takes out those that are empty. Says how many requests it sent and namespaces it took out.
    pub fn advance_namespaces(&mut self, now: Timestamp) -> usize {
        let Some(namespaces) = self.catalog.find("", "namespaces") else { return 0 };
        let dying: Vec<Key> = self.tables[namespaces]
            .objects
            .iter()
            .filter(|(_, object)| metadata::is_dying(&object.value))
            .map(|(key, _)| key.clone())
            .collect();
        let mut count = 0;
        for namespace in dying {
            let mut tasks = Vec::new();
            let mut held = 0;
            for number in 0..self.tables.len() {
                for (key, object) in &self.tables[number].objects {
                    if key.namespace != namespace.name {
                        continue;
                    }
                    held += 1;
                    if !metadata::is_dying(&object.value) {
                        let body = json!({ "propagationPolicy": "Background" });
                        tasks.push(Task { number, key: key.clone(), verb: Verb::Delete, body });
                    }
                }
            }
            count += self.run(tasks, NAMESPACES, now);
            if held == 0 {
                let version = self.next_version();
                self.tables[namespaces].take(&namespace, version);
                count += 1;
            }
        }
        count
    }

    fn run(&mut self, tasks: Vec<Task>, user: &str, now: Timestamp) -> usize {
        let count = tasks.len();
        for Task { number, key, verb, body } in tasks {
            let request = Request::internal(verb, self.kind(number), &key, &body);
            // A refusal is met again, and tried again, in the next round.
            let _ = self.handle(&request, user, now);
        }
        count
    }

    /// What a dying owner asks for.
    fn owner_task(&self, number: usize, key: &Key, object: &Value) -> Option<Task> {
        if !metadata::is_dying(object) {
            return None;
        }
        let finalizers = metadata::finalizers(object);
        let uid = metadata::text(object, "uid")?;
        let without = |finalizer: &str| {
            let left: Vec<&String> = finalizers.iter().filter(|f| *f != finalizer).collect();
            let body = json!({ "metadata": { "finalizers": left,
                "resourceVersion": object["metadata"]["resourceVersion"] } });
            Some(Task { number, key: key.clone(), verb: Verb::Patch, body })
        };
        let mut dependents = self.dependents(uid);
        if finalizers.iter().any(|f| f == ORPHAN) {
            return match dependents.next() {
                None => without(ORPHAN),
                Some((number, key, dependent)) => Some(Task {
                    number,
                    key: key.clone(),
                    verb: Verb::Patch,
                    body: without_owner(dependent, &|reference| reference["uid"] == uid),
                }),
            };
        }
        if finalizers.iter().any(|f| f == FOREGROUND) {
            let blocks = |(_, _, dependent): (usize, &Key, &Value)| {
                owners(dependent).any(|r| r["uid"] == uid && r["blockOwnerDeletion"] == true)
            };
            return if dependents.any(blocks) { None } else { without(FOREGROUND) };
        }
        None
    }

    /// What becomes of an object whose owners are gone, or wait for it to go.
    fn dependent_task(&self, number: usize, key: &Key, object: &Value) -> Option<Task> {
        let (mut solid, mut lost, mut waiting) = (0, 0, 0);
        for reference in owners(object) {
            match self.owner(key, reference) {
                Owner::OfUnknownKind => {}
                Owner::Lost => lost += 1,
                Owner::Waiting => waiting += 1,
                Owner::Solid => solid += 1,
            }
        }
        if lost + waiting == 0 {
            return None;
        }
        if solid > 0 {
            let goes = |reference: &Value| matches!(self.owner(key, reference), Owner::Lost | Owner::Waiting);
            let body = without_owner(object, &goes);
            return Some(Task { number, key: key.clone(), verb: Verb::Patch, body });
        }
        if metadata::is_dying(object) {
            return None;
        }
        let has_dependents =
            metadata::text(object, "uid").is_some_and(|uid| self.dependents(uid).next().is_some());
        let policy = if waiting > 0 && has_dependents { "Foreground" } else { "Background" };
        let body = json!({
            "propagationPolicy": policy, "preconditions": { "uid": object["metadata"]["uid"] },
        });
        Some(Task { number, key: key.clone(), verb: Verb::Delete, body })
    }

    /// How it stands with the owner that a reference names.
    fn owner(&self, dependent: &Key, reference: &Value) -> Owner {
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        let Some(number) = self.catalog.find_kind(text("apiVersion"), text("kind")) else {
            return Owner::OfUnknownKind;
        };
        let namespace = if self.kind(number).namespaced { dependent.namespace.as_str() } else { "" };
        let found = self.tables[number].objects.get(&Key::new(namespace, text("name")));
        match found.map(|o| &o.value).filter(|owner| owner["metadata"]["uid"] == reference["uid"]) {
            None => Owner::Lost,
            Some(owner) if metadata::is_dying(owner) && has(owner, FOREGROUND) => Owner::Waiting,
            Some(_) => Owner::Solid,
        }
    }

    fn dependents<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = (usize, &'a Key, &'a Value)> {
        let all = self.tables.iter().enumerate();
        let all = all.flat_map(|(n, table)| table.objects.iter().map(move |(key, o)| (n, key, &o.value)));
        all.filter(move |(_, _, object)| owners(object).any(|reference| reference["uid"] == uid))
    }
}

fn has(object: &Value, finalizer: &str) -> bool {
    metadata::finalizers(object).iter().any(|f| f == finalizer)
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten()
}

fn without_owner(object: &Value, goes: &dyn Fn(&Value) -> bool) -> Value {
    let left: Vec<&Value> = owners(object).filter(|reference| !goes(reference)).collect();
    json!({ "metadata": { "ownerReferences": left, "uid": object["metadata"]["uid"] } })
}
