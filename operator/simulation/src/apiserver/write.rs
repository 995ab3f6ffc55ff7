//! Creating, replacing and patching, in the order in which a real API server does it: decode, default, admit and
//! change, prepare, validate by schema and rules, then by policies, and only then store.

use std::sync::Arc;

use serde_json::{Value, json};

use super::cause::Cause;
use super::failure::Failure;
use super::kinds::Kind;
use super::metadata::seconds;
use super::node::node;
use super::place::Place;
use super::policies::Attributes;
use super::request::{Creation, PatchKind, Request};
use super::schema::Schema;
use super::server::{Act, Done, Outcome, Server};
use super::store::{Key, Rest, Stored};
use super::validation::{Pair, check};
use super::{metadata, patch};

impl Server {
    pub(super) fn create_object(
        &mut self,
        number: usize,
        namespace: Option<&str>,
        mut object: Value,
        way: Creation,
        act: Act<'_>,
    ) -> Outcome {
        let catalog = self.catalog.clone();
        let kind = &catalog.kinds[number];
        decode(kind, &mut object, matches!(way, Creation::Posted { strict: true }))?;
        place_in_namespace(kind, namespace, &mut object)?;
        self.name(&mut object);
        let name = metadata::text(&object, "name").unwrap_or_default().to_owned();
        let key = Key::new(namespace.unwrap_or_default(), &name);
        self.admit_creation(kind, &key)?;
        let about =
            Attributes { kind, resource: &kind.plural, operation: "CREATE", user: act.user, name: &name };
        let applied = (way == Creation::Applied).then(|| object.clone());
        metadata::track(&mut object, &kind.api_version(), applied.as_ref(), act.now);
        catalog.policies.change_newborn(&about, &mut object);
        self.give_birth(kind, &mut object, act);
        self.validate(kind, &name, &object, None, false, &about)?;
        if let Some(found) = self.tables[number].objects.get(&key) {
            return Err(Failure::already_exists(kind, &name, metadata::is_dying(&found.value)));
        }
        // What is read has the defaults of status, what is stored has not.
        let stored = object.get("status").is_some();
        fill(kind, &mut object);
        let rest = Rest {
            lacks_defaults: kind.has_status && !stored && object.get("status").is_some(),
            has_empty_fields: object["metadata"].get("managedFields").is_none(),
        };
        Ok(Done::Object(201, self.store(number, key, object, rest, act)))
    }

    pub(super) fn replace(&mut self, number: usize, request: &Request, act: Act<'_>) -> Outcome {
        let body = request.json()?;
        let key = Self::key(request);
        let kind = self.kind(number);
        if metadata::text(&body, "name") != Some(&*key.name) {
            let (on_object, on_url) = (metadata::text(&body, "name").unwrap_or_default(), &key.name);
            return Err(Failure::bad_request(format!(
                "the name of the object ({on_object}) does not match the name on the URL ({on_url})"
            )));
        }
        let existing = self.existing(number, &key)?;
        let (asked, found) = (metadata::text(&body, "uid"), metadata::text(&existing.value, "uid"));
        if let (Some(asked), Some(found)) = (asked, found)
            && asked != found
        {
            let place = format!("/registry/{}/{}/{}/{}", kind.group, kind.plural, key.namespace, key.name);
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: {place}, ResourceVersion: 0, AdditionalErrorMsg: \
                 Precondition failed: UID in precondition: {asked}, UID in object meta: {found}"
            );
            return Err(Failure::conflict(kind, &key.name, &why));
        }
        let mut new = body;
        decode(kind, &mut new, request.options.strict)?;
        if request.namespace.is_some() {
            place_in_namespace(kind, request.namespace.as_deref(), &mut new)?;
        }
        // A replacement that does not speak of them leaves the managed fields as they are.
        let speaks = request.json()?["metadata"].get("managedFields").is_some();
        if let (false, Some(fields)) = (speaks, existing.value["metadata"].get("managedFields")) {
            metadata::of(&mut new).insert("managedFields".into(), fields.clone());
        }
        self.update(number, &key, &existing, new, request, act)
    }

    pub(super) fn patch(&mut self, number: usize, request: &Request, act: Act<'_>) -> Outcome {
        let key = Self::key(request);
        let kind = self.kind(number);
        if request.patch == Some(PatchKind::Apply) && request.options.manager.is_none() {
            return Err(Failure::unmanaged());
        }
        let existing = match self.existing(number, &key) {
            Err(_) if request.patch == Some(PatchKind::Apply) && request.subresource.is_none() => {
                let mut body = request.json()?;
                metadata::of(&mut body).insert("name".into(), key.name.as_str().into());
                return self.create_object(
                    number,
                    request.namespace.as_deref(),
                    body,
                    Creation::Applied,
                    act,
                );
            }
            found => found?,
        };
        let change = request.json()?;
        let mut new = patch::applied(request.patch.unwrap_or(PatchKind::Merge), &existing.value, &change)?;
        decode(kind, &mut new, request.options.strict)?;
        if metadata::text(&new, "name") != Some(&*key.name) {
            let (on_object, on_url) = (metadata::text(&new, "name").unwrap_or_default(), &key.name);
            return Err(Failure::bad_request(format!(
                "the name of the object ({on_object}) does not match the name on the URL ({on_url})"
            )));
        }
        if request.namespace.is_some() {
            place_in_namespace(kind, request.namespace.as_deref(), &mut new)?;
        }
        if request.patch == Some(PatchKind::Apply) {
            metadata::track(&mut new, &kind.api_version(), Some(&change), act.now);
        }
        self.update(number, &key, &existing, new, request, act)
    }

    fn update(
        &mut self,
        number: usize,
        key: &Key,
        existing: &Arc<Stored>,
        mut new: Value,
        request: &Request,
        act: Act<'_>,
    ) -> Outcome {
        let catalog = self.catalog.clone();
        let kind = &catalog.kinds[number];
        let old = &existing.value;
        check_version(kind, key, existing, &mut new)?;
        let of_status = request.subresource.is_some();
        prepare(kind, &mut new, old, of_status);
        let target = request.target();
        let about =
            Attributes { kind, resource: &target, operation: "UPDATE", user: act.user, name: &key.name };
        self.validate(kind, &key.name, &new, Some(old), of_status, &about)?;
        if metadata::is_dying(old) && metadata::finalizers(&new).is_empty() {
            if !act.dry_run {
                let version = self.next_version();
                self.tables[number].take(key, version);
            }
            return Ok(Done::Value(200, new));
        }
        if new == *old && !existing.rest.is_any() {
            return Ok(Done::Object(200, existing.clone()));
        }
        let rest =
            Rest { lacks_defaults: kind.has_status && new.get("status").is_none(), has_empty_fields: false };
        fill(kind, &mut new);
        Ok(Done::Object(200, self.store(number, key.clone(), new, rest, act)))
    }

    /// Schema, then rules, then policies.
    fn validate(
        &self,
        kind: &Kind,
        name: &str,
        new: &Value,
        old: Option<&Value>,
        of_status: bool,
        about: &Attributes<'_>,
    ) -> Result<(), Failure> {
        let catalog = &self.catalog;
        let mut causes = old.map_or_else(|| metadata::check_name(name), |old| metadata::check(new, old));
        let concerned = catalog.policies.concern(about);
        let Some(schema) = &kind.schema else {
            return if causes.is_empty() { Ok(()) } else { Err(Failure::invalid(kind, name, &causes)) };
        };
        if old.is_some() {
            // Both the generic check and the one for custom kinds find what is wrong with a change of metadata.
            causes.extend(causes.clone());
        }
        match old {
            Some(old) if of_status => check_status(schema, new, old, &mut causes),
            Some(old) => schema.check_change(new, old, &mut causes),
            None => {
                schema.check(new, &Place::Root, &mut causes);
                schema.check_unique(new, &Place::Root, &mut causes);
            }
        }
        let new_node = schema.has_rules.then(|| node(new, Some(schema)));
        let old_node = old.filter(|_| schema.has_rules).map(|old| (old, node(old, Some(schema))));
        if schema.has_rules && causes.iter().any(Cause::blocks_rules) {
            let text = "some validation rules were not checked because the object was invalid; correct the \
                        existing errors to complete validation";
            causes.push(Cause::invalid(None, Some("null"), text));
        } else if let Some(node) = new_node.as_deref() {
            let pair = Pair { new: (new, node), old: old_node.as_ref().map(|(old, n)| (*old, n.as_ref())) };
            check(&catalog.engine, schema, pair, &Place::Root, &mut causes);
        }
        if !causes.is_empty() {
            return Err(Failure::invalid(kind, name, &causes));
        }
        if concerned {
            // Policies see an object without its schema: to them every list has an order.
            let (new, old) = (node(new, None), node(old.unwrap_or(&Value::Null), None));
            catalog.policies.check(&catalog.engine, about, new.as_ref(), old.as_ref())?;
        }
        Ok(())
    }

    pub(super) fn store(
        &mut self,
        number: usize,
        key: Key,
        object: Value,
        rest: Rest,
        act: Act<'_>,
    ) -> Arc<Stored> {
        if act.dry_run {
            let version = object["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok());
            let mut stored = Stored::new(object, version.unwrap_or(0), rest);
            if version.is_none()
                && let Some(stored) = Arc::get_mut(&mut stored)
            {
                metadata::of(&mut stored.value).remove("resourceVersion");
            }
            return stored;
        }
        let stored = Stored::new(object, self.next_version(), rest);
        self.tables[number].put(key, stored.clone());
        stored
    }

    /// Draws a name where one is to be generated.
    fn name(&mut self, object: &mut Value) {
        if metadata::text(object, "name").is_some() {
            return;
        }
        let Some(base) = metadata::text(object, "generateName").map(str::to_owned) else { return };
        let letters = b"bcdfghjklmnpqrstvwxz2456789";
        let mut drawn = self.draw();
        let mut name = base;
        for _ in 0..5 {
            let index = usize::try_from(drawn % letters.len() as u64).unwrap_or(0);
            name.push(char::from(letters[index]));
            drawn /= letters.len() as u64;
        }
        metadata::of(object).insert("name".into(), name.into());
    }

    fn admit_creation(&self, kind: &Kind, key: &Key) -> Result<(), Failure> {
        if !kind.namespaced {
            return Ok(());
        }
        let Some(namespaces) = self.catalog.find("", "namespaces") else { return Ok(()) };
        let namespace = self.existing(namespaces, &Key::new("", &key.namespace))?;
        if !metadata::is_dying(&namespace.value) {
            return Ok(());
        }
        let name = &key.namespace;
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        let cause = json!({
            "reason": "NamespaceTerminating", "message": format!("namespace {name} is being terminated"),
            "field": "metadata.namespace",
        });
        Err(Failure::forbidden(kind, &key.name, &why, json!([cause])))
    }

    /// What a new object gets from the server.
    fn give_birth(&mut self, kind: &Kind, object: &mut Value, act: Act<'_>) {
        let uid = self.draw_uid();
        let metadata = metadata::of(object);
        metadata.insert("uid".into(), uid.into());
        metadata.insert("creationTimestamp".into(), seconds(act.now).into());
        for field in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
            metadata.remove(field);
        }
        if kind.schema.is_some() {
            metadata.insert("generation".into(), 1.into());
        }
        if kind.has_status
            && let Some(object) = object.as_object_mut()
        {
            object.remove("status");
        }
        match kind.name.as_str() {
            "Namespace" => {
                let name = metadata::text(object, "name").unwrap_or_default().to_owned();
                object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name.into();
                object["spec"]["finalizers"] = json!(["kubernetes"]);
                object["status"]["phase"] = "Active".into();
            }
            "Secret" => be_secret(object),
            _ => {}
        }
    }
}

/// What is wrong with a status by the schema alone. A real server looks at it by itself, which shows in its sentences.
fn check_status(schema: &Schema, new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let (Some(status), Some(value)) = (schema.properties.get("status"), new.get("status")) else { return };
    if old.get("status") == Some(value) {
        return;
    }
    let mut within = Vec::new();
    status.check(value, &Place::Root, &mut within);
    causes.extend(within.into_iter().map(|cause| cause.below("status")));
    status.check_unique(value, &Place::Field(&Place::Root, "status"), causes);
}

fn fill(kind: &Kind, object: &mut Value) {
    if let Some(schema) = &kind.schema {
        schema.fill(object);
    }
}

/// Makes an object of what was sent: the right kind, without what is unknown, with the defaults.
fn decode(kind: &Kind, object: &mut Value, strict: bool) -> Result<(), Failure> {
    let expected = kind.api_version();
    let found = object["apiVersion"].as_str().unwrap_or_default();
    if found != expected {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({found}) does not match the expected API version ({expected})"
        )));
    }
    let found = object["kind"].as_str().unwrap_or_default();
    if found != kind.name {
        return Err(Failure::of_another_kind(
            kind,
            found,
            metadata::text(object, "name").unwrap_or_default(),
        ));
    }
    metadata::tidy(object);
    if let Some(schema) = &kind.schema {
        let mut unknown = Vec::new();
        schema.prune(object, &Place::Root, &mut unknown);
        if strict && !unknown.is_empty() {
            let fields: Vec<String> = unknown.iter().map(|f| format!("unknown field {f:?}")).collect();
            let what = format!("{} in version {:?}", kind.name, kind.version);
            let why = fields.join(", ");
            let message =
                format!("{what} cannot be handled as a {}: strict decoding error: {why}", kind.name);
            return Err(Failure::bad_request(message));
        }
        schema.fill(object);
    }
    Ok(())
}

fn place_in_namespace(kind: &Kind, namespace: Option<&str>, object: &mut Value) -> Result<(), Failure> {
    let Some(namespace) = namespace else {
        return match metadata::text(object, "namespace") {
            None if kind.namespaced => {
                Err(Failure::bad_request("an empty namespace may not be set during creation"))
            }
            _ => Ok(()),
        };
    };
    match metadata::text(object, "namespace") {
        None => drop(metadata::of(object).insert("namespace".into(), namespace.into())),
        Some(stated) if stated == namespace => {}
        Some(_) => {
            let message =
                "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Failure::bad_request(message));
        }
    }
    Ok(())
}

/// Compare-and-set: a resourceVersion that is stated must be the present one.
fn check_version(kind: &Kind, key: &Key, existing: &Stored, new: &mut Value) -> Result<(), Failure> {
    match metadata::text(new, "resourceVersion") {
        Some(stated) if stated == existing.version.to_string() => Ok(()),
        Some(stated) if stated.parse::<u64>().is_err() => Err(Failure::unreadable_version(stated)),
        Some(_) => Err(Failure::outdated(kind, &key.name)),
        None if kind.unconditional => {
            metadata::of(new).insert("resourceVersion".into(), existing.version.to_string().into());
            Ok(())
        }
        None => {
            let place = Some("metadata.resourceVersion".to_owned());
            let cause = Cause::invalid(place, Some("0"), "must be specified for an update");
            Err(Failure::unversioned(kind, &key.name, &cause))
        }
    }
}

/// Leaves to each path what is its own: status to the one, all else to the other; and counts generations.
fn prepare(kind: &Kind, new: &mut Value, old: &Value, of_status: bool) {
    if of_status {
        // All metadata stays, the managed fields too: that a request at this path carries others is passed over, so
        // their tracking cannot be ended here.
        let status = new.get("status").cloned();
        *new = old.clone();
        set(new, "status", status);
        return;
    }
    if kind.has_status {
        set(new, "status", old.get("status").cloned());
    }
    metadata::keep(new, old);
    if kind.schema.is_some() {
        let differs = |name: &str| name != "metadata" && new.get(name) != old.get(name);
        let names = new.as_object().into_iter().chain(old.as_object()).flat_map(|o| o.keys());
        if names.into_iter().any(|name| differs(name)) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            metadata::of(new).insert("generation".into(), generation.into());
        }
    }
    if kind.name == "Secret" {
        be_secret(new);
    }
}

fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(object) = object.as_object_mut() else { return };
    match value {
        Some(value) => drop(object.insert(field.into(), value)),
        None => drop(object.remove(field)),
    }
}

/// `stringData` becomes `data`, and a type is given.
fn be_secret(object: &mut Value) {
    use base64::Engine;
    let strings = object.as_object_mut().and_then(|o| o.remove("stringData"));
    for (name, value) in strings.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        object["data"][name] = base64::engine::general_purpose::STANDARD.encode(text).into();
    }
    if object["type"].is_null() {
        object["type"] = "Opaque".into();
    }
}
