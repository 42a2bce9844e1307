//! What `braid replay` prints: a table for people, or one JSON object a line.

use super::{
    input::Origin,
    machine::Machine,
    measure::{BlockReport, Checks},
};
use serde_json::{Value, json};
use std::{
    fmt::Display,
    io::{self, Write},
};

/// Below this throughput of two runs at once the machine is too loud for its figures.
pub(crate) const QUIET: f64 = 1.95;

/// Figures over all blocks.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    blocks: usize,
    matched: usize,
    threads: usize,
    rounds: usize,
    stock_ns: u64,
    bare_ns: u64,
    parallel_ns: u64,
    stock: Ratios,
    bare: Ratios,
    executions_per_tx: f64,
    noise: f64,
    machine: Machine,
    /// Parallel over stock, where reads were counted.
    reads: Option<f64>,
    /// Runs of the blocks' longest transactions that came to nothing, where they were counted.
    longest_wasted: Option<u64>,
    /// The numbers of the blocks in which there were any.
    wasted_in: Vec<u64>,
}

/// Sequential time over parallel time.
#[derive(Debug, Clone, Copy, Default)]
struct Ratios {
    /// Of the sums.
    total: f64,
    /// Geometric mean over blocks of two or more transactions, where there are any.
    geomean: Option<f64>,
    /// The least of those blocks.
    min: Option<f64>,
}

impl Ratios {
    fn new(reports: &[BlockReport], sequential: fn(&BlockReport) -> u64) -> Self {
        let sum: u64 = reports.iter().map(sequential).sum();
        let parallel: u64 = reports.iter().map(|report| report.parallel_ns).sum();
        let ratios: Vec<f64> = reports
            .iter()
            .filter(|report| report.txs >= 2)
            .map(|report| ratio(sequential(report), report.parallel_ns))
            .collect();
        Self {
            total: ratio(sum, parallel),
            geomean: geometric_mean(&ratios),
            min: ratios.iter().copied().reduce(f64::min),
        }
    }
}

/// None of no values.
pub(crate) fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logs: f64 = values.iter().map(|value| value.ln()).sum();
    (!values.is_empty()).then(|| (logs / values.len() as f64).exp())
}

pub(crate) fn ratio(above: u64, below: u64) -> f64 {
    if below == 0 { 0.0 } else { above as f64 / below as f64 }
}

impl Summary {
    /// Adds the blocks up.
    pub fn new(reports: &[BlockReport], threads: usize, rounds: usize, machine: Machine) -> Self {
        let sum = |part: fn(&BlockReport) -> u64| reports.iter().map(part).sum::<u64>();
        let txs: usize = reports.iter().map(|report| report.txs).sum();
        let executions = sum(|report| report.executions);
        let again = sum(|report| report.bare_again_ns);
        let bare_ns = sum(|report| report.bare_ns);
        Self {
            blocks: reports.len(),
            matched: reports.iter().filter(|report| report.matched()).count(),
            threads,
            rounds,
            stock_ns: sum(|report| report.stock_ns),
            bare_ns,
            parallel_ns: sum(|report| report.parallel_ns),
            stock: Ratios::new(reports, |report| report.stock_ns),
            bare: Ratios::new(reports, |report| report.bare_ns),
            executions_per_tx: ratio(executions, txs as u64),
            noise: if bare_ns == 0 { 0.0 } else { (ratio(again, bare_ns) - 1.0).abs() },
            machine,
            reads: reads(reports),
            longest_wasted: reports
                .iter()
                .filter_map(|report| report.longest_wasted)
                .reduce(|sum, one| sum + one),
            wasted_in: reports
                .iter()
                .filter(|report| report.longest_wasted.is_some_and(|wasted| wasted > 0))
                .map(|report| report.number)
                .collect(),
        }
    }

    fn json(&self) -> Value {
        let mut summary = json!({
            "summary": true,
            "blocks": self.blocks,
            "matched": self.matched,
            "mismatched": self.blocks - self.matched,
            "threads": self.threads,
            "rounds": self.rounds,
            "stock_ns": self.stock_ns,
            "bare_ns": self.bare_ns,
            "parallel_ns": self.parallel_ns,
            "stock_total": rounded(self.stock.total),
            "stock_geomean": self.stock.geomean.map(rounded),
            "stock_min": self.stock.min.map(rounded),
            "bare_total": rounded(self.bare.total),
            "bare_geomean": self.bare.geomean.map(rounded),
            "bare_min": self.bare.min.map(rounded),
            "executions_per_tx": rounded(self.executions_per_tx),
            "noise": rounded(self.noise),
            "machine_check": self.machine.throughput.map(rounded),
            "round_trip_ns": self.machine.round_trip_ns,
            "longest_wasted": self.longest_wasted,
        });
        if let Some(reads) = self.reads {
            summary["reads"] = rounded(reads).into();
        }
        summary
    }
}

/// Reads of the parent state, parallel over stock.
fn reads(reports: &[BlockReport]) -> Option<f64> {
    let counted: Vec<(u64, u64)> = reports.iter().filter_map(|report| report.reads).collect();
    let (stock, parallel) = counted.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    (!counted.is_empty()).then(|| ratio(parallel, stock))
}

pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Writes reports to standard output, complaints to standard error.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    json: bool,
}

impl Printer {
    /// JSON lines or a table.
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// The table's first line.
    pub fn header(&self) {
        if !self.json {
            line(format_args!(
                "{:>9} {:>5} {:>11} {:>10} {:>10} {:>10} {:>7} {:>7} {:>6}  {}",
                "block",
                "txs",
                "gas",
                "stock us",
                "bare us",
                "par. us",
                "/stock",
                "/bare",
                "runs",
                "result"
            ));
        }
    }

    /// One block's row.
    pub fn block(&self, origin: &Origin, report: &BlockReport) {
        if self.json {
            line(block_json(report));
        } else {
            line(format_args!(
                "{:>9} {:>5} {:>11} {:>10.1} {:>10.1} {:>10.1} {:>7.2} {:>7.2} {:>6}  {}",
                report.number,
                report.txs,
                report.gas,
                micros(report.stock_ns),
                micros(report.bare_ns),
                micros(report.parallel_ns),
                ratio(report.stock_ns, report.parallel_ns),
                ratio(report.bare_ns, report.parallel_ns),
                report.executions,
                if report.matched() { "equal" } else { "MISMATCH" },
            ));
        }
        if let Some(difference) = &report.difference {
            eprintln!("{origin}: block {}: {difference}", report.number);
            eprintln!("  again: braid replay --forced {}", origin.arguments());
        }
    }

    /// An input that could not be read, or a workload that could not be written.
    pub fn unreadable(&self, file: &dyn Display, error: &dyn Display) {
        if self.json {
            line(json!({ "file": file.to_string(), "error": error.to_string() }));
        }
        eprintln!("{error}");
    }

    /// The last lines.
    pub fn summary(&self, summary: &Summary) {
        if self.json {
            return line(summary.json());
        }
        if summary.blocks == 0 {
            return line("no block was replayed");
        }
        let Summary { stock, bare, .. } = summary;
        line(format_args!(
            "\n{} blocks, {} equal, {} threads, median of {} rounds",
            summary.blocks, summary.matched, summary.threads, summary.rounds
        ));
        for (name, ratios) in [("stock", stock), ("bare", bare)] {
            let of_blocks = match (ratios.geomean, ratios.min) {
                (Some(mean), Some(worst)) => {
                    format!("geometric mean {mean:.2}, worst block {worst:.2}")
                }
                _ => "no block has two transactions".to_owned(),
            };
            line(format_args!("{name:>5} / parallel: total {:.2}, {of_blocks}", ratios.total));
        }
        line(format_args!(
            "{:.3} executions per transaction; noise floor (bare against itself) {:.1} %",
            summary.executions_per_tx,
            summary.noise * 100.0
        ));
        if let Some(reads) = summary.reads {
            line(format_args!("reads of the parent state: {reads:.3} times those of stock"));
        }
        if let Some(wasted) = summary.longest_wasted {
            let numbers: Vec<String> = summary.wasted_in.iter().map(u64::to_string).collect();
            let of = if numbers.is_empty() { "" } else { ", in block " };
            line(format_args!(
                "runs of the blocks' longest transactions that came to nothing: {wasted}{of}{}",
                numbers.join(", ")
            ));
        }
        if let Some(check) = summary.machine.throughput {
            let verdict = if check < QUIET {
                "the machine is LOUD, do not quote these times"
            } else {
                "the machine is quiet"
            };
            line(format_args!(
                "machine check: two runs at once do {check:.2} times one: {verdict}"
            ));
            line(format_args!(
                "a cache line takes {:.2} us from one core to another and back",
                micros(summary.machine.round_trip_ns)
            ));
        }
    }
}

pub(crate) fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

fn block_json(report: &BlockReport) -> Value {
    let Checks { gas_used, receipts_root, logs_bloom, requests_hash, state_root } = report.checks;
    json!({
        "block": report.number,
        "txs": report.txs,
        "gas": report.gas,
        "stock_ns": report.stock_ns,
        "bare_ns": report.bare_ns,
        "parallel_ns": report.parallel_ns,
        "ratio_stock": rounded(ratio(report.stock_ns, report.parallel_ns)),
        "ratio_bare": rounded(ratio(report.bare_ns, report.parallel_ns)),
        "executions": report.executions,
        "longest_wasted": report.longest_wasted,
        "match": report.matched(),
        "gas_used": gas_used,
        "receipts_root": receipts_root,
        "logs_bloom": logs_bloom,
        "requests_hash": requests_hash,
        "state_root": state_root,
    })
}

/// One line of standard output. Nobody reading any more is no error.
pub(crate) fn line(text: impl Display) {
    let mut out = io::stdout().lock();
    let _closed = writeln!(out, "{text}");
}
