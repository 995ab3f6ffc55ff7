//! A request, taken apart: what is to be done to what, by which options.

use bytes::Bytes;
use http::{Method, Uri};
use serde_json::Value;

use super::failure::Failure;
use super::response::Response;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read many.
    List,
    /// Be told of changes.
    Watch,
    /// `POST`.
    Create,
    /// `PUT`.
    Update,
    /// `PATCH`.
    Patch,
    /// Delete one.
    Delete,
    /// Delete many.
    DeleteCollection,
}

/// How a patch is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 7396.
    Merge,
    /// RFC 6902.
    Json,
    /// Server-side apply, as far as it is simulated: what is stated is set, and nothing is ever taken out.
    Apply,
}

/// The options of a request.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `resourceVersion`.
    pub resource_version: Option<String>,
    /// `resourceVersionMatch`.
    pub version_match: Option<String>,
    /// `limit`; 0 is none.
    pub limit: usize,
    /// `continue`.
    pub continue_token: Option<String>,
    /// `labelSelector`.
    pub labels: Option<String>,
    /// `fieldSelector`.
    pub fields: Option<String>,
    /// `allowWatchBookmarks`.
    pub bookmarks: bool,
    /// `sendInitialEvents`.
    pub initial_events: bool,
    /// `timeoutSeconds`.
    pub timeout_seconds: Option<u64>,
    /// `dryRun=All`.
    pub dry_run: bool,
    /// `fieldValidation=Strict`.
    pub strict: bool,
    /// `fieldManager`.
    pub manager: Option<String>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is to be done.
    pub verb: Verb,
    /// API group; empty for the core one.
    pub group: String,
    /// API version.
    pub version: String,
    /// `orders` and so on.
    pub plural: String,
    /// The namespace in the path.
    pub namespace: Option<String>,
    /// The name in the path.
    pub name: Option<String>,
    /// `status`.
    pub subresource: Option<String>,
    /// Its options.
    pub options: Options,
    /// The kind of patch.
    pub patch: Option<PatchKind>,
    /// The body as it came.
    pub body: Bytes,
}

impl Request {
    /// Takes an HTTP request apart, for whoever stands between a client and the server.
    ///
    /// # Errors
    /// The answer to a request that cannot be understood.
    pub fn of_http(
        method: &Method,
        uri: &Uri,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<Self, Response> {
        Self::parse(method, uri, content_type, body).map_err(Response::from)
    }

    /// Takes an HTTP request apart.
    pub(super) fn parse(
        method: &Method,
        uri: &Uri,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<Self, Failure> {
        let (options, is_watch) = options(uri.query().unwrap_or_default());
        let mut request = path(uri.path()).ok_or_else(Failure::no_such_resource)?;
        request.verb = match (method, &request.name) {
            (&Method::GET, _) if is_watch => Verb::Watch,
            (&Method::GET, Some(_)) => Verb::Get,
            (&Method::GET, None) => Verb::List,
            (&Method::POST, None) => Verb::Create,
            (&Method::PUT, Some(_)) => Verb::Update,
            (&Method::PATCH, Some(_)) => Verb::Patch,
            (&Method::DELETE, Some(_)) => Verb::Delete,
            (&Method::DELETE, None) => Verb::DeleteCollection,
            _ => return Err(Failure::not_allowed()),
        };
        request.patch = match content_type {
            Some("application/merge-patch+json") => Some(PatchKind::Merge),
            Some("application/json-patch+json") => Some(PatchKind::Json),
            Some("application/apply-patch+yaml") => Some(PatchKind::Apply),
            _ => None,
        };
        if request.verb == Verb::Patch && request.patch.is_none() {
            let message = "the body of the request was in an unknown format - accepted media types include: \
                           application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            let failure = Failure::bad_request(message);
            return Err(Failure { code: 415, reason: "UnsupportedMediaType", ..failure });
        }
        request.options = options;
        request.body = body;
        Ok(request)
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::bad_request(format!("the body cannot be read: {error}")))
    }

    /// `orders`, or `orders/status`.
    pub(super) fn target(&self) -> String {
        match &self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.plural),
            None => self.plural.clone(),
        }
    }

    /// An internal request of a part of Kubernetes, such as the garbage collector.
    pub(super) fn internal(
        verb: Verb,
        kind: &super::kinds::Kind,
        key: &super::store::Key,
        body: &Value,
    ) -> Self {
        Self {
            verb,
            group: kind.group.clone(),
            version: kind.version.clone(),
            plural: kind.plural.clone(),
            namespace: kind.namespaced.then(|| key.namespace.clone()),
            name: Some(key.name.clone()),
            subresource: None,
            options: Options::default(),
            patch: (verb == Verb::Patch).then_some(PatchKind::Merge),
            body: Bytes::from(body.to_string()),
        }
    }
}

fn path(path: &str) -> Option<Request> {
    let mut parts = path.trim_matches('/').split('/').map(decoded);
    let (group, version) = match parts.next()?.as_str() {
        "api" => (String::new(), parts.next()?),
        "apis" => (parts.next()?, parts.next()?),
        _ => return None,
    };
    let rest: Vec<String> = parts.collect();
    let words: Vec<&str> = rest.iter().map(String::as_str).collect();
    let (namespace, plural, name, subresource) = match words.as_slice() {
        ["namespaces", name, "status" | "finalize"] => (None, "namespaces", Some(*name), words.get(2)),
        ["namespaces", namespace, plural, rest @ ..] if rest.len() <= 2 => {
            (Some(*namespace), *plural, rest.first().copied(), rest.get(1))
        }
        [plural, rest @ ..] if rest.len() <= 2 => (None, *plural, rest.first().copied(), rest.get(1)),
        _ => return None,
    };
    Some(Request {
        verb: Verb::Get,
        group,
        version,
        plural: plural.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        subresource: subresource.map(|s| (*s).to_owned()),
        options: Options::default(),
        patch: None,
        body: Bytes::new(),
    })
}

fn decoded(part: &str) -> String {
    let pairs = form_urlencoded::parse(part.as_bytes()).next();
    if part.contains('%') {
        pairs.map(|(name, _)| name.into_owned()).unwrap_or_default()
    } else {
        part.into()
    }
}

fn options(query: &str) -> (Options, bool) {
    let mut options = Options::default();
    let mut is_watch = false;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let is_true = value == "true" || value == "1";
        let text = (!value.is_empty()).then(|| value.to_string());
        match name.as_ref() {
            "watch" => is_watch = is_true,
            "resourceVersion" => options.resource_version = text,
            "resourceVersionMatch" => options.version_match = text,
            "limit" => options.limit = value.parse().unwrap_or(0),
            "continue" => options.continue_token = text,
            "labelSelector" => options.labels = text,
            "fieldSelector" => options.fields = text,
            "allowWatchBookmarks" => options.bookmarks = is_true,
            "sendInitialEvents" => options.initial_events = is_true,
            "timeoutSeconds" => options.timeout_seconds = value.parse().ok(),
            "dryRun" => options.dry_run = value == "All",
            "fieldManager" => options.manager = text,
            "fieldValidation" => options.strict = value == "Strict",
            _ => {}
        }
    }
    (options, is_watch)
}

/// By which request an object comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Creation {
    /// It was applied, and was not there.
    Applied,
    /// It was posted; `strict`: what is unknown is refused.
    Posted {
        /// Whether it is.
        strict: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(method: &Method, uri: &str) -> Request {
        let patch = Some("application/merge-patch+json");
        Request::parse(method, &uri.parse().unwrap(), patch, Bytes::new()).unwrap()
    }

    #[test]
    fn paths_of_all_shapes_are_understood() {
        let uri = "/apis/fooddelivery.dev/v1alpha1/namespaces/food/orders/lunch/status?dryRun=All";
        let request = parsed(&Method::PATCH, uri);
        assert_eq!((request.verb, request.target().as_str()), (Verb::Patch, "orders/status"));
        assert_eq!((request.namespace.as_deref(), request.name.as_deref()), (Some("food"), Some("lunch")));
        assert!(request.options.dry_run);
        let request = parsed(&Method::GET, "/apis/fooddelivery.dev/v1alpha1/orders?watch=true&limit=5");
        assert_eq!((request.verb, request.namespace, request.options.limit), (Verb::Watch, None, 5));
        let request = parsed(&Method::DELETE, "/api/v1/namespaces/food");
        assert_eq!((request.verb, request.name.as_deref()), (Verb::Delete, Some("food")));
        let request = parsed(&Method::GET, "/api/v1/namespaces/food/secrets");
        assert_eq!((request.verb, request.plural.as_str()), (Verb::List, "secrets"));
    }
}
