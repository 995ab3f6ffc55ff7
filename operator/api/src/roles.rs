//! The roles: what the operator may do, and nothing more; and what the actors may do, as far as RBAC can say it.
//!
//! Which verbs go with which kind stands in [`kinds`](crate::kinds); here stands what is not about our kinds, and how it
//! is bound. The documents are what `manifests/base/rbac.yaml` ships.

use serde_json::{Value, json};

use crate::crds::{GenerateError, HEADER};
use crate::kinds::{ALL, Actor, Kind};
use crate::{GROUP, OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT, TOKEN_SECRETS_ROLE};

/// A document, and what is said of it above it.
type Document = (&'static str, Value);

const API: &str = "rbac.authorization.k8s.io/v1";

/// `manifests/base/rbac.yaml`: the roles of the operator and of the actors.
///
/// # Errors
/// [`GenerateError::Unwritable`], a mistake in this crate.
pub fn file() -> Result<String, GenerateError> {
    let mut texts = Vec::new();
    for (comment, document) in operator().iter().chain(&actors()) {
        let yaml = serde_saphyr::to_string(document).map_err(|e| GenerateError::Unwritable(e.to_string()))?;
        let line = |line: &str| format!("# {line}").trim_end().to_owned();
        let comment = comment.lines().map(line).collect::<Vec<_>>().join("\n");
        texts.push(format!("{comment}\n{yaml}"));
    }
    Ok(format!("{HEADER}{}", texts.join("---\n")))
}

/// What the operator may do, beside its namespace.
fn operator() -> Vec<Document> {
    let metadata = json!({ "name": OPERATOR_SERVICE_ACCOUNT });
    let at_home = json!({ "name": OPERATOR_SERVICE_ACCOUNT, "namespace": OPERATOR_NAMESPACE });
    let mut rules = grouped(|kind| kind.operator.to_vec());
    let with_status = ALL.iter().filter(|kind| kind.has_status());
    let statuses: Vec<String> = with_status.map(|kind| format!("{}/status", kind.plural)).collect();
    rules.push(rule(GROUP, &statuses, &["patch"]));
    rules.push(rule("", &["namespaces"], &["get"]));
    rules.push(rule("events.k8s.io", &["events"], &["create"]));
    let leases = ["get", "list", "watch", "create", "patch", "delete"];
    vec![
        (
            "What the operator may do, and nothing more.",
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": at_home }),
        ),
        (
            "Orders are deleted only when they are kept for a time (--ttl-after-settled).",
            role("ClusterRole", &metadata, &rules),
        ),
        (
            "For tokens that customers keep in Secrets (spec.payment.tokenSecretRef). Bound by a RoleBinding in the\n\
             namespaces of such orders, and nowhere else (manifests/samples/token-secrets.yaml).",
            role("ClusterRole", &json!({ "name": TOKEN_SECRETS_ROLE }), &[rule("", &["secrets"], &["get"])]),
        ),
        ("For all namespaces.", binding("ClusterRole", &metadata)),
        (
            "The providers' Secrets; and the Leases by which the controllers say that they are at work (deadlines do\n\
             not run while they are not), and the replicas that they are there and share it.",
            role(
                "Role",
                &at_home,
                &[rule("coordination.k8s.io", &["leases"], &leases), rule("", &["secrets"], &["get"])],
            ),
        ),
        ("In its own namespace.", binding("Role", &at_home)),
    ]
}

/// What the actors may do.
fn actors() -> Vec<Document> {
    let documents = |actor: Actor| {
        let (name, comment) = match actor {
            Actor::Customer => (
                "fooddelivery-customer",
                "What the actors may do, to be bound by RoleBindings, per namespace (manifests/samples/actors.yaml).\n\
                 Which objects of a kind are theirs RBAC cannot say: that is in policies/actors.yaml.\n\n\
                 Customers have no list and no watch: RBAC cannot filter them, and would show everybody's orders.",
            ),
            Actor::Store => ("fooddelivery-store", "Keeps its menu, and moves its tickets."),
            Actor::Rider => ("fooddelivery-rider", "Takes deliveries, and moves them."),
            Actor::Support => (
                "fooddelivery-support",
                "Reads everything; cancels and stops orders, and says what became of payments that need review. No\n\
                 request has the verb actforothers: the policies for actors ask for it, and spare who has it.",
            ),
            Actor::Tenant => (
                "fooddelivery-tenant",
                "For those to whom all of a namespace belongs: they may see whatever happens in it.",
            ),
        };
        let mut rules = grouped(|kind| kind.verbs_of(actor));
        if actor == Actor::Support {
            rules.push(rule("events.k8s.io", &["events"], &["get", "list", "watch"]));
        }
        (comment, role("ClusterRole", &json!({ "name": name }), &rules))
    };
    [Actor::Customer, Actor::Store, Actor::Rider, Actor::Support, Actor::Tenant].map(documents).into()
}

/// A rule for each set of verbs, with the kinds that have it.
fn grouped(verbs_of: impl Fn(&Kind) -> Vec<&'static str>) -> Vec<Value> {
    let mut groups: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
    for kind in ALL {
        let verbs = verbs_of(kind);
        if verbs.is_empty() {
            continue;
        }
        match groups.iter_mut().find(|(known, _)| *known == verbs) {
            Some((_, kinds)) => kinds.push(kind.plural),
            None => groups.push((verbs, vec![kind.plural])),
        }
    }
    groups.iter().map(|(verbs, kinds)| rule(GROUP, kinds, verbs)).collect()
}

fn rule<T: serde::Serialize>(group: &str, resources: &[T], verbs: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
}

fn role(kind: &str, metadata: &Value, rules: &[Value]) -> Value {
    json!({ "apiVersion": API, "kind": kind, "metadata": metadata, "rules": rules })
}

/// Gives the operator the role of its own name.
fn binding(role: &str, metadata: &Value) -> Value {
    json!({
        "apiVersion": API,
        "kind": format!("{role}Binding"),
        "metadata": metadata,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": OPERATOR_SERVICE_ACCOUNT },
        "subjects": [{
            "kind": "ServiceAccount", "name": OPERATOR_SERVICE_ACCOUNT, "namespace": OPERATOR_NAMESPACE,
        }],
    })
}
