//! An object as the API server sends it: in the shape that this version expects, or known by its metadata alone.
//!
//! kube's `DeserializeGuard` gives the same, by way of a tree of the object that it copies and reads again, which takes
//! several times as long; every replica reads every object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_json::value::RawValue;

use crate::cache::Malformed;

/// An object, or what is known of one that has another shape. It is read from JSON text alone, in which its type stands
/// before it, as the API server has it in watches.
#[derive(Debug, Clone)]
pub struct Guarded<K>(pub Result<K, Box<Malformed>>);

#[derive(Deserialize)]
struct MetadataAlone {
    #[serde(default)]
    metadata: ObjectMeta,
}

impl<K: DeserializeOwned> Guarded<K> {
    /// Reads one from its JSON text.
    ///
    /// # Errors
    /// What is wrong with the text, when not even metadata can be read from it.
    pub(crate) fn of_text(text: &str) -> Result<Self, serde_json::Error> {
        let wrong = match serde_json::from_str(text) {
            Ok(object) => return Ok(Self(Ok(object))),
            Err(wrong) => wrong.to_string(),
        };
        let MetadataAlone { metadata } = serde_json::from_str(text)?;
        // Where in the line it stands says nothing to anybody, and changes with every version of the object.
        let error = wrong.rsplit_once(" at line ").map_or(&*wrong, |(error, _)| error).to_owned();
        Ok(Self(Err(Box::new(Malformed { metadata, error }))))
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Self::of_text(text.get()).map_err(D::Error::custom)
    }
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|malformed| &malformed.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|malformed| &mut malformed.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;
    use kube::core::{ObjectList, WatchEvent};

    use super::*;

    #[test]
    fn an_event_brings_an_object_or_what_is_wrong_with_it() {
        let line = |data: &str| {
            format!(
                r#"{{"type":"ADDED","object":{{"kind":"ConfigMap","metadata":{{"name":"a","resourceVersion":"7"}},"data":{data}}}}}"#
            )
        };
        let read = |data: &str| match serde_json::from_str(&line(data)).unwrap() {
            WatchEvent::Added(Guarded::<ConfigMap>(object)) => object,
            other => panic!("{other:?}"),
        };
        assert_eq!(read(r#"{"word":"one"}"#).unwrap().data.unwrap()["word"], "one");
        let malformed = read("5").unwrap_err();
        assert_eq!(malformed.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(malformed.error, "invalid type: integer `5`, expected a map");
    }

    #[test]
    fn a_list_brings_those_that_can_be_read_and_those_that_cannot() {
        let text = r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{},"items":[
            {"metadata":{"name":"a"}},{"metadata":{"name":"b"},"data":[]}]}"#;
        let list: ObjectList<Guarded<ConfigMap>> = serde_json::from_str(text).unwrap();
        let known: Vec<(String, bool)> = list.iter().map(|it| (it.name_any(), it.0.is_ok())).collect();
        assert_eq!(known, [("a".to_owned(), true), ("b".to_owned(), false)]);
    }
}
