//! The mutating policy: what an object of ours is given, and spared, at its birth.
//!
//! *The finalizer*, on orders and payments, which otherwise the operator would have to write.
//!
//! *No managed fields.* Who set which field is kept with an object for server-side apply, and costs an API server a third of
//! each write. A creation that says that there are none ends that for the object's whole life. Nobody applies what the
//! operator makes; of orders, those that were created by server-side apply stay tracked, so that they can be applied again.
//!
//! One mutation in one policy, as a patch: each more would be evaluated by itself, and one by structured merge would convert
//! the object to its types and back.

use serde_json::{Value, json};

use super::parts::resources;
use crate::FINALIZER;
use crate::kinds::{self, Kind, Origin};

/// The name of the policy and of its binding. It is the one of the first version, so that one replaces the other.
pub const NAME: &str = "fooddelivery-stamp-finalizer";

/// Of which orders the managed fields are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// Of those that are created by server-side apply.
    Applied,
    /// Of all.
    All,
}

/// The policy and its binding. An API server before Kubernetes 1.36 does not know them, so they are not in
/// `manifests/base`: the operator applies them at its start.
pub fn documents(tracking: Tracking) -> Vec<Value> {
    vec![
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicy",
            "metadata": { "name": NAME },
            "spec": {
                "matchConstraints": resources(&["CREATE"], &kinds::plurals(is_concerned)),
                "failurePolicy": "Fail",
                "reinvocationPolicy": "IfNeeded",
                "mutations": [{
                    "patchType": "JSONPatch",
                    "jsonPatch": { "expression": expression(tracking) },
                }],
            },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": { "name": NAME },
            "spec": { "policyName": NAME },
        }),
    ]
}

fn is_concerned(kind: &Kind) -> bool {
    kind.is_stamped || kind.is_made_by_operator()
}

/// The patches that an object is changed by, `object`.
fn expression(tracking: Tracking) -> String {
    let placed = is_one_of(|kind| kind.origin == Origin::Placed);
    let is_tracked = match tracking {
        Tracking::All => placed,
        Tracking::Applied => format!(
            "{placed} && has(object.metadata.managedFields) && \
             object.metadata.managedFields.exists(fields, fields.operation == 'Apply')"
        ),
    };
    format!(
        "(!({}) ? [] : !has(object.metadata.finalizers) ? {} : \
         '{FINALIZER}' in object.metadata.finalizers ? [] : {}) + ({is_tracked} ? [] : {})",
        is_one_of(|kind| kind.is_stamped),
        add("/metadata/finalizers", &format!("['{FINALIZER}']")),
        add("/metadata/finalizers/-", &format!("'{FINALIZER}'")),
        add("/metadata/managedFields", "[]"),
    )
}

fn add(path: &str, value: &str) -> String {
    format!("[JSONPatch{{op: 'add', path: '{path}', value: {value}}}]")
}

fn is_one_of(is_meant: impl Fn(&Kind) -> bool) -> String {
    let quoted: Vec<String> = kinds::plurals(is_meant).iter().map(|plural| format!("'{plural}'")).collect();
    format!("request.resource.resource in [{}]", quoted.join(", "))
}
