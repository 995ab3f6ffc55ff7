//! What is said of the runs.

use std::fmt::Write as _;

use anyhow::Result;

use crate::arm::Arm;
use crate::figures::{Figures, median};
use crate::load::Pace;
use crate::meter::load_average;
use crate::standing::Standing;

/// What figures have to be read with.
pub(crate) fn preamble(latency: Option<&str>) -> Result<String> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = std::thread::available_parallelism()?;
    let provider = latency.unwrap_or("0");
    Ok(format!(
        "bench-saga: {cores} cores, Linux {}, load average {:.2}; a call of the provider takes {provider} ms",
        kernel.trim(),
        load_average()?
    ))
}

/// A run, in a line.
pub(crate) fn line(round: usize, figures: &Figures) -> String {
    format!(
        "round {round}, {}, {}: {:.1} orders/s, {:.0} ms of CPU an order, {:.1} writes and {:.1} reads, end to end {:.0} ms \
         (load average before: {:.2})",
        figures.pace.text(),
        figures.arm,
        figures.orders_per_second,
        figures.cpu_ms(),
        figures.writes_per_order,
        figures.reads_per_order,
        figures.end_to_end.p50,
        figures.load_average,
    )
}

/// The medians of all rounds, by pace, and of each further arm against the first one the median of the ratios of each round.
pub(crate) fn table(all: &[Figures], arms: &[Arm]) -> String {
    let mut paces: Vec<Pace> = Vec::new();
    for figures in all {
        if !paces.contains(&figures.pace) {
            paces.push(figures.pace);
        }
    }
    let mut text = String::new();
    for pace in paces {
        let _ = writeln!(text, "\n{}", pace.text());
        let runs = |name: &str| -> Vec<&Figures> {
            all.iter().filter(|figures| figures.pace == pace && figures.arm == name).collect()
        };
        let columns: Vec<Vec<&Figures>> = arms.iter().map(|arm| runs(&arm.name)).collect();
        let ratios = arms.iter().skip(1).map(|_| "ratio".to_owned());
        row(&mut text, "", &arms.iter().map(|arm| arm.name.clone()).chain(ratios).collect::<Vec<_>>());
        for (name, value) in values(&columns) {
            let medians: Vec<f64> =
                columns.iter().map(|runs| median(runs.iter().map(|run| value(run)).collect())).collect();
            let mut cells: Vec<String> = medians.iter().map(|it| format!("{it:.1}")).collect();
            for other in columns.iter().skip(1) {
                let ratios = other.iter().zip(&columns[0]).map(|(other, first)| value(other) / value(first));
                let ratio = median(ratios.collect());
                // Of what one of them has none of there is no ratio.
                cells.push(if ratio.is_finite() { format!("{ratio:.2}") } else { "-".to_owned() });
            }
            row(&mut text, &name, &cells);
        }
    }
    text
}

type OfStanding = fn(&Standing) -> f64;
type Value = Box<dyn Fn(&Figures) -> f64>;

/// What a row each is for.
fn values(columns: &[Vec<&Figures>]) -> Vec<(String, Value)> {
    let mut rows: Vec<(String, Value)> = vec![
        ("orders/s".into(), Box::new(|it| it.orders_per_second)),
        ("end to end p50, ms".into(), Box::new(|it| it.end_to_end.p50)),
        ("end to end p99, ms".into(), Box::new(|it| it.end_to_end.p99)),
        ("writes of the operator an order".into(), Box::new(|it| it.writes_per_order)),
        ("lost to another's, beside them".into(), Box::new(|it| it.conflicts_per_order)),
        ("reads an order".into(), Box::new(|it| it.reads_per_order)),
        ("CPU ms an order, without the load".into(), Box::new(Figures::cpu_ms)),
    ];
    if columns.iter().flatten().any(|it| it.standing.is_some()) {
        let standing: [(&str, OfStanding); 5] = [
            ("start to ready, s", |it| it.ready_s),
            ("an order just then, to its store, s", |it| it.first_order_s),
            ("memory of a replica then, MiB", |it| it.memory_mb),
            ("CPU of an idle minute, % of a core", |it| it.idle_cpu_percent),
            ("writes of an idle minute", |it| f64::from(u32::try_from(it.idle_writes).unwrap_or(u32::MAX))),
        ];
        for (name, of) in standing {
            let value = move |it: &Figures| it.standing.as_ref().map_or(0.0, of);
            rows.push((name.into(), Box::new(value)));
        }
    }
    let Some(first) = columns.iter().flatten().next() else { return rows };
    for name in first.cpu_ms_per_order.keys().copied() {
        let of = move |it: &Figures| it.cpu_ms_per_order.get(name).copied().unwrap_or_default();
        rows.push((format!("  {name}"), Box::new(of)));
    }
    for name in first.memory_mb.keys().copied() {
        let of = move |it: &Figures| it.memory_mb.get(name).copied().unwrap_or_default();
        rows.push((format!("memory of {name}, MiB"), Box::new(of)));
    }
    for (at, (phase, _)) in first.steps.iter().enumerate() {
        rows.push((format!("write to {phase} shown, p50 ms"), Box::new(move |it| it.steps[at].1.p50)));
        rows.push((format!("write to {phase} shown, p99 ms"), Box::new(move |it| it.steps[at].1.p99)));
    }
    rows
}

fn row(text: &mut String, name: &str, cells: &[String]) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{name:<40}");
    for cell in cells {
        let _ = write!(text, "  {cell:>16}");
    }
    text.push('\n');
}
