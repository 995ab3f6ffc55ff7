//! Structural schemas, compiled from the generated CRDs: pruning, defaulting and validation, with the sentences of a
//! real API server.
//!
//! A keyword that this module does not know is an error when the schema is compiled, so that a new one cannot be
//! passed over in silence.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::cause::Cause;
use super::cel::Engine;
use super::place::Place;
use super::rules::Rule;

/// What the order and the keys of a list mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListKind {
    /// Order matters.
    Atomic,
    /// Each element at most once, in no order.
    Set,
    /// Elements are told apart by these fields.
    Map(Vec<String>),
}

/// A node of a schema.
#[derive(Debug)]
pub(super) struct Schema {
    /// `object`, `array`, `string`, `integer`, `number` or `boolean`; empty for any.
    pub(super) type_: String,
    pub(super) properties: BTreeMap<String, Schema>,
    pub(super) items: Option<Box<Schema>>,
    pub(super) list: ListKind,
    pub(super) rules: Vec<Rule>,
    /// Whether there are rules here or further down.
    pub(super) has_rules: bool,
    required: Vec<String>,
    default: Option<Value>,
    words: Vec<Value>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    pattern: Option<Regex>,
    is_time: bool,
    is_int64: bool,
}

const KNOWN: [&str; 21] = [
    "type",
    "properties",
    "items",
    "required",
    "default",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "pattern",
    "format",
    "description",
    "title",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
    "example",
    "$schema",
];

/// Formats that say nothing that is checked: the type and the bounds do.
const IDLE_FORMATS: [&str; 6] = ["int32", "int64", "uint32", "uint64", "double", "float"];

impl Schema {
    /// Compiles a schema, as JSON. `place` is where it is, for errors.
    pub(super) fn compile(schema: &Value, place: &str, engine: &Engine) -> Result<Self, String> {
        let Some(fields) = schema.as_object() else { return Err(format!("{place} is no schema")) };
        if let Some(unknown) = fields.keys().find(|k| !KNOWN.contains(&k.as_str())) {
            return Err(format!("{place} has {unknown}, which is not simulated"));
        }
        let mut properties = BTreeMap::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}.{name}");
            properties.insert(name.clone(), Self::compile(property, &place, engine)?);
        }
        let items = match &schema["items"] {
            Value::Null => None,
            items => Some(Box::new(Self::compile(items, &format!("{place}[]"), engine)?)),
        };
        if items.as_ref().is_some_and(|i| i.has_rules) {
            return Err(format!("{place} has rules inside a list, which is not simulated"));
        }
        let mut rules = Vec::new();
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            rules.push(Rule::compile(rule, place, engine)?);
        }
        let pattern = match schema["pattern"].as_str() {
            None => None,
            Some(pattern) => Some(Regex::new(pattern).map_err(|e| format!("{place}: {e}"))?),
        };
        let format = schema["format"].as_str().unwrap_or_default();
        if !format.is_empty() && format != "date-time" && !IDLE_FORMATS.contains(&format) {
            return Err(format!("{place} has the format {format}, which is not simulated"));
        }
        let has_rules = !rules.is_empty() || properties.values().any(|p: &Self| p.has_rules);
        Ok(Self {
            type_: schema["type"].as_str().unwrap_or_default().into(),
            properties,
            items,
            list: list_kind(schema, place)?,
            rules,
            has_rules,
            required: strings(&schema["required"]),
            default: schema.get("default").cloned(),
            words: schema["enum"].as_array().cloned().unwrap_or_default(),
            minimum: schema["minimum"].as_f64(),
            maximum: schema["maximum"].as_f64(),
            min_length: schema["minLength"].as_u64(),
            max_length: schema["maxLength"].as_u64(),
            min_items: schema["minItems"].as_u64(),
            max_items: schema["maxItems"].as_u64(),
            pattern,
            is_time: format == "date-time",
            is_int64: format == "int64",
        })
    }

    /// Takes out what the schema does not have, and nulls that no default replaces; names what was unknown.
    pub(super) fn prune(&self, value: &mut Value, place: &Place<'_>, unknown: &mut Vec<String>) {
        match value {
            Value::Object(map) if self.type_ == "object" => {
                let is_root = matches!(place, Place::Root);
                let implied = |name: &str| is_root && matches!(name, "apiVersion" | "kind" | "metadata");
                map.retain(|name, value| {
                    if implied(name) {
                        return true;
                    }
                    let Some(property) = self.properties.get(name) else {
                        unknown.push(Place::Field(place, name).to_string());
                        return false;
                    };
                    if value.is_null() {
                        return property.default.is_some();
                    }
                    property.prune(value, &Place::Field(place, name), unknown);
                    true
                });
            }
            Value::Array(list) => {
                let Some(items) = &self.items else { return };
                for (n, element) in list.iter_mut().enumerate() {
                    items.prune(element, &Place::Index(place, n), unknown);
                }
            }
            _ => {}
        }
    }

    /// Puts in the defaults.
    pub(super) fn fill(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (name, property) in &self.properties {
                    let Some(default) = &property.default else { continue };
                    if map.get(name).is_none_or(Value::is_null) {
                        map.insert(name.clone(), default.clone());
                    }
                }
                for (name, value) in map.iter_mut() {
                    if let Some(property) = self.properties.get(name) {
                        property.fill(value);
                    }
                }
            }
            Value::Array(list) => {
                if let Some(items) = &self.items {
                    for element in list {
                        items.fill(element);
                    }
                }
            }
            _ => {}
        }
    }

    /// What is wrong with a value by the schema alone.
    pub(super) fn check(&self, value: &Value, place: &Place<'_>, causes: &mut Vec<Cause>) {
        if !self.has_type(value) {
            self.complain_of_type(value, place, causes);
            return;
        }
        match value {
            Value::Object(map) => self.check_object(map, place, causes),
            Value::Array(list) => self.check_list(list, place, causes),
            Value::String(text) => self.check_string(text, place, causes),
            Value::Number(number) => self.check_number(number, place, causes),
            _ => {}
        }
        if !self.words.is_empty() && !self.words.contains(value) {
            let words: Vec<String> = self.words.iter().map(ToString::to_string).collect();
            causes.push(Cause {
                reason: "FieldValueNotSupported",
                field: Some(place.to_string()),
                message: format!("Unsupported value: {value}: supported values: {}", words.join(", ")),
            });
        }
    }

    /// What is wrong with a changed object by the schema alone. A part that is as it was is not looked at again: it was
    /// taken under the same schema.
    pub(super) fn check_change(&self, new: &Value, old: &Value, causes: &mut Vec<Cause>) {
        let Value::Object(map) = new else { return self.check(new, &Place::Root, causes) };
        self.check_required(map, &Place::Root, causes);
        for (name, property) in &self.properties {
            if let Some(value) = map.get(name).filter(|value| old.get(name) != Some(*value)) {
                let place = Place::Field(&Place::Root, name);
                property.check(value, &place, causes);
                property.check_unique(value, &place, causes);
            }
        }
    }

    /// The wrong type; a value is shown as the name of its type. A fraction where a 64-bit integer belongs is found by
    /// two checks.
    fn complain_of_type(&self, value: &Value, place: &Place<'_>, causes: &mut Vec<Cause>) {
        let is_fraction = self.is_int64 && value.is_f64();
        let (shown, wanted) =
            if is_fraction { ("float64", "int64") } else { (shown_type(value), self.type_.as_str()) };
        let detail = format!("{} must be of type {wanted}: {shown:?}", in_body(place));
        let mut cause = Cause::invalid(Some(place.to_string()), Some(&format!("{shown:?}")), &detail);
        cause.reason = "FieldValueTypeInvalid";
        causes.push(cause);
        if is_fraction {
            let detail = format!("Checked value must be of type integer with format int64 in {place}");
            causes.push(Cause::invalid(None, Some(r#""""#), &detail));
        }
    }

    fn has_type(&self, value: &Value) -> bool {
        match self.type_.as_str() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            _ => true,
        }
    }

    fn check_object(&self, map: &Map<String, Value>, place: &Place<'_>, causes: &mut Vec<Cause>) {
        self.check_required(map, place, causes);
        for (name, value) in map {
            if let Some(property) = self.properties.get(name) {
                property.check(value, &Place::Field(place, name), causes);
            }
        }
    }

    fn check_required(&self, map: &Map<String, Value>, place: &Place<'_>, causes: &mut Vec<Cause>) {
        for name in self.required.iter().filter(|name| !map.contains_key(*name)) {
            causes.push(Cause {
                reason: "FieldValueRequired",
                field: Some(Place::Field(place, name).to_string()),
                message: "Required value".into(),
            });
        }
    }

    fn check_list(&self, list: &[Value], place: &Place<'_>, causes: &mut Vec<Cause>) {
        let count = list.len() as u64;
        if let Some(least) = self.min_items.filter(|least| count < *least) {
            let detail = format!("{} should have at least {least} items", in_body(place));
            causes.push(Cause::invalid(Some(place.to_string()), Some(&count.to_string()), &detail));
        }
        if let Some(most) = self.max_items.filter(|most| count > *most) {
            causes.push(Cause {
                reason: "FieldValueTooMany",
                field: Some(place.to_string()),
                message: format!("Too many: {count}: must have at most {most} items"),
            });
        }
        if let Some(items) = &self.items {
            for (n, element) in list.iter().enumerate() {
                items.check(element, &Place::Index(place, n), causes);
            }
        }
    }

    fn check_string(&self, text: &str, place: &Place<'_>, causes: &mut Vec<Cause>) {
        let length = text.chars().count() as u64;
        let mut invalid = |detail: String| {
            causes.push(Cause::invalid(Some(place.to_string()), Some(&format!("{text:?}")), &detail));
        };
        if let Some(least) = self.min_length.filter(|least| length < *least) {
            invalid(format!("{} should be at least {least} chars long", in_body(place)));
        }
        if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            invalid(format!("{} should match '{pattern}'", in_body(place)));
        }
        if let Some(most) = self.max_length.filter(|most| length > *most) {
            causes.push(Cause {
                reason: "FieldValueTooLong",
                field: Some(place.to_string()),
                message: format!("Too long: may not be more than {most} bytes"),
            });
        }
        if self.is_time && text.parse::<jiff::Timestamp>().is_err() {
            let detail = format!("{} must be of type date-time: {text:?}", in_body(place));
            let mut cause = Cause::invalid(Some(place.to_string()), Some(&format!("{text:?}")), &detail);
            cause.reason = "FieldValueTypeInvalid";
            causes.push(cause);
        }
    }

    fn check_number(&self, number: &serde_json::Number, place: &Place<'_>, causes: &mut Vec<Cause>) {
        let value = number.as_f64().unwrap_or(f64::NAN);
        let mut invalid = |detail: String| {
            causes.push(Cause::invalid(Some(place.to_string()), Some(&number.to_string()), &detail));
        };
        if let Some(least) = self.minimum.filter(|least| value < *least) {
            invalid(format!("{} should be greater than or equal to {least}", in_body(place)));
        }
        if let Some(most) = self.maximum.filter(|most| value > *most) {
            invalid(format!("{} should be less than or equal to {most}", in_body(place)));
        }
    }

    /// Elements that a set or map has twice.
    pub(super) fn check_unique(&self, value: &Value, place: &Place<'_>, causes: &mut Vec<Cause>) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    if let Some(property) = self.properties.get(name) {
                        property.check_unique(value, &Place::Field(place, name), causes);
                    }
                }
            }
            Value::Array(list) => {
                let key = |element: &Value| match &self.list {
                    ListKind::Map(keys) => {
                        let pick = |key: &String| element.get(key).map(|v| (key.clone(), v.clone()));
                        Value::Object(keys.iter().filter_map(pick).collect())
                    }
                    _ => element.clone(),
                };
                if self.list != ListKind::Atomic {
                    duplicates(list, key, place, causes);
                }
                if let Some(items) = &self.items {
                    for (n, element) in list.iter().enumerate() {
                        items.check_unique(element, &Place::Index(place, n), causes);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Names each element that stands for the second time; a third appearance is not news.
fn duplicates(list: &[Value], key: impl Fn(&Value) -> Value, place: &Place<'_>, causes: &mut Vec<Cause>) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (n, element) in list.iter().enumerate() {
        let key = key(element);
        let times = seen.entry(key.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            causes.push(Cause {
                reason: "FieldValueDuplicate",
                field: Some(format!("{place}[{n}]")),
                message: format!("Duplicate value: {key}"),
            });
        }
    }
}

fn list_kind(schema: &Value, place: &str) -> Result<ListKind, String> {
    match schema["x-kubernetes-list-type"].as_str() {
        None | Some("atomic") => Ok(ListKind::Atomic),
        Some("set") => Ok(ListKind::Set),
        Some("map") => Ok(ListKind::Map(strings(&schema["x-kubernetes-list-map-keys"]))),
        Some(other) => Err(format!("{place} is a list of type {other}, which is not simulated")),
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn in_body(place: &Place<'_>) -> String {
    format!("{place} in body")
}

fn shown_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(it) if it.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compiled(schema: &Value) -> Schema {
        Schema::compile(schema, "", &Engine::new().unwrap()).unwrap()
    }

    #[test]
    fn an_unknown_keyword_is_an_error_and_not_passed_over() {
        let schema = json!({ "type": "object", "maxProperties": 3 });
        let error = Schema::compile(&schema, "spec", &Engine::new().unwrap()).unwrap_err();
        assert!(error.contains("maxProperties"), "{error}");
    }

    #[test]
    fn defaults_go_in_unknown_fields_and_nulls_go_out() {
        let schema = compiled(&json!({ "type": "object", "properties": {
            "spec": { "type": "object", "properties": {
                "open": { "type": "boolean", "default": true }, "note": { "type": "string" },
            }},
            "status": { "type": "object", "default": {}, "properties": {
                "phase": { "type": "string", "default": "New" },
            }},
        }}));
        let mut value = json!({ "spec": { "open": null, "note": null, "extra": 1 } });
        let mut unknown = Vec::new();
        schema.prune(&mut value, &Place::Root, &mut unknown);
        schema.fill(&mut value);
        assert_eq!(value, json!({ "spec": { "open": true }, "status": { "phase": "New" } }));
        assert_eq!(unknown, ["spec.extra"]);
    }

    #[test]
    fn what_stands_twice_is_named_once() {
        let schema = compiled(&json!({ "type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"], "items": { "type": "object", "properties": {
                "name": { "type": "string" }, "price": { "type": "integer" } } } }));
        let mut causes = Vec::new();
        let list = json!([{ "name": "a", "price": 1 }, { "name": "a", "price": 2 }, { "name": "a" }]);
        schema.check_unique(&list, &Place::Field(&Place::Root, "menu"), &mut causes);
        assert_eq!(causes.len(), 1);
        assert_eq!(causes[0].field.as_deref(), Some("menu[1]"));
        assert_eq!(causes[0].message, r#"Duplicate value: {"name":"a"}"#);
    }
}
