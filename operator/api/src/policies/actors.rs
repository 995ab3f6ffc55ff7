//! Customers, stores and riders, and what is theirs. A user acts for one of them by a group that the identity provider
//! puts into their token: `food:NAMESPACE:customer:NAME`, and the same with `store` and `rider`; a user may be in many.
//! RBAC says which kinds an actor may touch at all, and these policies which objects of those kinds.
//!
//! A policy compares the request with the groups, and nothing else: what it costs does not depend on how many there are
//! of any kind, and a server can evaluate it as soon as it has started. An object that is named need not exist.
//!
//! Everything is left to the operator, to the cluster's controllers, and to whoever may `actforothers` on orders.

use serde_json::{Value, json};

use super::parts::{binding, check, is_cluster, is_operator, resources};
use crate::kinds::{self, ACT_FOR_OTHERS};
use crate::{GROUP, PAUSED_ANNOTATION};

/// What the groups begin with in the shipped manifests.
pub const PREFIX: &str = "food:";

/// The policies and their bindings. `operators` are the users that the operator runs as, and `prefix` is what groups
/// begin with, one that [`is_prefix`].
pub fn documents(operators: &[String], prefix: &str) -> Vec<Value> {
    let policies = [orders(prefix), tickets(prefix), deliveries(prefix), themselves(prefix)];
    policies.iter().flat_map(|policy| policy.documents(operators)).collect()
}

/// Whether groups can begin with it: 1 to 100 visible ASCII characters, none of which ends or escapes a literal of CEL.
pub fn is_prefix(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '\'' | '\\'))
}

/// A policy for actors.
struct Policy {
    name: &'static str,
    constraints: Value,
    /// When the user's groups do not suffice. It stands in the match condition, the only expression that is evaluated
    /// for whoever is in the right group: with a validation, its sentence is, too, however the check ends.
    ///
    /// The prefix is its first literal, and that of the first variable: kustomize finds it there.
    lacks: String,
    variables: Vec<Value>,
    validations: Vec<Value>,
}

impl Policy {
    fn documents(&self, operators: &[String]) -> [Value; 2] {
        let (lacks, operator, cluster) = (&self.lacks, is_operator(operators), is_cluster());
        let others = format!(
            "authorizer.group('{GROUP}').resource('orders').namespace(request.namespace)\
             .check('{ACT_FOR_OTHERS}').allowed()"
        );
        // One expression, as of several each would be evaluated; what costs most (a look through the roles) comes last.
        let condition = format!("{lacks} && !({operator} || {cluster}) && !{others}");
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": { "name": self.name },
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": self.constraints,
                "matchConditions": [{ "name": "is-in-question", "expression": condition }],
                "variables": self.variables,
                "validations": self.validations,
            },
        });
        [policy, binding(self.name)]
    }
}

/// What the groups begin with that act for objects of a kind in the request's namespace; their names follow.
fn of_kind(prefix: &str, kind: &str) -> String {
    format!("'{prefix}' + request.namespace + ':{kind}:'")
}

/// Whether the user is in the group that an expression gives.
fn is_in(group: &str) -> String {
    format!("{group} in request.userInfo.groups")
}

/// A check whose sentence depends on the values: `doer does not act for <whom>: that takes the group <group>`. Both are
/// expressions; `message` is what is read where the sentence cannot be made.
fn acts(expression: &str, whom: &str, group: &str, message: &str) -> Value {
    let mut check = check(expression, message);
    check["messageExpression"] = json!(format!(
        "request.userInfo.username + ' does not act for ' + {whom} + ': that takes the group ' + {group}"
    ));
    check
}

fn variable(name: &str, expression: &str) -> Value {
    json!({ "name": name, "expression": expression })
}

fn orders(prefix: &str) -> Policy {
    let customer = "(request.operation == 'DELETE' ? oldObject : object).spec.customerRef.name";
    let group = format!("{} + {customer}", of_kind(prefix, "customer"));
    let is_pause_kept = is_pause_kept();
    Policy {
        name: "fooddelivery-actors-orders",
        constraints: resources(&["CREATE", "UPDATE", "DELETE"], &["orders"]),
        lacks: format!("!({} && ({is_pause_kept}))", is_in(&group)),
        variables: vec![variable("group", &group), variable("customer", customer)],
        validations: vec![
            acts(
                &is_in("variables.group"),
                "'customer ' + variables.customer",
                "variables.group",
                "only those who act for its customer, by a group of theirs, may place or change an order",
            ),
            check(&is_pause_kept, "an order is stopped, and let go on, by support alone"),
        ],
    }
}

/// Whether an order is stopped as it was before; what is new was not.
fn is_pause_kept() -> String {
    let paused = |object: &str| format!("{object}.metadata.?annotations[?'{PAUSED_ANNOTATION}'].orValue('')");
    let (now, before) = (paused("object"), paused("oldObject"));
    format!("request.operation == 'DELETE' || {now} == (request.operation == 'CREATE' ? '' : {before})")
}

fn tickets(prefix: &str) -> Policy {
    let group = format!("{} + object.spec.storeRef.name", of_kind(prefix, "store"));
    // A group is called after a name, and a ticket is one store's: of one that was made again under the name, its people
    // move nothing that the store before left.
    let is_its_stores = "!(has(oldObject.spec.storeReplaced) && oldObject.spec.storeReplaced)";
    Policy {
        name: "fooddelivery-actors-tickets",
        constraints: resources(&["UPDATE"], &["tickets"]),
        lacks: format!("!({} && {is_its_stores})", is_in(&group)),
        variables: vec![variable("group", &group)],
        validations: vec![
            acts(
                &is_in("variables.group"),
                "'store ' + object.spec.storeRef.name",
                "variables.group",
                "only those who act for its store, by a group of theirs, may move a ticket",
            ),
            check(
                is_its_stores,
                "this ticket is of a store that is gone, and another one was made under its name: an administrator \
             moves it, or the order is cancelled",
            ),
        ],
    }
}

fn deliveries(prefix: &str) -> Policy {
    // Who had it before and who has it afterwards: a rider can neither give back somebody else's nor take one for
    // somebody else.
    let riders = "[?oldObject.spec.?riderRef.name, ?object.spec.?riderRef.name]";
    let of_riders = of_kind(prefix, "rider");
    let acts_for_all = format!("{riders}.all(rider, {})", is_in(&format!("{of_riders} + rider")));
    let is_somebodys = "has(oldObject.spec.riderRef) || has(object.spec.riderRef)";
    // Who comes too late reads that it is taken: the kind's own policy refuses that to everybody.
    let is_taken = "has(oldObject.spec.riderRef) && has(object.spec.riderRef) && \
                    oldObject.spec.riderRef.name != object.spec.riderRef.name";
    let lacking = format!("{riders}.filter(rider, !({}))", is_in("variables.groups + rider"));
    Policy {
        name: "fooddelivery-actors-deliveries",
        constraints: resources(&["UPDATE"], &["deliveries"]),
        lacks: format!("!({is_taken}) && !({acts_for_all} && ({is_somebodys}))"),
        variables: vec![variable("groups", &of_riders), variable("lacking", &lacking)],
        validations: vec![
            acts(
                "size(variables.lacking) == 0",
                "'rider ' + variables.lacking[0]",
                "variables.groups + variables.lacking[0]",
                "only those who act for its rider, by a group of theirs, may take, give back or move a delivery",
            ),
            check(is_somebodys, "a delivery that no rider has can only be taken, by setting spec.riderRef"),
        ],
    }
}

fn themselves(prefix: &str) -> Policy {
    let kind = "request.kind.kind.lowerAscii()";
    let group = format!("'{prefix}' + request.namespace + ':' + {kind} + ':' + object.metadata.name");
    Policy {
        name: "fooddelivery-actors-themselves",
        constraints: resources(&["UPDATE"], &kinds::plurals(|kind| kind.is_acted_for)),
        lacks: format!("!({})", is_in(&group)),
        variables: vec![variable("group", &group)],
        validations: vec![acts(
            &is_in("variables.group"),
            &format!("{kind} + ' ' + object.metadata.name"),
            "variables.group",
            "only those who act for a store, rider or customer, by a group of theirs, may change it",
        )],
    }
}
