//! Says what is going on while something takes long. Writes to standard error or to a given sink,
//! never to standard output, which belongs to what a command prints for other programs.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a long step repeats how long it has taken, where lines cannot be overwritten.
const REPEAT_EVERY: Duration = Duration::from_secs(10);

/// Where progress is told. Cloning is cheap.
#[derive(Clone, Default)]
pub enum Progress {
    /// Lines on standard error; on a terminal the last one is overwritten while it counts.
    #[default]
    Stderr,
    /// Nothing is told.
    Quiet,
    /// Every line is handed over, without a line end.
    Sink(Arc<dyn Fn(&str) + Send + Sync>),
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stderr => "Progress::Stderr",
            Self::Quiet => "Progress::Quiet",
            Self::Sink(_) => "Progress::Sink",
        })
    }
}

impl Progress {
    /// Tells one line.
    pub fn say(&self, line: &str) {
        match self {
            Self::Quiet => {}
            Self::Sink(sink) => sink(line),
            // Progress must not fail the work: a closed standard error is ignored.
            Self::Stderr => drop(writeln!(io::stderr(), "local-cluster: {line}")),
        }
    }

    /// Starts a line that is told now and then again with the time that has gone by.
    pub(crate) fn step(&self, what: &str) -> Step<'_> {
        let overwrites = matches!(self, Self::Stderr) && io::stderr().is_terminal();
        let now = Instant::now();
        let step = Step { progress: self, what: what.to_owned(), overwrites, started: now, told: now };
        if overwrites {
            step.overwrite("");
        } else {
            self.say(what);
        }
        step
    }
}

/// A step under way; [`Step::tick`] is to be called often, it decides itself when to tell.
pub(crate) struct Step<'a> {
    progress: &'a Progress,
    what: String,
    overwrites: bool,
    started: Instant,
    told: Instant,
}

impl Step<'_> {
    /// Tells the time gone by: each second on a terminal, otherwise every ten seconds.
    pub(crate) fn tick(&mut self) {
        self.tick_with(String::new);
    }

    /// [`Self::tick`] with what is known of how far it is, asked for only when it is told.
    pub(crate) fn tick_with(&mut self, how_far: impl FnOnce() -> String) {
        let every = if self.overwrites { Duration::from_secs(1) } else { REPEAT_EVERY };
        if self.told.elapsed() < every {
            return;
        }
        self.told = Instant::now();
        let how_far = how_far();
        let comma = if how_far.is_empty() { "" } else { ", " };
        let so_far = format!("{comma}{how_far}, {} so far", minutes(self.started.elapsed()));
        if self.overwrites {
            self.overwrite(&so_far);
        } else {
            self.progress.say(&format!("{}{so_far}", self.what));
        }
    }

    /// Ends the step with one lasting line.
    pub(crate) fn finish(self, how: &str) {
        if self.overwrites {
            drop(write!(io::stderr(), "\r\x1b[2K"));
        }
        self.progress.say(&format!("{}: {how} after {}", self.what, minutes(self.started.elapsed())));
    }

    fn overwrite(&self, suffix: &str) {
        drop(write!(io::stderr(), "\r\x1b[2Klocal-cluster: {}{suffix}", self.what));
    }
}

/// A duration for people, for example `45 s` or `3 min 20 s`.
pub(crate) fn minutes(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn durations_are_written_for_people() {
        assert_eq!(minutes(Duration::from_secs(59)), "59 s");
        assert_eq!(minutes(Duration::from_secs(200)), "3 min 20 s");
    }

    #[test]
    fn a_step_is_told_at_its_start_and_its_end_and_not_at_every_tick() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let progress = Progress::Sink(Arc::new(move |line| sink.lock().unwrap().push(line.to_owned())));
        let mut step = progress.step("[1/5] etcd");
        step.tick();
        step.tick();
        step.finish("built");
        assert_eq!(*lines.lock().unwrap(), ["[1/5] etcd", "[1/5] etcd: built after 0 s"]);
    }

    #[test]
    fn a_step_that_lasts_is_told_again_after_ten_seconds() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let progress = Progress::Sink(Arc::new(move |line| sink.lock().unwrap().push(line.to_owned())));
        let mut step = progress.step("waiting");
        let earlier = Instant::now().checked_sub(Duration::from_secs(11)).unwrap();
        (step.started, step.told) = (earlier, earlier);
        step.tick();
        step.tick();
        step.told = earlier;
        step.tick_with(|| "3 of 9 packages".to_owned());
        assert_eq!(
            *lines.lock().unwrap(),
            ["waiting", "waiting, 11 s so far", "waiting, 3 of 9 packages, 11 s so far"]
        );
    }
}
