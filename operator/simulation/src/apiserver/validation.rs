//! The CEL rules of a schema, evaluated where they stand.
//!
//! As on a real API server: a rule that speaks of `oldSelf` does not run when either side is unset; a rule that does
//! not is no error where nothing has changed at its place.

use cel::common::value::Val;
use serde_json::Value;

use super::cause::Cause;
use super::cel::{Engine, Scope, child};
use super::place::Place;
use super::schema::Schema;

/// An object and what it was before.
#[derive(Clone, Copy)]
pub(super) struct Pair<'b, 'v> {
    pub(super) new: (&'v Value, &'b (dyn Val + 'v)),
    pub(super) old: Option<(&'v Value, &'b (dyn Val + 'v))>,
}

impl<'b, 'v> Pair<'b, 'v> {
    fn child(&self, name: &'v str) -> Option<Self> {
        let step =
            |(json, node): (&'v Value, &'b (dyn Val + 'v))| Some((json.get(name)?, child(node, name)?));
        let new = step(self.new).filter(|(json, _)| !json.is_null())?;
        let old = self.old.and_then(step).filter(|(json, _)| !json.is_null());
        Some(Self { new, old })
    }

    fn is_unchanged(&self) -> bool {
        self.old.is_some_and(|(old, _)| old == self.new.0)
    }
}

/// What the rules of `schema` and below find wrong.
pub(super) fn check<'v>(
    engine: &Engine,
    schema: &'v Schema,
    pair: Pair<'_, 'v>,
    place: &Place<'_>,
    causes: &mut Vec<Cause>,
) {
    if !schema.has_rules {
        return;
    }
    if !schema.rules.is_empty() {
        check_here(engine, schema, &pair, place, causes);
    }
    for (name, property) in schema.properties.iter().filter(|(_, p)| p.has_rules) {
        if let Some(pair) = pair.child(name) {
            check(engine, property, pair, &Place::Field(place, name), causes);
        }
    }
}

fn check_here(
    engine: &Engine,
    schema: &Schema,
    pair: &Pair<'_, '_>,
    place: &Place<'_>,
    causes: &mut Vec<Cause>,
) {
    let mut names = vec![("self", pair.new.1)];
    if let Some((_, old)) = pair.old {
        names.push(("oldSelf", old));
    }
    let scope = Scope(names);
    let field = || (!matches!(place, Place::Root)).then(|| place.to_string());
    let unchanged = pair.is_unchanged();
    for rule in &schema.rules {
        // What held of the same value holds still: the rules are those that the old value was taken under.
        if (rule.uses_old && pair.old.is_none()) || (!rule.uses_old && unchanged) {
            continue;
        }
        match engine.holds(&rule.program, &scope) {
            Ok(true) => {}
            Ok(false) => {
                let said = rule.expression.as_ref().and_then(|e| engine.says(e, &scope).ok());
                let detail = said.unwrap_or_else(|| rule.text.clone());
                let shown = match pair.new.0 {
                    Value::Object(_) | Value::Array(_) => None,
                    value => Some(value.to_string()),
                };
                causes.push(Cause::invalid(field(), shown.as_deref(), &detail));
            }
            Err(error) => {
                let type_ = format!("{:?}", schema.type_);
                let detail = format!("{error} evaluating rule: {}", rule.text);
                causes.push(Cause::invalid(field(), Some(&type_), &detail));
            }
        }
    }
}
