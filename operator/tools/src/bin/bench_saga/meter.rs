//! What processes have used, from `/proc`.

use anyhow::{Context, Result};

/// Clock ticks a second of `/proc/PID/stat`: 100 on every Linux that Kubernetes runs on.
const TICKS_PER_SECOND: u64 = 100;

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

/// Reads all of them.
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
