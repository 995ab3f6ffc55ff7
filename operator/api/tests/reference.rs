//! `docs/reference/api.md` is what the types say. `UPDATE_MANIFESTS=1 cargo test -p fooddelivery-api --test reference`
//! renews it.
#![allow(clippy::expect_used)]

use std::fmt::Write as _;
use std::path::Path;

use fooddelivery_api::rules::Message;
use fooddelivery_api::{crds, kinds};
use serde_json::Value;

const HEAD: &str = "# API\n\n<!-- generated: do not edit; UPDATE_MANIFESTS=1 cargo test -p fooddelivery-api --test reference -->\n\n\
Every kind of the group `fooddelivery.dev`, with its fields. A field that is not required may be left out. `kubectl explain` \
shows the same descriptions.\n";

#[test]
fn the_committed_reference_of_the_api_is_what_the_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/api.md");
    let generated = page();
    if std::env::var_os("UPDATE_MANIFESTS").is_some() {
        std::fs::write(&path, &generated).expect("the page can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/reference/api.md has drifted: UPDATE_MANIFESTS=1 cargo test -p fooddelivery-api --test reference"
    );
}

fn page() -> String {
    let kinds: Vec<Value> = crds::all()
        .expect("they can be generated")
        .iter()
        .map(|crd| serde_json::to_value(crd).expect("a CRD can be written"))
        .collect();
    let mut page = HEAD.to_owned();
    page.push_str("\n| kind | short | scope | description |\n|---|---|---|---|\n");
    for crd in &kinds {
        let names = &crd["spec"]["names"];
        let (kind, short) = (text(&names["kind"]), text(&names["shortNames"][0]));
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let scope = text(&crd["spec"]["scope"]).to_lowercase();
        line(
            &mut page,
            &format!(
                "| [`{kind}`](#{}) | `{short}` | {scope} | {} |",
                kind.to_lowercase(),
                cell(&schema["description"])
            ),
        );
    }
    for crd in &kinds {
        describe(&mut page, crd);
    }
    page
}

fn describe(page: &mut String, crd: &Value) {
    let (names, version) = (&crd["spec"]["names"], &crd["spec"]["versions"][0]);
    let schema = &version["schema"]["openAPIV3Schema"];
    line(page, &format!("\n## {}\n\n{}\n", text(&names["kind"]), text(&schema["description"])));
    line(
        page,
        &format!("`{}.{}/{}`", text(&names["plural"]), text(&crd["spec"]["group"]), text(&version["name"])),
    );
    let selectable: Vec<String> = list(&version["selectableFields"])
        .map(|field| format!("`{}`", &text(&field["jsonPath"])[1..]))
        .collect();
    if !selectable.is_empty() {
        line(page, &format!("\nField selectors: {}", selectable.join(", ")));
    }
    for part in ["spec", "status"] {
        let part_schema = &schema["properties"][part];
        let mut rows = Vec::new();
        fields(part_schema, "", &mut rows);
        if !rows.is_empty() {
            line(
                page,
                &format!(
                    "\n### {} {part}\n\n| field | type | description |\n|---|---|---|",
                    text(&names["kind"])
                ),
            );
            for row in &rows {
                line(page, row);
            }
        }
    }
    let refusals = sentences(&text(&names["kind"]));
    if !refusals.is_empty() {
        line(
            page,
            &format!(
                "\n### {} rules\n\nA write that breaks one is refused with its sentence.\n",
                text(&names["kind"])
            ),
        );
        for sentence in &refusals {
            line(page, &format!("* {sentence}"));
        }
    }
}

/// A row for each field of an object, nested ones by their path.
fn fields(schema: &Value, prefix: &str, rows: &mut Vec<String>) {
    let required: Vec<String> = list(&schema["required"]).map(text).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let mut about = kind_of(field);
        about.extend(bounds(field));
        if required.contains(name) {
            about.push("required".to_owned());
        }
        if !field["default"].is_null() {
            about.push(format!("default `{}`", plain(&field["default"])));
        }
        rows.push(format!("| `{path}` | {} | {} |", about.join(", "), cell(&field["description"])));
        // Conditions are as everywhere in Kubernetes.
        if name == "conditions" {
            continue;
        }
        fields(field, &format!("{path}."), rows);
        fields(&field["items"], &format!("{path}[]."), rows);
        fields(&field["additionalProperties"], &format!("{path}.*."), rows);
    }
}

fn kind_of(field: &Value) -> Vec<String> {
    if let Some(values) = field["enum"].as_array() {
        let values = values.iter().filter(|value| !value.is_null());
        return vec![values.map(|v| format!("`{}`", plain(v))).collect::<Vec<_>>().join(" \\| ")];
    }
    let kind = match (field["type"].as_str(), field["format"].as_str()) {
        (Some("array"), _) => format!("list of {}", text(&field["items"]["type"])),
        (Some("string"), Some("date-time")) => "time".to_owned(),
        (Some("object"), _) if !field["additionalProperties"].is_null() => {
            format!("map of {}", text(&field["additionalProperties"]["type"]))
        }
        (kind, _) => kind.unwrap_or("any").to_owned(),
    };
    vec![kind]
}

fn bounds(field: &Value) -> Option<String> {
    let pairs = [
        ("minLength", "maxLength", "characters"),
        ("minItems", "maxItems", "entries"),
        ("minimum", "maximum", ""),
    ];
    pairs.iter().find_map(|(least, most, unit)| {
        let (least, most) = (number(&field[*least]), number(&field[*most]));
        let range = match (least, most) {
            (Some(least), Some(most)) if least == most => least,
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (None, Some(most)) => format!("at most {most}"),
            (None, None) => return None,
        };
        Some(format!("{range} {unit}").trim_end().to_owned())
    })
}

/// The sentences of all rules of a kind, wherever they stand, each once; without those that depend on the values.
fn sentences(kind: &str) -> Vec<String> {
    let row = kinds::ALL.iter().find(|row| row.name == kind).expect("a row");
    let mut found: Vec<String> = Vec::new();
    for rule in (row.rules)() {
        let Message::Text(sentence) = rule.message else { continue };
        let sentence = cell(&Value::from(sentence));
        if !found.contains(&sentence) {
            found.push(sentence);
        }
    }
    found
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn number(value: &Value) -> Option<String> {
    // Schemas have floats for bounds; all of ours are whole.
    value.as_f64().map(|n| format!("{n:.0}"))
}

/// As a table's cell takes it.
fn cell(value: &Value) -> String {
    text(value).replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn line(page: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{text}");
}
