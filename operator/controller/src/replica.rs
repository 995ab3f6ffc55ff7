//! One replica of the operator on a given API server: caches, watches, controllers, circuits. It knows nothing of
//! signals, ports or kubeconfigs, and takes time, chance and the ways to payment providers from whoever starts it; so
//! the simulation runs exactly what production runs.

use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::{
    Coupon, CouponUse, Customer, Delivery, MessageProvider, Order, Payment, PaymentProvider, Rider, Store,
    Ticket,
};
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

use crate::api::ApiServer;
use crate::attendance::Attendance;
use crate::circuits::{self, Told, Turns};
use crate::clock::Clock;
use crate::context::Context;
use crate::counts::{Riders, Stores};
use crate::coupon::Coupons;
use crate::delivery::Deliveries;
use crate::engine::{Cache, Dice, Limits, Queue, Reconciler, runner};
use crate::events::Events;
use crate::gateway::{Gateways, MakePort};
use crate::health::Health;
use crate::message::{Customers, MakeMessagePort, MessageProviders, Messages, Notices, Ways};
use crate::metrics::Metrics;
use crate::order::Orders;
use crate::payment::Payments;
use crate::provider::Providers;
use crate::routes::{Queues, Watches};
use crate::settings::{ControllerName, Settings};
use crate::shards::{Ring, Shards, take_over};
use crate::ticket::Tickets;

/// So long a replica that stops waits for what runs before it leaves its work to the others.
const LAST_STEPS: Duration = Duration::from_secs(2);

/// What a replica does not make for itself.
#[derive(Clone)]
pub struct Parts {
    /// Time.
    pub clock: Arc<Clock>,
    /// Chance.
    pub dice: Arc<Dice>,
    /// How payment providers are reached.
    pub ports: Arc<MakePort>,
    /// How message providers are reached.
    pub messages: Arc<MakeMessagePort>,
}

/// A replica, not started yet.
pub struct Replica {
    context: Arc<Context>,
    settings: Settings,
    dice: Arc<Dice>,
    watches: Watches,
    health: Arc<Health>,
    turns: Turns,
    stopping: watch::Receiver<bool>,
}

impl Replica {
    /// A replica on the API server behind `client`, until `stopping` turns true.
    pub fn new(client: Client, settings: Settings, parts: Parts, stopping: watch::Receiver<bool>) -> Self {
        let Parts { clock, dice, ports, messages } = parts;
        let queues = Queues::new(&settings);
        let (told, turns) = circuits::channel();
        let context = Arc::new(context(
            &settings,
            client,
            Parts { clock: clock.clone(), dice: dice.clone(), ports, messages },
            queues.clone(),
            told,
        ));
        let watches = Watches::new(context.clone(), queues, dice.clone(), &settings);
        let pulses = context.pulses.clone();
        let health = Arc::new(Health::new(watches.count(), clock, pulses, stopping.clone()));
        Self { context, settings, dice, watches, health, turns, stopping }
    }

    /// What the probes ask about.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// What it counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.context.metrics
    }

    /// What its controllers share.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Watches, and reconciles once the first lists are complete. When told to stop, what runs comes to its end and
    /// nothing new is begun; dropped, everything stops where it stands, as in a crash.
    pub async fn run(self) {
        let mut tasks = JoinSet::new();
        self.watches.start(&mut tasks, &self.health, &self.stopping);
        self.context.shards.watch(&mut tasks, &self.dice, &self.context.pulses, &self.stopping);
        if wait_until_synced(&self.health, self.stopping.clone()).await {
            info!(controllers = ?self.settings.controllers, "caches are complete; reconciling");
            tasks.spawn(circuits::run(self.context.clone(), self.turns, self.stopping.clone()));
            attend(&mut tasks, &self.context, &self.stopping).await;
            share(&mut tasks, &self.context, &self.dice, &self.stopping).await;
            self.health.joined();
            let mut runners = JoinSet::new();
            start_controllers(&mut runners, &self.settings, &self.context, &self.dice, &self.stopping);
            let mut stopping = self.stopping.clone();
            let _ = stopping.wait_for(|stopping| *stopping).await;
            // What runs comes to its end before the others take over, as far as that is soon.
            let ended = async { while runners.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(LAST_STEPS, ended).await;
            self.context.shards.leave().await;
            while runners.join_next().await.is_some() {}
        }
        while tasks.join_next().await.is_some() {}
    }
}

fn context(settings: &Settings, client: Client, parts: Parts, queues: Queues, told: Told) -> Context {
    let Parts { clock, dice, ports, messages } = parts;
    let metrics = Arc::new(Metrics::default());
    let api = ApiServer::new(client, metrics.clone());
    let replica = settings.replica();
    Context {
        attendance: Arc::new(Attendance::new(api.clone(), clock.clone(), dice, &replica, settings)),
        events: Events::new(api.clone(), &replica, clock.clone()),
        pulses: Arc::default(),
        shards: Arc::new(Shards::new(api.clone(), clock.clone(), &replica, settings)),
        api,
        metrics,
        orders: Arc::new(Cache::<Order>::default()),
        payments: Arc::new(Cache::<Payment>::default()),
        tickets: Arc::new(Cache::<Ticket>::default()),
        deliveries: Arc::new(Cache::<Delivery>::default()),
        stores: Arc::new(Cache::<Store>::default()),
        customers: Arc::new(Cache::<Customer>::default()),
        riders: Arc::new(Cache::<Rider>::default()),
        coupons: Arc::new(Cache::<Coupon>::default()),
        coupon_uses: Arc::new(Cache::<CouponUse>::default()),
        providers: Arc::new(Cache::<PaymentProvider>::default()),
        message_providers: Arc::new(Cache::<MessageProvider>::default()),
        ways: Ways::new(messages, &settings.secrets_namespace),
        told: Notices::default(),
        message_log_lag: settings.message_log_lag(),
        gateways: Gateways::new(ports, &settings.secrets_namespace, told, clock.clone()),
        queues,
        replica: replica.into(),
        deadlines: settings.deadlines.to_deadlines(),
        time_to_live: settings.time_to_live(),
        mirror_lag: settings.mirror_lag(),
        watching_since: clock.now(),
        clock,
    }
}

/// Decisions on half a cache would take for absent what is only not there yet. False when told to stop before.
async fn wait_until_synced(health: &Health, stopping: watch::Receiver<bool>) -> bool {
    let mut said = false;
    let begun = tokio::time::Instant::now();
    while !health.is_synced() {
        if *stopping.borrow() {
            return false;
        }
        if !said && begun.elapsed() > Duration::from_secs(10) {
            said = true;
            info!("still waiting for the first lists; are the CRDs installed?");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// Says that this process's controllers are at work, and finds out who else is, before the first decision.
async fn attend(tasks: &mut JoinSet<()>, context: &Context, stopping: &watch::Receiver<bool>) {
    let attendance = context.attendance.clone();
    // What goes wrong here is said by the task, which tries again.
    let _ = attendance.tick().await;
    let (orders, queue) = (context.orders.clone(), context.queues.of(ControllerName::Order));
    tasks.spawn(attendance.run(orders, queue, stopping.clone()));
}

/// Says that this replica is there and which others are, before the first decision.
async fn share(
    tasks: &mut JoinSet<()>,
    context: &Arc<Context>,
    dice: &Arc<Dice>,
    stopping: &watch::Receiver<bool>,
) {
    context.shards.join().await;
    let (shared, dice) = (context.clone(), dice.clone());
    let changed = move |before: &Ring, after: &Ring| take_over(&shared, &dice, before, after);
    tasks.spawn(context.shards.clone().run(changed, stopping.clone()));
}

fn start_controllers(
    tasks: &mut JoinSet<()>,
    settings: &Settings,
    context: &Arc<Context>,
    dice: &Arc<Dice>,
    stopping: &watch::Receiver<bool>,
) {
    let limits = Limits { concurrency: settings.concurrency, ..Limits::default() };
    for name in &settings.controllers {
        let Some(queue) = context.queues.of(*name) else { continue };
        let (dice, stop, shared) = (dice.clone(), stopping.clone(), context.clone());
        match name {
            ControllerName::Order => start(tasks, Orders::new(shared), context, queue, limits, dice, stop),
            ControllerName::Payment => {
                start(tasks, Payments::new(shared), context, queue, limits, dice, stop);
            }
            ControllerName::Ticket => start(tasks, Tickets::new(shared), context, queue, limits, dice, stop),
            ControllerName::Delivery => {
                start(tasks, Deliveries::new(shared), context, queue, limits, dice, stop);
            }
            ControllerName::Provider => {
                start(tasks, Providers::new(shared), context, queue, limits, dice, stop);
            }
            ControllerName::Coupon => start(tasks, Coupons::new(shared), context, queue, limits, dice, stop),
            ControllerName::Store => start(tasks, Stores::new(shared), context, queue, limits, dice, stop),
            ControllerName::Rider => start(tasks, Riders::new(shared), context, queue, limits, dice, stop),
            ControllerName::Message => {
                start(tasks, Messages::new(shared), context, queue, limits, dice, stop);
            }
            ControllerName::Customer => {
                start(tasks, Customers::new(shared), context, queue, limits, dice, stop);
            }
            ControllerName::MessageProvider => {
                start(tasks, MessageProviders::new(shared), context, queue, limits, dice, stop);
            }
        }
    }
}

fn start<R: Reconciler>(
    tasks: &mut JoinSet<()>,
    reconciler: R,
    context: &Context,
    queue: Arc<Queue>,
    limits: Limits,
    dice: Arc<Dice>,
    stop: watch::Receiver<bool>,
) {
    let metrics = context.metrics.clone();
    let pulse = context.pulses.begin(format!("the {} controller", reconciler.name()));
    tasks.spawn(runner::run(Arc::new(reconciler), queue, limits, metrics, dice, pulse, stop));
}
