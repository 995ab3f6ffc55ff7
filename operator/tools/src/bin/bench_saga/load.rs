//! A run: orders are placed at a pace, actors bring each to its end, and everything is timed from outside.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fooddelivery_e2e::requests::{AuditLog, Level, Request};
use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::actors::{self, Act, Actors, Reaction};
use crate::arm::Arm;
use crate::cost::{self, Requests};
use crate::figures::{Figures, Spread};
use crate::meter::{self, Measured, Window};
use crate::stage::Stage;
use crate::standing::Standing;

/// How long a run may go without any order being completed.
const STALL: Duration = Duration::from_mins(2);

/// When orders are placed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Pace {
    /// As many are open, always.
    Closed { in_flight: usize },
    /// As many a second, however many are open.
    Open { per_second: f64 },
}

impl Pace {
    pub(crate) fn text(self) -> String {
        match self {
            Self::Closed { in_flight } => format!("{in_flight} in flight"),
            Self::Open { per_second } => format!("{per_second}/s"),
        }
    }

    /// How many orders may be open at once, where that is known.
    pub(crate) fn open(self, orders: usize) -> usize {
        match self {
            Self::Closed { in_flight } => in_flight,
            Self::Open { .. } => orders,
        }
    }
}

/// What is played.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) orders: usize,
    pub(crate) pace: Pace,
    pub(crate) latency: Option<String>,
    /// How long actors take before they act.
    pub(crate) step: Duration,
}

/// An order on its way.
struct Journey {
    placed: Instant,
    /// When the write that leads to each phase was begun.
    written: [Option<Instant>; actors::WRITES],
    /// How long each phase, or a later one, took to show from then on.
    shown: Vec<Duration>,
}

/// Everything that the watch sees and that is done about it.
#[derive(Clone)]
struct Course {
    actors: Actors,
    journeys: Arc<Mutex<HashMap<usize, Journey>>>,
    /// How long actors take before they act.
    step: Duration,
    done: UnboundedSender<Result<Duration>>,
}

/// What was seen of a load.
struct Seen {
    measured: Measured,
    end_to_end: Vec<Duration>,
    /// By phase.
    steps: Vec<Vec<Duration>>,
}

/// Plays a plan on a fresh stage.
pub(crate) async fn play(arm: &Arm, plan: &Plan) -> Result<Figures> {
    let open = plan.pace.open(plan.orders);
    let mut stage = Stage::set(arm, plan.latency.as_deref(), open, Vec::new()).await?;
    let standing = match arm.crowd {
        Some(_) => Some(Standing::measure(&stage).await?),
        None => None,
    };
    stage.hold_replicas(arm.cores)?;
    let load_average = meter::load_average()?;
    let before = Requests::read(&stage.client).await?;
    let seen = drive(&stage, plan).await?;
    cost::settled(&stage.client).await?;
    let requests = Requests::read(&stage.client).await?.since(&before);
    Ok(Figures { standing, ..figures(arm, plan, load_average, &seen, &requests) })
}

/// Plays a plan with an audit log that has all bodies: the requests before the first order, and all of the orders.
pub(crate) async fn play_recorded(arm: &Arm, plan: &Plan) -> Result<(Vec<Request>, Vec<Request>)> {
    let dir = std::env::temp_dir().join(format!("bench-saga-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let (log, flags) = AuditLog::new(&dir, Level::Bodies, &[])?;
    let open = plan.pace.open(plan.orders);
    let stage = Stage::set(arm, plan.latency.as_deref(), open, flags).await?;
    let before = log.read()?.len();
    drive(&stage, plan).await?;
    cost::settled(&stage.client).await?;
    let mut earlier = log.read()?;
    std::fs::remove_dir_all(&dir)?;
    let played = earlier.split_off(before);
    Ok((earlier, played))
}

/// Plays a plan on a stage that is set, without measuring.
pub(crate) async fn play_on(stage: &Stage, plan: &Plan) -> Result<()> {
    drive(stage, plan).await.map(drop)
}

fn figures(arm: &Arm, plan: &Plan, load_average: f64, seen: &Seen, requests: &Requests) -> Figures {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let per = |all: u64, count: usize| all as f64 / count as f64;
    let Measured { lasted, done, used } = &seen.measured;
    let actors = u64::try_from(plan.orders * actors::WRITES).unwrap_or(u64::MAX);
    Figures {
        arm: arm.name.clone(),
        pace: plan.pace,
        orders: plan.orders,
        load_average,
        orders_per_second: per(*done as u64, 1) / lasted.as_secs_f64(),
        cpu_ms_per_order: summed(
            used.iter().map(|(begin, end)| (end.name, per(end.cpu_ms - begin.cpu_ms, *done))),
        ),
        memory_mb: summed(used.iter().map(|(_, end)| (end.name, per(end.memory_kb, 1_024)))),
        writes_per_order: per(requests.writes().saturating_sub(actors), plan.orders),
        conflicts_per_order: per(requests.conflicts(), plan.orders),
        reads_per_order: per(requests.reads(), plan.orders),
        end_to_end: Spread::of(seen.end_to_end.clone()),
        steps: actors::phases().zip(seen.steps.iter().cloned().map(Spread::of)).collect(),
        standing: None,
    }
}

/// By name: replicas are all called the same.
fn summed(all: impl Iterator<Item = (&'static str, f64)>) -> BTreeMap<&'static str, f64> {
    all.fold(BTreeMap::new(), |mut sums, (name, one)| {
        *sums.entry(name).or_default() += one;
        sums
    })
}

/// Plays the load on a stage.
async fn drive(stage: &Stage, plan: &Plan) -> Result<Seen> {
    let actors = Actors::new(&stage.client, stage.riders);
    let (done, mut completions) = unbounded_channel();
    let course = Course { actors, journeys: Arc::default(), step: plan.step, done };
    let kinds = course.actors.watched().into_iter();
    let watches: Vec<_> = kinds.map(|(api, act)| tokio::spawn(watch(api, act, course.clone()))).collect();
    let placing = match plan.pace {
        Pace::Open { per_second } => {
            Some(tokio::spawn(place_steadily(course.clone(), plan.orders, per_second)))
        }
        Pace::Closed { in_flight } => {
            (0..in_flight.min(plan.orders)).for_each(|number| course.start(number));
            None
        }
    };
    let seen = complete(stage, plan, &course, &mut completions).await;
    watches.iter().for_each(tokio::task::JoinHandle::abort);
    if let Some(task) = placing {
        task.abort();
    }
    seen
}

async fn complete(
    stage: &Stage,
    plan: &Plan,
    course: &Course,
    completions: &mut UnboundedReceiver<Result<Duration>>,
) -> Result<Seen> {
    let mut window = Window::new(stage.processes()?, plan.orders)?;
    let mut next = plan.pace.open(plan.orders).min(plan.orders);
    let mut end_to_end = Vec::with_capacity(plan.orders);
    while end_to_end.len() < plan.orders {
        let waited = tokio::time::timeout(STALL, completions.recv()).await;
        let Ok(Some(took)) = waited else {
            bail!("after {} of {} orders none was completed for {STALL:?}", end_to_end.len(), plan.orders)
        };
        end_to_end.push(took?);
        if next < plan.orders {
            course.start(next);
            next += 1;
        }
        window.reached(end_to_end.len())?;
    }
    Ok(Seen { measured: window.close()?, end_to_end, steps: course.steps() })
}

impl Course {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Journey>> {
        self.journeys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places an order, beside everything else.
    fn start(&self, number: usize) {
        let now = Instant::now();
        let mut written = [None; actors::WRITES];
        written[0] = Some(now);
        self.lock().insert(number, Journey { placed: now, written, shown: Vec::new() });
        let course = self.clone();
        tokio::spawn(async move {
            course.told(
                course.actors.place_number(number).await.with_context(|| format!("placing order {number}")),
            );
        });
    }

    /// Does something to an order, once.
    fn act(&self, number: usize, act: Act) {
        let phase = actors::leads_to(act);
        {
            let mut journeys = self.lock();
            let Some(journey) = journeys.get_mut(&number).filter(|known| known.written[phase].is_none())
            else {
                return;
            };
            journey.written[phase] = Some(Instant::now() + self.step);
        }
        let course = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(course.step).await;
            let acted = course.actors.act(number, act).await;
            course.told(acted.with_context(|| format!("order {number}: {act:?}")));
        });
    }

    fn told(&self, result: Result<()>) {
        if let Err(error) = result {
            // Nobody listens any more where the run has failed already.
            let _ = self.done.send(Err(error));
        }
    }

    /// What an order shows now. A phase that passed unseen is shown with the next one.
    fn saw(&self, order: &DynamicObject) {
        let Some(number) = actors::number_of(order) else { return };
        let phase = order.data["status"]["phase"].as_str().unwrap_or_default();
        let position = match actors::position(phase) {
            Ok(Some(position)) => position,
            Ok(None) => return,
            Err(error) => return self.told(Err(error.context(format!("order {number}")))),
        };
        let now = Instant::now();
        let mut journeys = self.lock();
        let Some(journey) = journeys.get_mut(&number) else { return };
        for phase in journey.shown.len()..=position {
            journey
                .shown
                .push(journey.written[phase].map_or(Duration::ZERO, |at| now.saturating_duration_since(at)));
            if phase + 1 == actors::WRITES {
                let _ = self.done.send(Ok(now - journey.placed));
            }
        }
    }

    fn steps(&self) -> Vec<Vec<Duration>> {
        let journeys = self.lock();
        let of = |at: usize| journeys.values().filter_map(|journey| journey.shown.get(at).copied()).collect();
        (0..actors::WRITES).map(of).collect()
    }
}

async fn place_steadily(course: Course, orders: usize, per_second: f64) {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
    for number in 0..orders {
        ticks.tick().await;
        course.start(number);
    }
}

async fn watch(api: Api<DynamicObject>, what_to_do: Reaction, course: Course) {
    let is_of_orders = api.resource_url().ends_with("/orders");
    let events = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
    let mut events = events.boxed();
    loop {
        match events.try_next().await {
            Ok(Some(object)) => {
                if is_of_orders {
                    course.saw(&object);
                }
                if let (Some(number), Some(act)) = (actors::number_of(&object), what_to_do(&object)) {
                    course.act(number, act);
                }
            }
            // A watch that broke is started again.
            Err(_) => {}
            Ok(None) => return,
        }
    }
}
