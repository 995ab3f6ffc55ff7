//! The admission policies, as they are generated for the real cluster: what new objects are given, what may become of
//! them, and who may do what.
//!
//! Whatever in a policy is not understood here is an error when it is compiled.

use cel::Program;
use cel::common::types::CelBool;
use cel::common::value::Val;
use fooddelivery_api::FINALIZER;
use fooddelivery_api::kinds::{self, Origin};
use fooddelivery_api::policies::birth::{self, Tracking};
use serde_json::{Value, json};

use super::cel::{Engine, Node, Scope};
use super::failure::Failure;
use super::kinds::Kind;
use super::metadata;
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

/// The MutatingAdmissionPolicy of [`birth`]. Its expression makes patches, which no engine here does: it is known by its
/// text, and what it does is written out in [`Birth::change`]; a real control plane is held against that.
#[derive(Debug)]
pub(super) struct Birth {
    matches: Match,
    tracking: Tracking,
}

/// A ValidatingAdmissionPolicy.
#[derive(Debug)]
pub(super) struct Policy {
    name: String,
    matches: Match,
    conditions: Vec<Program>,
    variables: Vec<(String, Program)>,
    validations: Vec<Validation>,
}

/// A check, and what is said where it fails.
#[derive(Debug)]
struct Validation {
    expression: Program,
    is_invalid: bool,
    text: String,
    sentence: Option<Program>,
}

/// What a policy says where it does not agree.
struct Refusal {
    is_invalid: bool,
    why: String,
}

impl Refusal {
    fn of_error(why: String) -> Self {
        Self { is_invalid: true, why }
    }
}

/// All policies of a cluster.
#[derive(Debug, Default)]
pub(super) struct Policies {
    births: Vec<Birth>,
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
                    all.births.push(Birth::compile(document)?);
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

    /// Changes a new object as the mutating policies say.
    pub(super) fn change_newborn(&self, about: &Attributes<'_>, object: &mut Value) {
        for birth in self.births.iter().filter(|birth| birth.matches.concerns(about)) {
            birth.change(about.kind, object);
        }
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
            if let Some(Refusal { is_invalid, why }) = policy.refusal(engine, object, old, request.as_ref()) {
                let name = &policy.name;
                let why =
                    format!("ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: {why}");
                let failure = Failure::forbidden(about.kind, about.name, &why, json!([{ "message": why }]));
                return Err(if is_invalid { failure.into_invalid() } else { failure });
            }
        }
        Ok(())
    }
}

impl Birth {
    fn compile(document: &Value) -> Result<Self, String> {
        for tracking in [Tracking::Applied, Tracking::All] {
            let known = birth::documents(tracking);
            if known
                .iter()
                .any(|known| known["kind"] == document["kind"] && known["spec"] == document["spec"])
            {
                let matches = Match::compile(&document["spec"]["matchConstraints"], birth::NAME)?;
                return Ok(Self { matches, tracking });
            }
        }
        Err(format!("{} does something else than the policy of births", document["metadata"]["name"]))
    }

    fn change(&self, kind: &Kind, object: &mut Value) {
        let Some(row) = kinds::ALL.iter().find(|row| row.plural == kind.plural) else { return };
        if row.is_stamped {
            let finalizers = &mut object["metadata"]["finalizers"];
            match finalizers.as_array_mut() {
                Some(list) if list.iter().any(|it| it == FINALIZER) => {}
                Some(list) => list.push(FINALIZER.into()),
                None => *finalizers = json!([FINALIZER]),
            }
        }
        let is_applied = metadata::is_applied(object);
        let is_tracked = row.origin == Origin::Placed && (self.tracking == Tracking::All || is_applied);
        if !is_tracked {
            metadata::of(object).remove("managedFields");
        }
    }
}

impl Policy {
    fn compile(document: &Value, engine: &Engine) -> Result<Self, String> {
        let name = document["metadata"]["name"].as_str().unwrap_or_default();
        let spec = &document["spec"];
        let known = ["failurePolicy", "matchConstraints", "matchConditions", "variables", "validations"];
        only(spec, &known, name)?;
        if spec["failurePolicy"] != "Fail" {
            return Err(format!("{name} does not fail closed, which is not simulated"));
        }
        let of = |entry: &Value| engine.compile(entry["expression"].as_str().unwrap_or_default());
        let mut conditions = Vec::new();
        for condition in spec["matchConditions"].as_array().into_iter().flatten() {
            conditions.push(of(condition)?);
        }
        let mut variables = Vec::new();
        for variable in spec["variables"].as_array().into_iter().flatten() {
            variables.push((variable["name"].as_str().unwrap_or_default().to_owned(), of(variable)?));
        }
        let mut validations = Vec::new();
        for validation in spec["validations"].as_array().into_iter().flatten() {
            only(validation, &["expression", "message", "messageExpression", "reason"], name)?;
            let is_invalid = match validation["reason"].as_str() {
                Some("Invalid") => true,
                Some("Forbidden") => false,
                other => return Err(format!("{name} refuses with {other:?}, which is not simulated")),
            };
            let sentence = validation["messageExpression"].as_str().map(|text| engine.compile(text));
            validations.push(Validation {
                expression: of(validation)?,
                is_invalid,
                text: validation["message"].as_str().unwrap_or_default().to_owned(),
                sentence: sentence.transpose()?,
            });
        }
        let matches = Match::compile(&spec["matchConstraints"], name)?;
        Ok(Self { name: name.into(), matches, conditions, variables, validations })
    }

    fn refusal(
        &self,
        engine: &Engine,
        object: &dyn Val,
        old: &dyn Val,
        request: &dyn Val,
    ) -> Option<Refusal> {
        let given = || Scope(vec![("object", object), ("oldObject", old), ("request", request)]);
        for condition in &self.conditions {
            match engine.holds(condition, &given()) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Refusal::of_error(error)),
            }
        }
        let mut known = std::collections::HashMap::new();
        for (name, program) in &self.variables {
            match engine.holds(program, &given()) {
                Ok(value) => {
                    let value: Node<'_> = Box::new(CelBool::from(value));
                    known.insert(name.as_str().into(), value);
                }
                Err(error) => {
                    return Some(Refusal::of_error(format!("expression of variable {name}: {error}")));
                }
            }
        }
        let known = cel::common::types::CelMap::from(known);
        let mut scope = given();
        scope.0.push(("variables", &known));
        self.validations.iter().find_map(|check| match engine.holds(&check.expression, &scope) {
            Ok(true) => None,
            Ok(false) => {
                let said = check.sentence.as_ref().and_then(|sentence| engine.says(sentence, &scope).ok());
                let why = said.unwrap_or_else(|| check.text.clone());
                Some(Refusal { is_invalid: check.is_invalid, why })
            }
            Err(error) => Some(Refusal::of_error(format!("expression resulted in error: {error}"))),
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
        stamp["spec"]["mutations"][0]["jsonPatch"]["expression"] = json!("[]");
        let error = Policies::compile(&changed, &engine).unwrap_err();
        assert!(error.contains("something else than the policy of births"), "{error}");
    }
}
