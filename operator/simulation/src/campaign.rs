//! Many schedules, on a few threads: progress, a summary, and the first failures, shrunk and described.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::mutants::mutant::Mutant;
use crate::plan::{Case, Pattern};
use crate::scheduler::{PlayError, Report, play};
use crate::shrink::shrink;

/// A schedule takes milliseconds. One that takes this long does not end: something in it turns for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// A campaign.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// Number of the first schedule.
    pub from: u64,
    /// How many schedules.
    pub schedules: u64,
    /// Everything follows from it.
    pub seed: u64,
    /// Only schedules of this kind.
    pub pattern: Option<Pattern>,
    /// A mistake that every replica makes.
    pub mutant: Option<Mutant>,
    /// Number of threads.
    pub threads: usize,
    /// Number of failures after which it ends.
    pub failures: usize,
    /// How often progress is reported; `None`: never.
    pub progress: Option<Duration>,
}

/// A schedule that breaks a promise.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The schedule.
    pub case: Case,
    /// Its number in the campaign.
    pub number: u64,
    /// What came of it.
    pub report: Report,
}

/// What came of a campaign.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many schedules were played.
    pub schedules: u64,
    /// The operator's writes.
    pub writes: u64,
    /// Its calls to providers.
    pub calls: u64,
    /// Crashes.
    pub crashes: u64,
    /// Simulated time, in milliseconds.
    pub simulated_ms: i64,
    /// How orders ended, by kind of schedule and outcome.
    pub outcomes: BTreeMap<(Pattern, String), u64>,
    /// Schedules by kind.
    pub patterns: BTreeMap<Pattern, u64>,
    /// What failed, by number.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub took: Duration,
}

impl Summary {
    fn add(&mut self, case: Case, number: u64, report: Report) {
        self.schedules += 1;
        self.writes += report.writes;
        self.calls += report.calls;
        self.crashes += report.crashes;
        self.simulated_ms += report.elapsed_ms;
        *self.patterns.entry(case.pattern).or_default() += 1;
        for outcome in &report.outcomes {
            *self.outcomes.entry((case.pattern, outcome.clone())).or_default() += 1;
        }
        if report.broken.is_some() {
            self.failures.push(Failure { case, number, report });
        }
    }

    /// Schedules a second.
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than that")]
        let schedules = self.schedules as f64;
        schedules / self.took.as_secs_f64().max(0.001)
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} schedules in {:.1} s ({:.0}/s): {} writes and {} provider calls by the operator, {} crashes, {} days \
             of simulated time",
            self.schedules,
            self.took.as_secs_f64(),
            self.rate(),
            self.writes,
            self.calls,
            self.crashes,
            self.simulated_ms / 86_400_000
        );
        for (pattern, schedules) in &self.patterns {
            let ends = self.outcomes.iter().filter(|((p, _), _)| p == pattern);
            let ends: Vec<String> = ends.map(|((_, outcome), count)| format!("{outcome} {count}")).collect();
            let _ = writeln!(text, "  {pattern:<8} {schedules:>8}  {}", ends.join(", "));
        }
        let failed = if self.failures.is_empty() {
            "no promise was broken".into()
        } else {
            format!("{} schedules broke a promise", self.failures.len())
        };
        let _ = writeln!(text, "{failed}");
        text
    }
}

impl Campaign {
    /// Plays it.
    ///
    /// # Errors
    /// As [`play`].
    pub fn run(&self, say: impl Fn(&str) + Sync) -> Result<Summary, PlayError> {
        let begun = Instant::now();
        let (next, stop) = (AtomicU64::new(self.from), AtomicBool::new(false));
        let summary = Mutex::new(Summary::default());
        let lock = || summary.lock().unwrap_or_else(PoisonError::into_inner);
        let playing = Playing::default();
        let result = thread::scope(|scope| {
            let work = || -> Result<(), PlayError> {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= self.from + self.schedules {
                        break;
                    }
                    let case = Case { mutant: self.mutant, ..Case::of(self.seed, number, self.pattern) };
                    playing.begun(number, case);
                    let report = play(&case, None, false)?;
                    playing.ended(number);
                    let mut summary = lock();
                    summary.add(case, number, report);
                    if summary.failures.len() >= self.failures {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                Ok(())
            };
            let workers: Vec<_> = (0..self.threads.max(1)).map(|_| scope.spawn(work)).collect();
            let mut told = Instant::now();
            while workers.iter().any(|worker| !worker.is_finished()) {
                thread::sleep(Duration::from_millis(20));
                playing.watch();
                if self.progress.is_some_and(|every| told.elapsed() >= every) {
                    told = Instant::now();
                    let mut summary = lock();
                    summary.took = begun.elapsed();
                    let (done, all, rate) = (summary.schedules, self.schedules, summary.rate());
                    say(&format!("{done} of {all} schedules, {rate:.0}/s, {} writes", summary.writes));
                }
            }
            workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Ok(())))
        });
        result?;
        let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
        summary.took = begun.elapsed();
        summary.failures.sort_by_key(|failure| failure.number);
        Ok(summary)
    }
}

/// The schedules that are played at this moment.
#[derive(Default)]
struct Playing(Mutex<BTreeMap<u64, (Case, Instant)>>);

impl Playing {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (Case, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begun(&self, number: u64, case: Case) {
        self.lock().insert(number, (case, Instant::now()));
    }

    fn ended(&self, number: u64) {
        self.lock().remove(&number);
    }

    /// Ends the process, naming the schedule, when one does not end: a thread that turns for ever cannot be stopped.
    fn watch(&self) {
        let stuck =
            self.lock().iter().find(|(_, (_, begun))| begun.elapsed() > PATIENCE).map(|(n, s)| (*n, s.0));
        if let Some((number, case)) = stuck {
            // Nothing is left to do when standard error is closed.
            let _ = writeln!(
                std::io::stderr(),
                "Schedule {number} ({}) does not end. Again: {}",
                case.pattern,
                case.command()
            );
            std::process::abort();
        }
    }
}

/// A failure, shrunk, as a trace with the command that plays it again.
///
/// # Errors
/// As [`play`].
pub fn describe(failure: &Failure) -> Result<String, PlayError> {
    let choices = shrink(&failure.case, &failure.report)?;
    let report = play(&failure.case, Some(choices.clone()), true)?;
    let mut text = String::new();
    // Writing to a String cannot fail.
    for line in &report.trace {
        let _ = writeln!(text, "  {line}");
    }
    match &report.broken {
        Some(broken) => {
            let _ = writeln!(text, "Broken: {}: {}", broken.property, broken.sentence);
        }
        None => {
            let _ = writeln!(text, "Not broken again, which is a mistake of the simulation.");
        }
    }
    let list: Vec<String> = choices.iter().map(ToString::to_string).collect();
    let _ = writeln!(
        text,
        "Schedule {} ({}). Again: {} --replay {}",
        failure.number,
        failure.case.pattern,
        failure.case.command(),
        if list.is_empty() { "0".into() } else { list.join(",") }
    );
    Ok(text)
}
