//! `run`: what is of this process and machine (signals, the kubeconfig, the HTTP port, the clock) around a
//! [`Replica`], which is everything else.

use std::sync::Arc;

use anyhow::Context as _;
use fooddelivery_api::policies::birth::Tracking;
use fooddelivery_providers::HttpClient;
use fooddelivery_runtime::clock;
use fooddelivery_runtime::clock::dates::DateLayer;
use fooddelivery_runtime::watch::FirstList;
use fooddelivery_runtime::{Jitter, health};
use kube::client::ClientBuilder;
use kube::config::KubeConfigOptions;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

use crate::replica::{Parts, Replica};
use crate::settings::Settings;
use crate::shared::{message_clients, payment_clients};
use crate::stamp;

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
/// When the cluster cannot be reached or the port cannot be had.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let client = connect(settings.context.as_deref()).await?;
    let server = client
        .apiserver_version()
        .await
        .context("the API server does not answer; is the kubeconfig (KUBECONFIG, --context) right?")?;
    info!(version = env!("CARGO_PKG_VERSION"), kubernetes = %server.git_version, "starting");
    let tracking = if settings.track_order_fields { Tracking::All } else { Tracking::Applied };
    stamp::apply(&client, tracking).await;
    let http = HttpClient::new().context("cannot set up the HTTP client for payment providers")?;
    let parts = Parts {
        clock: clock::process().clone(),
        jitter: Arc::new(Jitter::from_entropy()),
        ports: payment_clients::over_http(http.clone()),
        messages: message_clients::over_http(http),
        first_list: FirstList::Streamed,
    };
    let (stop, stopping) = watch::channel(false);
    let replica = Replica::new(client, settings.clone(), parts, stopping.clone());
    let health = replica.health().clone();
    let port = health::serve(settings.listen, health.clone(), replica.metrics(), settings.debug, stopping)
        .await
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let port = tokio::spawn(port);
    let heartbeat = tokio::spawn(async move { health.heartbeat().await });
    let replica = tokio::spawn(replica.run());

    terminated().await?;
    info!("stopping; finishing running reconciles");
    stop.send_replace(true);
    let _ = tokio::join!(replica, port);
    heartbeat.abort();
    info!("stopped");
    Ok(())
}

pub(crate) async fn connect(context: Option<&str>) -> anyhow::Result<Client> {
    // Fails only when a provider was installed before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = match context {
        Some(name) => {
            let options =
                KubeConfigOptions { context: Some(name.to_owned()), ..KubeConfigOptions::default() };
            Config::from_kubeconfig(&options).await.with_context(|| format!("cannot use context {name}"))?
        }
        None => Config::infer().await.context("no cluster: set KUBECONFIG, or run in a pod")?,
    };
    // Requests are bounded and retried by the engine; the client's own retries could hold one for minutes.
    config.default_retry = false;
    config.connect_timeout = Some(std::time::Duration::from_secs(5));
    let builder = ClientBuilder::try_from(config).context("the kubeconfig cannot be used")?;
    Ok(builder.with_layer(&DateLayer::new(clock::process().clone())).build())
}

async fn terminated() -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
