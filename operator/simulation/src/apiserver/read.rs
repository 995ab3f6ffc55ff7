//! Reading: one, many, pages of many, and many as they once were.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use serde_json::{Value, json};

use super::failure::Failure;
use super::request::Request;
use super::response::Response;
use super::selector::Selector;
use super::server::{Done, Outcome, Server};
use super::store::{Key, Stored};

/// Where a page ended.
struct Page {
    version: u64,
    after: Option<Key>,
}

impl Server {
    pub(super) fn get(&self, number: usize, request: &Request) -> Outcome {
        Ok(Done::Object(200, self.existing(number, &Self::key(request))?))
    }

    /// A list as a watch cache that has seen nothing since `version` would answer it. Requests for a version, or for
    /// the rest of a list, are answered as by [`Self::handle`].
    pub fn handle_stale_list(&self, request: &Request, version: u64) -> Response {
        let stated = request.options.resource_version.as_deref();
        let stale = matches!(stated, None | Some("0")).then_some(version);
        match self.number(request).and_then(|number| self.list(number, request, stale)) {
            Ok(done) => done.into(),
            Err(failure) => failure.into(),
        }
    }

    pub(super) fn list(&self, number: usize, request: &Request, stale: Option<u64>) -> Outcome {
        let options = &request.options;
        let selector = Selector::parse(self.kind(number), request.namespace.as_deref(), options)?;
        let page = self.page(request, stale)?;
        let table = &self.tables[number];
        let past;
        let objects: &BTreeMap<Key, Arc<Stored>> = if page.version == self.version {
            &table.objects
        } else {
            let too_old = || {
                let message = "The provided continue parameter is too old to display a consistent list result. \
                               You can start a new list without the continue parameter.";
                let too_old = format!("too old resource version: {} ({})", page.version, table.floor);
                Failure::expired(if options.continue_token.is_some() { message.into() } else { too_old })
            };
            past = table.at(page.version).ok_or_else(too_old)?;
            &past
        };
        let mut chosen = objects
            .iter()
            .filter(|(key, _)| page.after.as_ref().is_none_or(|after| *key > after))
            .filter(|(_, object)| selector.picks(&object.value));
        // A list from the cache is not cut into pages.
        let limit = if options.resource_version.as_deref() == Some("0") { 0 } else { options.limit };
        let first: Vec<(&Key, &Arc<Stored>)> =
            if limit == 0 { chosen.by_ref().collect() } else { chosen.by_ref().take(limit).collect() };
        let mut metadata = json!({ "resourceVersion": page.version.to_string() });
        let left = chosen.count();
        if let (true, Some((key, _))) = (left > 0, first.last()) {
            metadata["continue"] = token(page.version, key).into();
            if options.labels.is_none() && options.fields.is_none() {
                metadata["remainingItemCount"] = left.into();
            }
        }
        Ok(Done::Text(200, self.joined(number, &metadata, &first)))
    }

    /// What is written once is not written again: the objects' own bytes are put together.
    fn joined(&self, number: usize, metadata: &Value, objects: &[(&Key, &Arc<Stored>)]) -> String {
        let kind = self.kind(number);
        let (version, name) = (kind.api_version(), format!("{}List", kind.name));
        let mut text =
            format!(r#"{{"apiVersion":"{version}","kind":"{name}","metadata":{metadata},"items":["#);
        for (n, (_, object)) in objects.iter().enumerate() {
            if n > 0 {
                text.push(',');
            }
            text.push_str(&String::from_utf8_lossy(object.bytes()));
        }
        text.push_str("]}");
        text
    }

    fn page(&self, request: &Request, stale: Option<u64>) -> Result<Page, Failure> {
        let options = &request.options;
        if let Some(token) = &options.continue_token {
            return parsed_token(token);
        }
        let stated = match options.resource_version.as_deref() {
            None => None,
            Some(text) => Some(text.parse::<u64>().map_err(|_| unreadable_version(text))?),
        };
        let version = match stated {
            Some(stated) if stated > self.version => {
                let message = format!("Too large resource version: {stated}, current: {}", self.version);
                return Err(Failure {
                    code: 504,
                    reason: "Timeout",
                    message,
                    details: Some(json!({ "retryAfterSeconds": 1 })),
                });
            }
            Some(stated) if options.version_match.as_deref() == Some("Exact") => stated,
            _ => stale.unwrap_or(self.version),
        };
        Ok(Page { version, after: None })
    }
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

fn token(version: u64, key: &Key) -> String {
    let text = json!({ "v": TOKEN_VERSION, "rv": version, "start": [key.namespace, key.name] });
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text.to_string())
}

fn parsed_token(token: &str) -> Result<Page, Failure> {
    let invalid =
        |why: &str| Failure::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token);
    let bytes = bytes.map_err(|error| invalid(&error.to_string()))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| invalid(&error.to_string()))?;
    if value["v"] != TOKEN_VERSION {
        let stated = value["v"].as_str().unwrap_or_default();
        return Err(invalid(&format!("server does not recognize this encoded version {stated}")));
    }
    let text = |n: usize| value["start"][n].as_str().unwrap_or_default();
    let version = value["rv"].as_u64().ok_or_else(|| invalid("it has no version"))?;
    Ok(Page { version, after: Some(Key::new(text(0), text(1))) })
}

/// The answer to a resourceVersion among the options that is no number.
fn unreadable_version(stated: &str) -> Failure {
    let failure = Failure::unreadable_version(stated);
    let message = format!("resourceVersion: Invalid value: {stated:?}: {}", failure.message);
    Failure::bad_request(format!("invalid resource version: {message}"))
}
