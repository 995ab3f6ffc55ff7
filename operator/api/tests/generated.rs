//! The committed manifests are what the code generates. `UPDATE_MANIFESTS=1 cargo test -p fooddelivery-api` renews
//! them.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fooddelivery_api::kinds::{self, Scope};
use fooddelivery_api::policies::actors::PREFIX;
use fooddelivery_api::rules::{self, Place, Rule};
use fooddelivery_api::{GROUP, MessageTransport, VERSION, crds, policies, roles};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

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
    let text = crds::file().expect("they can be generated");
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    assert_eq!(documents.len(), kinds::ALL.len());
    compare(&top().join("crds/crds.yaml"), &text);
    let known = ["crds.yaml", "kustomization.yaml"].map(str::to_owned);
    assert_eq!(names_in(&top().join("crds")), BTreeSet::from(known), "a file that nobody generates");
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn the_committed_roles_are_what_the_kinds_say() {
    compare(&top().join("manifests/base/rbac.yaml"), &roles::file().expect("they can be generated"));
}

#[test]
fn the_rows_say_what_the_types_say() {
    for (kind, crd) in kinds::ALL.iter().zip(crds::all().expect("they can be generated")) {
        let names = &crd.spec.names;
        assert_eq!((kind.name, kind.plural), (&*names.kind, &*names.plural));
        let scope = if kind.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" };
        assert_eq!(crd.spec.scope, scope, "{}", kind.name);
        let version = &crd.spec.versions[0];
        // Of tickets and deliveries the stage says all.
        let has_status = version.subresources.as_ref().is_some_and(|s| s.status.is_some());
        let needs_none = matches!(kind.name, "Ticket" | "Delivery");
        assert_eq!((has_status, kind.has_status()), (!needs_none, !needs_none), "status of {}", kind.name);
    }
}

#[test]
fn every_kind_has_names_for_kubectl() {
    let mut known = BTreeSet::from(["food".to_owned()]);
    for crd in crds::all().expect("they can be generated") {
        let names = crd.spec.names;
        let kind = names.kind;
        assert_eq!((&*crd.spec.group, &*crd.spec.versions[0].name), (GROUP, VERSION), "{kind}");
        let categories = names.categories.unwrap_or_default();
        assert_eq!(categories, ["food"], "{kind}: `kubectl get food` lists them all");
        let short = names.short_names.unwrap_or_default();
        assert!(!short.is_empty(), "{kind} has no short name");
        for name in short.into_iter().chain(names.singular).chain([names.plural]) {
            assert!(known.insert(name.clone()), "{kind}: the name {name} is taken");
        }
    }
}

/// Reads a document as the type of its kind; `None` when it is of none of ours.
fn read_as_its_kind(document: &serde_json::Value) -> Option<Result<(), serde_json::Error>> {
    macro_rules! read {
        ($($kind:ident: $cache:ident, $plural:literal, $scope:ident, { $($facts:tt)* };)+) => {
            match document["kind"].as_str() {
                $(Some(stringify!($kind)) => Some(
                    serde_json::from_value::<fooddelivery_api::$kind>(document.clone()).map(|_| ())
                ),)+
                _ => None,
            }
        };
    }
    fooddelivery_api::for_each_kind!(read)
}

#[test]
fn whatever_people_make_has_a_sample_and_samples_are_of_the_types() {
    let folder = top().join("manifests/samples");
    let mut sampled = BTreeSet::new();
    for name in names_in(&folder) {
        let text = std::fs::read_to_string(folder.join(&name)).expect("a file");
        let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).expect("YAML");
        for document in documents {
            match read_as_its_kind(&document) {
                Some(Ok(())) => drop(sampled.insert(document["kind"].as_str().expect("a kind").to_owned())),
                Some(Err(wrong)) => panic!("{name}: {wrong}"),
                None => {}
            }
        }
    }
    let made = kinds::ALL.iter().filter(|kind| !kind.is_made_by_operator());
    let without: Vec<&str> = made.map(|kind| kind.name).filter(|name| !sampled.contains(*name)).collect();
    assert!(without.is_empty(), "without a sample: {without:?}");
}

#[test]
fn every_transport_of_messages_is_in_the_schema() {
    let all = crds::all().expect("they can be generated");
    let crd = all.iter().find(|crd| crd.spec.names.kind == "MessageProvider").expect("its CRD");
    let schema = serde_json::to_value(&crd.spec.versions[0].schema).expect("it can be written");
    let words = &schema["openAPIV3Schema"]["properties"]["spec"]["properties"]["transport"]["enum"];
    let known: Vec<String> = MessageTransport::ALL.iter().map(|transport| format!("{transport:?}")).collect();
    assert_eq!(*words, serde_json::json!(known));
}

#[test]
fn the_committed_policies_are_what_the_tables_say() {
    for (name, text) in policies::files(&[policies::operator_user()], PREFIX).expect("they can be generated")
    {
        // Not in the base: it is for servers since Kubernetes 1.36 alone.
        let folder = if name == "mutating.yaml" {
            "manifests/components/static-stamp"
        } else {
            "manifests/base/policies"
        };
        compare(&top().join(folder).join(name), &text);
    }
}

/// Of every kind its name and its schema.
fn schemas() -> Vec<(String, serde_json::Value)> {
    let all = crds::all().expect("they can be generated").into_iter();
    let schema = |crd: &CustomResourceDefinition| {
        let schema = crd.spec.versions[0].schema.as_ref()?.open_api_v3_schema.as_ref()?;
        serde_json::to_value(schema).ok()
    };
    all.map(|crd| (crd.spec.names.kind.clone(), schema(&crd).expect("a schema"))).collect()
}

#[test]
fn every_string_and_list_of_a_spec_is_bounded() {
    for (kind, schema) in schemas() {
        unbounded(&schema["properties"]["spec"], &kind);
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
    for (kind, schema) in schemas() {
        for part in ["spec", "status"] {
            explained(&schema["properties"][part], &format!("{kind}.{part}"));
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

/// What a refusal by a rule, a pattern or a list of words would show to whoever reads logs: since Kubernetes 1.35 that is
/// the value for rules, too.
#[test]
fn a_refusal_shows_nobodys_token_number_or_address() {
    let mut seen = 0;
    for (kind, schema) in schemas() {
        seen += kept_quiet(&schema, &kind);
    }
    assert!(seen >= 5, "the tokens of orders and payments, contacts and addresses: {seen}");
}

/// How many such fields there are.
fn kept_quiet(schema: &serde_json::Value, place: &str) -> usize {
    let mut seen = 0;
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{place}.{name}");
        if ["token", "contact", "address"].contains(&&**name) {
            seen += 1;
            for shown in ["x-kubernetes-validations", "pattern", "enum", "format"] {
                assert!(property[shown].is_null(), "{place}: its {shown} shows the value that it refuses");
            }
        }
        seen += kept_quiet(property, &place) + kept_quiet(&property["items"], &place);
    }
    seen
}

/// The text of the only rule of `rules` at `place` that compares `old` with a word.
fn step_rule(rules: Vec<Rule>, place: Place, old: &str) -> String {
    let compares = format!("{old} == '");
    let mut found = rules.into_iter().filter(|rule| rule.place == place && rule.rule.contains(&compares));
    let rule = found.next().expect("a rule of the steps").rule;
    assert!(found.next().is_none(), "one rule has all steps");
    rule
}

#[test]
fn the_rule_for_a_stage_says_what_the_table_says() {
    let rule = step_rule(rules::ticket(), Place::Update, "oldObject.spec.stage");
    let way = "(oldObject.spec.stage == 'Cooking' && object.spec.stage in ['Cooked', 'Abandoned'])";
    assert!(rule.contains(way), "{rule}");
    assert!(!rule.contains("oldObject.spec.stage == 'Cooked'"), "{rule}");
}

#[test]
fn a_rule_is_in_force_where_it_stands() {
    for kind in kinds::ALL {
        let of_policy = (kind.rules)().iter().any(|rule| !matches!(rule.place, Place::Schema(_)));
        assert!(!of_policy || kind.is_guarded(), "{} has no policy that keeps its rules", kind.name);
    }
}

/// What is written most must not cost what a rule about its spec costs: those stand in policies, which status writes do not
/// concern.
#[test]
fn the_schemas_of_orders_and_their_children_rule_on_the_status_alone() {
    for kind in kinds::ALL.iter().filter(|kind| kind.is_guarded()) {
        for rule in (kind.rules)() {
            let Place::Schema(path) = rule.place else { continue };
            assert!(path.split('.').next() == Some("status"), "{}: {}", kind.name, rule.rule);
        }
    }
}

#[test]
fn an_order_may_skip_phases_but_not_leave_an_end() {
    let rule = step_rule(rules::order(), Place::Schema("status.phase"), "oldSelf");
    let from_store = rule.split("oldSelf == 'AwaitingStore'").nth(1).expect("a way on");
    assert!(from_store.split(')').next().expect("a list").contains("'Delivered'"));
    assert!(!rule.contains("oldSelf == 'Completed'"));
}
