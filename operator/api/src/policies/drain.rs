//! Policies by which an operator is drained before it is uninstalled: no new orders, and the kinds go only when it is done.
//!
//! Both look at one ConfigMap, which the base ships empty and `fooddelivery-operator drain` writes to. It is there from the
//! beginning so that a refusal can say what to do: a parameter that is missing would be refused in the API server's words.

use serde_json::{Value, json};

use crate::{GROUP, OPERATOR_NAMESPACE, VERSION};

/// The ConfigMap that says how far draining is, in the operator's namespace.
pub const DRAIN_CONFIG_MAP: &str = "fooddelivery-drain";
/// Its entry with the state: absent, [`DRAINING`] or [`DRAINED`].
pub const STATE: &str = "state";
/// Its entry with the namespaces that are drained, with commas between them; absent: all.
pub const NAMESPACES: &str = "namespaces";
/// New orders are refused; there may still be some.
pub const DRAINING: &str = "Draining";
/// New orders are refused, and none is left.
pub const DRAINED: &str = "Drained";
/// What is said to who creates an order then.
pub const NO_NEW_ORDERS: &str =
    "no new orders are taken: the operator is being drained (fooddelivery-operator drain --undo ends that)";
/// What is said to who deletes the kinds, or the operator's namespace, while orders may be open.
pub const DRAIN_FIRST: &str = "orders may be open, with money to give back: run fooddelivery-operator drain first, which waits for them and then \
     permits this";

/// The ConfigMap, and the two policies with their bindings.
pub(super) fn documents() -> Vec<Value> {
    let drains = format!("has(params.data) && '{STATE}' in params.data");
    let all = format!("!('{NAMESPACES}' in params.data)");
    let mut documents = vec![json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": DRAIN_CONFIG_MAP, "namespace": OPERATOR_NAMESPACE },
    })];
    documents.extend(policy(
        "fooddelivery-intake",
        "Allow",
        &json!({ "resourceRules": [rule(GROUP, VERSION, "CREATE", "orders")] }),
        None,
        &format!("!({drains} && ({all} || request.namespace in params.data['{NAMESPACES}'].split(',')))"),
        NO_NEW_ORDERS,
    ));
    documents.extend(policy(
        "fooddelivery-uninstall",
        "Deny",
        &json!({ "resourceRules": [
            rule("apiextensions.k8s.io", "*", "DELETE", "customresourcedefinitions"),
            rule("", "*", "DELETE", "namespaces"),
        ]}),
        // Not resourceNames, which a request that deletes many at a time does not have.
        Some(&format!(
            "oldObject.metadata.name.endsWith('.{GROUP}') || oldObject.metadata.name == '{OPERATOR_NAMESPACE}'"
        )),
        &format!("{drains} && params.data['{STATE}'] == '{DRAINED}' && {all}"),
        DRAIN_FIRST,
    ));
    documents
}

fn rule(group: &str, version: &str, operation: &str, resource: &str) -> Value {
    json!({
        "apiGroups": [group], "apiVersions": [version], "operations": [operation], "resources": [resource],
    })
}

fn policy(
    name: &str,
    without_config_map: &str,
    constraints: &Value,
    condition: Option<&str>,
    expression: &str,
    message: &str,
) -> [Value; 2] {
    let mut spec = json!({
        "failurePolicy": "Fail",
        "paramKind": { "apiVersion": "v1", "kind": "ConfigMap" },
        "matchConstraints": constraints,
        "validations": [{ "expression": expression, "message": message, "reason": "Forbidden" }],
    });
    if let Some(condition) = condition {
        spec["matchConditions"] = json!([{ "name": "ours", "expression": condition }]);
    }
    [
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": { "name": name },
            "spec": spec,
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": { "name": name },
            "spec": {
                "policyName": name,
                "paramRef": {
                    "name": DRAIN_CONFIG_MAP,
                    "namespace": OPERATOR_NAMESPACE,
                    "parameterNotFoundAction": without_config_map,
                },
                "validationActions": ["Deny"],
            },
        }),
    ]
}
