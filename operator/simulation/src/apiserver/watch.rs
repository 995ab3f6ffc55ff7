//! Watches: where one begins, and what it brings next. A watch is a cursor into the log of its kind; whoever holds it
//! asks for what came after.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use super::failure::Failure;
use super::request::Request;
use super::response::Response;
use super::selector::Selector;
use super::server::Server;
use super::store::{Event, Key, Rest, Stored};

/// A watch: what it is about, and how far it has come. It belongs to the server that began it.
#[derive(Debug, Clone)]
pub struct Cursor {
    number: usize,
    selector: Selector,
    /// Everything up to this version was brought.
    version: u64,
    /// Objects that are there at the beginning and were not brought yet, as lines.
    initial: Vec<Bytes>,
    /// Whether it is over: what it needs is gone.
    expired: bool,
    /// Whether the client wants bookmarks.
    pub bookmarks: bool,
}

/// What a watch brings next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    /// Nothing for now.
    Nothing,
    /// Lines of the body.
    Lines(Vec<Bytes>),
    /// This line, and then the end: what the watch needs is gone.
    Expired(Bytes),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Added,
    Modified,
    Deleted,
}

impl Server {
    /// Begins a watch. As on a real server, a resourceVersion that lies too far back is no error yet: the watch
    /// begins, and its one event says so.
    ///
    /// # Errors
    /// The answer to a request that cannot be understood.
    pub fn watch(&self, request: &Request) -> Result<Cursor, Response> {
        let number = self.number(request)?;
        let selector = Selector::parse(self.kind(number), request.namespace.as_deref(), &request.options)?;
        let stated = request.options.resource_version.as_deref().filter(|stated| *stated != "0");
        let version = match stated {
            None => self.version,
            Some(text) => text.parse().map_err(|_| unreadable_version(text))?,
        };
        let bookmarks = request.options.bookmarks;
        let expired = version < self.tables[number].floor;
        let mut cursor = Cursor { number, selector, version, initial: Vec::new(), expired, bookmarks };
        if stated.is_none() || request.options.initial_events {
            let picked = self.tables[number].objects.values().filter(|o| cursor.selector.picks(&o.value));
            cursor.initial = picked.map(|object| line(Word::Added, object)).collect();
            cursor.version = self.version;
        }
        if request.options.initial_events {
            let ended = json!({ "k8s.io/initial-events-end": "true" });
            let line = self.bookmark_line(&cursor, Some(ended));
            cursor.initial.push(line);
        }
        Ok(cursor)
    }

    /// What a watch brings next, at most `most` lines. With `coalesce`, of several changes of one object that are
    /// due only the last is brought.
    pub fn pull(&self, cursor: &mut Cursor, most: usize, coalesce: bool) -> Pulled {
        if !cursor.initial.is_empty() {
            let count = most.min(cursor.initial.len());
            return Pulled::Lines(cursor.initial.drain(..count).collect());
        }
        let table = &self.tables[cursor.number];
        let since = if cursor.expired { None } else { table.since(cursor.version) };
        let Some(events) = since else {
            return Pulled::Expired(expired_line(&format!(
                "too old resource version: {} ({})",
                cursor.version, table.floor
            )));
        };
        let mut due: Vec<(Key, Word, Bytes)> = Vec::new();
        let mut places: BTreeMap<Key, usize> = BTreeMap::new();
        let mut reached = cursor.version;
        for event in events {
            let seen = seen(&cursor.selector, event);
            if seen.is_some() && due.len() >= most {
                break;
            }
            reached = event.version;
            let Some((word, line)) = seen else { continue };
            if coalesce
                && word != Word::Added
                && let Some(place) = places.get(&event.key).copied()
                && due[place].1 != Word::Deleted
            {
                // An addition that was not brought yet stays one, unless the object is gone again.
                let earlier = due.remove(place);
                places.values_mut().filter(|p| **p > place).for_each(|p| *p -= 1);
                let word =
                    if earlier.1 == Word::Added && word == Word::Modified { Word::Added } else { word };
                let line = if word == Word::Added { self::line(word, &event.object) } else { line };
                due.push((event.key.clone(), word, line));
                places.insert(event.key.clone(), due.len() - 1);
                continue;
            }
            places.insert(event.key.clone(), due.len());
            due.push((event.key.clone(), word, line));
        }
        cursor.version = reached;
        if due.is_empty() { Pulled::Nothing } else { Pulled::Lines(due.into_iter().map(|d| d.2).collect()) }
    }

    /// A line that tells how far the server has come; `None` while the watch has something else to bring first.
    pub fn bookmark(&self, cursor: &mut Cursor) -> Option<Bytes> {
        if !cursor.bookmarks || !cursor.initial.is_empty() || cursor.expired {
            return None;
        }
        let mut ahead = cursor.clone();
        if self.pull(&mut ahead, 1, false) != Pulled::Nothing {
            return None;
        }
        cursor.version = self.version;
        Some(self.bookmark_line(cursor, None))
    }

    fn bookmark_line(&self, cursor: &Cursor, annotations: Option<Value>) -> Bytes {
        let kind = self.kind(cursor.number);
        let mut metadata = json!({ "resourceVersion": cursor.version.to_string() });
        if let Some(annotations) = annotations {
            metadata["annotations"] = annotations;
        }
        let object = json!({ "apiVersion": kind.api_version(), "kind": kind.name, "metadata": metadata });
        Bytes::from(format!("{}\n", json!({ "type": "BOOKMARK", "object": object })))
    }
}

/// The answer to a resourceVersion among the options that is no number. A real server fails over it.
fn unreadable_version(stated: &str) -> Failure {
    let failure = Failure::unreadable_version(stated);
    Failure { message: format!("resourceVersion: Invalid value: {stated:?}: {}", failure.message), ..failure }
}

/// The line that ends a watch whose resourceVersion is gone.
pub(super) fn expired_line(why: &str) -> Bytes {
    let status = Failure::expired(why.to_owned()).body();
    Bytes::from(format!("{}\n", json!({ "type": "ERROR", "object": status })))
}

/// What an event is to somebody who looks through a selector.
fn seen(selector: &Selector, event: &Event) -> Option<(Word, Bytes)> {
    let was = event.previous.as_ref().is_some_and(|previous| selector.picks(&previous.value));
    let is = !event.is_deletion && selector.picks(&event.object.value);
    match (was, is) {
        (false, false) => None,
        (false, true) => Some((Word::Added, line(Word::Added, &event.object))),
        (true, true) => Some((Word::Modified, line(Word::Modified, &event.object))),
        (true, false) if event.is_deletion => Some((Word::Deleted, line(Word::Deleted, &event.object))),
        (true, false) => {
            // It is there still, but no longer what was asked for: it leaves as it was, at this version.
            let left = event.previous.as_ref()?.value.clone();
            Some((Word::Deleted, line(Word::Deleted, &Stored::new(left, event.version, Rest::default()))))
        }
    }
}

fn line(word: Word, object: &Stored) -> Bytes {
    let word: &[u8] = match word {
        Word::Added => b"ADDED",
        Word::Modified => b"MODIFIED",
        Word::Deleted => b"DELETED",
    };
    let mut line = BytesMut::with_capacity(object.bytes().len() + 40);
    line.put_slice(br#"{"type":""#);
    line.put_slice(word);
    line.put_slice(br#"","object":"#);
    line.put_slice(object.bytes());
    line.put_slice(b"}\n");
    line.freeze()
}
