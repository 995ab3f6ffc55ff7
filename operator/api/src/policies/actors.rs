//! Customers, stores and riders, and what is theirs. Which users act for them stands in `spec.subjects`; RBAC says which
//! kinds an actor may touch at all, and these policies which objects of those kinds.
//!
//! Where one object names another (an order its customer, a ticket its store, a delivery its rider) the policy has the
//! named kind as its parameter, and is evaluated for each object of that kind in the namespace; all must agree. So a
//! rule speaks of one of them: *if the order is of this customer, the user acts for them*. What no rule can say is that
//! the named object exists.
//!
//! Everything is left to the operator, to the cluster's controllers, and to whoever may `actforothers` on orders.

use serde_json::{Value, json};

use super::parts::{binding, check, is_cluster, is_operator, resources};
use crate::kinds::{self, ACT_FOR_OTHERS};
use crate::{GROUP, PAUSED_ANNOTATION, VERSION};

/// The policies and their bindings. `operators` are the users that the operator runs as.
pub fn documents(operators: &[String]) -> Vec<Value> {
    let policies = [orders(), pauses(), tickets(), deliveries(), claims(), themselves()];
    policies.iter().flat_map(|policy| policy.documents(operators)).collect()
}

/// A policy for actors.
struct Policy {
    name: &'static str,
    constraints: Value,
    parameter: Option<Parameter>,
    variables: Vec<Value>,
    validations: Vec<Value>,
}

/// What a policy is evaluated for, each by itself.
struct Parameter {
    /// The kind of which every object in the namespace has to agree.
    kind: &'static str,
    /// When one of them does not. It stands in a match condition, so that nothing else is evaluated for the many that
    /// have nothing to say: a validation, with its sentence, costs twice as much.
    objects: String,
}

/// Whether the user acts for the object that is the parameter.
const ACTS: &str = "(has(params.spec.subjects) && request.userInfo.username in params.spec.subjects)";

impl Policy {
    fn documents(&self, operators: &[String]) -> [Value; 2] {
        let (operator, cluster) = (is_operator(operators), is_cluster());
        let others = format!(
            "authorizer.group('{GROUP}').resource('orders').namespace(request.namespace)\
             .check('{ACT_FOR_OTHERS}').allowed()"
        );
        // One expression, as of several each would be evaluated; what costs most (a look through the roles) comes last.
        let objects = self.parameter.as_ref().map(|p| format!("({}) && ", p.objects)).unwrap_or_default();
        let condition = format!("!({operator} || {cluster}) && {objects}!{others}");
        let mut spec = json!({
            "failurePolicy": "Fail",
            "matchConstraints": self.constraints,
            "matchConditions": [{ "name": "is-in-question", "expression": condition }],
            "variables": self.variables,
            "validations": self.validations,
        });
        if let Some(parameter) = &self.parameter {
            spec["paramKind"] = json!({ "apiVersion": format!("{GROUP}/{VERSION}"), "kind": parameter.kind });
        }
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": { "name": self.name },
            "spec": spec,
        });
        // To deny where there is no parameter would be to deny the operator, too: exemptions are asked for with each
        // parameter. In a namespace without customers, orders are to go on.
        let all = json!({ "selector": {}, "parameterNotFoundAction": "Allow" });
        [policy, binding(self.name, self.parameter.as_ref().map(|_| all))]
    }
}

/// What a match condition has decided already.
const NEVER: &str = "false";

/// A check whose sentence depends on the values; `message` is what is read where it cannot be made.
fn told(expression: &str, sentence: &str, message: &str) -> Value {
    let mut check = check(expression, message);
    check["messageExpression"] = json!(sentence);
    check
}

fn variable(name: &str, expression: &str) -> Value {
    json!({ "name": name, "expression": expression })
}

fn orders() -> Policy {
    let customer = "(request.operation == 'DELETE' ? oldObject : object).spec.customerRef.name";
    Policy {
        name: "fooddelivery-actors-orders",
        constraints: resources(&["CREATE", "UPDATE", "DELETE"], &["orders"]),
        // Both ways: of the customer that the order names, and of no other. So who acts for somebody cannot order in
        // the name of one that does not exist.
        parameter: Some(Parameter {
            kind: "Customer",
            objects: format!("{ACTS} != (params.metadata.name == {customer})"),
        }),
        variables: vec![variable("customer", customer)],
        validations: vec![told(
            NEVER,
            "request.userInfo.username + ' does not act for customer ' + variables.customer + \
             ', or not for them alone'",
            "only those who act for its customer (spec.subjects) may place or change an order",
        )],
    }
}

fn pauses() -> Policy {
    let paused = |object: &str| {
        format!(
            "has({object}.metadata.annotations) && '{PAUSED_ANNOTATION}' in {object}.metadata.annotations ? \
             {object}.metadata.annotations['{PAUSED_ANNOTATION}'] : ''"
        )
    };
    let before = format!("request.operation == 'CREATE' ? '' : ({})", paused("oldObject"));
    Policy {
        name: "fooddelivery-actors-pauses",
        constraints: resources(&["CREATE", "UPDATE"], &["orders"]),
        parameter: None,
        variables: vec![variable("paused", &paused("object")), variable("wasPaused", &before)],
        validations: vec![check(
            "variables.paused == variables.wasPaused",
            "an order is stopped, and let go on, by support alone",
        )],
    }
}

fn tickets() -> Policy {
    Policy {
        name: "fooddelivery-actors-tickets",
        constraints: resources(&["UPDATE"], &["tickets"]),
        // One way: a user may act for several stores.
        parameter: Some(Parameter {
            kind: "Store",
            objects: format!("params.metadata.name == object.spec.storeRef.name && !{ACTS}"),
        }),
        variables: vec![],
        validations: vec![told(
            NEVER,
            "request.userInfo.username + ' does not act for store ' + object.spec.storeRef.name",
            "only those who act for its store (spec.subjects) may move a ticket",
        )],
    }
}

fn deliveries() -> Policy {
    let rider = |object: &str| format!("(has({object}.spec.riderRef) ? [{object}.spec.riderRef.name] : [])");
    // Who has it afterwards and who had it before: a rider can neither take one for somebody else nor give back
    // somebody else's.
    let riders = format!("({} + {})", rider("object"), rider("oldObject"));
    Policy {
        name: "fooddelivery-actors-deliveries",
        constraints: resources(&["UPDATE"], &["deliveries"]),
        parameter: Some(Parameter {
            kind: "Rider",
            objects: format!("{riders}.exists(rider, {ACTS} != (params.metadata.name == rider))"),
        }),
        variables: vec![variable("riders", &riders)],
        validations: vec![told(
            NEVER,
            "request.userInfo.username + ' does not act for rider ' + \
             variables.riders[size(variables.riders) - 1] + ', or not for them alone'",
            "only those who act for its rider (spec.subjects) may take, give back or move a delivery",
        )],
    }
}

fn claims() -> Policy {
    Policy {
        name: "fooddelivery-actors-claims",
        constraints: resources(&["UPDATE"], &["deliveries"]),
        parameter: None,
        variables: vec![],
        validations: vec![check(
            "has(object.spec.riderRef) || has(oldObject.spec.riderRef)",
            "a delivery that no rider has can only be taken, by setting spec.riderRef",
        )],
    }
}

fn themselves() -> Policy {
    let subjects = |object: &str| format!("(has({object}.spec.subjects) ? {object}.spec.subjects : [])");
    let (now, before) = (subjects("object"), subjects("oldObject"));
    Policy {
        name: "fooddelivery-actors-themselves",
        constraints: resources(&["UPDATE"], &kinds::plurals(|kind| kind.has_subjects)),
        parameter: None,
        variables: vec![variable("now", &now), variable("before", &before)],
        validations: vec![
            told(
                "request.userInfo.username in variables.before",
                "request.userInfo.username + ' does not act for ' + request.kind.kind.lowerAscii() + ' ' + \
                 object.metadata.name",
                "only those who act for a store, rider or customer (spec.subjects) may change it",
            ),
            check(
                "variables.now == variables.before",
                "who acts for whom (spec.subjects) is for administrators to say",
            ),
        ],
    }
}
