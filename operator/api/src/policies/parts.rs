//! What policies are made of: constraints, checks, bindings, and who is spared.

use serde_json::{Value, json};

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
