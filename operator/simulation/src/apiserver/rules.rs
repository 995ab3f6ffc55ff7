//! A CEL rule of a schema, compiled. What a rule finds wrong is in [`super::validation`].

use cel::Program;
use serde_json::Value;

use super::cel::Engine;

/// A compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) program: Program,
    pub(super) uses_old: bool,
    pub(super) text: String,
    pub(super) expression: Option<Program>,
}

const KNOWN: [&str; 3] = ["rule", "message", "messageExpression"];

impl Rule {
    /// Compiles an entry of `x-kubernetes-validations`.
    pub(super) fn compile(rule: &Value, place: &str, engine: &Engine) -> Result<Self, String> {
        let Some(fields) = rule.as_object() else { return Err(format!("{place} has a rule that is none")) };
        if let Some(unknown) = fields.keys().find(|k| !KNOWN.contains(&k.as_str())) {
            return Err(format!("a rule at {place} has {unknown}, which is not simulated"));
        }
        let source = rule["rule"].as_str().unwrap_or_default();
        let program = engine.compile(source)?;
        let uses_old = program.references().has_variable("oldSelf");
        let text = rule["message"].as_str().map_or_else(|| format!("failed rule: {source}"), Into::into);
        let expression = rule["messageExpression"].as_str().map(|e| engine.compile(e)).transpose()?;
        Ok(Self { program, uses_old, text, expression })
    }
}
