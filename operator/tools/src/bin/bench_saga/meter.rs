//! What processes have used, from `/proc`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Clock ticks a second of `/proc/PID/stat`: 100 on every Linux that Kubernetes runs on.
const TICKS_PER_SECOND: u64 = 100;

/// What every replica of the operator is called.
pub(crate) const OPERATOR: &str = "operator";
/// What this program, which plays everybody but the operator, is called.
pub(crate) const LOAD: &str = "load";

/// What a process has used.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    /// Which process.
    pub(crate) name: &'static str,
    /// CPU time since its start, in ms.
    pub(crate) cpu_ms: u64,
    /// Memory that it has now, in kB.
    pub(crate) memory_kb: u64,
}

/// From the first tenth of what is to be done to nine tenths of it: neither the beginning nor the end of a run.
pub(crate) struct Window {
    processes: Vec<(&'static str, u32)>,
    from: usize,
    to: usize,
    readings: Vec<(Instant, Vec<Used>)>,
}

/// What was seen in a window.
pub(crate) struct Measured {
    /// How long it was open.
    pub(crate) lasted: Duration,
    /// How much was done in it.
    pub(crate) done: usize,
    /// What each process had used at its beginning and at its end.
    pub(crate) used: Vec<(Used, Used)>,
}

impl Window {
    /// Not open yet; `all` is how much is to be done.
    ///
    /// # Errors
    /// When that is too little for a beginning, a middle and an end.
    pub(crate) fn new(processes: Vec<(&'static str, u32)>, all: usize) -> Result<Self> {
        ensure!(all >= 10, "{all} orders are too few for a measurement");
        Ok(Self { processes, from: all / 10, to: all * 9 / 10, readings: Vec::new() })
    }

    /// So much is done now.
    pub(crate) fn reached(&mut self, done: usize) -> Result<()> {
        if done == self.from || done == self.to {
            self.readings.push((Instant::now(), read(&self.processes)?));
        }
        Ok(())
    }

    /// What was seen, once everything is done.
    pub(crate) fn close(self) -> Result<Measured> {
        let readings: [_; 2] = self.readings.try_into().ok().context("a run that came to its end")?;
        let [(since, before), (until, after)] = readings;
        let used = before.into_iter().zip(after).collect();
        Ok(Measured { lasted: until - since, done: self.to - self.from, used })
    }
}

/// What processes have used until now.
pub(crate) fn read(processes: &[(&'static str, u32)]) -> Result<Vec<Used>> {
    processes
        .iter()
        .map(|(name, pid)| one(name, *pid).with_context(|| format!("{name}, process {pid}")))
        .collect()
}

fn one(name: &'static str, pid: u32) -> Result<Used> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may have spaces in it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| -> Result<u64> { Ok(fields.get(at).context("a short line")?.parse()?) };
    let cpu_ms = (ticks(11)? + ticks(12)?) * 1_000 / TICKS_PER_SECOND;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory_kb = resident.and_then(|it| it.split_whitespace().next()).context("VmRSS")?.parse()?;
    Ok(Used { name, cpu_ms, memory_kb })
}

/// The load average of the last minute.
pub(crate) fn load_average() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().context("a load average")?.parse()?)
}
