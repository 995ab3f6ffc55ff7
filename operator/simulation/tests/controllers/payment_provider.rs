//! The controller of payment providers.

use serde_json::{Value, json};

use super::bench::{Bench, provider};

fn ready(provider: &Value) -> (&Value, &Value) {
    let condition = &provider["status"]["conditions"][0];
    assert_eq!(condition["type"], "Ready");
    (&condition["status"], &condition["reason"])
}

#[tokio::test(start_paused = true)]
async fn a_provider_with_its_secret_is_ready() {
    let bench = Bench::new();
    assert_eq!(bench.reconcile("payment-provider").await, ["patch paymentproviders/status"]);
    assert_eq!(ready(&bench.get("paymentproviders", "toss")), (&json!("True"), &json!("Configured")));
    assert!(bench.events().is_empty());
    assert!(bench.reconcile("payment-provider").await.is_empty(), "and says so once");
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_its_secret_says_so_in_status_and_event() {
    let mut spec = provider("Stripe");
    spec["secretRef"]["name"] = json!("nowhere");
    let bench = Bench::new().with("paymentproviders", "PaymentProvider", "stripe", &spec);
    bench.reconcile("payment-provider").await;
    let stripe = bench.get("paymentproviders", "stripe");
    assert_eq!(ready(&stripe), (&json!("False"), &json!("ProviderSecretMissing")));
    assert_eq!(bench.events(), ["ProviderSecretMissing"]);
}
