//! The operator's identity: a kubeconfig for its service account, so that it runs with exactly the permissions of the
//! manifests, and as the user that the admission policies name.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fooddelivery_api::{OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::access::ClusterAccess;

/// How long the token is asked to last.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// Writes a kubeconfig for the operator's service account into the cluster's directory, readable by this user only,
/// and returns its path.
///
/// # Errors
/// When the service account does not exist or the API server gives no token.
pub async fn operator_kubeconfig(access: &ClusterAccess) -> Result<PathBuf> {
    let shown = access.kubectl(["config", "view", "--raw", "--minify", "--flatten", "-o", "json"]).await?;
    let admin: Value = serde_json::from_str(&shown).context("kubectl config view")?;
    let text = kubeconfig(&admin, &token(access).await?).context("the kubeconfig names no cluster")?;
    let path = access.dir().join("operator.kubeconfig");
    write_private(&path, &text)?;
    Ok(path)
}

async fn token(access: &ClusterAccess) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(access.client().await?, OPERATOR_NAMESPACE);
    let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let answer =
        accounts.create_token_request(OPERATOR_SERVICE_ACCOUNT, &PostParams::default(), &request).await;
    let answer = answer.context("a token for the operator's service account")?;
    answer.status.and_then(|status| status.token).context("the API server gave no token")
}

/// The administrator's cluster, and a user that has only the token. JSON is YAML.
fn kubeconfig(admin: &Value, token: &str) -> Option<String> {
    let cluster = admin.pointer("/clusters/0/cluster")?;
    let name = OPERATOR_SERVICE_ACCOUNT;
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": cluster }],
        "users": [{ "name": name, "user": { "token": token } }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        "current-context": name,
    });
    Some(config.to_string())
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_kubeconfig_has_the_cluster_and_none_of_the_administrators_credentials() {
        let admin = json!({
            "clusters": [{ "name": "c", "cluster": { "server": "https://s:6443", "tls-server-name": "n" } }],
            "users": [{ "name": "u", "user": { "client-key-data": "hidden" } }],
        });
        let text = kubeconfig(&admin, "t0").unwrap();
        let made: kube::config::Kubeconfig = serde_json::from_str(&text).unwrap();
        let cluster = made.clusters[0].cluster.clone().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://s:6443"));
        assert_eq!(cluster.tls_server_name.as_deref(), Some("n"));
        assert!(text.contains("t0") && !text.contains("hidden"));
        assert_eq!(kubeconfig(&json!({}), "t0"), None);
    }
}
