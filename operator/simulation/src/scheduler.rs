//! Plays one schedule: waits until nothing moves by itself, makes one choice, and has the oracle look; in the end it
//! plays fair until everything has come to rest.

mod error;
pub mod fair;
mod lifecycle;
mod replicas;
mod step;
mod traffic;

use std::time::Duration;

use fooddelivery_controller::settings::Settings;
use jiff::Timestamp;

use crate::actors::{self, Act};
use crate::apiserver::{Catalog, Server};
use crate::choices::ChoiceSequence;
use crate::mutants;
use crate::oracle::Broken;
use crate::plan::{Case, Plan};
use crate::trace::Trace;
use crate::world::{BEGINNING_MS, Shared};

pub use error::PlayError;
use replicas::Running;

/// What came of a schedule.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was wrong, if something was.
    pub broken: Option<Broken>,
    /// The choices that were made.
    pub choices: Vec<u32>,
    /// What happened, line by line, if it was traced.
    pub trace: Vec<String>,
    /// How the orders ended.
    pub outcomes: Vec<String>,
    /// How many writes the operator made.
    pub writes: u64,
    /// How many calls it made to providers.
    pub calls: u64,
    /// How many crashes there were.
    pub crashes: u64,
    /// How much time passed in the simulation, in milliseconds.
    pub elapsed_ms: i64,
}

/// Plays a case: by its seed, or by given choices. With `traced`, what happens is written down.
///
/// # Errors
/// [`PlayError`]; what is wrong with the operator is in the report.
pub fn play(case: &Case, choices: Option<Vec<u32>>, traced: bool) -> Result<Report, PlayError> {
    let catalog = Catalog::shared()?;
    let settings = replicas::settings()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let choices = choices.map_or_else(|| ChoiceSequence::random(case.seed), ChoiceSequence::given);
    let schedule = async move {
        let beginning = Timestamp::from_millisecond(BEGINNING_MS).unwrap_or_default();
        let server = Server::new(catalog, case.seed, beginning);
        let trace = if traced { Trace::recording() } else { Trace::default() };
        let shared = Shared::new(server, trace, case.mutant);
        Scheduler::new(case, shared, choices, settings).play().await
    };
    Ok(match case.mutant {
        Some(_) => tracing::subscriber::with_default(mutants::subscriber(), || runtime.block_on(schedule)),
        None => runtime.block_on(schedule),
    })
}

struct Scheduler {
    case: Case,
    plan: Plan,
    shared: Shared,
    choices: ChoiceSequence,
    settings: &'static Settings,
    replicas: Vec<Running>,
    /// How often each order of the plan was placed.
    placed: Vec<u32>,
    /// The operator's writes that changed something.
    writes: u64,
    calls: u64,
    crashes: u64,
    /// The operator's writes and calls so far, counted for the crash after the n-th.
    effects: u64,
    crash_is_due: Option<usize>,
}

impl Scheduler {
    fn new(case: &Case, shared: Shared, mut choices: ChoiceSequence, settings: &'static Settings) -> Self {
        let plan = Plan::of(case, &mut choices);
        let placed = vec![0; plan.orders.len()];
        Self {
            case: *case,
            plan,
            shared,
            choices,
            settings,
            replicas: Vec::new(),
            placed,
            writes: 0,
            calls: 0,
            crashes: 0,
            effects: 0,
            crash_is_due: None,
        }
    }

    async fn play(mut self) -> Report {
        {
            let mut world = self.shared.lock();
            world.oracle.removes = self.plan.removes;
            actors::set_up(&mut world, &self.plan);
        }
        for number in 0..self.plan.replicas {
            self.start(number);
        }
        self.settle().await;
        if self.plan.race {
            (0..self.plan.orders.len()).for_each(|number| self.take(&Act::Place(number)));
        } else {
            self.head_start().await;
        }
        for _ in 0..self.plan.choices {
            if self.is_broken() {
                break;
            }
            self.step().await;
        }
        self.play_fair().await;
        self.report()
    }

    fn report(self) -> Report {
        let mut world = self.shared.lock();
        let trace = std::mem::take(&mut world.trace).into_lines();
        Report {
            broken: world.oracle.broken().cloned(),
            choices: self.choices.made().to_vec(),
            trace,
            outcomes: world.oracle.outcomes(),
            writes: self.writes,
            calls: self.calls,
            crashes: self.crashes,
            elapsed_ms: world.elapsed_ms(),
        }
    }

    fn is_broken(&self) -> bool {
        self.shared.lock().oracle.broken().is_some()
    }

    /// Waits until nothing moves by itself any more: with paused time a sleep ends only then.
    async fn barrier(&mut self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        {
            let mut world = self.shared.lock();
            world.oracle.step += 1;
            world.streams.retain(|_, stream| !stream.lines.is_closed());
        }
        if let Some(replica) = self.crash_is_due.take() {
            self.crash(replica).await;
        }
    }

    /// Lets time pass, until something is on its way; at most `time`.
    async fn pass(&mut self, time: Duration) {
        let arrived = self.shared.arrived.clone();
        // What arrived before has been dealt with.
        let _ = futures::FutureExt::now_or_never(arrived.notified());
        tokio::select! {
            biased;
            () = arrived.notified() => {}
            () = tokio::time::sleep(time) => {}
        }
    }
}
