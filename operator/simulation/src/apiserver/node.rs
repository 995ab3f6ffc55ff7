//! JSON as the values that expressions are evaluated on.

use std::collections::HashMap;

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString};
use serde_json::Value;

use super::cel::Node;
use super::schema::{ListKind, Schema};

/// The value that a piece of JSON is. Where the schema calls a list a set or a map, its order carries no meaning, so
/// such lists are put into one order: two that differ in order only are then equal, as on a real API server.
pub(super) fn node<'v>(value: &'v Value, schema: Option<&Schema>) -> Node<'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(it) => Box::new(CelBool::from(*it)),
        Value::Number(it) => match it.as_i64() {
            Some(it) => Box::new(CelInt::from(it)),
            None => Box::new(CelDouble::from(it.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(it) => Box::new(CelString::from(it.as_str())),
        Value::Array(list) => {
            let items = schema.and_then(|s| s.items.as_deref());
            let mut elements: Vec<&Value> = list.iter().collect();
            match schema.map(|s| &s.list) {
                Some(ListKind::Set) => elements.sort_by_key(ToString::to_string),
                Some(ListKind::Map(keys)) => {
                    elements.sort_by_key(|v| keys.iter().map(|k| v[k].to_string()).collect::<Vec<_>>());
                }
                _ => {}
            }
            let elements: Vec<Node<'v>> = elements.into_iter().map(|v| node(v, items)).collect();
            Box::new(CelList::from(elements))
        }
        Value::Object(map) => {
            let entry = |(name, value): (&'v String, &'v Value)| {
                let schema = schema.and_then(|s| s.properties.get(name));
                (CelMapKey::from(name.as_str()), node(value, schema))
            };
            let entries: HashMap<CelMapKey<'v>, Node<'v>> = map.iter().map(entry).collect();
            Box::new(CelMap::from(entries))
        }
    }
}
