//! A steady load of orders, and how long each one waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fooddelivery_api::TokenText;
use fooddelivery_e2e::binaries::workspace;
use fooddelivery_e2e::{Acceptance, Order, OrderPhase, POLL, Store};
use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use tokio::task::{JoinHandle, JoinSet};

use crate::ground::{FOOD, Ground, PATIENCE};

/// Orders a second where nothing is to be brought to its limits.
pub(crate) const STEADY: f64 = 4.0;
/// The store that accepts by itself.
const STORE: &str = "quick";

/// When each order was placed and when its store had accepted it.
#[derive(Default)]
struct Times {
    placed: HashMap<String, Instant>,
    accepted: HashMap<String, Instant>,
}

/// Orders that come in, and what becomes of them.
pub(crate) struct Load {
    prefix: String,
    client: Client,
    sample: Order,
    begun: Instant,
    times: Arc<Mutex<Times>>,
    watch: JoinHandle<()>,
}

/// How long one order waited from its creation until its store had accepted it.
#[derive(Debug, Clone)]
pub(crate) struct Wait {
    /// From the beginning of the load.
    pub(crate) placed_at: Duration,
    pub(crate) took: Duration,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn lock(times: &Mutex<Times>) -> std::sync::MutexGuard<'_, Times> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The order of `manifests/samples`.
pub(crate) fn sample() -> Result<Order> {
    let text = std::fs::read_to_string(workspace().join("manifests/samples/order.yaml"))?;
    Ok(serde_saphyr::from_str(&text)?)
}

/// The same under another name, with a token of its own.
pub(crate) fn named(sample: &Order, name: &str) -> Order {
    let mut spec = sample.spec.clone();
    spec.payment.token = Some(TokenText(format!("tok-{name}")));
    Order::new(name, spec)
}

/// A store that accepts by itself, so that an order comes as far as one can without people.
async fn store(ground: &Ground) -> Result<()> {
    let stores = Api::<Store>::namespaced(ground.client.clone(), FOOD);
    if stores.get_opt(STORE).await?.is_none() {
        let mut spec = stores.get("hanok").await?.spec;
        spec.acceptance = Acceptance::Automatic;
        stores.create(&PostParams::default(), &Store::new(STORE, spec)).await?;
    }
    Ok(())
}

impl Load {
    /// Watches; no orders yet. Their names begin with `prefix`.
    pub(crate) async fn new(ground: &Ground, prefix: &str) -> Result<Self> {
        store(ground).await?;
        let sample = sample()?;
        let times = Arc::new(Mutex::new(Times::default()));
        let watch = tokio::spawn(watch(ground.orders(), prefix.to_owned(), times.clone()));
        let client = ground.client.clone();
        Ok(Self { prefix: prefix.to_owned(), client, sample, begun: Instant::now(), times, watch })
    }

    fn order(&self, number: usize) -> Order {
        let mut order = named(&self.sample, &format!("{}-{number}", self.prefix));
        let spec = &mut order.spec;
        if let Some(store) = &mut spec.store_ref {
            STORE.clone_into(&mut store.name);
        }
        // Many customers: nobody orders a thousand lunches.
        spec.customer_ref.name = format!("guest-{}", number % 100);
        order
    }

    /// Since the load began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Places orders at a steady rate for some time.
    pub(crate) async fn place(&self, per_second: f64, lasting: Duration) -> Result<()> {
        let begun = Instant::now();
        self.place_while(per_second, || begun.elapsed() < lasting).await
    }

    /// Places orders at a steady rate.
    pub(crate) async fn place_while(&self, per_second: f64, goes_on: impl Fn() -> bool) -> Result<()> {
        let mut placing = JoinSet::new();
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
        let first = lock(&self.times).placed.len();
        let mut number = first;
        while goes_on() {
            ticks.tick().await;
            self.start_placing(number, &mut placing);
            number += 1;
        }
        while let Some(placed) = placing.join_next().await {
            placed.context("placing an order")??;
        }
        Ok(())
    }

    /// Places many at once.
    pub(crate) async fn place_all(&self, count: usize) -> Result<()> {
        let mut placing = JoinSet::new();
        let first = lock(&self.times).placed.len();
        for number in first..first + count {
            self.start_placing(number, &mut placing);
            if placing.len() >= 16
                && let Some(placed) = placing.join_next().await
            {
                placed??;
            }
        }
        while let Some(placed) = placing.join_next().await {
            placed??;
        }
        Ok(())
    }

    fn start_placing(&self, number: usize, placing: &mut JoinSet<Result<()>>) {
        let orders = Api::<Order>::namespaced(self.client.clone(), FOOD);
        let order = self.order(number);
        lock(&self.times).placed.insert(order.name_any(), Instant::now());
        placing.spawn(async move {
            let begun = Instant::now();
            loop {
                match orders.create(&PostParams::default(), &order).await {
                    // What an API server says that is held up: customers ask again.
                    Err(kube::Error::Api(status))
                        if (status.code >= 500 || status.code == 429) && begun.elapsed() < PATIENCE =>
                    {
                        tokio::time::sleep(POLL).await;
                    }
                    // It was held up after the write.
                    Err(kube::Error::Api(status)) if status.code == 409 => return Ok(()),
                    result => return Ok(result.map(drop)?),
                }
            }
        });
    }

    /// Waits until every order that was placed has been accepted; how long each of them took.
    pub(crate) async fn all_accepted(&self) -> Result<Vec<Wait>> {
        let begun = Instant::now();
        loop {
            let missing: Vec<String> = {
                let times = lock(&self.times);
                times.placed.keys().filter(|name| !times.accepted.contains_key(*name)).cloned().collect()
            };
            if missing.is_empty() {
                break;
            }
            let some: Vec<&String> = missing.iter().take(5).collect();
            ensure!(
                begun.elapsed() < PATIENCE,
                "{} orders are not accepted, such as {some:?}",
                missing.len()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let times = lock(&self.times);
        let wait = |(name, placed): (&String, &Instant)| Wait {
            placed_at: *placed - self.begun,
            took: times.accepted.get(name).map_or(Duration::MAX, |at| at.saturating_duration_since(*placed)),
        };
        let mut waits: Vec<Wait> = times.placed.iter().map(wait).collect();
        waits.sort_by_key(|wait| wait.placed_at);
        Ok(waits)
    }
}

async fn watch(orders: Api<Order>, prefix: String, times: Arc<Mutex<Times>>) {
    let events = watcher(orders, watcher::Config::default()).default_backoff().applied_objects();
    let mut events = events.boxed();
    loop {
        match events.try_next().await {
            Ok(Some(order)) if order.name_any().starts_with(&prefix) => {
                let phase = order.state().phase;
                let is_in = !matches!(
                    phase,
                    OrderPhase::AwaitingPayment | OrderPhase::PaymentDeferred | OrderPhase::AwaitingStore
                );
                if is_in {
                    lock(&times).accepted.entry(order.name_any()).or_insert_with(Instant::now);
                }
            }
            // A watch that broke is started again.
            Ok(Some(_)) | Err(_) => {}
            Ok(None) => return,
        }
    }
}

/// The longest of some waits, and the middle one.
pub(crate) fn longest(waits: &[Wait]) -> Duration {
    waits.iter().map(|wait| wait.took).max().unwrap_or_default()
}

/// The middle one.
pub(crate) fn median(waits: &[Wait]) -> Duration {
    let mut all: Vec<Duration> = waits.iter().map(|wait| wait.took).collect();
    all.sort();
    all.get(all.len() / 2).copied().unwrap_or_default()
}
