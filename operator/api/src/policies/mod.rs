//! Who may do what beyond the reach of CRD rules, which see neither the user nor the metadata: admission policies.
//!
//! One mutating policy stamps the finalizer on orders and payments at birth. Validating policies keep finalizers,
//! owner references, the creation and deletion of children, operator-only stages and all status to the operator. What
//! customers, stores and riders may do to what is theirs is in [`actors`]; [`drain`] has those for draining.

pub mod actors;
pub mod drain;
mod parts;

use fooddelivery_saga::table;
use serde_json::{Value, json};

use crate::crds::{GenerateError, to_yaml};
use crate::kinds::{self, Kind};
use crate::{FINALIZER, OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT};
use parts::{binding, check, is_cluster, is_operator, resources};

/// The user that the operator's service account is, in the shipped manifests.
pub fn operator_user() -> String {
    format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_SERVICE_ACCOUNT}")
}

/// The name of the mutating policy, [`stamp`], and of its binding.
pub const STAMP: &str = "fooddelivery-stamp-finalizer";

/// A file of policies: its name and its documents.
pub struct PolicyFile {
    /// File name, below `manifests/base/policies/` but for that of [`stamp`].
    pub name: &'static str,
    /// The manifests.
    pub documents: Vec<Value>,
}

/// Whatever concerns the saga: [`for_everybody`], and those for the actors; not those for draining. `operators` are the
/// users that the operator runs as, and `prefix` is what the actors' groups begin with ([`actors::PREFIX`]).
pub fn all(operators: &[String], prefix: &str) -> Vec<PolicyFile> {
    let mut files = for_everybody(operators);
    files.push(PolicyFile { name: "actors.yaml", documents: actors::documents(operators, prefix) });
    files
}

/// What holds for whoever acts, administrators included. The one that needs MutatingAdmissionPolicy
/// (`admissionregistration.k8s.io/v1`, Kubernetes 1.36 and later), and those that any server since 1.30 has.
pub fn for_everybody(operators: &[String]) -> Vec<PolicyFile> {
    vec![
        PolicyFile { name: "mutating.yaml", documents: stamp() },
        PolicyFile { name: "validating.yaml", documents: validating(operators) },
    ]
}

/// All files as YAML, [`all`] and those for draining: name and text.
///
/// # Errors
/// [`GenerateError::Unwritable`], a mistake in this crate.
pub fn files(operators: &[String], prefix: &str) -> Result<Vec<(&'static str, String)>, GenerateError> {
    let drain = PolicyFile { name: "drain.yaml", documents: drain::documents() };
    all(operators, prefix)
        .into_iter()
        .chain([drain])
        .map(|file| {
            let texts: Result<Vec<String>, _> = file.documents.iter().map(to_yaml).collect();
            Ok((file.name, texts?.join("---\n")))
        })
        .collect()
}

/// The policy that stamps the finalizer on orders and payments at birth, and its binding. An API server before
/// Kubernetes 1.36 does not know them, so they are not in `manifests/base`: the operator applies them at its start.
pub fn stamp() -> Vec<Value> {
    let name = STAMP;
    vec![
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicy",
            "metadata": { "name": name },
            "spec": {
                "matchConstraints": resources(&["CREATE"], &kinds::plurals(|kind| kind.is_stamped)),
                "matchConditions": [{
                    "name": "not-stamped",
                    "expression": format!(
                        "!has(object.metadata.finalizers) || !('{FINALIZER}' in object.metadata.finalizers)"
                    ),
                }],
                "failurePolicy": "Fail",
                "reinvocationPolicy": "IfNeeded",
                "mutations": [{
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": { "expression": format!(
                        "Object{{metadata: Object.metadata{{finalizers: ['{FINALIZER}']}}}}"
                    )},
                }],
            },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": { "name": name },
            "spec": { "policyName": name },
        }),
    ]
}

fn validating(operators: &[String]) -> Vec<Value> {
    let mut documents = Vec::new();
    documents.extend(policy(
        operators,
        "fooddelivery-metadata",
        &resources(&["UPDATE"], &kinds::plurals(Kind::is_guarded)),
        &[
            check(
                &unchanged("finalizers"),
                "finalizers of orders and their children are the operator's alone",
            ),
            check(
                &unchanged("ownerReferences"),
                "ownerReferences of orders and their children are the operator's alone",
            ),
        ],
    ));
    documents.extend(policy(
        operators,
        "fooddelivery-children",
        &resources(&["CREATE", "DELETE"], &kinds::plurals(Kind::is_made_by_operator)),
        &[check(
            "variables.isOperator || (request.operation == 'DELETE' && variables.isCluster)",
            &format!(
                "{} are created and deleted by the operator alone; cancel or delete the order",
                listed(Kind::is_made_by_operator)
            ),
        )],
    ));
    documents.extend(policy(
        operators,
        "fooddelivery-payments",
        &resources(&["UPDATE"], &["payments"]),
        &[check(
            "variables.isOperator || (\
             object.spec.all(k, k == 'resolution' || (k in oldObject.spec && object.spec[k] == oldObject.spec[k])) && \
             oldObject.spec.all(k, k == 'resolution' || k in object.spec) && \
             (!('resolution' in oldObject.spec) || 'resolution' in object.spec))",
            "a payment is the operator's alone, but for spec.resolution, by which a person resolves what needs review",
        )],
    ));
    documents.extend(stages(operators, "tickets", &table::operator_only(table::TICKET)));
    documents.extend(stages(operators, "deliveries", &table::operator_only(table::DELIVERY)));
    // Of whatever kind: one that is added is protected without being named.
    documents.extend(policy(
        operators,
        "fooddelivery-status",
        &resources(&["UPDATE"], &["*/status"]),
        &[check("variables.isOperator", "status is written by the operator alone")],
    ));
    documents
}

fn stages<T: std::fmt::Display>(operators: &[String], resource: &str, stages: &[T]) -> Vec<Value> {
    let list: Vec<String> = stages.iter().map(|s| format!("'{s}'")).collect();
    let list = list.join(", ");
    let expression = format!(
        "variables.isOperator || object.spec.stage == oldObject.spec.stage || !(object.spec.stage in [{list}])"
    );
    let names: Vec<String> = stages.iter().map(ToString::to_string).collect();
    let message =
        format!("stage {} is set by the operator alone; cancel the order instead", names.join(" or "));
    policy(
        operators,
        &format!("fooddelivery-{resource}-stages"),
        &resources(&["UPDATE"], &[resource]),
        &[check(&expression, &message)],
    )
}

/// The kinds that are meant, in a sentence.
fn listed(is_meant: impl Fn(&Kind) -> bool) -> String {
    let nouns: Vec<&str> = kinds::ALL.iter().filter(|kind| is_meant(kind)).map(|kind| kind.noun).collect();
    match nouns.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => nouns.concat(),
    }
}

fn unchanged(field: &str) -> String {
    format!(
        "variables.isOperator || variables.isCluster || \
         (has(object.metadata.{field}) ? object.metadata.{field} : []) == \
         (has(oldObject.metadata.{field}) ? oldObject.metadata.{field} : [])"
    )
}

fn policy(operators: &[String], name: &str, constraints: &Value, validations: &[Value]) -> Vec<Value> {
    vec![
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": { "name": name },
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": constraints,
                "variables": [
                    { "name": "isOperator", "expression": is_operator(operators) },
                    { "name": "isCluster", "expression": is_cluster() },
                ],
                "validations": validations,
            },
        }),
        binding(name),
    ]
}
