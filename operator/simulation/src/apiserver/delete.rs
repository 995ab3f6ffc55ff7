//! Deleting: preconditions, finalizers, and what the way of propagation asks of the garbage collector.

use serde_json::{Value, json};

use super::failure::Failure;
use super::kinds::Kind;
use super::metadata;
use super::metadata::seconds;
use super::node::node;
use super::policies::Attributes;
use super::request::Request;
use super::selector::Selector;
use super::server::{Act, Done, Outcome, Server};
use super::store::{Key, Rest, Stored};

/// By this finalizer dependents go first.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// By this finalizer dependents are let go.
pub(super) const ORPHAN: &str = "orphan";

impl Server {
    pub(super) fn delete(&mut self, number: usize, request: &Request, act: Act<'_>) -> Outcome {
        if request.subresource.is_some() {
            return Err(Failure::not_allowed());
        }
        self.delete_one(number, &Self::key(request), &options(request)?, act)
    }

    pub(super) fn delete_collection(&mut self, number: usize, request: &Request, act: Act<'_>) -> Outcome {
        let options = options(request)?;
        let selector = Selector::parse(self.kind(number), request.namespace.as_deref(), &request.options)?;
        let picked = |(key, object): (&Key, &std::sync::Arc<Stored>)| {
            selector.picks(&object.value).then(|| (key.clone(), object.clone()))
        };
        let chosen: Vec<(Key, std::sync::Arc<Stored>)> =
            self.tables[number].objects.iter().filter_map(picked).collect();
        let items: Vec<Value> = chosen.iter().map(|(_, object)| object.value.clone()).collect();
        for (key, _) in chosen {
            match self.delete_one(number, &key, &options, act) {
                Ok(_) => {}
                Err(failure) if failure.code == 404 => {}
                Err(failure) => return Err(failure),
            }
        }
        let kind = self.kind(number);
        Ok(Done::Value(
            200,
            json!({
                "apiVersion": kind.api_version(), "kind": format!("{}List", kind.name),
                "metadata": { "resourceVersion": self.version().to_string() }, "items": items,
            }),
        ))
    }

    fn delete_one(&mut self, number: usize, key: &Key, options: &Value, act: Act<'_>) -> Outcome {
        let catalog = self.catalog.clone();
        let kind = &catalog.kinds[number];
        let existing = self.existing(number, key)?;
        check_preconditions(kind, key, &existing, &options["preconditions"])?;
        let about =
            Attributes { kind, resource: &kind.plural, operation: "DELETE", user: act.user, name: &key.name };
        if catalog.policies.concern(&about) {
            let nothing = node(&Value::Null, None);
            let old = node(&existing.value, None);
            catalog.policies.check(&catalog.engine, &about, nothing.as_ref(), old.as_ref())?;
        }
        let dry_run = !options["dryRun"].as_array().is_none_or(Vec::is_empty);
        let act = Act { dry_run, ..act };
        let mut object = existing.value.clone();
        if kind.name == "Namespace" {
            return Ok(self.end_namespace(number, key, object, act));
        }
        let finalizers = wanted_finalizers(&object, options["propagationPolicy"].as_str());
        if finalizers.is_empty() {
            if !act.dry_run {
                let version = self.next_version();
                self.tables[number].take(key, version);
            }
            return Ok(Done::Value(200, gone(kind, &object)));
        }
        metadata::set_finalizers(&mut object, &finalizers);
        mark(&mut object, act);
        if object == existing.value {
            return Ok(Done::Object(200, existing));
        }
        let rest = Rest { has_empty_fields: false, ..existing.rest };
        Ok(Done::Object(200, self.store(number, key.clone(), object, rest, act)))
    }

    fn end_namespace(&mut self, number: usize, key: &Key, mut object: Value, act: Act<'_>) -> Done {
        if metadata::is_dying(&object) {
            return Done::Value(200, object);
        }
        metadata::of(&mut object).insert("deletionTimestamp".into(), seconds(act.now).into());
        object["status"]["phase"] = "Terminating".into();
        Done::Object(200, self.store(number, key.clone(), object, Rest::default(), act))
    }
}

fn check_preconditions(kind: &Kind, key: &Key, found: &Stored, wanted: &Value) -> Result<(), Failure> {
    let fields = [
        ("uid", "UID", "The object might have been deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", "The object might have been modified"),
    ];
    for (field, word, perhaps) in fields {
        let found = metadata::text(&found.value, field).unwrap_or_default();
        if let Some(wanted) = wanted[field].as_str().filter(|wanted| *wanted != found) {
            let why = format!(
                "the {word} in the precondition ({wanted}) does not match the {word} in record ({found}). {perhaps}"
            );
            return Err(Failure::precondition(kind, &key.name, &why));
        }
    }
    Ok(())
}

fn check_policy(options: &Value) -> Result<(), Failure> {
    let policy = &options["propagationPolicy"];
    if policy.is_null() || ["Foreground", "Background", "Orphan"].iter().any(|known| policy == known) {
        return Ok(());
    }
    let words = r#""Foreground", "Background", "Orphan", "nil""#;
    let message = format!("Unsupported value: {policy}: supported values: {words}");
    Err(Failure::of_options("DeleteOptions", "propagationPolicy", "FieldValueNotSupported", &message))
}

/// The options of a deletion: those in the body, and only where there is none those in the URL.
fn options(request: &Request) -> Result<Value, Failure> {
    let options = match (request.body.is_empty(), request.options.dry_run) {
        (false, _) => request.json()?,
        (true, true) => json!({ "dryRun": ["All"] }),
        (true, false) => json!({}),
    };
    check_policy(&options)?;
    Ok(options)
}

/// The finalizers with which an object is on its way out; none: it goes at once.
fn wanted_finalizers(object: &Value, policy: Option<&str>) -> Vec<String> {
    let had = metadata::finalizers(object);
    let has = |finalizer: &str| had.iter().any(|f| f == finalizer);
    let asked = match policy {
        Some("Orphan") => Some(ORPHAN),
        Some("Foreground") => Some(FOREGROUND),
        None if has(ORPHAN) => Some(ORPHAN),
        None if has(FOREGROUND) => Some(FOREGROUND),
        Some(_) | None => None,
    };
    let mut wanted: Vec<String> = had.iter().filter(|f| *f != ORPHAN && *f != FOREGROUND).cloned().collect();
    wanted.extend(asked.map(str::to_owned));
    // The order is kept where the set is the same.
    let is_same = wanted.len() == had.len() && had.iter().all(|f| wanted.contains(f));
    if is_same { had } else { wanted }
}

fn mark(object: &mut Value, act: Act<'_>) {
    let dying = metadata::is_dying(object);
    let generation = object["metadata"]["generation"].as_i64();
    let metadata = metadata::of(object);
    if !dying {
        if let Some(generation) = generation {
            metadata.insert("generation".into(), (generation + 1).into());
        }
        metadata.insert("deletionTimestamp".into(), seconds(act.now).into());
    }
    metadata.insert("deletionGracePeriodSeconds".into(), 0.into());
}

fn gone(kind: &Kind, object: &Value) -> Value {
    let mut details = json!({ "name": object["metadata"]["name"], "kind": kind.plural });
    if !kind.group.is_empty() {
        details["group"] = kind.group.as_str().into();
    }
    details["uid"] = object["metadata"]["uid"].clone();
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}
