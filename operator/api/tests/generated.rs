//! The committed manifests are what the code generates. `UPDATE_MANIFESTS=1 cargo test -p fooddelivery-api` renews
//! them.
#![allow(clippy::expect_used)]

use std::path::{Path, PathBuf};

use fooddelivery_api::{crds, policies};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn compare(path: &Path, generated: &str) {
    if std::env::var_os("UPDATE_MANIFESTS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        std::fs::write(path, generated).expect("the file can be written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let name = path.display();
    assert!(committed == generated, "{name} has drifted: UPDATE_MANIFESTS=1 cargo test -p fooddelivery-api");
}

#[test]
fn the_committed_crds_are_what_the_types_say() {
    let files = crds::files().expect("they can be generated");
    assert_eq!(files.len(), 11);
    for (name, text) in files {
        compare(&top().join("crds").join(name), &text);
    }
}

#[test]
fn the_committed_policies_are_what_the_tables_say() {
    for (name, text) in policies::files(&[policies::operator_user()]).expect("they can be generated") {
        compare(&top().join("manifests/base/policies").join(name), &text);
    }
}

#[test]
fn every_string_and_list_of_a_spec_is_bounded() {
    for crd in crds::all().expect("they can be generated") {
        let schema =
            crd.spec.versions[0].schema.clone().and_then(|s| s.open_api_v3_schema).expect("a schema");
        let json = serde_json::to_value(&schema).expect("it can be written");
        unbounded(&json["properties"]["spec"], &crd.spec.names.kind);
    }
}

fn unbounded(schema: &serde_json::Value, place: &str) {
    match schema["type"].as_str() {
        Some("string") => {
            let bounded = ["maxLength", "enum", "pattern", "format"].iter().any(|k| !schema[*k].is_null());
            assert!(bounded, "{place} is a string without a bound");
        }
        Some("array") => assert!(!schema["maxItems"].is_null(), "{place} is a list without a bound"),
        Some("integer") if !place.contains("quote") => {
            assert!(!schema["maximum"].is_null(), "{place} is a number without a bound");
        }
        _ => {}
    }
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            unbounded(property, &format!("{place}.{name}"));
        }
    }
    if !schema["items"].is_null() {
        unbounded(&schema["items"], &format!("{place}[]"));
    }
}

#[test]
fn every_field_explains_itself() {
    for crd in crds::all().expect("they can be generated") {
        let schema =
            crd.spec.versions[0].schema.clone().and_then(|s| s.open_api_v3_schema).expect("a schema");
        let json = serde_json::to_value(&schema).expect("it can be written");
        for part in ["spec", "status"] {
            explained(&json["properties"][part], &format!("{}.{part}", crd.spec.names.kind));
        }
    }
}

fn explained(schema: &serde_json::Value, place: &str) {
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            let place = format!("{place}.{name}");
            assert!(property["description"].is_string(), "{place} has no description");
            explained(property, &place);
            explained(&property["items"], &place);
        }
    }
}
