//! What is taken from an object's metadata before a cache holds it. Whatever is written of an object is what differs, with
//! the resourceVersion that was read, so nothing that is left out here is ever written away.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// kubectl's copy of what was applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Length of an annotation's value from which on [`trim_annotations`] leaves it out.
pub const LARGE_ANNOTATION_BYTES: usize = 1_024;

/// Takes away who manages which field, which is a third of an object or more, and kubectl's copy of it.
pub(super) fn trim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    retain_annotations(metadata, |name, _| name != LAST_APPLIED);
}

/// Takes away large annotations that are not `known`.
pub fn trim_annotations(metadata: &mut ObjectMeta, known: &[&str]) {
    retain_annotations(metadata, |name, value| value.len() < LARGE_ANNOTATION_BYTES || known.contains(&name));
}

fn retain_annotations(metadata: &mut ObjectMeta, keep: impl Fn(&str, &str) -> bool) {
    let Some(annotations) = &mut metadata.annotations else { return };
    annotations.retain(|name, value| keep(name, value));
    if annotations.is_empty() {
        metadata.annotations = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

    #[test]
    fn what_nobody_asks_for_is_taken_away_and_the_rest_stays() {
        let large = "x".repeat(LARGE_ANNOTATION_BYTES);
        let annotations = [("a", "b"), (LAST_APPLIED, "{}"), ("known", &*large), ("unknown", &*large)];
        let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut metadata = ObjectMeta {
            name: Some("n".into()),
            annotations: Some(BTreeMap::from(annotations)),
            managed_fields: Some(vec![ManagedFieldsEntry::default()]),
            finalizers: Some(vec!["f".into()]),
            ..ObjectMeta::default()
        };
        let names = |metadata: &ObjectMeta| {
            let annotations = metadata.annotations.iter().flat_map(BTreeMap::keys);
            annotations.cloned().collect::<Vec<_>>()
        };
        trim(&mut metadata);
        assert_eq!(names(&metadata), ["a", "known", "unknown"], "large ones are the kind's to leave out");
        trim_annotations(&mut metadata, &["known"]);
        assert_eq!(names(&metadata), ["a", "known"]);
        let left = (metadata.managed_fields, metadata.finalizers, metadata.name);
        assert_eq!(left, (None, Some(vec!["f".to_owned()]), Some("n".to_owned())));
    }

    #[test]
    fn nothing_is_left_of_annotations_that_are_all_taken_away() {
        let annotations = BTreeMap::from([(LAST_APPLIED.to_owned(), "{}".to_owned())]);
        let mut metadata = ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() };
        trim(&mut metadata);
        assert_eq!(metadata.annotations, None);
    }
}
