//! The server itself: its objects, who is asked for what, and what every request shares. Reads, writes, deletions and
//! watches are in files of their own.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::catalog::Catalog;
use super::failure::Failure;
use super::kinds::Kind;
use super::request::{Creation, Request, Verb};
use super::response::Response;
use super::store::{Key, Stored, Table};

/// What was done: the code and the object or the `Status`.
pub(super) type Outcome = Result<Done, Failure>;

pub(super) enum Done {
    Object(u16, Arc<Stored>),
    Value(u16, Value),
    Text(u16, String),
}

impl From<Done> for Response {
    fn from(done: Done) -> Self {
        match done {
            Done::Object(code, object) => Self { code, body: object.bytes().clone() },
            Done::Value(code, value) => Self { code, body: Bytes::from(value.to_string()) },
            Done::Text(code, text) => Self { code, body: Bytes::from(text) },
        }
    }
}

/// Who acts when, and whether for good.
#[derive(Clone, Copy)]
pub(super) struct Act<'a> {
    pub(super) user: &'a str,
    pub(super) now: Timestamp,
    pub(super) dry_run: bool,
}

/// An API server with its objects.
#[derive(Debug)]
pub struct Server {
    pub(super) catalog: Arc<Catalog>,
    pub(super) tables: Vec<Table>,
    pub(super) version: u64,
    pub(super) drawn: u64,
    pub(super) seed: u64,
}

impl Server {
    /// An empty one, but for the namespaces `default`, `kube-system` and the operator's. Uids depend on `seed` and
    /// on how many were given before, and on nothing else.
    pub fn new(catalog: Arc<Catalog>, seed: u64, now: Timestamp) -> Self {
        let tables = catalog.kinds.iter().map(|_| Table::default()).collect();
        let mut server = Self { catalog, tables, version: 0, drawn: 0, seed };
        for name in ["default", "kube-system", fooddelivery_api::OPERATOR_NAMESPACE] {
            server.add_namespace(name, now);
        }
        server
    }

    /// Makes a namespace, as an administrator would. One that is there already stays as it is.
    pub fn add_namespace(&mut self, name: &str, now: Timestamp) {
        let act = Act { user: "admin", now, dry_run: false };
        if let Some(kind) = self.catalog.find("", "namespaces") {
            let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            // The one way to fail is that it exists.
            let _ = self.create_object(kind, None, body, Creation::Posted { strict: false }, act);
        }
    }

    /// Carries a request out, but for watches, which [`Self::watch`] begins.
    pub fn handle(&mut self, request: &Request, user: &str, now: Timestamp) -> Response {
        let act = Act { user, now, dry_run: request.options.dry_run };
        match self.dispatch(request, act) {
            Ok(done) => done.into(),
            Err(failure) => failure.into(),
        }
    }

    /// The resourceVersion of the last write, of whatever kind.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The objects of a kind, by plural, as they are read: for oracles that look at everything at once.
    pub fn objects(&self, plural: &str) -> impl Iterator<Item = &Value> {
        let number = self.catalog.kinds.iter().position(|kind| kind.plural == plural);
        number.into_iter().flat_map(|n| self.tables[n].objects.values().map(|object| &object.value))
    }

    /// Forgets all events so far: a watch or a list from an older resourceVersion is answered with `410 Gone`.
    pub fn compact(&mut self) {
        let version = self.version;
        self.tables.iter_mut().for_each(|table| table.compact(version));
    }

    fn dispatch(&mut self, request: &Request, act: Act<'_>) -> Outcome {
        let number = self.number(request)?;
        match request.verb {
            Verb::Get => self.get(number, request),
            Verb::List => self.list(number, request, None),
            Verb::Watch => Err(Failure::not_allowed()),
            Verb::Create => {
                let strict = request.options.strict;
                let way = Creation::Posted { strict };
                self.create_object(number, request.namespace.as_deref(), request.json()?, way, act)
            }
            Verb::Update => self.replace(number, request, act),
            Verb::Patch => self.patch(number, request, act),
            Verb::Delete => self.delete(number, request, act),
            Verb::DeleteCollection => self.delete_collection(number, request, act),
        }
    }

    /// The kind that a request is about.
    pub(super) fn number(&self, request: &Request) -> Result<usize, Failure> {
        let number = self.catalog.find(&request.group, &request.plural);
        let number = number.ok_or_else(Failure::no_such_resource)?;
        let kind = &self.catalog.kinds[number];
        let is_served = request.version == kind.version
            && match request.subresource.as_deref() {
                None => true,
                Some("status") => kind.has_status,
                Some(_) => false,
            };
        let fits = kind.namespaced || request.namespace.is_none();
        match (is_served && fits, &request.name) {
            (true, _) => Ok(number),
            (false, Some(name)) if kind.schema.is_some() => Err(Failure::not_found(kind, name)),
            (false, _) => Err(Failure::no_such_resource()),
        }
    }

    pub(super) fn kind(&self, number: usize) -> &Kind {
        &self.catalog.kinds[number]
    }

    pub(super) fn key(request: &Request) -> Key {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        Key::new(namespace, request.name.as_deref().unwrap_or_default())
    }

    pub(super) fn existing(&self, number: usize, key: &Key) -> Result<Arc<Stored>, Failure> {
        let found = self.tables[number].objects.get(key);
        found.cloned().ok_or_else(|| Failure::not_found(self.kind(number), &key.name))
    }

    /// The next of the pseudo-random numbers that uids and generated names are made of (splitmix64).
    pub(super) fn draw(&mut self) -> u64 {
        self.drawn += 1;
        let mut n = self.seed.wrapping_add(self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    pub(super) fn draw_uid(&mut self) -> String {
        let (a, b) = (self.draw(), self.draw());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }

    pub(super) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }
}
