//! Who may do what, and what may become of an object, beyond the reach of its schema: admission policies.
//!
//! One mutating policy makes objects ready at birth: [`birth`]. Of validating policies there is one for each kind of order
//! and child, as what an API server spends on a policy hardly depends on how much is in it: it keeps the kind's rules
//! ([`crate::rules`]) for everybody, and finalizers, owner references, the creation and deletion of children and
//! operator-only stages to the operator. One for all kinds keeps the status to the operator. What customers, stores and
//! riders may do to what is theirs is in [`actors`]; [`drain`] has those for draining.

pub mod actors;
pub mod birth;
pub mod drain;
mod parts;

use fooddelivery_saga::table;
use serde_json::{Value, json};

use crate::crds::{GenerateError, to_yaml};
use crate::kinds::{self, Kind};
use crate::{FINALIZER, OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT};
use birth::Tracking;
use parts::{check, is_cluster, is_operator, kept, policy, resources};

/// The user that the operator's service account is, in the shipped manifests.
pub fn operator_user() -> String {
    format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_SERVICE_ACCOUNT}")
}

/// A file of policies: its name and its documents.
pub struct PolicyFile {
    /// File name, below `manifests/base/policies/` but for that of [`birth`].
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
        PolicyFile { name: "mutating.yaml", documents: birth::documents(Tracking::Applied) },
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

fn validating(operators: &[String]) -> Vec<Value> {
    let guarded = kinds::ALL.iter().filter(|kind| kind.is_guarded());
    let mut documents: Vec<Value> = guarded.flat_map(|kind| guard(operators, kind)).collect();
    documents.extend(status(operators));
    documents
}

/// What may become of the objects of a kind, by whomever: what nobody may comes first, as it would if a schema said it.
fn guard(operators: &[String], kind: &Kind) -> [Value; 2] {
    let mut checks: Vec<Value> = (kind.rules)().iter().filter_map(kept).collect();
    checks.extend([
        check(&kept_on(FINALIZER), "finalizers of orders and their children are the operator's alone"),
        check(
            &none_put_on(FINALIZER),
            "finalizers of orders and their children are the operator's alone: no other can be put on",
        ),
        check(
            &unchanged("ownerReferences"),
            "ownerReferences of orders and their children are the operator's alone",
        ),
    ]);
    let operations: &[&str] = if kind.is_made_by_operator() {
        checks.push(check(
            "request.operation == 'UPDATE' || variables.isOperator || \
             (request.operation == 'DELETE' && variables.isCluster)",
            &format!(
                "{} are created and deleted by the operator alone; cancel or delete the order",
                listed(Kind::is_made_by_operator)
            ),
        ));
        &["CREATE", "UPDATE", "DELETE"]
    } else {
        &["CREATE", "UPDATE"]
    };
    checks.extend(match kind.plural {
        "payments" => vec![resolution()],
        "tickets" => vec![withheld(), stages(&table::operator_only(table::TICKET))],
        "deliveries" => vec![stages(&table::operator_only(table::DELIVERY))],
        _ => Vec::new(),
    });
    let spec = json!({
        "failurePolicy": "Fail",
        "matchConstraints": resources(operations, &[kind.plural]),
        "variables": [
            { "name": "isOperator", "expression": is_operator(operators) },
            { "name": "isCluster", "expression": is_cluster() },
        ],
        "validations": checks,
    });
    policy(&format!("fooddelivery-{}", kind.plural), &spec)
}

/// What others than the operator may change in a payment.
fn resolution() -> Value {
    check(
        "request.operation != 'UPDATE' || variables.isOperator || (\
         object.spec.all(k, k == 'resolution' || (k in oldObject.spec && object.spec[k] == oldObject.spec[k])) && \
         oldObject.spec.all(k, k == 'resolution' || k in object.spec) && \
         (!('resolution' in oldObject.spec) || 'resolution' in object.spec))",
        "a payment is the operator's alone, but for spec.resolution, by which a person resolves what needs review",
    )
}

/// What the operator alone says of a ticket.
fn withheld() -> Value {
    check(
        "request.operation != 'UPDATE' || variables.isOperator || \
         (has(object.spec.storeReplaced) && object.spec.storeReplaced) == \
         (has(oldObject.spec.storeReplaced) && oldObject.spec.storeReplaced)",
        "storeReplaced is set by the operator alone",
    )
}

fn stages<T: std::fmt::Display>(stages: &[T]) -> Value {
    let list: Vec<String> = stages.iter().map(|s| format!("'{s}'")).collect();
    let expression = format!(
        "request.operation != 'UPDATE' || variables.isOperator || \
         object.spec.stage == oldObject.spec.stage || !(object.spec.stage in [{}])",
        list.join(", ")
    );
    let names: Vec<String> = stages.iter().map(ToString::to_string).collect();
    let message =
        format!("stage {} is set by the operator alone; cancel the order instead", names.join(" or "));
    check(&expression, &message)
}

/// Of whatever kind: one that is added is protected without being named. The operator writes more statuses than anything
/// else, so it is spared by the match condition, after which nothing more is evaluated.
fn status(operators: &[String]) -> [Value; 2] {
    let spec = json!({
        "failurePolicy": "Fail",
        "matchConstraints": resources(&["UPDATE"], &["*/status"]),
        "matchConditions": [{
            "name": "is-somebody-else", "expression": format!("!({})", is_operator(operators)),
        }],
        "validations": [check("false", "status is written by the operator alone")],
    });
    policy("fooddelivery-status", &spec)
}

/// The kinds that are meant, in a sentence.
fn listed(is_meant: impl Fn(&Kind) -> bool) -> String {
    let nouns: Vec<&str> = kinds::ALL.iter().filter(|kind| is_meant(kind)).map(|kind| kind.noun).collect();
    match nouns.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => nouns.concat(),
    }
}

/// `ours` stays where it is, and comes nowhere else.
fn kept_on(ours: &str) -> String {
    format!(
        "request.operation != 'UPDATE' || ('{ours}' in {}) == ('{ours}' in {}) || \
         variables.isOperator || variables.isCluster",
        list("object", "finalizers"),
        list("oldObject", "finalizers")
    )
}

/// No finalizer but `ours` is new, at birth neither: while one is there the object stays, and with it the namespace and the
/// kind. One that is there all the same goes when somebody who may change the object takes it off.
fn none_put_on(ours: &str) -> String {
    format!(
        "request.operation == 'DELETE' || {}.all(f, f == '{ours}' || \
         (request.operation == 'UPDATE' && f in {})) || variables.isOperator || variables.isCluster",
        list("object", "finalizers"),
        list("oldObject", "finalizers")
    )
}

fn unchanged(field: &str) -> String {
    format!(
        "request.operation != 'UPDATE' || {} == {} || variables.isOperator || variables.isCluster",
        list("object", field),
        list("oldObject", field)
    )
}

/// A list in an object's metadata, which is not there where it is empty.
fn list(object: &str, field: &str) -> String {
    format!("(has({object}.metadata.{field}) ? {object}.metadata.{field} : [])")
}
