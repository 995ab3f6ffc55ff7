//! The operator's command line, its log lines, and its port for probes and metrics.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use fooddelivery_e2e::binaries::workspace;
use fooddelivery_e2e::{LONG, NamespaceOptions, OperatorOptions, OrderPhase, Programs, TestCluster};
use serde_json::Value;

fn operator(args: &[&str]) -> Result<(bool, String, String)> {
    let output = Command::new(&Programs::find_or_build()?.operator).args(args).output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((output.status.success(), text(output.stdout), text(output.stderr)))
}

#[test]
fn it_prints_its_crds_policies_and_version() -> Result<()> {
    let (ok, crds, _) = operator(&["crds"])?;
    assert!(ok);
    let (ok, policies, _) = operator(&["policies"])?;
    assert!(ok);
    for (folder, printed) in [
        ("crds", &crds),
        ("manifests/base/policies", &policies),
        ("manifests/components/static-stamp", &policies),
    ] {
        for file in std::fs::read_dir(workspace().join(folder))? {
            let path = file?.path();
            if path.file_name().is_some_and(|name| name != "kustomization.yaml") {
                let committed = std::fs::read_to_string(&path)?;
                assert!(printed.contains(&committed), "{} is what it prints", path.display());
            }
        }
    }
    let (_, validating, _) = operator(&["policies", "--validating-only", "--operator-user", "me"])?;
    assert!(!validating.contains("kind: MutatingAdmissionPolicy") && validating.contains("in ['me']"));
    let (_, policies, _) = operator(&["policies", "--actors-prefix", "acme:"])?;
    assert!(policies.contains("'acme:'") && !policies.contains("'food:'"));
    let (ok, version, _) = operator(&["version"])?;
    assert!(ok && version.starts_with("fooddelivery-operator 0."), "{version}");
    Ok(())
}

#[test]
fn a_setting_that_cannot_be_is_refused_with_a_sentence() -> Result<()> {
    for (args, sentence) in [
        (["run", "--concurrency=0"], "at least 1"),
        (["run", "--controllers=cook"], "invalid value 'cook'"),
        (["run", "--context=no-such-context"], "no-such-context"),
    ] {
        let (ok, _, said) = operator(&args)?;
        assert!(!ok && said.contains(sentence), "{args:?}: {said}");
    }
    let help = operator(&["run", "--help"])?.1;
    for line in help.lines().filter(|line| line.trim_start().starts_with("--")) {
        let name = line.trim().split([' ', '=']).next().unwrap_or_default();
        let known = help.split(name).nth(1).unwrap_or_default();
        assert!(
            name == "--help" || known.contains("[env: FOODDELIVERY_"),
            "{name} can be set by environment"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_about_an_order_says_which_and_what_it_belongs_to() -> Result<()> {
    let args = vec!["--log-format=json".to_owned()];
    let operator = OperatorOptions { args, ..Default::default() };
    let options = NamespaceOptions { operator, provider_timeout: Some("10s".into()), ..Default::default() };
    let ns = TestCluster::shared().await?.namespace_with("logs", options).await?;
    let order = ns.order("lunch", |_| {}).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    ns.cancel("lunch", "changed my mind").await?;
    ns.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    let log = std::fs::read_to_string(ns.operator.log_path())?;
    let lines: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let about: Vec<&Value> = lines.iter().filter(|line| line["span"]["name"] == "reconcile").collect();
    let uid = order.metadata.uid.expect("a uid");
    let ours: Vec<&&Value> = about.iter().filter(|line| line["span"]["object"].is_null()).collect();
    assert!(ours.len() >= 8, "{log}");
    for line in &ours {
        assert_eq!(line["span"]["order"], format!("{}/lunch", ns.name), "{line}");
        assert_eq!(line["span"]["correlation"], uid, "{line}");
    }
    let mut said: Vec<String> = ours.iter().map(|line| without_time((**line).clone())).collect();
    let all = said.len();
    said.sort();
    said.dedup();
    assert_eq!(said.len(), all, "no line is repeated\n{log}");
    assert!(!log.contains("\"level\":\"ERROR\"") && !log.contains("\"level\":\"WARN\""), "{log}");
    Ok(())
}

fn without_time(mut line: Value) -> String {
    line["timestamp"] = Value::Null;
    line["took_ms"] = Value::Null;
    line.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_for_machines_answers() -> Result<()> {
    let options = NamespaceOptions { provider_timeout: Some("10s".into()), ..Default::default() };
    let ns = TestCluster::shared().await?.namespace_with("port", options).await?;
    ns.order("lunch", |_| {}).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    assert_eq!(ns.operator.get("readyz").await?.trim(), "ready");
    assert_eq!(ns.operator.get("livez").await?.trim(), "alive");
    for name in [
        "fooddelivery_reconciles_total{controller=\"order\",result=\"waiting\"}",
        "fooddelivery_reconcile_duration_seconds_bucket",
        "fooddelivery_api_requests_total{kind=\"Payment\",verb=\"create\",result=\"ok\"} 1",
        "fooddelivery_provider_calls_total{operation=\"charge\",outcome=\"captured\"} 1",
        "fooddelivery_phases_entered_total{kind=\"Order\",phase=\"AwaitingStore\"} 1",
        "fooddelivery_queue_length",
        "fooddelivery_clock_skew_seconds 0",
    ] {
        ns.wait_metric(name).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_system_writes_nothing() -> Result<()> {
    // On a shared one every operator hears of each payment provider that another test makes.
    let cluster = TestCluster::exclusive().await?;
    let ns = cluster.namespace("quiet").await?;
    for name in ["waits-for-the-store", "cancelled", "completed"] {
        ns.order(name, |_| {}).await?;
    }
    ns.order("cannot-be-priced", |o| o.items[0].menu_item = "pizza".into()).await?;
    ns.wait_phase("cancelled", OrderPhase::AwaitingStore, LONG).await?;
    ns.cancel("cancelled", "changed my mind").await?;
    ns.cook("completed").await?;
    ns.complete("completed").await?;
    ns.wait_phase("cancelled", OrderPhase::Cancelled, LONG).await?;
    // The counts may lag for a moment, on a busy machine for longer; after that nothing moves.
    for _ in 0..8 {
        let before = requests(&ns.operator.metrics().await?);
        tokio::time::sleep(Duration::from_secs(4)).await;
        if requests(&ns.operator.metrics().await?) == before {
            drop(ns);
            cluster.give_back();
            return Ok(());
        }
    }
    anyhow::bail!("it goes on writing or reading:\n{}", ns.operator.metrics().await?)
}

/// The counters of requests to the API server, as they stand in a scrape. Those of Leases are left out: the controllers'
/// signs of life recur by their nature (a list every five seconds, a write every ten), however many orders there are.
fn requests(metrics: &str) -> Vec<String> {
    let counts =
        |line: &&str| line.starts_with("fooddelivery_api_requests_total") && !line.contains("kind=\"Lease\"");
    let mut found: Vec<String> = metrics.lines().filter(counts).map(str::to_owned).collect();
    found.sort();
    found
}
