//! `run`: starts the watches, the controllers and the port for machines, and stops them cleanly.

use std::sync::Arc;

use anyhow::Context as _;
use fooddelivery_api::{Delivery, Order, Payment, PaymentProvider, Store, Ticket};
use fooddelivery_providers::HttpClient;
use kube::client::ClientBuilder;
use kube::config::KubeConfigOptions;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

use crate::api::ApiServer;
use crate::attendance::Attendance;
use crate::circuits::{self, Told};
use crate::clock::{self, DateLayer};
use crate::context::Context;
use crate::delivery::Deliveries;
use crate::engine::{Cache, Limits, Queue, runner};
use crate::events::Events;
use crate::gateway::Gateways;
use crate::health::{self, Health};
use crate::metrics::Metrics;
use crate::order::Orders;
use crate::payment::Payments;
use crate::provider::Providers;
use crate::routes::{Queues, Watches};
use crate::settings::{ControllerName, Settings};
use crate::ticket::Tickets;

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
    let metrics = Arc::new(Metrics::default());
    let queues = Queues::new(&settings);
    let (told, turns) = circuits::channel();
    let context = Arc::new(context(&settings, client, metrics.clone(), queues.clone(), told)?);
    let (stop, stopping) = watch::channel(false);
    let watches = Watches::new(context.clone(), queues.clone(), &settings);
    let health = Arc::new(Health::new(watches.count(), stopping.clone()));

    let mut tasks = JoinSet::new();
    tasks.spawn(
        health::serve(settings.listen, health.clone(), metrics.clone(), stopping.clone())
            .await
            .with_context(|| format!("cannot listen on {}", settings.listen))?,
    );
    let heart = tokio::spawn({
        let health = health.clone();
        async move { health.beat().await }
    });
    watches.start(&mut tasks, &health, &stopping);
    wait_until_synced(&health).await;
    info!(controllers = ?settings.controllers, "caches are complete; reconciling");
    tasks.spawn(circuits::run(context.clone(), turns, stopping.clone()));
    attend(&mut tasks, &context, &queues, &stopping).await;
    start_controllers(&mut tasks, &settings, &context, &queues, &stopping);

    terminated().await?;
    info!("stopping: what runs comes to its end, nothing new is begun");
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    heart.abort();
    info!("stopped");
    Ok(())
}

async fn connect(context: Option<&str>) -> anyhow::Result<Client> {
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

fn context(
    settings: &Settings,
    client: Client,
    metrics: Arc<Metrics>,
    queues: Queues,
    told: Told,
) -> anyhow::Result<Context> {
    let api = ApiServer::new(client, metrics.clone());
    let replica = settings.replica();
    let http = HttpClient::new().context("cannot set up the HTTP client for payment providers")?;
    Ok(Context {
        attendance: Arc::new(Attendance::new(api.clone(), &replica, settings)),
        events: Events::new(api.clone(), &replica),
        api,
        metrics,
        orders: Arc::new(Cache::<Order>::default()),
        payments: Arc::new(Cache::<Payment>::default()),
        tickets: Arc::new(Cache::<Ticket>::default()),
        deliveries: Arc::new(Cache::<Delivery>::default()),
        stores: Arc::new(Cache::<Store>::default()),
        providers: Arc::new(Cache::<PaymentProvider>::default()),
        gateways: Gateways::new(http, &settings.secrets_namespace, told),
        queues,
        replica: replica.into(),
        deadlines: settings.deadlines.to_deadlines(),
        mirror_lag: settings.mirror_lag(),
        watching_since: clock::now(),
    })
}

/// Decisions on half a cache would take for absent what is only not there yet.
async fn wait_until_synced(health: &Health) {
    let mut said = false;
    let begun = tokio::time::Instant::now();
    while !health.is_synced() {
        if !said && begun.elapsed() > std::time::Duration::from_secs(10) {
            said = true;
            info!("still waiting for the first lists; are the CRDs installed?");
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Says that this process's controllers are at work, and finds out who else is, before the first decision.
async fn attend(
    tasks: &mut JoinSet<()>,
    context: &Context,
    queues: &Queues,
    stopping: &watch::Receiver<bool>,
) {
    let attendance = context.attendance.clone();
    // What goes wrong here is said by the task, which tries again.
    let _ = attendance.tick().await;
    let (orders, queue) = (context.orders.clone(), queues.of(ControllerName::Order));
    tasks.spawn(attendance.run(orders, queue, stopping.clone()));
}

fn start_controllers(
    tasks: &mut JoinSet<()>,
    settings: &Settings,
    context: &Arc<Context>,
    queues: &Queues,
    stopping: &watch::Receiver<bool>,
) {
    let limits = Limits { concurrency: settings.concurrency, ..Limits::default() };
    for name in &settings.controllers {
        let Some(queue) = queues.of(*name) else { continue };
        let (metrics, stop, shared) = (context.metrics.clone(), stopping.clone(), context.clone());
        match name {
            ControllerName::Order => start(tasks, Orders::new(shared), queue, limits, metrics, stop),
            ControllerName::Payment => start(tasks, Payments::new(shared), queue, limits, metrics, stop),
            ControllerName::Ticket => start(tasks, Tickets::new(shared), queue, limits, metrics, stop),
            ControllerName::Delivery => start(tasks, Deliveries::new(shared), queue, limits, metrics, stop),
            ControllerName::Provider => start(tasks, Providers::new(shared), queue, limits, metrics, stop),
        }
    }
}

fn start<R: crate::engine::Reconciler>(
    tasks: &mut JoinSet<()>,
    reconciler: R,
    queue: Arc<Queue>,
    limits: Limits,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
) {
    tasks.spawn(runner::run(Arc::new(reconciler), queue, limits, metrics, stop));
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
