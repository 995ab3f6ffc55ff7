//! The admission policy by which the API server stamps the finalizer on new orders and payments, so that the operator
//! need not write it. It is not in `manifests/base`: an API server before Kubernetes 1.36 does not know the kind, and
//! would refuse the whole command. So the operator finds out at its start whether the server has the kind, and applies
//! the policy itself, by the right to write exactly this one; where it cannot, it says so once and does without.
//!
//! The policy is owned by the operator's namespace, and is garbage-collected with it. Nothing depends on it: an order
//! without a finalizer gets it from the operator before anything else happens.

use std::time::Duration;

use fooddelivery_api::OPERATOR_NAMESPACE;
use fooddelivery_api::policies;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use tracing::{info, warn};

/// Group and version that serve the kind since Kubernetes 1.36.
const GROUP_VERSION: &str = "admissionregistration.k8s.io/v1";
/// The kind, as the API server's paths name it.
const RESOURCE: &str = "mutatingadmissionpolicies";
/// The name under which the policy's fields are tracked.
const FIELD_MANAGER: &str = "fooddelivery-operator";
/// Time for all requests together; the operator goes on without the policy then.
const LIMIT: Duration = Duration::from_secs(10);

/// What became of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    /// It is there, as this version of the operator has it.
    Applied,
    /// The API server does not have the kind.
    NotServed,
}

/// Applies the policy where the API server has the kind, and says in the log what became of it.
pub async fn apply(client: &Client) {
    match tokio::time::timeout(LIMIT, try_apply(client)).await {
        Ok(Ok(Stamp::Applied)) => info!("the API server stamps the finalizer on new orders and payments"),
        Ok(Ok(Stamp::NotServed)) => info!(
            "the API server has no MutatingAdmissionPolicy ({GROUP_VERSION}, Kubernetes 1.36 and later): \
             the operator writes the finalizer of each order itself"
        ),
        Ok(Err(error)) => warn!(
            error = %error,
            "the policy that stamps finalizers was not applied: where it is not there, the operator writes the \
             finalizer of each order itself"
        ),
        Err(_) => warn!(
            "the policy that stamps finalizers was not applied: no answer within {} s; where it is not there, the \
             operator writes the finalizer of each order itself",
            LIMIT.as_secs()
        ),
    }
}

async fn try_apply(client: &Client) -> kube::Result<Stamp> {
    if !is_served(client).await? {
        return Ok(Stamp::NotServed);
    }
    let namespace = Api::<Namespace>::all(client.clone()).get(OPERATOR_NAMESPACE).await?;
    let owner = json!([{
        "apiVersion": "v1", "kind": "Namespace", "name": OPERATOR_NAMESPACE, "uid": namespace.metadata.uid,
    }]);
    // The policy before its binding. What an older version or a person had applied is taken over.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    for mut document in policies::stamp() {
        document["metadata"]["ownerReferences"] = owner.clone();
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(&document));
        api.patch(policies::STAMP, &params, &Patch::Apply(&document)).await?;
    }
    Ok(Stamp::Applied)
}

async fn is_served(client: &Client) -> kube::Result<bool> {
    let served = client.list_api_group_resources(GROUP_VERSION).await?;
    Ok(served.resources.iter().any(|resource| resource.name == RESOURCE))
}

fn resource(document: &Value) -> ApiResource {
    let (group, version) = GROUP_VERSION.split_once('/').unwrap_or_default();
    let kind = document["kind"].as_str().unwrap_or_default();
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};
    use kube::client::Body;
    use std::sync::{Arc, Mutex};

    /// A request: method, path with its query, and body.
    type Sent = (String, String, Value);

    /// An API server that serves `resources` of the group, and lets every policy be written, or none.
    fn server(resources: &'static [&'static str], may_write: bool) -> (Client, Arc<Mutex<Vec<Sent>>>) {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&sent);
        let service = tower::service_fn(move |request: Request<Body>| {
            let log = Arc::clone(&log);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.expect("a body");
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let (path, is_write) = (parts.uri.to_string(), parts.method == http::Method::PATCH);
                let (code, answer) = if is_write && !may_write {
                    (
                        403,
                        json!({ "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden",
                                  "message": "may not" }),
                    )
                } else if is_write {
                    (200, body.clone())
                } else if path.starts_with("/api/v1/namespaces/") {
                    (200, json!({ "metadata": { "name": OPERATOR_NAMESPACE, "uid": "u1" } }))
                } else {
                    let resource = |name: &&str| json!({ "name": name, "singularName": "", "namespaced": false, "kind": "K", "verbs": [] });
                    let resources: Vec<Value> = resources.iter().map(resource).collect();
                    (
                        200,
                        json!({ "kind": "APIResourceList", "groupVersion": GROUP_VERSION, "resources": resources }),
                    )
                };
                log.lock().expect("the log").push((parts.method.to_string(), path, body));
                let answer = Body::from(answer.to_string().into_bytes());
                Ok::<_, std::io::Error>(Response::builder().status(code).body(answer).expect("an answer"))
            }
        });
        (Client::new(service, "default"), sent)
    }

    #[tokio::test]
    async fn where_the_kind_is_served_the_policy_is_applied_before_its_binding_and_owned_by_the_namespace() {
        let (client, sent) = server(&["validatingadmissionpolicies", RESOURCE], true);
        assert_eq!(try_apply(&client).await.expect("it is applied"), Stamp::Applied);
        let sent = sent.lock().expect("the log");
        let writes: Vec<_> = sent.iter().filter(|(method, _, _)| method == "PATCH").collect();
        let names = ["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"];
        assert_eq!(writes.len(), names.len());
        for ((_, path, body), name) in writes.into_iter().zip(names) {
            let place = format!("/apis/{GROUP_VERSION}/{name}/fooddelivery-stamp-finalizer?");
            assert!(
                path.starts_with(&place) && path.contains("fieldManager=fooddelivery-operator"),
                "{path}"
            );
            assert_eq!(body["metadata"]["ownerReferences"][0]["uid"], "u1");
        }
    }

    #[tokio::test]
    async fn where_the_kind_is_not_served_nothing_is_written() {
        let (client, sent) = server(&["validatingadmissionpolicies"], true);
        assert_eq!(try_apply(&client).await.expect("an answer"), Stamp::NotServed);
        assert_eq!(sent.lock().expect("the log").len(), 1, "only the kinds were asked for");
    }

    #[tokio::test]
    async fn where_it_may_not_be_written_the_operator_goes_on() {
        let (client, sent) = server(&[RESOURCE], false);
        let error = try_apply(&client).await.expect_err("it is refused");
        assert!(error.to_string().contains("may not"), "{error}");
        apply(&client).await;
        let refused = sent.lock().expect("the log").iter().filter(|(method, _, _)| method == "PATCH").count();
        assert_eq!(refused, 2, "once each time");
    }
}
