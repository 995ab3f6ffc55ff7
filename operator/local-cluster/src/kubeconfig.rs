//! Writes kubeconfigs for one cluster and one user, with all certificates inside, so that the file
//! alone is enough. Reads none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pki::Credential;

/// The text of a kubeconfig with the context `local-cluster`.
pub(crate) fn kubeconfig(server_url: &str, ca_pem: &str, user: &str, credential: &Credential) -> String {
    // Every value is base64, a URL or a name of ours: nothing needs escaping beyond the quotes.
    let ca = STANDARD.encode(ca_pem);
    let cert = STANDARD.encode(&credential.cert_pem);
    let key = STANDARD.encode(&credential.key_pem);
    format!(
        r#"apiVersion: v1
kind: Config
clusters:
- name: local-cluster
  cluster:
    server: "{server_url}"
    certificate-authority-data: "{ca}"
users:
- name: "{user}"
  user:
    client-certificate-data: "{cert}"
    client-key-data: "{key}"
contexts:
- name: local-cluster
  context:
    cluster: local-cluster
    user: "{user}"
current-context: local-cluster
"#
    )
}
