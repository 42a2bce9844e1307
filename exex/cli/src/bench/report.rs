//! What `braid bench` prints: a table for people, or one JSON object a line.

use super::measure::{Point, Row};
use crate::replay::report::{QUIET, geometric_mean, line, micros, ratio, rounded};
use serde_json::{Value, json};
use std::time::Duration;

/// Figures over all blocks.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// The numbers of cores, ascending.
    cores: Vec<usize>,
    rounds: u32,
    txs: usize,
    bare_ns: u64,
    parallel_ns: u64,
    predicted_ns: u64,
    overhead_ns: i64,
    wake_ns: u64,
    /// Predicted over measured time on two threads, less one: the median of the blocks.
    error: f64,
    points: Vec<Total>,
    /// What each read of the parent state took at least.
    pub latency: Duration,
    /// Throughput of two runs at once against one alone, if it was measured.
    pub machine_check: Option<f64>,
}

/// All blocks on one number of cores.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    ns: u64,
    bound_ns: u64,
    executions: u64,
    /// Geometric mean of bare over simulated time, over blocks of two or more transactions, where
    /// there are any.
    geomean: Option<f64>,
}

impl Summary {
    /// Adds the blocks up.
    pub fn new(rows: &[Row], cores: &[usize], rounds: u32, wake_ns: u64) -> Self {
        let sum = |part: fn(&Row) -> u64| rows.iter().map(part).sum::<u64>();
        let mut errors: Vec<f64> = rows.iter().map(error).collect();
        errors.sort_by(f64::total_cmp);
        Self {
            cores: cores.to_vec(),
            rounds,
            txs: rows.iter().map(|row| row.txs).sum(),
            bare_ns: sum(|row| row.bare_ns),
            parallel_ns: sum(|row| row.parallel_ns),
            predicted_ns: sum(|row| row.predicted_ns),
            overhead_ns: rows.iter().map(|row| row.overhead_ns).sum(),
            wake_ns,
            error: errors.get(errors.len() / 2).copied().unwrap_or_default(),
            points: (0..cores.len()).map(|at| total(rows, at)).collect(),
            latency: Duration::ZERO,
            machine_check: None,
        }
    }

    /// Nanoseconds that the engine adds to a transaction.
    fn overhead_per_tx(&self) -> f64 {
        if self.txs == 0 { 0.0 } else { self.overhead_ns as f64 / self.txs as f64 }
    }

    fn total_error(&self) -> f64 {
        excess(self.predicted_ns, self.parallel_ns)
    }

    fn json(&self, blocks: usize) -> Value {
        let points = self.cores.iter().zip(&self.points).map(|(cores, point)| {
            json!({
                "cores": cores,
                "ns": point.ns,
                "bound_ns": point.bound_ns,
                "bare_total": rounded(ratio(self.bare_ns, point.ns)),
                "bare_geomean": point.geomean.map(rounded),
                "bound_total": rounded(ratio(self.bare_ns, point.bound_ns)),
                "of_bound": rounded(ratio(point.bound_ns, point.ns)),
                "executions_per_tx": rounded(ratio(point.executions, self.txs as u64)),
            })
        });
        json!({
            "summary": true,
            "blocks": blocks,
            "txs": self.txs,
            "rounds": self.rounds,
            "read_latency_us": self.latency.as_micros() as u64,
            "bare_ns": self.bare_ns,
            "parallel_ns": self.parallel_ns,
            "predicted_ns": self.predicted_ns,
            "error_total": rounded(self.total_error()),
            "error_median": rounded(self.error),
            "overhead_ns_per_tx": rounded(self.overhead_per_tx()),
            "wake_ns": self.wake_ns,
            "machine_check": self.machine_check.map(rounded),
            "simulated": points.collect::<Vec<_>>(),
        })
    }
}

fn total(rows: &[Row], at: usize) -> Total {
    let points = || rows.iter().map(|row| row.simulated[at]);
    let sum = |part: fn(Point) -> u64| points().map(part).sum::<u64>();
    let several = rows.iter().filter(|row| row.txs >= 2);
    let ratios: Vec<f64> = several.map(|row| ratio(row.bare_ns, row.simulated[at].ns)).collect();
    Total {
        ns: sum(|point| point.ns),
        bound_ns: sum(|point| point.bound_ns),
        executions: sum(|point| point.executions),
        geomean: geometric_mean(&ratios),
    }
}

fn excess(predicted: u64, measured: u64) -> f64 {
    if measured == 0 { 0.0 } else { predicted as f64 / measured as f64 - 1.0 }
}

fn error(row: &Row) -> f64 {
    excess(row.predicted_ns, row.parallel_ns)
}

/// Prints everything.
pub fn print(rows: &[Row], summary: &Summary, as_json: bool) {
    if as_json {
        rows.iter().for_each(|row| line(row_json(row, &summary.cores)));
        return line(summary.json(rows.len()));
    }
    if rows.is_empty() {
        return line("no block was simulated");
    }
    table(rows, &summary.cores);
    totals(rows.len(), summary);
}

fn row_json(row: &Row, cores: &[usize]) -> Value {
    let points = cores.iter().zip(&row.simulated).map(|(cores, point)| {
        json!({
            "cores": cores,
            "ns": point.ns,
            "bound_ns": point.bound_ns,
            "ratio_bare": rounded(ratio(row.bare_ns, point.ns)),
            "executions": point.executions,
        })
    });
    json!({
        "block": row.number,
        "txs": row.txs,
        "gas": row.gas,
        "bare_ns": row.bare_ns,
        "parallel_ns": row.parallel_ns,
        "predicted_ns": row.predicted_ns,
        "error": rounded(error(row)),
        "overhead_ns": row.overhead_ns,
        "simulated": points.collect::<Vec<_>>(),
    })
}

fn table(rows: &[Row], cores: &[usize]) {
    let columns: String =
        cores.iter().map(|cores| format!(" {:>7}", format!("x{cores}"))).collect();
    line(format_args!(
        "{:>9} {:>5} {:>10} {:>10} {:>10} {:>7} {columns}",
        "block", "txs", "bare us", "2 thr. us", "pred. us", "error"
    ));
    for row in rows {
        let ratios = row.simulated.iter().map(|point| ratio(row.bare_ns, point.ns));
        let ratios: String = ratios.map(|ratio| format!(" {ratio:>7.2}")).collect();
        line(format_args!(
            "{:>9} {:>5} {:>10.1} {:>10.1} {:>10.1} {:>6.1}% {ratios}",
            row.number,
            row.txs,
            micros(row.bare_ns),
            micros(row.parallel_ns),
            micros(row.predicted_ns),
            100.0 * error(row)
        ));
    }
}

fn totals(blocks: usize, summary: &Summary) {
    line(format_args!(
        "\n{blocks} blocks, {} transactions, the least of {} rounds; times of bare execution over \
         simulated ones",
        summary.txs, summary.rounds
    ));
    if !summary.latency.is_zero() {
        let micros = summary.latency.as_micros();
        line(format_args!("each read of the parent state takes at least {micros} us"));
    }
    line(format_args!(
        "{:>6} {:>7} {:>8} {:>12} {:>13} {:>8}",
        "cores", "total", "geomean", "bound total", "of the bound", "runs/tx"
    ));
    for (cores, point) in summary.cores.iter().zip(&summary.points) {
        line(format_args!(
            "{cores:>6} {:>7.2} {:>8} {:>12.2} {:>12.1}% {:>8.3}",
            ratio(summary.bare_ns, point.ns),
            point.geomean.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.2}")),
            ratio(summary.bare_ns, point.bound_ns),
            100.0 * ratio(point.bound_ns, point.ns),
            ratio(point.executions, summary.txs as u64)
        ));
    }
    line(format_args!(
        "check: on 2 threads predicted {:.1} us, measured {:.1} us: error {:+.1} % of the total, \
         {:+.1} % in the median block",
        micros(summary.predicted_ns),
        micros(summary.parallel_ns),
        100.0 * summary.total_error(),
        100.0 * summary.error
    ));
    line(format_args!(
        "the engine adds {:.0} ns to a transaction; a second worker joins after {:.1} us",
        summary.overhead_per_tx(),
        micros(summary.wake_ns)
    ));
    if let Some(check) = summary.machine_check {
        let verdict = if check < QUIET {
            "the machine is LOUD, the check against the measured run says little"
        } else {
            "the machine is quiet"
        };
        line(format_args!("machine check: two runs at once do {check:.2} times one: {verdict}"));
    }
}
