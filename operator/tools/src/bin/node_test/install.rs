//! From nothing to the first order's end, with the commands of docs/operate/install.md.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fooddelivery_e2e::binaries::workspace;
use fooddelivery_e2e::images::VERSION;
use fooddelivery_e2e::{NOT_CONFIGURED, OrderPhase, POLL};

use crate::ground::{FOOD, Ground, PATIENCE, Shape};
use crate::{Figures, say};

/// As the manifests have it.
pub(crate) const AS_SHIPPED: Shape<'static> = Shape { tag: VERSION, cpu: ("250m", "1"), replicas: (1, 3) };

/// What the API server says then: of a kind that a policy is about, and of a parameter that it has not read yet.
const NOT_YET: [&str; 2] =
    ["There can be a delay between when CustomResourceDefinitions are created", NOT_CONFIGURED];

pub(crate) async fn install(ground: &Ground) -> Result<Figures> {
    say("kubectl apply -k on an empty cluster");
    let begun = Instant::now();
    ground.deploy(AS_SHIPPED).await?;
    let running = begun.elapsed();
    let marketplace = workspace().join("manifests/overlays/sandbox/marketplace").display().to_string();
    once_known(ground, &["apply", "-k", &marketplace]).await?;
    let order = workspace().join("manifests/samples/order.yaml").display().to_string();
    once_known(ground, &["apply", "-f", &order]).await?;
    complete(ground, "lunch").await?;
    let completed = begun.elapsed();
    Ok(vec![format!(
        "installed: pods ready {:.1} s after the first kubectl apply, the first order Completed after {:.1} s",
        running.as_secs_f32(),
        completed.as_secs_f32()
    )])
}

/// Asks, and again while the API server says that it does not know a kind yet: for some seconds after the CRDs came, its
/// admission policies do not.
async fn once_known(ground: &Ground, args: &[&str]) -> Result<()> {
    let begun = Instant::now();
    loop {
        match ground.kubectl(args).await {
            Err(error) if begun.elapsed() < PATIENCE && is_not_yet(&format!("{error:#}")) => {
                say("the API server does not know a kind yet: tried again in a second");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            result => return result.map(drop),
        }
    }
}

fn is_not_yet(said: &str) -> bool {
    NOT_YET.iter().any(|sentence| said.contains(sentence))
}

/// Plays store, rider and customer of an order.
pub(crate) async fn complete(ground: &Ground, name: &str) -> Result<()> {
    wait_phase(ground, name, OrderPhase::AwaitingStore).await?;
    created(ground, "tkt", name).await?;
    for stage in ["Accepted", "Cooking", "Cooked"] {
        patch(ground, "tkt", name, &format!(r#"{{"spec":{{"stage":"{stage}"}}}}"#)).await?;
    }
    wait_phase(ground, name, OrderPhase::AwaitingRider).await?;
    created(ground, "dlv", name).await?;
    patch(ground, "dlv", name, r#"{"spec":{"riderRef":{"name":"minjun"}}}"#).await?;
    for stage in ["PickedUp", "Delivered"] {
        patch(ground, "dlv", name, &format!(r#"{{"spec":{{"stage":"{stage}"}}}}"#)).await?;
    }
    wait_phase(ground, name, OrderPhase::Delivered).await?;
    patch(ground, "ord", name, r#"{"spec":{"receiptConfirmed":true}}"#).await?;
    wait_phase(ground, name, OrderPhase::Completed).await
}

/// What the operator makes of an order comes a moment after the order's phase.
async fn created(ground: &Ground, kind: &str, name: &str) -> Result<()> {
    let it = format!("{kind}/{name}");
    ground.kubectl(&["-n", FOOD, "wait", "--for=create", &it, "--timeout=120s"]).await.map(drop)
}

async fn patch(ground: &Ground, kind: &str, name: &str, patch: &str) -> Result<()> {
    once_known(ground, &["-n", FOOD, "patch", kind, name, "--type=merge", "-p", patch]).await
}

pub(crate) async fn wait_phase(ground: &Ground, name: &str, phase: OrderPhase) -> Result<()> {
    let begun = Instant::now();
    loop {
        let order = ground.orders().get_opt(name).await?.with_context(|| format!("no order {name}"))?;
        let state = order.state();
        if state.phase == phase {
            return Ok(());
        }
        let message = &state.message;
        ensure!(begun.elapsed() < PATIENCE, "{name} is {}, and not {phase}: {message}", state.phase);
        tokio::time::sleep(POLL).await;
    }
}
