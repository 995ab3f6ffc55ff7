//! The policy that stamps finalizers is applied where the API server has its kind, and done without elsewhere.
#![allow(clippy::expect_used)]

use std::sync::{Arc, Mutex};

use fooddelivery_api::OPERATOR_NAMESPACE;
use fooddelivery_api::policies::birth::Tracking;
use fooddelivery_controller::stamp::{Stamp, apply, try_apply};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

const GROUP_VERSION: &str = "admissionregistration.k8s.io/v1";
const RESOURCE: &str = "mutatingadmissionpolicies";

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
    assert_eq!(try_apply(&client, Tracking::Applied).await.expect("it is applied"), Stamp::Applied);
    let sent = sent.lock().expect("the log");
    let writes: Vec<_> = sent.iter().filter(|(method, _, _)| method == "PATCH").collect();
    let names = ["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"];
    assert_eq!(writes.len(), names.len());
    for ((_, path, body), name) in writes.into_iter().zip(names) {
        let place = format!("/apis/{GROUP_VERSION}/{name}/fooddelivery-stamp-finalizer?");
        assert!(path.starts_with(&place) && path.contains("fieldManager=fooddelivery-operator"), "{path}");
        assert_eq!(body["metadata"]["ownerReferences"][0]["uid"], "u1");
    }
}

#[tokio::test]
async fn where_the_kind_is_not_served_nothing_is_written() {
    let (client, sent) = server(&["validatingadmissionpolicies"], true);
    assert_eq!(try_apply(&client, Tracking::Applied).await.expect("an answer"), Stamp::NotServed);
    assert_eq!(sent.lock().expect("the log").len(), 1, "only the kinds were asked for");
}

#[tokio::test]
async fn where_it_may_not_be_written_the_operator_goes_on() {
    let (client, sent) = server(&[RESOURCE], false);
    let error = try_apply(&client, Tracking::Applied).await.expect_err("it is refused");
    assert!(error.to_string().contains("may not"), "{error}");
    apply(&client, Tracking::Applied).await;
    let refused = sent.lock().expect("the log").iter().filter(|(method, _, _)| method == "PATCH").count();
    assert_eq!(refused, 2, "once each time");
}
