//! One replica of the operator on a given API server: caches, watches, controllers, circuits. It knows nothing of
//! signals, ports or kubeconfigs, and takes time, randomness and the clients of providers from whoever starts it; so the
//! simulation runs exactly what production runs.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fooddelivery_runtime::api::ApiServer;
use fooddelivery_runtime::clock::Clock;
use fooddelivery_runtime::events::Events;
use fooddelivery_runtime::health::Health;
use fooddelivery_runtime::sharding::{self, Member, Rendezvous, Sharding};
use fooddelivery_runtime::watch::FirstList;
use fooddelivery_runtime::{Jitter, LoopWatchdogs};
use fooddelivery_saga::time::Millis;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::availability::Availability;
use crate::context::{Caches, Context};
use crate::controllers::controller;
use crate::indexes::Indexes;
use crate::metrics::Metrics;
use crate::names::ControllerName;
use crate::queues::Queues;
use crate::registry::{Controllers, Registry, Watches};
use crate::settings::Settings;
use crate::sharding::{Acquirer, LEASE_NAMES, resync_moved};
use crate::shared::circuit_events::{self, CircuitReceiver};
use crate::shared::circuits;
use crate::shared::message_clients::{MakeMessagePort, MessageClients};
use crate::shared::notification_progress::NotificationProgress;
use crate::shared::payment_clients::{MakePort, PaymentClients};
use crate::shared::state::Shared;

/// Who records Events.
const REPORTER: &str = "fooddelivery.dev/operator";
/// How long shutdown waits for running reconciles before the shards are released.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// How often the clocks are compared while they are too far apart to begin.
const CLOCK_RECHECK: Duration = Duration::from_millis(500);
/// How long the first lists may take before that is logged.
const SLOW_SYNC_AFTER: Duration = Duration::from_secs(10);

/// What a replica does not make for itself.
#[derive(Clone)]
pub struct Parts {
    /// The clock.
    pub clock: Arc<Clock>,
    /// Random part of pauses.
    pub jitter: Arc<Jitter>,
    /// How payment providers are reached.
    pub ports: Arc<MakePort>,
    /// How message providers are reached.
    pub messages: Arc<MakeMessagePort>,
    /// How its watches begin.
    pub first_list: FirstList,
}

/// A replica, not started yet.
pub struct Replica {
    context: Arc<Context>,
    jitter: Arc<Jitter>,
    watches: Watches,
    controllers: Controllers,
    sharding: Arc<Sharding>,
    availability: Availability,
    watchdogs: Arc<LoopWatchdogs>,
    health: Arc<Health>,
    circuits: CircuitReceiver,
    stopping: watch::Receiver<bool>,
}

impl Replica {
    /// A replica on the API server behind `client`, until `stopping` turns true.
    pub fn new(client: Client, settings: Settings, parts: Parts, stopping: watch::Receiver<bool>) -> Self {
        let Parts { clock, jitter, ports, messages, first_list } = parts;
        let metrics = Arc::new(Metrics::default());
        let api = ApiServer::new(client, metrics.clone());
        let replica = settings.replica();
        let names = controllers_of(&settings);
        let (events, circuits) = circuit_events::channel();
        let sharding = Arc::new(sharding(&api, &clock, &replica, &names, &settings));
        let shared = Shared {
            sharding: sharding.clone(),
            payment_clients: Arc::new(PaymentClients::new(
                ports,
                &settings.secrets_namespace,
                events,
                clock.clone(),
            )),
            intents: Arc::default(),
            fresh_orders: Arc::default(),
            message_clients: Arc::new(MessageClients::new(messages, &settings.secrets_namespace)),
            notifications: Arc::new(NotificationProgress::default()),
        };
        let leased = names.iter().filter(|name| controller(**name).deadlines_rest_on_it);
        let leased = leased.map(|name| name.as_str()).collect();
        let availability = Availability::new(api.clone(), clock.clone(), &replica, leased, &settings);
        let caches = Caches::default();
        let Caches { orders, payments, deliveries, coupon_uses, .. } = &caches;
        let indexes = Indexes::new(orders, payments, deliveries, coupon_uses);
        let context = Arc::new(Context {
            events: Events::new(api.clone(), REPORTER, &replica, clock.clone()),
            api,
            metrics,
            caches,
            indexes,
            queues: Queues::new(&names),
            replica: replica.into(),
            watching_since: OnceLock::new(),
            clock: clock.clone(),
            settings,
        });
        let mut registry = Registry::new(context.clone(), shared, availability.clone());
        for name in names {
            registry.register(controller(name));
        }
        let (watches, controllers) =
            registry.into_parts(&context.settings.namespaces, jitter.clone(), first_list);
        let watchdogs: Arc<LoopWatchdogs> = Arc::default();
        let health = Health::new(watches.count(), clock, watchdogs.clone(), stopping.clone());
        let health = Arc::new(health);
        Self {
            context,
            jitter,
            watches,
            controllers,
            sharding,
            availability,
            watchdogs,
            health,
            circuits,
            stopping,
        }
    }

    /// The state behind the probes.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// What it counts.
    pub fn metrics(&self) -> Arc<dyn fooddelivery_runtime::Metrics> {
        self.context.metrics.clone()
    }

    /// What its controllers share.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Watches, and reconciles once the first lists are complete. When told to stop, what runs comes to its end and
    /// nothing new is begun; dropped, everything stops where it stands, as in a crash.
    pub async fn run(self) {
        let Self { context, jitter, watches, controllers, sharding, watchdogs, health, stopping, .. } = self;
        let mut tasks = JoinSet::new();
        watches.start(&mut tasks, &watchdogs, &health, &stopping);
        sharding.watch(&mut tasks, &jitter, &watchdogs, &stopping);
        if wait_until_synced(&health, stopping.clone()).await
            && wait_until_timed(&context.clock, stopping.clone()).await
        {
            context.watching_since.get_or_init(|| context.clock.now());
            info!(controllers = ?context.settings.controllers, "caches are complete; reconciling");
            tasks.spawn(circuits::run(context.clone(), self.circuits, stopping.clone()));
            self.availability.start(&mut tasks, &context, &jitter, &stopping).await;
            share(&mut tasks, &context, &sharding, controllers.acquirers(), &stopping).await;
            health.joined();
            let mut runners = JoinSet::new();
            controllers.start(&mut runners, &sharding, &jitter, &watchdogs, &stopping);
            let mut stopping = stopping.clone();
            let _ = stopping.wait_for(|stopping| *stopping).await;
            // What runs comes to its end before the others take over, as far as that is soon.
            let ended = async { while runners.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(SHUTDOWN_GRACE, ended).await;
            sharding.leave().await;
            while runners.join_next().await.is_some() {}
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// The controllers of the settings, each once.
fn controllers_of(settings: &Settings) -> Vec<ControllerName> {
    let mut seen = BTreeSet::new();
    settings.controllers.iter().copied().filter(|name| seen.insert(*name)).collect()
}

fn sharding(
    api: &ApiServer,
    clock: &Arc<Clock>,
    replica: &str,
    names: &[ControllerName],
    settings: &Settings,
) -> Sharding {
    let member = Member {
        name: replica.to_owned(),
        controllers: names.iter().map(|name| name.as_str().to_owned()).collect(),
        namespaces: settings.namespaces.iter().cloned().collect(),
    };
    let duration = Millis(i64::from(settings.shard_lease_ms));
    let settings = sharding::Settings {
        namespace: settings.secrets_namespace.clone(),
        duration: (duration.0 > 0).then_some(duration),
        names: LEASE_NAMES,
    };
    Sharding::new(api.clone(), clock.clone(), member, settings)
}

/// Decisions on half a cache would take for absent what is only not there yet. False when told to stop before.
async fn wait_until_synced(health: &Health, stopping: watch::Receiver<bool>) -> bool {
    let mut logged = false;
    let begun = tokio::time::Instant::now();
    while !health.is_synced() {
        if *stopping.borrow() {
            return false;
        }
        if !logged && begun.elapsed() > SLOW_SYNC_AFTER {
            logged = true;
            info!("still waiting for the first lists; are the CRDs installed?");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// Nor is anything decided while it is open what time it is: deadlines would be seen to pass, or set, by an hour that is none.
/// False when told to stop before.
async fn wait_until_timed(clock: &Clock, stopping: watch::Receiver<bool>) -> bool {
    let mut logged = false;
    while clock.is_in_doubt() {
        if *stopping.borrow() {
            return false;
        }
        if !std::mem::replace(&mut logged, true) {
            let why = clock.skew_failure().unwrap_or_default();
            warn!(why, "nobody knows what time it is: waiting until the two clocks agree");
        }
        tokio::time::sleep(CLOCK_RECHECK).await;
    }
    true
}

/// Joins the other replicas, before the first decision, and from then on takes over what this one acquires.
async fn share(
    tasks: &mut JoinSet<()>,
    context: &Arc<Context>,
    sharding: &Arc<Sharding>,
    acquirers: Vec<Acquirer>,
    stopping: &watch::Receiver<bool>,
) {
    sharding.join().await;
    let context = context.clone();
    let changed = move |before: &Rendezvous, after: &Rendezvous| {
        resync_moved(&context, &acquirers, before, after);
    };
    tasks.spawn(sharding.clone().run(changed, stopping.clone()));
}
