//! What an API server says when it does not do what it was asked: `Status` bodies as clients parse them, with the
//! codes, reasons, sentences and causes of a real one.

use serde_json::{Map, Value, json};

use super::cause::Cause;
use super::kinds::Kind;

/// A request that was not carried out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    /// The HTTP status code.
    pub(super) code: u16,
    /// The reason, one word.
    pub(super) reason: &'static str,
    /// The sentence.
    pub(super) message: String,
    /// `details` of the body.
    pub(super) details: Option<Value>,
}

impl Failure {
    fn about(kind: &Kind, name: &str, code: u16, reason: &'static str, message: String) -> Self {
        Self { code, reason, message, details: Some(details(kind, &kind.plural, name)) }
    }

    /// There is none.
    pub(super) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", kind.resource());
        Self::about(kind, name, 404, "NotFound", message)
    }

    /// The path leads nowhere.
    pub(super) fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource".into();
        Self { code: 404, reason: "NotFound", message, details: Some(json!({})) }
    }

    /// There is one already; `dying` when it is on its way out.
    pub(super) fn already_exists(kind: &Kind, name: &str, dying: bool) -> Self {
        let exists = format!("{} {name:?} already exists", kind.resource());
        let message = if dying { format!("object is being deleted: {exists}") } else { exists };
        Self::about(kind, name, 409, "AlreadyExists", message)
    }

    /// Somebody wrote first, or another object stands there.
    pub(super) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.resource());
        Self::about(kind, name, 409, "Conflict", message)
    }

    /// [`Self::conflict`] for a resourceVersion that is not the present one.
    pub(super) fn outdated(kind: &Kind, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    /// An admission plug-in refuses.
    pub(super) fn forbidden(kind: &Kind, name: &str, why: &str, causes: Value) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", kind.resource());
        let mut failure = Self::about(kind, name, 403, "Forbidden", message);
        if let Some(details) = failure.details.as_mut() {
            details["causes"] = causes;
        }
        failure
    }

    /// A delete that is bound to another object, or another version of it. A real server names the kind here, not the
    /// resource.
    pub(super) fn precondition(kind: &Kind, name: &str, why: &str) -> Self {
        let qualified = kind.qualified();
        let message = format!("Operation cannot be fulfilled on {qualified} {name:?}: {why}");
        Self { code: 409, reason: "Conflict", message, details: Some(details(kind, &kind.name, name)) }
    }

    /// The same by a policy whose reason is that the object is not valid: the words are those of a refusal.
    pub(super) fn into_invalid(self) -> Self {
        Self { code: 422, reason: "Invalid", ..self }
    }

    /// The object is not valid.
    pub(super) fn invalid(kind: &Kind, name: &str, causes: &[Cause]) -> Self {
        let mut sentences: Vec<String> = Vec::new();
        for cause in causes {
            let sentence = format!("{}: {}", cause.place(), cause.message);
            if !sentences.contains(&sentence) {
                sentences.push(sentence);
            }
        }
        let text = match sentences.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let qualified = kind.qualified();
        let listed: Vec<Value> = causes
            .iter()
            .map(|c| json!({ "reason": c.reason, "message": c.message, "field": c.place() }))
            .collect();
        let mut details = details(kind, &kind.name, name);
        details["causes"] = Value::Array(listed);
        Self {
            code: 422,
            reason: "Invalid",
            message: format!("{qualified} {name:?} is invalid: {text}"),
            details: Some(details),
        }
    }

    /// A replacement that does not say what it replaces. A real server names the resource here, not the kind.
    pub(super) fn unversioned(kind: &Kind, name: &str, cause: &Cause) -> Self {
        let invalid = Self::invalid(kind, name, std::slice::from_ref(cause));
        let message =
            format!("{} {name:?} is invalid: {}: {}", kind.resource(), cause.place(), cause.message);
        let details = invalid.details.map(|mut details| {
            details["kind"] = kind.plural.as_str().into();
            details
        });
        Self { message, details, ..invalid }
    }

    /// An apply that does not say on whose behalf.
    pub(super) fn unmanaged() -> Self {
        let message = "Required value: is required for apply patch";
        Self::of_options("PatchOptions", "fieldManager", "FieldValueRequired", message)
    }

    /// Options that are not valid.
    pub(super) fn of_options(kind: &str, field: &str, reason: &str, message: &str) -> Self {
        let cause = json!({ "reason": reason, "message": message, "field": field });
        let details = json!({ "group": "meta.k8s.io", "kind": kind, "causes": [cause] });
        let message = format!("{kind}.meta.k8s.io \"\" is invalid: {field}: {message}");
        Self { code: 422, reason: "Invalid", message, details: Some(details) }
    }

    /// An object of another kind than is served there.
    pub(super) fn of_another_kind(kind: &Kind, stated: &str, name: &str) -> Self {
        let message = format!("Invalid value: {stated:?}: must be {}", kind.name);
        let cause = json!({ "reason": "FieldValueInvalid", "message": message, "field": "kind" });
        let details = json!({ "name": name, "group": kind.group, "kind": stated, "causes": [cause] });
        let message = format!("{stated}.{} {name:?} is invalid: kind: {message}", kind.group);
        Self { code: 422, reason: "Invalid", message, details: Some(details) }
    }

    /// A resourceVersion in an object that is no number. A real server fails over it.
    pub(super) fn unreadable_version(stated: &str) -> Self {
        let message = format!("strconv.ParseUint: parsing {stated:?}: invalid syntax");
        Self { code: 500, reason: "", message, details: None }
    }

    /// The request itself makes no sense.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self { code: 400, reason: "BadRequest", message: message.into(), details: None }
    }

    /// The verb is not served there.
    pub(super) fn not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".into();
        Self { code: 405, reason: "MethodNotAllowed", message, details: Some(json!({})) }
    }

    /// What was asked for lies too far back.
    pub(super) fn expired(message: String) -> Self {
        Self { code: 410, reason: "Expired", message, details: None }
    }

    /// The `Status` body.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            body["reason"] = self.reason.into();
        }
        if let Some(details) = &self.details {
            body["details"] = details.clone();
        }
        body
    }
}

fn details(kind: &Kind, word: &str, name: &str) -> Value {
    let mut details = Map::new();
    if !name.is_empty() {
        details.insert("name".into(), name.into());
    }
    if !kind.group.is_empty() {
        details.insert("group".into(), kind.group.as_str().into());
    }
    details.insert("kind".into(), word.into());
    Value::Object(details)
}
