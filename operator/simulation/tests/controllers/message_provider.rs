//! The controller of message providers.

use serde_json::json;

use super::bench::{Bench, listener};

#[tokio::test(start_paused = true)]
async fn a_provider_with_its_secret_is_ready() {
    let bench = Bench::new().with("messageproviders", "MessageProvider", "listener", &listener());
    assert_eq!(bench.reconcile("message-provider").await, ["patch messageproviders/status"]);
    assert_eq!(bench.get("messageproviders", "listener")["status"]["conditions"][0]["status"], "True");
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_its_secret_says_so_in_status_and_event() {
    let mut spec = listener();
    spec["secretRef"]["name"] = json!("nowhere");
    let bench = Bench::new().with("messageproviders", "MessageProvider", "listener", &spec);
    bench.reconcile("message-provider").await;
    let condition = bench.get("messageproviders", "listener")["status"]["conditions"][0].clone();
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&json!("False"), &json!("ProviderSecretMissing"))
    );
    assert_eq!(bench.events(), ["ProviderSecretMissing"]);
}
