//! What was measured in a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::load::Pace;
use crate::meter::LOAD;
use crate::standing::Standing;

/// A run's figures. Times are in ms.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    /// Which side of the comparison.
    pub(crate) arm: String,
    pub(crate) pace: Pace,
    pub(crate) orders: usize,
    /// Of the machine, right before.
    pub(crate) load_average: f64,
    /// Between a tenth and nine tenths of all completions.
    pub(crate) orders_per_second: f64,
    /// In the same time, by process.
    pub(crate) cpu_ms_per_order: BTreeMap<&'static str, f64>,
    /// At nine tenths, by process.
    pub(crate) memory_mb: BTreeMap<&'static str, f64>,
    /// Of the operator, Events included; over the whole run.
    pub(crate) writes_per_order: f64,
    /// Writes that lost a compare-and-set, which the writes above leave out; over the whole run.
    pub(crate) conflicts_per_order: f64,
    /// Reads of single objects, over the whole run.
    pub(crate) reads_per_order: f64,
    /// From the creation to `Completed`.
    pub(crate) end_to_end: Spread,
    /// From an actor's write to the order showing it, by the phase that it shows.
    pub(crate) steps: Vec<(&'static str, Spread)>,
    /// What a crowd costs before the first order; `None`: there is none.
    pub(crate) standing: Option<Standing>,
}

impl Figures {
    /// CPU time of everything but the load, in ms.
    pub(crate) fn cpu_ms(&self) -> f64 {
        self.cpu_ms_per_order.iter().filter(|(name, _)| **name != LOAD).map(|(_, ms)| ms).sum()
    }
}

/// The middle and the far end of many times, in ms.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Spread {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |percent: usize| {
            let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
            times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
        };
        Self { p50: at(50), p99: at(99) }
    }
}

/// The middle of some figures; 0 of none.
pub(crate) fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
