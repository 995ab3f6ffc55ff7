//! The marketplace of the samples (`manifests/samples`), for a test namespace.

use anyhow::{Context, Result};
use fooddelivery_api::OPERATOR_NAMESPACE;
use fooddelivery_sandbox::config::DEFAULT_SECRET_KEY;
use serde_json::{Value, json};

use crate::binaries::workspace;

/// The samples' marketplace in another namespace, and a provider of its own.
pub(crate) fn marketplace(
    namespace: &str,
    endpoint: &str,
    fields: &serde_json::Map<String, Value>,
) -> Result<String> {
    let path = workspace().join("manifests/samples/marketplace.yaml");
    let samples = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let samples = samples
        .replace("namespace: food\n", &format!("namespace: {namespace}\n"))
        .replace("name: food\n", &format!("name: {namespace}\n"));
    let secret = provider_secret(namespace);
    let provider = provider(namespace, namespace, endpoint, fields);
    // Who tests orders is not to be held up by what a rider can carry at once.
    let rider = json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Rider",
        "metadata": { "name": "minjun", "namespace": namespace },
        "spec": { "region": "mapo", "capacity": 20 },
    });
    Ok(format!("{samples}\n---\n{rider}\n---\n{secret}\n---\n{provider}\n"))
}

/// The Secret that a PaymentProvider at a sandbox refers to, in the operator's namespace.
pub fn provider_secret(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": name, "namespace": OPERATOR_NAMESPACE },
        "stringData": { "secretKey": DEFAULT_SECRET_KEY },
    })
}

/// A PaymentProvider at `endpoint`, with the key of `secret`, and with `fields` in its spec.
pub fn provider(name: &str, secret: &str, endpoint: &str, fields: &serde_json::Map<String, Value>) -> Value {
    let mut provider = json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "PaymentProvider",
        "metadata": { "name": name },
        "spec": {
            "dialect": "Toss", "endpoint": endpoint, "allowPlainHttp": true,
            "secretRef": { "name": secret },
        },
    });
    for (field, value) in fields {
        provider["spec"][field] = value.clone();
    }
    provider
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_namespace_is_the_samples_marketplace_in_a_namespace_of_its_own() {
        let fields = serde_json::Map::from_iter([("timeout".to_owned(), json!("2s"))]);
        let text = marketplace("test-1", "http://127.0.0.1:1", &fields).unwrap();
        assert!(
            text.contains("name: hanok") && text.contains("name: minjun") && text.contains("name: jiwoo")
        );
        assert!(!text.contains("food\n"), "{text}");
        assert!(text.contains(r#""timeout":"2s""#));
    }
}
