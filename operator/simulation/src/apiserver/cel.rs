//! Expressions in CEL: compiled once, evaluated on values that borrow the JSON they stand for.
//!
//! This module knows nothing of Kubernetes but the functions that its library adds and that the rules here use:
//! `isURL`, `url` and `getScheme`.

use std::sync::Arc;

use cel::common::types::{CelBool, CelMap, CelMapKey, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::extractors::This;
use cel::{Context, Env, ExecutionError, Program};
/// A value during evaluation.
pub(super) type Node<'v> = Box<dyn Val + 'v>;

/// Compiles expressions and evaluates them.
pub(super) struct Engine {
    env: Arc<Env>,
    base: Context<'static, 'static>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// With the standard library and what Kubernetes adds to it, as far as it is used here.
    pub(super) fn new() -> Result<Self, String> {
        let env = Arc::new(Env::stdlib());
        let mut base = Context::with_env(env.clone());
        let added = [
            base.add_function("isURL", |text: Arc<String>| is_url(&text)),
            base.add_function("url", |text: Arc<String>| {
                if is_url(&text) { Ok(text) } else { Err(ExecutionError::function_error("url", "not a URL")) }
            }),
            base.add_function("getScheme", |This(text): This<Arc<String>>| Arc::new(scheme(&text))),
        ];
        for outcome in added {
            outcome.map_err(|error| error.to_string())?;
        }
        Ok(Self { env, base })
    }

    /// Compiles an expression.
    pub(super) fn compile(&self, source: &str) -> Result<Program, String> {
        self.env.compile(source).map_err(|error| format!("{source}: {error}"))
    }

    /// Whether an expression holds. An error of the evaluation is returned as its sentence.
    pub(super) fn holds(&self, program: &Program, scope: &Scope<'_>) -> Result<bool, String> {
        self.evaluate(program, scope, |value| value.downcast_ref::<CelBool>().map(|it| *it.inner()))
    }

    /// What an expression says.
    pub(super) fn says(&self, program: &Program, scope: &Scope<'_>) -> Result<String, String> {
        self.evaluate(program, scope, |value| {
            value.downcast_ref::<CelString<'_>>().map(|it| it.inner().to_owned())
        })
    }

    fn evaluate<T>(
        &self,
        program: &Program,
        scope: &Scope<'_>,
        take: impl Fn(&dyn Val) -> Option<T>,
    ) -> Result<T, String> {
        let mut context = self.base.new_inner_scope();
        context.set_variable_resolver(scope);
        let value = cel::Value::resolve_val(program.expression(), &context).map_err(|e| e.to_string())?;
        take(value.as_ref()).ok_or_else(|| "the expression has another type than is expected".into())
    }
}

/// Names that an expression can use, with their values.
pub(super) struct Scope<'v>(pub(super) Vec<(&'static str, &'v (dyn Val + 'v))>);

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let found = self.0.iter().find(|(name, _)| *name == variable)?;
        Some(CowVal::Borrowed(found.1))
    }
}

/// The value under `name` in an object.
pub(super) fn child<'b, 'v>(object: &'b (dyn Val + 'v), name: &'v str) -> Option<&'b (dyn Val + 'v)> {
    let map = object.downcast_ref::<CelMap<'v>>()?;
    map.inner().get(&CelMapKey::from(name)).map(AsRef::as_ref)
}

/// As Go's `url.ParseRequestURI`: an absolute URI, or an absolute path.
fn is_url(text: &str) -> bool {
    text.starts_with('/') || url::Url::parse(text).is_ok()
}

fn scheme(text: &str) -> String {
    url::Url::parse(text).map(|url| url.scheme().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::node::node;
    use super::*;

    fn holds(source: &str, value: &Value) -> Result<bool, String> {
        let engine = Engine::new().unwrap();
        let value = node(value, None);
        let scope = Scope(vec![("self", value.as_ref())]);
        engine.holds(&engine.compile(source).unwrap(), &scope)
    }

    #[test]
    fn absent_fields_are_told_from_present_ones() {
        let object = json!({ "a": { "b": 1 } });
        assert_eq!(holds("has(self.a.b) && !has(self.a.c) && self.a.b == 1", &object), Ok(true));
        assert!(holds("self.a.c == 1", &object).is_err());
        assert_eq!(holds("self.a.all(k, k in ['b'])", &object), Ok(true));
    }

    #[test]
    fn urls_are_judged_as_kubernetes_does() {
        let rule = "isURL(self.e) && url(self.e).getScheme() == 'https'";
        assert_eq!(holds(rule, &json!({ "e": "https://api.example.com/v1" })), Ok(true));
        assert_eq!(holds(rule, &json!({ "e": "http://api.example.com" })), Ok(false));
        assert_eq!(holds(rule, &json!({ "e": "not a url" })), Ok(false));
    }
}
