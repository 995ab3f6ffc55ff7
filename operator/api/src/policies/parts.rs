//! What policies are made of: constraints, checks, bindings, and who is spared.

use serde_json::{Value, json};

use crate::rules::{Message, Place, Rule};
use crate::{GROUP, VERSION};

/// The controllers of Kubernetes that delete on somebody's behalf, by either way of running them.
const CLUSTER_USERS: [&str; 3] = [
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:kube-controller-manager",
];

/// Requests of these operations on these resources of ours.
pub(super) fn resources(operations: &[&str], names: &[&str]) -> Value {
    json!({ "resourceRules": [{
        "apiGroups": [GROUP], "apiVersions": [VERSION], "operations": operations, "resources": names,
    }]})
}

/// A check, with the sentence that is read when it fails.
pub(super) fn check(expression: &str, message: &str) -> Value {
    json!({ "expression": expression, "message": message, "reason": "Forbidden" })
}

/// A check that a rule of a kind's writes is kept; `None` for one of the schema. It is refused as the schema refuses: as
/// invalid, whoever asks.
pub(super) fn kept(rule: &Rule) -> Option<Value> {
    let expression = match rule.place {
        Place::Schema(_) => return None,
        Place::Create => format!("request.operation != 'CREATE' || ({})", rule.rule),
        Place::Update => format!("request.operation != 'UPDATE' || ({})", rule.rule),
        Place::Write => format!("request.operation == 'DELETE' || ({})", rule.rule),
    };
    let (name, message) = match &rule.message {
        Message::Text(text) => ("message", text),
        Message::Expression(text) => ("messageExpression", text),
    };
    Some(json!({ "expression": expression, name: message, "reason": "Invalid" }))
}

/// A policy, and what puts it in force.
pub(super) fn policy(name: &str, spec: &Value) -> [Value; 2] {
    [
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": { "name": name },
            "spec": spec,
        }),
        binding(name),
    ]
}

/// What puts a policy in force.
pub(super) fn binding(name: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": { "policyName": name, "validationActions": ["Deny"] },
    })
}

/// Whether the user is one that the operator runs as.
pub(super) fn is_operator(operators: &[String]) -> String {
    is_one_of(&mut operators.iter().map(String::as_str))
}

/// Whether the user is a controller of Kubernetes.
pub(super) fn is_cluster() -> String {
    is_one_of(&mut CLUSTER_USERS.into_iter())
}

fn is_one_of(users: &mut dyn Iterator<Item = &str>) -> String {
    let quoted: Vec<String> = users.map(|user| format!("'{user}'")).collect();
    format!("request.userInfo.username in [{}]", quoted.join(", "))
}
