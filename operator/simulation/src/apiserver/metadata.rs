//! Metadata as an API server keeps it: what it takes from a request, what it fills in, and what never changes.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::cause::Cause;

const FIELDS: [&str; 14] = [
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// An object's metadata; made if it is not there.
pub(super) fn of(object: &mut Value) -> &mut Map<String, Value> {
    let empty = || Value::Object(Map::new());
    if !object.is_object() {
        *object = empty();
    }
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = empty();
    }
    match metadata {
        Value::Object(map) => map,
        _ => unreachable!("it was just made one"),
    }
}

/// Takes out what metadata does not have, and what is empty.
pub(super) fn tidy(object: &mut Value) {
    let metadata = of(object);
    metadata.retain(|name, value| {
        let is_empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        FIELDS.contains(&name.as_str()) && !is_empty
    });
    // A list with one empty entry is the request to track fields no longer.
    if metadata.get("managedFields").is_some_and(|fields| *fields == json!([{}])) {
        metadata.remove("managedFields");
    }
}

/// Says that fields are tracked, from an apply on or from another request. Of what is said of them, only which fields of the
/// spec were applied is simulated.
pub(super) fn track(object: &mut Value, api_version: &str, applied: Option<&Value>, now: Timestamp) {
    let operation = if applied.is_some() { "Apply" } else { "Update" };
    let of_spec = applied.and_then(|body| body["spec"].as_object());
    let set: Map<String, Value> =
        of_spec.into_iter().flatten().map(|(field, _)| (format!("f:{field}"), json!({}))).collect();
    let fields = if set.is_empty() { json!({}) } else { json!({ "f:spec": set }) };
    let known = &object["metadata"]["managedFields"][0];
    if known["operation"] == operation && known["fieldsV1"] == fields {
        return;
    }
    let managers = json!([{
        "manager": "simulated", "operation": operation, "apiVersion": api_version,
        "fieldsType": "FieldsV1", "fieldsV1": fields, "time": seconds(now),
    }]);
    of(object).insert("managedFields".into(), managers);
}

/// Whether an object was ever applied, so far as its fields are tracked.
pub(super) fn is_applied(object: &Value) -> bool {
    let fields = object["metadata"]["managedFields"].as_array();
    fields.into_iter().flatten().any(|manager| manager["operation"] == "Apply")
}

/// A text in metadata.
pub(super) fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object["metadata"][field].as_str()
}

/// Whether an object is on its way out.
pub(super) fn is_dying(object: &Value) -> bool {
    text(object, "deletionTimestamp").is_some()
}

/// The finalizers of an object.
pub(super) fn finalizers(object: &Value) -> Vec<String> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter().flatten().filter_map(|f| f.as_str().map(str::to_owned)).collect()
}

/// Sets the finalizers; none takes the field out.
pub(super) fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    let metadata = of(object);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), json!(finalizers));
    }
}

/// What must not change although it was tried, and what the request leaves to the server.
pub(super) fn keep(new: &mut Value, old: &Value) {
    let was = |field: &str| old["metadata"].get(field).cloned();
    let now = of(new);
    for field in ["generation", "creationTimestamp", "deletionTimestamp"] {
        match was(field) {
            Some(value) => drop(now.insert(field.into(), value)),
            None if field == "generation" => drop(now.remove(field)),
            None => {}
        }
    }
    for field in ["uid", "deletionGracePeriodSeconds"] {
        if let (false, Some(value)) = (now.contains_key(field), was(field)) {
            now.insert(field.into(), value);
        }
    }
}

/// What is wrong with a new object's name.
pub(super) fn check_name(name: &str) -> Vec<Cause> {
    let field = Some("metadata.name".to_owned());
    if name.is_empty() {
        let message = "Required value: name or generateName is required".into();
        return vec![Cause { reason: "FieldValueRequired", field, message }];
    }
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(is_edge)
            && label.ends_with(is_edge)
            && label.chars().all(|c| is_edge(c) || c == '-')
    };
    let mut causes = Vec::new();
    let shown = format!("{name:?}");
    if name.len() > 253 {
        causes.push(Cause::invalid(field.clone(), Some(&shown), "must be no more than 253 bytes"));
    }
    if !name.split('.').all(is_label) {
        let detail = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                      and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                      validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
        causes.push(Cause::invalid(field, Some(&shown), detail));
    }
    causes
}

/// What is wrong with a change of metadata.
pub(super) fn check(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if is_dying(old) {
        let had = finalizers(old);
        let added: Vec<String> = finalizers(new).into_iter().filter(|f| !had.contains(f)).collect();
        if !added.is_empty() {
            let quoted: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
            causes.push(Cause {
                reason: "FieldValueForbidden",
                field: Some("metadata.finalizers".into()),
                message: format!(
                    "Forbidden: no new finalizers can be added if the object is being deleted, found new \
                     finalizers []string{{{}}}",
                    quoted.join(", ")
                ),
            });
        }
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"] {
        let (new, old) = (&new["metadata"][field], &old["metadata"][field]);
        if new != old {
            let shown = new.to_string();
            let place = Some(format!("metadata.{field}"));
            causes.push(Cause::invalid(place, Some(&shown), "field is immutable"));
        }
    }
    causes
}

/// A time as metadata has it: whole seconds.
pub(super) fn seconds(now: Timestamp) -> String {
    format!("{now:.0}")
}
