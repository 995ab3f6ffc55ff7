//! Tokens and keys that come from Secrets: waited for, named when they are missing or may not be read, and shown nowhere.

use std::time::Duration;

use anyhow::Result;
use fooddelivery_api::order::SecretKeyRef;
use fooddelivery_e2e::{LONG, Order, OrderPhase, Payment, PaymentPhase, TestCluster, TestNamespace};

async fn namespace(name: &str) -> Result<TestNamespace> {
    TestCluster::shared().await?.namespace(name).await
}

fn reason(order: &Order) -> String {
    order.state().reason.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_comes_from_a_secret_and_shows_up_nowhere() -> Result<()> {
    let ns = namespace("secret").await?;
    ns.order("lunch", |o| {
        o.payment.token = None;
        o.payment.token_secret_ref = Some(SecretKeyRef { name: "card".into(), key: "token".into() });
    })
    .await?;
    let held_up = |o: &Order| reason(o) == "TokenSecretForbidden";
    let order = ns.wait_until::<Order>("lunch", "the permission asked for", LONG, held_up).await?;
    let said = order.state().message.clone();
    assert!(said.contains("fooddelivery-operator-token-secrets") && said.contains(&ns.name), "{said}");
    ns.allow_token_secrets().await?;
    let held_up = |o: &Order| reason(o) == "TokenSecretMissing";
    ns.wait_until::<Order>("lunch", "the missing Secret named", LONG, held_up).await?;
    let token = "error_after_very-secret-token";
    let literal = format!("--from-literal=token={token}");
    ns.kubectl(&["create", "secret", "generic", "card", &literal]).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, Duration::from_mins(1)).await?;
    let payment = ns.get::<Payment>("lunch").await?;
    let shown = [
        std::fs::read_to_string(ns.operator.log_path())?,
        serde_json::to_string(&ns.get::<Order>("lunch").await?)?,
        serde_json::to_string(&payment.spec)?,
        ns.kubectl(&["get", "events", "-o", "yaml"]).await?,
        ns.operator.metrics().await?,
    ];
    for text in &shown {
        assert!(!text.contains("very-secret-token"), "the token is shown: {text}");
        assert!(!text.contains("test_sk_sandbox"), "the provider's secret key is shown");
    }
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_provider_secret_is_named_and_waited_for() -> Result<()> {
    let ns = namespace("no-secret").await?;
    let secret = ["-n", "fooddelivery-system"];
    let name = ns.name.clone();
    let kubectl = |args: &[&str]| {
        ns.cluster.access().kubectl(secret.iter().chain(args).map(ToString::to_string).collect::<Vec<_>>())
    };
    kubectl(&["delete", "secret", &name]).await?;
    // What was read of a Secret is used for at most five seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    ns.order("lunch", |_| {}).await?;
    let named = |o: &Order| reason(o) == "ProviderSecretMissing";
    ns.wait_until::<Order>("lunch", "the missing Secret named", LONG, named).await?;
    kubectl(&["create", "secret", "generic", &name, "--from-literal=secretKey=test_sk_sandbox"]).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, Duration::from_mins(1)).await?;
    assert_eq!(ns.get::<Payment>("lunch").await?.state().phase, PaymentPhase::Captured);
    ns.audit().await
}
