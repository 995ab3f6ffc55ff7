//! The admission policies, as they are generated for the real cluster: the stamp on new objects, and who may do what.
//!
//! Whatever in a policy is not understood here is an error when it is compiled.

use cel::Program;
use cel::common::types::CelBool;
use cel::common::value::Val;
use serde_json::{Value, json};

use super::cel::{Engine, Node, Scope};
use super::failure::Failure;
use super::kinds::Kind;
use super::node::node;

/// What an admission policy looks at.
pub(super) struct Attributes<'a> {
    /// The kind.
    pub(super) kind: &'a Kind,
    /// `orders`, or `orders/status`.
    pub(super) resource: &'a str,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub(super) operation: &'static str,
    /// The user's name.
    pub(super) user: &'a str,
    /// The object's name.
    pub(super) name: &'a str,
}

#[derive(Debug)]
struct Match {
    operations: Vec<String>,
    group: String,
    resources: Vec<String>,
}

impl Match {
    fn compile(constraints: &Value, name: &str) -> Result<Self, String> {
        only(constraints, &["resourceRules"], name)?;
        let [rule] = constraints["resourceRules"].as_array().map(Vec::as_slice).unwrap_or_default() else {
            return Err(format!("{name} has several resource rules, which is not simulated"));
        };
        only(rule, &["apiGroups", "apiVersions", "operations", "resources"], name)?;
        let [group] = <[String; 1]>::try_from(strings(&rule["apiGroups"]))
            .map_err(|_| format!("{name} concerns several groups, which is not simulated"))?;
        Ok(Self { operations: strings(&rule["operations"]), group, resources: strings(&rule["resources"]) })
    }

    fn concerns(&self, about: &Attributes<'_>) -> bool {
        self.group == about.kind.group
            && self.operations.iter().any(|o| o == about.operation)
            && self.resources.iter().any(|resource| covers(resource, about.resource))
    }
}

/// Whether a resource of a rule is that of a request: by name, or as `*/status`, which is the status of whatever kind.
fn covers(rule: &str, resource: &str) -> bool {
    match rule.strip_prefix("*/") {
        Some(subresource) => resource.split_once('/').is_some_and(|(_, of)| of == subresource),
        None => rule == resource,
    }
}

/// A MutatingAdmissionPolicy that adds finalizers.
#[derive(Debug)]
pub(super) struct Stamp {
    name: String,
    matches: Match,
    conditions: Vec<Program>,
    finalizer: String,
}

/// A ValidatingAdmissionPolicy.
#[derive(Debug)]
pub(super) struct Policy {
    name: String,
    matches: Match,
    variables: Vec<(String, Program)>,
    validations: Vec<(Program, String)>,
}

/// All policies of a cluster.
#[derive(Debug, Default)]
pub(super) struct Policies {
    stamps: Vec<Stamp>,
    policies: Vec<Policy>,
}

impl Policies {
    /// Compiles the documents.
    pub(super) fn compile(documents: &[Value], engine: &Engine) -> Result<Self, String> {
        let mut all = Self::default();
        let is_bound = |kind: &str, name: &Value| {
            documents.iter().any(|d| d["kind"] == kind && d["spec"]["policyName"] == *name)
        };
        for document in documents {
            let name = &document["metadata"]["name"];
            match document["kind"].as_str().unwrap_or_default() {
                "MutatingAdmissionPolicy" if is_bound("MutatingAdmissionPolicyBinding", name) => {
                    all.stamps.push(Stamp::compile(document, engine)?);
                }
                "ValidatingAdmissionPolicy" if is_bound("ValidatingAdmissionPolicyBinding", name) => {
                    all.policies.push(Policy::compile(document, engine)?);
                }
                "MutatingAdmissionPolicyBinding" => only(&document["spec"], &["policyName"], "a binding")?,
                "ValidatingAdmissionPolicyBinding" => {
                    only(&document["spec"], &["policyName", "validationActions"], "a binding")?;
                    if document["spec"]["validationActions"] != json!(["Deny"]) {
                        return Err(format!("the binding {name} does not deny, which is not simulated"));
                    }
                }
                other => return Err(format!("{other} {name} is not bound, or not simulated")),
            }
        }
        all.policies.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Changes a new object as the mutating policies say. An object that is not of the types that its schema states,
    /// `ill_typed` there, cannot be changed, and is refused here already.
    pub(super) fn stamp(
        &self,
        engine: &Engine,
        about: &Attributes<'_>,
        object: &mut Value,
        ill_typed: Option<&str>,
    ) -> Result<(), Failure> {
        for stamp in self.stamps.iter().filter(|s| s.matches.concerns(about)) {
            let applies = {
                let seen = node(object, None);
                let scope = Scope(vec![("object", seen.as_ref())]);
                let mut applies = true;
                for condition in &stamp.conditions {
                    let holds = engine.holds(condition, &scope);
                    applies &=
                        holds.map_err(|e| Failure::forbidden(about.kind, about.name, &e, json!([])))?;
                }
                applies
            };
            if let (true, Some(place)) = (applies, ill_typed) {
                return Err(Failure::unmutable(about.kind, about.name, &stamp.name, place));
            }
            if applies {
                let finalizers = &mut object["metadata"]["finalizers"];
                match finalizers.as_array_mut() {
                    Some(list) => list.push(stamp.finalizer.as_str().into()),
                    None => *finalizers = json!([stamp.finalizer]),
                }
            }
        }
        Ok(())
    }

    /// Whether any validating policy concerns such a request: only then its object is looked at.
    pub(super) fn concern(&self, about: &Attributes<'_>) -> bool {
        self.policies.iter().any(|p| p.matches.concerns(about))
    }

    /// Refuses what the validating policies refuse.
    pub(super) fn check(
        &self,
        engine: &Engine,
        about: &Attributes<'_>,
        object: &dyn Val,
        old: &dyn Val,
    ) -> Result<(), Failure> {
        let request = json!({ "operation": about.operation, "userInfo": { "username": about.user } });
        let request = node(&request, None);
        for policy in self.policies.iter().filter(|p| p.matches.concerns(about)) {
            if let Some(why) = policy.refusal(engine, object, old, request.as_ref()) {
                let name = &policy.name;
                let why =
                    format!("ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: {why}");
                return Err(Failure::forbidden(about.kind, about.name, &why, json!([{ "message": why }])));
            }
        }
        Ok(())
    }
}

impl Stamp {
    fn compile(document: &Value, engine: &Engine) -> Result<Self, String> {
        let name = document["metadata"]["name"].as_str().unwrap_or_default();
        let spec = &document["spec"];
        let known =
            ["matchConstraints", "matchConditions", "failurePolicy", "reinvocationPolicy", "mutations"];
        only(spec, &known, name)?;
        let mut conditions = Vec::new();
        for condition in spec["matchConditions"].as_array().into_iter().flatten() {
            conditions.push(engine.compile(condition["expression"].as_str().unwrap_or_default())?);
        }
        let [mutation] = spec["mutations"].as_array().map(Vec::as_slice).unwrap_or_default() else {
            return Err(format!("{name} has several mutations, which is not simulated"));
        };
        let expression = mutation["applyConfiguration"]["expression"].as_str().unwrap_or_default();
        let finalizer = expression
            .strip_prefix("Object{metadata: Object.metadata{finalizers: ['")
            .and_then(|rest| rest.strip_suffix("']}}"))
            .filter(|text| !text.contains('\''))
            .ok_or_else(|| format!("{name} does something else than add a finalizer: {expression}"))?;
        let matches = Match::compile(&spec["matchConstraints"], name)?;
        if matches.operations != ["CREATE"] {
            return Err(format!("{name} changes other requests than CREATE, which is not simulated"));
        }
        Ok(Self { name: name.into(), matches, conditions, finalizer: finalizer.into() })
    }
}

impl Policy {
    fn compile(document: &Value, engine: &Engine) -> Result<Self, String> {
        let name = document["metadata"]["name"].as_str().unwrap_or_default();
        let spec = &document["spec"];
        only(spec, &["failurePolicy", "matchConstraints", "variables", "validations"], name)?;
        if spec["failurePolicy"] != "Fail" {
            return Err(format!("{name} does not fail closed, which is not simulated"));
        }
        let mut variables = Vec::new();
        for variable in spec["variables"].as_array().into_iter().flatten() {
            let program = engine.compile(variable["expression"].as_str().unwrap_or_default())?;
            variables.push((variable["name"].as_str().unwrap_or_default().to_owned(), program));
        }
        let mut validations = Vec::new();
        for validation in spec["validations"].as_array().into_iter().flatten() {
            only(validation, &["expression", "message", "reason"], name)?;
            if validation["reason"] != "Forbidden" {
                return Err(format!("{name} refuses with another reason than Forbidden"));
            }
            let program = engine.compile(validation["expression"].as_str().unwrap_or_default())?;
            validations.push((program, validation["message"].as_str().unwrap_or_default().to_owned()));
        }
        let matches = Match::compile(&spec["matchConstraints"], name)?;
        Ok(Self { name: name.into(), matches, variables, validations })
    }

    fn refusal(&self, engine: &Engine, object: &dyn Val, old: &dyn Val, request: &dyn Val) -> Option<String> {
        let given = || Scope(vec![("object", object), ("oldObject", old), ("request", request)]);
        let mut known = std::collections::HashMap::new();
        for (name, program) in &self.variables {
            match engine.holds(program, &given()) {
                Ok(value) => {
                    let value: Node<'_> = Box::new(CelBool::from(value));
                    known.insert(name.as_str().into(), value);
                }
                Err(error) => return Some(format!("expression of variable {name}: {error}")),
            }
        }
        let known = cel::common::types::CelMap::from(known);
        let mut scope = given();
        scope.0.push(("variables", &known));
        self.validations.iter().find_map(|(program, message)| match engine.holds(program, &scope) {
            Ok(true) => None,
            Ok(false) => Some(message.clone()),
            Err(error) => Some(format!("expression resulted in error: {error}")),
        })
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn only(value: &Value, known: &[&str], name: &str) -> Result<(), String> {
    let unknown = value.as_object().and_then(|o| o.keys().find(|k| !known.contains(&k.as_str())));
    unknown.map_or(Ok(()), |unknown| Err(format!("{name} has {unknown}, which is not simulated")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fooddelivery_api::policies;

    fn documents() -> Vec<Value> {
        policies::for_everybody(&["op".into()]).into_iter().flat_map(|file| file.documents).collect()
    }

    #[test]
    fn a_policy_that_changes_shape_is_an_error() {
        let engine = Engine::new().unwrap();
        assert!(Policies::compile(&documents(), &engine).is_ok());
        let mut changed = documents();
        let stamp = changed.iter_mut().find(|d| d["kind"] == "MutatingAdmissionPolicy").unwrap();
        stamp["spec"]["mutations"][0]["applyConfiguration"]["expression"] =
            json!("Object{spec: Object.spec{}}");
        let error = Policies::compile(&changed, &engine).unwrap_err();
        assert!(error.contains("something else than add a finalizer"), "{error}");
    }
}
