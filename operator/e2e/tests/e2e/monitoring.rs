//! What the alerts and the dashboard ask for is what a running operator exports. That they are sound in themselves is
//! checked by `manifests/monitoring/check`.

use std::collections::BTreeSet;

use anyhow::Result;
use fooddelivery_e2e::binaries::workspace;
use fooddelivery_e2e::{LONG, NamespaceOptions, OrderPhase, TestCluster};
use serde_json::json;

use crate::messages::{TURN, forget_others};

/// Every metric of ours that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("fooddelivery_")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_alerts_and_the_dashboard_is_exported() -> Result<()> {
    let breaker = json!({ "breaker": { "minimumCalls": 1, "openFor": "60s" } });
    let options = NamespaceOptions { provider_timeout: Some("2s".into()), ..NamespaceOptions::default() };
    let _turn = TURN.lock().await;
    forget_others().await?;
    let cluster = TestCluster::shared_for_messages().await?;
    let ns = cluster.namespace_with("told-watched", options.with_provider(breaker)).await?;
    ns.message_provider("Webhook").await?;
    // A metric is there once it has counted something: money, messages, a circuit that opens.
    ns.order("lunch", |_| {}).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    ns.sandbox.set_outage("error").await?;
    for name in ["a", "b", "c", "d", "e"] {
        ns.order(name, |_| {}).await?;
        ns.wait_phase(name, OrderPhase::PaymentDeferred, LONG).await?;
    }
    let mut missing = BTreeSet::new();
    for file in ["rules.yaml", "dashboard.json"] {
        let text = std::fs::read_to_string(workspace().join("manifests/monitoring").join(file))?;
        let scrape = ns.operator.metrics().await?;
        let exported = named(&scrape);
        missing.extend(named(&text).difference(&exported).map(|name| format!("{name} of {file}")));
        assert!(named(&text).len() >= 8, "{file} asks for {:?}", named(&text));
    }
    assert!(missing.is_empty(), "{missing:?}");
    Ok(())
}
