//! Objects and requests as everybody in a schedule has them: the fields that all of them read, and how a request is put
//! together.

use bytes::Bytes;
use fooddelivery_api::{GROUP, VERSION};
use serde_json::Value;

use crate::apiserver::{Options, PatchKind, Request, Server, Verb};

/// Where everything happens.
pub const NAMESPACE: &str = "food";

/// A request, put together.
pub fn request(verb: Verb, plural: &str, name: &str, body: &Value) -> Request {
    let (group, version, namespace) = match plural {
        "secrets" => ("", "v1", Some(NAMESPACE)),
        "namespaces" => ("", "v1", None),
        "paymentproviders" | "messageproviders" => (GROUP, VERSION, None),
        _ => (GROUP, VERSION, Some(NAMESPACE)),
    };
    Request {
        verb,
        group: group.into(),
        version: version.into(),
        plural: plural.into(),
        namespace: namespace.map(Into::into),
        name: (verb != Verb::Create).then(|| name.into()),
        subresource: None,
        options: Options::default(),
        patch: (verb == Verb::Patch).then_some(PatchKind::Merge),
        body: if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) },
    }
}

/// Whether everything there is being deleted.
pub(crate) fn is_dying(server: &Server) -> bool {
    let namespace = server.objects("namespaces").find(|n| n["metadata"]["name"] == NAMESPACE);
    namespace.is_none_or(|n| n["metadata"]["deletionTimestamp"].is_string())
}

pub(crate) fn name_of(object: &Value) -> String {
    text(&object["metadata"]["name"]).to_owned()
}

/// The attempt that a payment is in: of its status, or of its creation where nobody has written a status yet.
pub(crate) fn attempt_of(payment: &Value) -> i64 {
    let (intent, status) = (&payment["spec"]["intent"], &payment["status"]);
    if intent.is_object() && status["observedGeneration"].is_null() {
        1
    } else {
        status["attempt"].as_i64().unwrap_or(0)
    }
}

/// A field that is a string; empty where it is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
