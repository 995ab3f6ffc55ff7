//! How a cache holds an object: as it is, or packed, as the text of which it can be read again, less what all of its kind have
//! in common. An object in memory takes some eight times as much, and of most objects nothing is asked any more.

use std::sync::{Arc, OnceLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lz4_flex::block;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Cached, Malformed};
use crate::guard::Guarded;

/// What stands in the place of an object.
pub(super) enum Held<K> {
    Object(Arc<K>),
    Packed(Box<[u8]>),
    Malformed(Arc<Malformed>),
}

/// How a cache keeps the objects of its kind: what it takes from each, and which it packs.
pub struct Keeping<K> {
    /// Takes from an object what nobody here asks for.
    pub trim: fn(&mut K),
    packing: Option<Packing<K>>,
}

struct Packing<K> {
    rests: fn(&K) -> bool,
    write: fn(&K) -> serde_json::Result<String>,
    read: fn(&str) -> serde_json::Result<Guarded<K>>,
    /// The text of the first one: names of fields, and whatever else repeats.
    dictionary: OnceLock<Box<str>>,
}

impl<K> Keeping<K> {
    /// All objects as they are, but for what `trim` takes from each.
    pub fn trimmed(trim: fn(&mut K)) -> Self {
        Self { trim, packing: None }
    }
}

impl<K: Serialize + DeserializeOwned> Keeping<K> {
    /// The same, with those packed that rest: `rests` says so of an object, trimmed, that is seldom asked for and seldom
    /// changes. To read one of them takes some microseconds. One that cannot be written as text is kept as it is.
    pub fn packed(trim: fn(&mut K), rests: fn(&K) -> bool) -> Self {
        let packing = Packing {
            rests,
            write: |object| serde_json::to_string(object),
            read: Guarded::of_text,
            dictionary: OnceLock::new(),
        };
        Self { trim, packing: Some(packing) }
    }
}

impl<K> Keeping<K> {
    pub(super) fn rests(&self, object: &K) -> bool {
        self.packing.as_ref().is_some_and(|packing| (packing.rests)(object))
    }

    pub(super) fn hold(&self, object: Arc<K>) -> Held<K> {
        let packed = self.packing.as_ref().filter(|_| self.rests(&object));
        packed.and_then(|packing| packing.pack(&object)).map_or(Held::Object(object), Held::Packed)
    }

    pub(super) fn cached(&self, held: &Held<K>) -> Cached<K> {
        match (held, &self.packing) {
            (Held::Object(object), _) => Cached::Object(object.clone()),
            (Held::Malformed(malformed), _) => Cached::Malformed(malformed.clone()),
            (Held::Packed(packed), Some(packing)) => packing.unpack(packed),
            (Held::Packed(_), None) => unreadable("it was packed where nothing is"),
        }
    }

    pub(super) fn object(&self, held: &Held<K>) -> Option<Arc<K>> {
        match self.cached(held) {
            Cached::Object(object) => Some(object),
            Cached::Malformed(_) => None,
        }
    }
}

impl<K> Packing<K> {
    fn dictionary(&self) -> &[u8] {
        self.dictionary.get().map_or(&[], |text| text.as_bytes())
    }

    fn pack(&self, object: &K) -> Option<Box<[u8]>> {
        let text = (self.write)(object).ok()?;
        self.dictionary.get_or_init(|| text.as_str().into());
        let packed = block::compress_prepend_size_with_dict(text.as_bytes(), self.dictionary());
        // Copied, as an allocator may leave what shrinks where it is, with up to as much again behind it.
        Some(packed.as_slice().into())
    }

    fn unpack(&self, packed: &[u8]) -> Cached<K> {
        let text = block::decompress_size_prepended_with_dict(packed, self.dictionary());
        let text = text.map_err(|error| error.to_string());
        let text = text.and_then(|text| String::from_utf8(text).map_err(|error| error.to_string()));
        match text.and_then(|text| (self.read)(&text).map_err(|error| error.to_string())) {
            Ok(Guarded(Ok(object))) => Cached::Object(Arc::new(object)),
            Ok(Guarded(Err(malformed))) => Cached::Malformed(Arc::new(*malformed)),
            Err(error) => unreadable(&error),
        }
    }
}

/// What a kind wrote and does not read again is a fault of the kind's, and harms nothing but the object.
fn unreadable<K>(error: &str) -> Cached<K> {
    Cached::Malformed(Arc::new(Malformed { metadata: ObjectMeta::default(), error: error.to_owned() }))
}
