//! What the alerts and the dashboard ask for is what a running operator exports. That they are sound in themselves is
//! checked by `manifests/monitoring/check`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use anyhow::Result;
use fooddelivery_e2e::binaries::workspace;
use fooddelivery_e2e::{KitchenOptions, LONG, OrderPhase, Stage};
use serde_json::json;

/// Every metric of ours that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("fooddelivery_")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_alerts_and_the_dashboard_is_exported() -> Result<()> {
    let breaker = json!({ "breaker": { "minimumCalls": 1, "openFor": "60s" } });
    let options = KitchenOptions { provider_timeout: Some("2s".into()), ..KitchenOptions::default() };
    let kitchen = Stage::shared().await?.kitchen_with("watched", options.with_provider(breaker)).await?;
    kitchen.message_provider("Webhook").await?;
    // A metric is there once it has counted something: money, messages, a circuit that opens.
    kitchen.order("lunch", |_| {}).await?;
    kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    kitchen.sandbox.set_outage("error").await?;
    for name in ["a", "b", "c", "d", "e"] {
        kitchen.order(name, |_| {}).await?;
        kitchen.wait_phase(name, OrderPhase::PaymentDeferred, LONG).await?;
    }
    let mut missing = BTreeSet::new();
    for file in ["rules.yaml", "dashboard.json"] {
        let text = std::fs::read_to_string(workspace().join("manifests/monitoring").join(file))?;
        let scrape = kitchen.operator.metrics().await?;
        let exported = named(&scrape);
        missing.extend(named(&text).difference(&exported).map(|name| format!("{name} of {file}")));
        assert!(named(&text).len() >= 8, "{file} asks for {:?}", named(&text));
    }
    assert!(missing.is_empty(), "{missing:?}");
    Ok(())
}
