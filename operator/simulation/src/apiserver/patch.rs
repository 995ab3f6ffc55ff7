//! Patches: RFC 7396, RFC 6902, and server-side apply as far as it is simulated.

use serde_json::Value;

use super::failure::Failure;
use super::request::PatchKind;

/// What a patch makes of an object.
pub(super) fn applied(kind: PatchKind, object: &Value, change: &Value) -> Result<Value, Failure> {
    let mut new = object.clone();
    if kind != PatchKind::Json && !change.is_object() {
        let what = match change {
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Number(_) => "number",
            _ => "value",
        };
        return Err(Failure::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {what} into Go value of type map[string]interface {{}}"
        )));
    }
    match kind {
        PatchKind::Merge | PatchKind::Apply => json_patch::merge(&mut new, change),
        PatchKind::Json => {
            let unreadable =
                |e: serde_json::Error| Failure::bad_request(format!("error decoding patch: {e}"));
            let patch: json_patch::Patch = serde_json::from_value(change.clone()).map_err(unreadable)?;
            json_patch::patch(&mut new, &patch).map_err(|_| Failure {
                code: 422,
                reason: "Invalid",
                message: "the server rejected our request due to an error in our request".into(),
                details: Some(serde_json::json!({})),
            })?;
        }
    }
    Ok(new)
}
