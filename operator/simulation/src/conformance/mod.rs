//! What the simulated API server has in common with a real one: a table of interactions with recorded outcomes.
//!
//! A [`Scenario`] is a sequence of requests by named users in a namespace of its own. [`run`] sends them to a
//! [`World`] (the simulation, or a real control plane) and writes down what came of each, without what differs from
//! run to run: uids are numbered, resourceVersions compared, times left out. The same scenario must give the same
//! transcript everywhere. Where it does not, the simulation is wrong, not the table.
#![allow(
    clippy::needless_pass_by_value,
    reason = "json! takes references; a table reads better without them"
)]

mod call;
mod deletion;
mod fields;
mod objects;
mod people;
mod reading;
mod record;
mod steps;
mod watching;
mod world;

use anyhow::Result;

pub use call::{Call, Step, User};
use record::Recorder;
pub use world::{Simulated, World};

/// A named sequence of interactions.
pub struct Scenario {
    /// What it shows, as a sentence; also the name of its transcript.
    pub name: &'static str,
    /// The interactions.
    pub steps: Vec<Step>,
}

impl Scenario {
    fn new(name: &'static str, steps: Vec<Step>) -> Self {
        Self { name, steps }
    }

    /// Whether it starts the API server anew, so that nothing else may run at the same time.
    pub fn restarts(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Restart))
    }
}

/// The table.
pub fn all() -> Vec<Scenario> {
    let groups =
        [steps::all(), fields::all(), people::all(), deletion::all(), reading::all(), watching::all()];
    groups.into_iter().flatten().collect()
}

/// Runs a scenario in `world`, whose namespace is fresh, and returns its transcript.
///
/// # Errors
/// When a request that only prepares the ground is refused, nothing answers, or something that is waited for does not
/// come.
pub async fn run(scenario: &Scenario, world: &dyn World) -> Result<String> {
    let mut recorder = Recorder::new(world);
    for step in &scenario.steps {
        recorder.take(step).await?;
    }
    Ok(recorder.transcript())
}
