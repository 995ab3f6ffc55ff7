//! The admission policy by which the API server stamps the finalizer on new orders and payments, so that the operator
//! need not write it, and ends the tracking of fields of what nobody applies, which makes each write cheaper
//! ([`fooddelivery_api::policies::birth`]). It is not in `manifests/base`: an API server before Kubernetes 1.36 does not know the kind, and
//! would refuse the whole command. So the operator finds out at its start whether the server has the kind, and applies
//! the policy itself, by the right to write exactly this one; where it cannot, it says so once and does without.
//!
//! The policy is owned by the operator's namespace, and is garbage-collected with it. Nothing depends on it: an order
//! without a finalizer gets it from the operator before anything else happens.

use std::time::Duration;

use fooddelivery_api::OPERATOR_NAMESPACE;
use fooddelivery_api::policies::birth::{self, Tracking};
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
pub enum Stamp {
    /// It is there, as this version of the operator has it.
    Applied,
    /// The API server does not have the kind.
    NotServed,
}

/// Applies the policy where the API server has the kind, and says in the log what became of it.
pub async fn apply(client: &Client, tracking: Tracking) {
    match tokio::time::timeout(LIMIT, try_apply(client, tracking)).await {
        Ok(Ok(Stamp::Applied)) => info!(
            all_orders_tracked = tracking == Tracking::All,
            "the API server stamps the finalizer on new orders and payments, and spares what nobody applies managed fields"
        ),
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

/// Applies the policy where the API server has the kind.
///
/// # Errors
/// When a request fails, or the policy may not be written.
pub async fn try_apply(client: &Client, tracking: Tracking) -> kube::Result<Stamp> {
    if !is_served(client).await? {
        return Ok(Stamp::NotServed);
    }
    let namespace = Api::<Namespace>::all(client.clone()).get(OPERATOR_NAMESPACE).await?;
    let owner = json!([{
        "apiVersion": "v1", "kind": "Namespace", "name": OPERATOR_NAMESPACE, "uid": namespace.metadata.uid,
    }]);
    // The policy before its binding. What an older version or a person had applied is taken over.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    for mut document in birth::documents(tracking) {
        document["metadata"]["ownerReferences"] = owner.clone();
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(&document));
        api.patch(birth::NAME, &params, &Patch::Apply(&document)).await?;
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
